"""What people get wrong: one clear line with the remedy, exit code 2, no traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command_line import SMALL, last_run, once, read_json, reads, run, run_all, write_log

pytestmark = pytest.mark.slow

Rows = Callable[[pl.DataFrame], pl.DataFrame]
RANDOM = ("model=random", "logger=none")
DEEP = ("model=vae", "logger=none", "callbacks=quiet", "model.training.max_epochs=1", *SMALL)

ALL_BUT_VOLUME = ("time_of_day", "novelty", "history", "peer", "graph", "action_embedding")


def equal_days() -> pl.DataFrame:
    """Four users who do the same at the same hour, every day."""
    rows = [
        (f"{datetime(2024, 1, 1, 9) + timedelta(days=day)}Z", f"u{user}", "login", "r", 0)
        for day in range(40)
        for user in range(4)
    ]
    return pl.DataFrame(
        rows, schema=["login_time", "who", "what", "resource", "label"], orient="row"
    )


LOGS: dict[str, Rows] = {
    "whole": lambda log: log,
    "no_user": lambda log: log.drop("who"),
    "no_action": lambda log: log.drop("what"),
    "no_zone": lambda log: log.with_columns(pl.col("login_time").str.strip_suffix("Z")),
    "no_rows": lambda log: log.clear(),
    "single_user": lambda log: log.with_columns(who=pl.lit("only")),
    "one_event_each": lambda log: log.with_row_index("n").with_columns(who=pl.format("u{}", "n")),
    "equal_rows": lambda log: pl.concat([log.head(1)] * 500),
    "equal_times": lambda log: log.with_columns(login_time=pl.lit("2024-01-01 10:00:00Z")),
    "equal_days": lambda log: equal_days(),
    "nan_times": lambda log: log.with_columns(login_time=pl.lit("NaN")),
    "nan_users": lambda log: log.with_columns(who=pl.lit(None, pl.String)),
    "nan_labels": lambda log: log.with_columns(label=pl.lit("NaN")),
    "word_labels": lambda log: log.with_columns(label=pl.lit("bad")),
    "odd_times": lambda log: log.with_columns(login_time=pl.lit("yesterday")),
    "few_days": lambda log: log.head(300),
    "some_bad_rows": lambda log: log.with_row_index("n").with_columns(
        login_time=pl.when(pl.col("n") < 3).then(pl.lit("NaN")).otherwise("login_time")
    ),
    "no_labels": lambda log: log.drop("label"),
}
ODD_FILES = {"empty": b"", "binary": bytes(range(256)) * 20}

WRONG: dict[str, tuple[str, list[str], list[str]]] = {
    # name: (log, command, words that the line must hold)
    "no_user_column": ("no_user", [], ["no_user.csv", "who", "columns.user_id"]),
    "no_user_column_unmapped": (
        "no_user",
        ["columns.user_id=null"],
        ["no_user.csv", "'user_id'", "columns.user_id=<your column>"],
    ),
    "no_action_column": (
        "no_action",
        ["columns.action=null"],
        ["'action'", "default_action=login"],
    ),
    "no_zone": ("no_zone", [], ["no_zone.csv", "login_time", "time_zone=UTC"]),
    "empty_file": ("empty", [], ["empty.csv", "empty"]),
    "binary_file": ("binary", [], ["binary.csv"]),
    "no_rows": ("no_rows", [], ["no_rows.csv", "no rows"]),
    "single_user": ("single_user", [], ["'only'", "columns.user_id"]),
    "one_event_each": ("one_event_each", [], ["one event only", "columns.user_id"]),
    "equal_rows": ("equal_rows", [], ["user_", "columns.user_id"]),
    "equal_times": ("equal_times", [], ["the train period has no events", "data.split"]),
    "equal_features": (
        "equal_days",
        # the others tell a first day from those after it
        [*(f"features.families.{name}=null" for name in ALL_BUT_VOLUME), *DEEP[:-1]],
        ["features are equal", "column mapping"],
    ),
    "nan_times": ("nan_times", [], ["nan_times.csv", "login_time"]),
    "nan_users": ("nan_users", [], ["nan_users.csv", "missing_user"]),
    "nan_labels": ("nan_labels", [], ["'label'", "0 or 1"]),
    "word_labels": ("word_labels", [], ["'label'", "0 or 1", "bad"]),
    "odd_times": ("odd_times", [], ["odd_times.csv", "login_time", "timestamp_format"]),
    "few_days": ("few_days", [], ["data.split"]),
    "no_train_period": (
        "whole",
        ["data.split.test=60"],
        ["train period has no events", "data.split"],
    ),
    "nothing_to_train_on": (
        "whole",
        ["data.split.test=0.9"],
        ["data.split", "nothing to train on"],
    ),
    "long_windows": (
        "whole",
        ["features=block", "features.window.size=100000"],
        ["too short for its windows", "features=session"],
    ),
    "no_such_file": ("nowhere", [], ["nowhere.csv does not exist"]),
    "odd_zone": ("no_zone", ["time_zone=Europe/Berln"], ["time_zone", "Europe/Berlin"]),
    "unknown_column": ("whole", ["columns.user_id=whoo"], ["'whoo'", "did you mean 'who'"]),
    "truth_as_input": ("whole", ["columns.resource=label"], ["columns.resource", "truth"]),
    "unknown_model": ("whole", ["model=vaee"], ["model", "'vaee'", "did you mean 'vae'"]),
    "unknown_data": ("whole", ["data=simulatd"], ["data", "did you mean 'simulated'"]),
    "unknown_setting": ("whole", ["model.sed=1"], ["model.sed", "did you mean 'model.seed'"]),
    "unknown_argument": ("whole", ["+model.depth=1"], ["model.depth", "no such setting"]),
    "off_the_list": ("whole", ["model._target_=os.system"], ["os.system", "may not be built"]),
    "no_checkpoint": ("whole", [*DEEP, "ckpt_path=no.ckpt"], ["ckpt_path=no.ckpt"]),
    "no_layers": ("whole", [*DEEP, "model.hidden=[]"], ["hidden"]),
    "no_latent": ("whole", [*DEEP, "model.latent_dim=0"], ["latent_dim"]),
    "no_budget": ("whole", ["threshold.alerts_per_day=0"], ["threshold.alerts_per_day=0"]),
    "no_batch": ("whole", [*DEEP, "model.training.batch_size=0"], ["training.batch_size=0"]),
    "diverging": (
        "whole",
        [*DEEP, "model.training.learning_rate=1e30", "model.training.max_epochs=9"],
        ["learning_rate"],
    ),
    "negative_decay": ("whole", [*DEEP, "model.training.weight_decay=-1"], ["weight_decay"]),
    "negative_epochs": ("whole", [*DEEP, "model.training.max_epochs=-3"], ["max_epochs=-3"]),
    "no_gpu": ("whole", [*DEEP, "trainer.accelerator=tpu"], ["trainer"]),
}

OTHERS: dict[str, tuple[list[str], list[str]]] = {
    # name: (command, words that the line must hold)
    "no_path": (["train.py", "data=csv"], ["path: must be given", "path=..."]),
    "evaluate_no_run": (["evaluate.py"], ["no finished train run yet", "python train.py"]),
    "evaluate_odd_run": (["evaluate.py", "run=nowhere"], ["run=nowhere", "no finished train run"]),
    "evaluate_model_only": (["evaluate.py", "model=vae"], ["no finished train run", "data=..."]),
    "evaluate_data_only": (["evaluate.py", "data=sea"], ["no finished train run", "model=..."]),
    "evaluate_unknown_model": (["evaluate.py", "model=pyod_lofe"], ["did you mean 'pyod_lof'"]),
    "evaluate_odd_group": (["evaluate.py", "feature=block"], ["did you mean 'features'"]),
}

RIGHT: dict[str, tuple[str, list[str]]] = {
    "debug": ("whole", [*DEEP, "trainer=debug"]),
    "debug_lstm": ("whole", ["model=lstm_ae", "trainer=debug", "logger=none", "callbacks=quiet"]),
    "some_bad_rows": ("some_bad_rows", list(RANDOM)),
    "no_labels": ("no_labels", [*DEEP, "model=autoencoder"]),
    "no_alerts": ("attack_before_test", [*DEEP, "threshold=share", "threshold.share=1e-4"]),
    "sessions": ("whole", [*RANDOM, "features=session"]),
    "blocks": ("whole", [*RANDOM, "features=block", "features.window.size=10"]),
}


def make_logs(folder: Path) -> None:
    log = pl.read_csv(write_log(folder / "log.csv"), schema_overrides={"label": pl.String})
    for name, change in LOGS.items():
        change(log).write_csv(folder / f"{name}.csv")
    for name, content in ODD_FILES.items():
        (folder / f"{name}.csv").write_bytes(content)
    write_log(folder / "attack_before_test.csv", {27: "user_3"})


def commands(logs: Path) -> dict[str, list[str]]:
    on = {name: reads(logs / f"{log}.csv") for name, (log, *_) in (WRONG | RIGHT).items()}
    return {
        **{n: ["train.py", *on[n], *RANDOM, *more] for n, (_, more, _) in WRONG.items()},
        **{n: [*command, "logger=none"] for n, (command, _) in OTHERS.items()},
        **{n: ["train.py", *on[n], *more] for n, (_, more) in RIGHT.items()},
    }


@pytest.fixture(scope="module")
def outcomes(shared: Path) -> Path:
    """A folder a command, with its result."""

    def make(folder: Path) -> None:
        (folder / "logs").mkdir()
        make_logs(folder / "logs")
        run_all(commands(folder / "logs"), folder)

    return once(shared, "outcomes", make)


def result(outcomes: Path, name: str) -> dict[str, Any]:
    return read_json(outcomes / name / "result.json")


@pytest.mark.parametrize("name", [*WRONG, *OTHERS])
def test_one_clear_line(name: str, outcomes: Path) -> None:
    done = result(outcomes, name)
    words = WRONG[name][2] if name in WRONG else OTHERS[name][1]
    assert "Traceback" not in done["err"] + done["out"]
    assert done["code"] == 2, done["err"][-2000:]
    lines = done["err"].strip().splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1
    assert lines[-1] == errors[0]
    assert len(errors[0]) < 2000
    for word in words:
        assert word in errors[0], errors[0]


@pytest.mark.parametrize("name", RIGHT)
def test_it_runs(name: str, outcomes: Path) -> None:
    done = result(outcomes, name)
    assert done["code"] == 0, done["err"][-3000:]
    scores = pl.read_parquet(last_run(outcomes / name / "outputs") / "scores.parquet")
    assert scores["score"].is_finite().all()
    assert scores["risk"].is_between(0, 100).all()


def test_bad_rows_go_to_quarantine(outcomes: Path) -> None:
    folder = last_run(outcomes / "some_bad_rows" / "outputs")
    rejected = pl.read_csv(folder / "quarantine.csv")
    assert rejected["row"].to_list() == [2, 3, 4]
    assert rejected["reason"].null_count() == 0
    out = result(outcomes, "some_bad_rows")["out"]
    assert "3 rows in quarantine" in out
    assert "quarantine.csv" in out


def test_log_without_labels_gets_a_ranked_list(outcomes: Path) -> None:
    out = result(outcomes, "no_labels")["out"]
    assert "Nothing known to be risky in the test period" in out
    assert "alerts; the riskiest:" in out
    folder = last_run(outcomes / "no_labels" / "outputs")
    alerts = pl.read_csv(folder / "alerts.csv")
    assert len(alerts) > 0
    assert alerts["score"].is_sorted(descending=True)
    assert alerts["reasons"].str.contains("usually").any()
    metrics = json.loads((folder / "metrics.json").read_text())["metrics"]
    assert metrics.get("roc_auc") is None


def test_no_alerts_is_a_result_too(outcomes: Path) -> None:
    assert "No alerts." in result(outcomes, "no_alerts")["out"]
    folder = last_run(outcomes / "no_alerts" / "outputs")
    assert pl.read_parquet(folder / "alerts.parquet").is_empty()


def test_sessions_and_blocks(outcomes: Path) -> None:
    assert "session windows with" in result(outcomes, "sessions")["out"]
    scores = pl.read_parquet(last_run(outcomes / "blocks" / "outputs") / "scores.parquet")
    assert scores["n_events"].max() == 10


def test_a_process_of_its_own_says_the_same(outcomes: Path, tmp_path: Path) -> None:
    log = outcomes / "logs" / "no_zone.csv"
    done = run("train.py", tmp_path / "outputs", *reads(log), *RANDOM, code=2)
    assert done.stderr == result(outcomes, "no_zone")["err"]
    assert done.stdout == result(outcomes, "no_zone")["out"]
