"""The two commands on a log with planted attacks: what they print, write and track."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from command_line import (
    ATTACKED_DAYS,
    ROOT,
    artifacts,
    environment,
    last_run,
    read_json,
    tracked,
)
from jsonschema import Draft202012Validator
from polars.testing import assert_frame_equal

from riskml.evaluation.outputs import METRICS_SCHEMA
from riskml.export.bundle import load_bundle
from riskml.models.base import load_detector

PLOTS = (
    "precision_recall",
    "score_distribution",
    "risk_over_time",
    "recall_by_budget",
    "alerts_by_day",
)
SECONDS = ("fit_seconds", "score_seconds")


def without_seconds(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name not in SECONDS}


@pytest.mark.parametrize("job", ["train", "evaluate"])
def test_every_file_is_there(job: str, trained: Path) -> None:
    folder = last_run(trained, job)
    names = ["metrics.json", "scores.parquet", "alerts.parquet", "alerts.csv", "config.yaml"]
    names += ["report.html", "report.md", *(["model_card.md"] if job == "train" else [])]
    for name in names:
        assert (folder / name).stat().st_size > 0, name
    for name in PLOTS:
        content = (folder / "plots" / f"{name}.png").read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) > 5000
    assert "${" not in (folder / "config.yaml").read_text()


def test_train_leaves_detector_features_and_bundle(trained: Path) -> None:
    folder = last_run(trained)
    assert load_detector(folder / "detector").spec_.names
    bundle = load_bundle(folder / "bundle")
    scores = pl.read_parquet(folder / "scores.parquet")
    assert bundle.manifest["detector"] == "vae"
    card = (folder / "model_card.md").read_text("utf-8")
    assert (folder / "bundle" / "model_card.md").read_text("utf-8") == card
    assert bundle.threshold == read_json(folder / "metrics.json")["metrics"]["threshold"]
    assert bundle.manifest["train_until"] < str(scores["start"].min().date())


def test_evaluate_repeats_the_figures_of_training(trained: Path) -> None:
    after_training = read_json(last_run(trained) / "metrics.json")
    evaluated = read_json(last_run(trained, "evaluate") / "metrics.json")
    metrics = without_seconds(after_training["metrics"])
    assert metrics == without_seconds(evaluated["metrics"])
    assert len(metrics) > 10
    for key in ("data", "seed", "budget", "detector", "windows", "features"):
        assert after_training[key] == evaluated[key]
    for name in ("scores.parquet", "alerts.parquet"):
        assert_frame_equal(
            pl.read_parquet(last_run(trained) / name),
            pl.read_parquet(last_run(trained, "evaluate") / name),
        )


def test_fit_seconds_are_those_of_the_training(trained: Path) -> None:
    before, after = (
        read_json(last_run(trained, job) / "metrics.json")["metrics"]["fit_seconds"]
        for job in ("train", "evaluate")
    )
    assert before == after > 0


def test_planted_attacks_are_found(trained: Path) -> None:
    document = read_json(last_run(trained) / "metrics.json")
    assert document["metrics"]["roc_auc"] >= 0.9
    assert document["metrics"]["positive_windows"] == len(ATTACKED_DAYS)
    alerts = pl.read_parquet(last_run(trained) / "alerts.parquet")
    riskiest = alerts.head(len(ATTACKED_DAYS))
    assert riskiest["label"].sum() >= len(ATTACKED_DAYS) - 1
    assert alerts["score"].is_sorted(descending=True)
    for reasons in riskiest.filter(pl.col("label") == 1)["reasons"]:
        assert any("resources" in text or "hours" in text for text in reasons)
    assert any("between 00 and 06 h" in text for text in riskiest["reasons"].explode())


def test_evaluate_ranks_the_baselines(trained: Path) -> None:
    document = read_json(last_run(trained, "evaluate") / "metrics.json")
    assert list(document["detectors"]) == ["vae", "random", "window_length"]
    assert document["detectors"]["vae"]["roc_auc"] > document["detectors"]["random"]["roc_auc"]


@pytest.mark.parametrize("job", ["train", "evaluate"])
def test_metrics_are_as_the_schema_says(job: str, trained: Path) -> None:
    document = read_json(last_run(trained, job) / "metrics.json")
    Draft202012Validator(read_json(METRICS_SCHEMA)).validate(document)
    names = ["vae"] if job == "train" else ["vae", "random", "window_length"]
    assert list(document["by_group"]) == list(document["seeds"]) == names
    assert document["by_group"]["vae"]["tenure"]["known"]["positives"] == len(ATTACKED_DAYS)
    assert document["about"]["command"].startswith(f"python {job}.py ")
    table = pl.read_csv(last_run(trained, job) / "detectors.csv")
    assert table["detector"].to_list() == names
    assert table["roc_auc"][0] == pytest.approx(document["metrics"]["roc_auc"])


@pytest.mark.parametrize("job", ["train", "evaluate"])
def test_what_people_read(job: str, trained: Path) -> None:
    text = (trained.parent / f"{job}.out").read_text()
    assert "ROC-AUC" in text
    assert "risky of" in text
    assert "alerts; the riskiest:" in text
    assert "(truly risky)" in text
    assert f"mlflow ui --backend-store-uri sqlite:///{trained}/mlflow.db" in text
    assert str(last_run(trained, job)) in text
    assert "Warning" not in text
    assert "━━━━ " not in text, "callbacks=quiet shows no bar"


@pytest.mark.parametrize("job", ["train", "evaluate"])
def test_mlflow_run(job: str, trained: Path) -> None:
    runs = {run.info.run_name: run for run in tracked(trained)}
    run = runs["vae on csv" if job == "train" else "evaluate vae on csv"]
    inside = [
        each.info.run_name
        for each in reversed(tracked(trained))
        if each.data.tags.get("mlflow.parentRunId") == run.info.run_id
    ]
    assert inside == ([] if job == "train" else ["random", "window_length", "vae"])
    digest = read_json(last_run(trained, job) / "metrics.json")["about"]["data_fingerprint"][:12]
    assert [each.dataset.digest for each in run.inputs.dataset_inputs] == [digest]
    assert run.info.status == "FINISHED"
    metrics = read_json(last_run(trained, job) / "metrics.json")["metrics"]
    assert run.data.metrics["test/roc_auc"] == metrics["roc_auc"]
    files = artifacts(trained, run.info.run_id)
    assert {"config.yaml", "metrics.json", "alerts.csv", "report.html", "report.md"} <= files
    assert {f"plots/{name}.png" for name in PLOTS} <= files
    if job == "train":
        assert {f"bundle/{name}" for name in ("manifest.json", "model.ts")} <= files


def test_mlflow_parameters_are_the_chosen_ones(trained: Path) -> None:
    (run,) = (run for run in tracked(trained) if run.info.run_name == "vae on csv")
    chosen = {"seed": "0", "data": "csv", "model.latent_dim": "4", "model.hidden": "[16, 8]"}
    assert chosen.items() <= run.data.params.items()
    assert len(run.data.params) < 70


def test_mlflow_has_metrics_of_every_epoch(trained: Path) -> None:
    from mlflow.tracking import MlflowClient

    (run,) = (run for run in tracked(trained) if run.info.run_name == "vae on csv")
    client = MlflowClient(f"sqlite:///{trained}/mlflow.db")
    for name in ("train/loss", "val/loss"):
        history = client.get_metric_history(run.info.run_id, name)
        assert [metric.step for metric in history] == list(range(6)), name


def test_nothing_is_written_outside_the_outputs(trained: Path) -> None:
    names = {path.name for path in trained.parent.iterdir()}
    assert names == {"outputs", "train.out", "evaluate.out"}


# ---- help


@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
def test_help(script: str, tmp_path: Path) -> None:
    """Readable, and answered without importing what is slow to import."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(ROOT / script), "--help"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    for words in (f"python {script} model=", "== choices (group=name) ==", "model: autoencoder"):
        assert words in done.stdout
    assert "== all settings with their values ==" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "hydra.main" in imported
    slow = {"torch", "polars", "numpy", "pytorch_lightning", "mlflow", "pyod", "gensim"}
    assert imported & slow == set()
    assert list(tmp_path.iterdir()) == []
