"""With pseudonyms on, a user's name is nowhere in what a run writes, tracks or prints."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from command_line import TRAIN, last_run, reads, run, write_log

from riskml.cli import main

CANARY = "zanycanary"
KEY = "a key for tests alone, 0123456789abcdef"


def forms(name: str) -> set[bytes]:
    """How the name may be written down, in lower case; base64 at each of its three offsets."""
    found = {name.encode(), name.encode("utf-16-le"), name.encode("utf-16-be"), name[::-1].encode()}
    for text in (name, name.upper()):
        for offset in range(3):
            encoded = base64.b64encode(b"\0" * offset + text.encode())
            # the ends depend on what stands beside the name
            found.add(encoded[4 if offset else 0 : -4].lower())
    return found


def contents(path: Path) -> Iterator[bytes]:
    """The file as it is, and what is packed in it."""
    content = path.read_bytes()
    yield str(path).encode()
    yield content
    if path.suffix == ".parquet":
        yield str(pl.read_parquet(path).to_dicts()).encode()
    elif zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(path) as packed:
            for name in packed.namelist():
                yield name.encode()
                yield packed.read(name)


def places(folder: Path, name: str) -> list[str]:
    wanted = forms(name)
    return [
        str(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for content in contents(path)
        if any(form in content.lower() for form in wanted)
    ]


def plant(path: Path) -> Path:
    """A log whose attacked user has the canary's name, in every place where a name may stand."""
    write_log(path)
    log = pl.read_csv(path).with_columns(who=pl.col("who").str.replace("user_1", CANARY))
    log = log.with_row_index("n").with_columns(
        event_id=pl.format("{}-{}", "who", "n"),
        email=pl.format("{}@example.org", pl.col("who").str.to_titlecase()),
        resource=pl.when(pl.col("n") % 5 == 0)
        .then(pl.format("/home/{}/notes", pl.lit(CANARY.upper())))
        .otherwise("resource"),
        source=pl.format("{}-laptop", "who"),
        success=pl.when(pl.col("n") % 50 == 0).then(pl.lit(CANARY)).otherwise(pl.lit("ok")),
        login_time=pl.when(pl.col("n") % 100 == 1).then(pl.lit(CANARY)).otherwise("login_time"),
    )
    log.drop("n").write_csv(path)
    with path.open("ab") as file:
        file.write(b'"' + CANARY.encode() + b",,,\n\xff" + CANARY.encode() + b"\n")
    return path


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CANARY_KEY", KEY)
    (tmp_path / "logs").mkdir()
    return plant(tmp_path / "logs" / "log.csv")


def hides(*settings: str) -> list[str]:
    return [
        "pseudonyms@data.pseudonyms=keyed",
        "data.pseudonyms.key_variable=CANARY_KEY",
        "data.quality.max_rejected_share=0.5",
        *settings,
    ]


@pytest.mark.slow
def test_the_name_of_a_user_is_nowhere(planted: Path, tmp_path: Path) -> None:
    assert places(planted.parent, CANARY), "the search finds what there is"
    store = tmp_path / "apart" / "salts.sqlite"
    outputs = tmp_path / "runs" / "outputs"
    outputs.parent.mkdir()
    words = hides(f"data.pseudonyms.store={store}")
    trained = run("train.py", outputs, *reads(planted), *TRAIN, *words)
    evaluated = run("evaluate.py", outputs, "baselines=[random]")
    for done in (trained, evaluated):
        assert CANARY not in (done.stdout + done.stderr).lower()
        assert "rows in quarantine" in done.stdout
    assert places(tmp_path / "runs", CANARY) == []
    assert places(store.parent, CANARY) == []
    assert places(tmp_path / "runs", KEY) == []
    names = {path.name for path in outputs.rglob("*")}
    assert {"mlflow.db", "quarantine.csv", "bundle", "alerts.csv", "reference.json"} <= names

    # the user is there under another name, as one of the riskiest
    shown = riskml("show", store)
    assert shown.startswith("p_")
    assert shown in pl.read_parquet(last_run(outputs) / "alerts.parquet")["user_id"]
    assert shown in trained.stdout

    # once forgotten, a new reading of the log gives another name
    riskml("forget", store)
    run("train.py", outputs, *reads(planted), "model=random", "logger=none", *words)
    again = riskml("show", store)
    users = pl.read_parquet(last_run(outputs) / "scores.parquet")["user_id"]
    assert again in users
    assert shown not in users


def riskml(command: str, store: Path) -> str:
    words = ["pseudonyms", command, CANARY, "--store", str(store), "--key-variable", "CANARY_KEY"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


@pytest.mark.slow
def test_errors_name_nobody_and_write_nothing(planted: Path, tmp_path: Path) -> None:
    outputs = tmp_path / "runs" / "outputs"
    outputs.parent.mkdir()
    done = run(
        "train.py",
        outputs,
        *reads(planted),
        "model=random",
        *hides("max_rejected_share=0"),
        code=2,
    )
    assert "max_rejected_share=0" in done.stderr
    assert "not shown: pseudonyms are on" in done.stderr
    assert CANARY not in (done.stdout + done.stderr).lower()
    assert places(tmp_path / "runs", CANARY) == []
    assert not {path.name for path in outputs.rglob("*")} & {"quarantine.csv", "reference.json"}
