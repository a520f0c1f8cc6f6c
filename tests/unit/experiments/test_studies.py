"""Studies: what stands in study.yaml, what is kept, and how quick runs are held to the tables."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from omegaconf import DictConfig

from experiments import __main__ as command
from experiments import cells as making
from experiments import tables
from experiments.cells import Maker
from experiments.quick import differences, lacks
from experiments.study import HERE, NAMES, ROOT, Cell, Row, Study
from experiments.tables import JSON, MARKDOWN, document, markdown, write
from riskml.core.errors import ConfigError
from riskml.core.types import Windows
from riskml.features.preparation import PreparedWindows

STUDIES = [Study.load(name) for name in NAMES]
IDS = list(NAMES)
FIXED = 0.005
"""How far apart a quick run and the table may be where there is no chance."""


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKML_ROOT", str(ROOT))


@pytest.fixture(scope="session")
def prepared(make_windows: Callable[..., Windows]) -> PreparedWindows:
    """Windows of which rather the long ones are risky."""
    test = make_windows(120, seed=3, users=6, first_day=12)
    chance = np.random.default_rng(0).random(120)
    labels = (chance < np.where(test.lengths >= 4, 0.2, 0.05)).astype(np.int8)
    incidents = [[f"i{i}"] if label else [] for i, label in enumerate(labels)]
    truth = pl.DataFrame({"label": labels, "incidents": incidents})
    known = test.keys.with_row_index("i").filter(pl.Series(labels == 1))
    told = known.select(
        pl.format("i{}", "i").alias("incident_id"),
        pl.lit("leak").alias("scenario"),
        "user_id",
        "start",
        "end",
        pl.lit(1, pl.Int64).alias("n_events"),
    )
    train, later = make_windows(80, seed=1), make_windows(40, seed=2, first_day=8)
    return PreparedWindows(train, later, test, truth, incidents=told)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepared: PreparedWindows) -> Study:
    """A small study whose windows need no data."""
    monkeypatch.setattr(Maker, "prepared", lambda self, cfg: prepared)
    monkeypatch.setattr(Cell, "config", _composed_once(Cell.config))
    monkeypatch.setattr(tables, "RESAMPLES", 50)
    monkeypatch.setattr(Study, "folder", property(lambda self: tmp_path))
    return Study(
        "small",
        "Small, for tests",
        "block",
        None,
        {"made": ("data=simulated",)},
        (0, 1),
        {
            "window_length": Row(("model=window_length",), (0,)),
            "random": Row(("model=random",)),
            "told": Row(scores=f"{__name__}:told"),
        },
        {"average_precision": "AP", "roc_auc": "ROC-AUC", "incident_recall[leaks]": "leaks"},
        "window_length",
        {"leaks": ("leak",)},
        quick={"made": {"window_length": {"average_precision": 1e-5, "roc_auc": 1e-5}}},
    )


def told(windows: PreparedWindows) -> np.ndarray:
    """The truth as a score."""
    assert windows.test_truth is not None
    return windows.test_truth["label"].to_numpy().astype(float)


_COMPOSED: dict[Cell, DictConfig] = {}


def _composed_once(compose: Callable[[Cell], DictConfig]) -> Callable[[Cell], DictConfig]:
    """Composing takes longer than all else here."""

    def config(self: Cell) -> DictConfig:
        if self not in _COMPOSED:
            _COMPOSED[self] = compose(self)
        return copy.deepcopy(_COMPOSED[self])

    return config


def made(study: Study, folder: Path) -> Maker:
    maker = Maker(folder)
    for cell in study.cells():
        maker.make(cell)
    return maker


# ---- what stands in study.yaml


@pytest.mark.parametrize("study", STUDIES, ids=IDS)
def test_every_row_names_a_preset_and_a_model(study: Study) -> None:
    models = {path.stem for path in (ROOT / "conf" / "model").glob("*.yaml")}
    presets = {path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")}
    assert study.focus in study.rows
    assert len(study.seeds) == 5
    for cell in study.cells():
        words = dict(word.split("=", 1) for word in cell.overrides)
        assert words["experiment"] in presets
        assert words.get("model", "vae") in models
        assert cell.scores is None or len(words) == 1


@pytest.mark.parametrize("study", STUDIES, ids=IDS)
def test_every_baseline_is_there(study: Study) -> None:
    if study.name == "adbench":
        return  # its rows have neither actions nor users
    wanted = (ROOT / "conf" / "evaluate.yaml").read_text()
    for line in wanted.split("baselines:")[1].split("\n\n")[0].splitlines()[1:]:
        assert line.strip("- ") in study.rows, line


@pytest.mark.parametrize("study", STUDIES, ids=IDS)
def test_no_two_cells_share_a_folder(study: Study) -> None:
    folders = [cell.folder for cell in study.cells()]
    assert len(set(folders)) == len(folders)


@pytest.mark.parametrize("study", STUDIES, ids=IDS)
def test_quick_distances_come_from_measured_scatter(study: Study) -> None:
    table = json.loads((study.folder / JSON).read_text())["cases"]
    assert study.cells(quick=True)
    for case, rows in study.quick.items():
        for name, distances in rows.items():
            row = table[case][name]
            assert distances
            for metric, distance in distances.items():
                scatter = 0.0 if study.worlds else row["deviation"][metric] or 0.0
                assert 0 < distance <= max(FIXED, 3 * scatter), (case, name, metric)


@pytest.mark.parametrize("study", STUDIES, ids=IDS)
def test_the_page_is_made_from_the_numbers(study: Study) -> None:
    results = json.loads((study.folder / JSON).read_text())
    written = (study.folder / MARKDOWN).read_text()
    assert written == markdown(study, results), f"run: python -m experiments {study.name} --tables"
    assert (study.folder / "README.md").is_file()
    main = next(iter(study.columns))
    for case, rows in results["cases"].items():
        picture = study.folder / f"{main}-{case}.png"
        assert not rows or picture.stat().st_size < 100_000


def test_unknown_study() -> None:
    with pytest.raises(ConfigError, match="no study 'see': choose from sea, hdfs"):
        Study.load("see")


def test_every_folder_with_a_study_is_one() -> None:
    assert {path.parent.name for path in HERE.glob("*/study.yaml")} == set(NAMES)


# ---- cells


def test_a_cell_is_made_once_for_the_same_settings(study: Study, tmp_path: Path) -> None:
    maker, cell = Maker(tmp_path / "kept"), study.cells()[0]
    assert not maker.is_made(cell)
    assert maker.read(cell) is None
    maker.make(cell)
    assert maker.is_made(cell)
    assert not maker.is_made(replace(cell, overrides=(*cell.overrides, "threshold.max_share=0.1")))
    assert not maker.is_made(replace(cell, seed=1))
    kept = maker.read(cell)
    assert kept is not None and kept.scores is not None
    assert kept.facts["fit_seconds"] >= 0
    assert {"score", "alert", "within_budget", "label"} <= set(kept.scores.columns)


def test_what_is_not_used_does_not_change_a_cell(study: Study) -> None:
    cell = study.cells()[0]
    same = replace(cell, overrides=(*cell.overrides, "features.families.history.days=9"))
    other = replace(cell, overrides=(*cell.overrides, "features.families.volume.max_actions=9"))
    places = replace(cell, overrides=(*cell.overrides, "paths.outputs=/elsewhere"))
    assert cell.fingerprint() == same.fingerprint() == places.fingerprint() != other.fingerprint()


def test_windows_are_made_anew_for_another_table(tmp_path: Path) -> None:
    """The place of a table is a setting that the data's node only refers to."""
    maker = Maker(tmp_path / "kept")
    for number in range(2):
        rows = np.random.default_rng(number).normal(size=(30, 2))
        pl.DataFrame(rows, schema=["a", "b"]).write_parquet(tmp_path / f"{number}.parquet")
    cells = [
        Cell("rows", "a", "b", 0, ("experiment=adbench", f"path={tmp_path}/{number}.parquet"))
        for number in range(2)
    ]
    assert cells[0].fingerprint() != cells[1].fingerprint()
    first, second = (maker.prepared(cell.config()) for cell in cells)
    assert not np.array_equal(first.test.x, second.test.x)
    assert maker.prepared(cells[1].config()) is second


def test_a_detector_that_refuses_is_kept_with_its_reason(study: Study, tmp_path: Path) -> None:
    study = replace(study, rows={"sequence": Row(("model=unigram_ratio",), (0,))})
    maker = Maker(tmp_path / "kept")
    windows = maker.prepared(None)
    one = replace(windows, train=windows.train.take(np.zeros(len(windows.train), bool)))
    maker.prepared = lambda cfg: one
    cell = study.cells()[0]
    maker.make(cell)
    kept = maker.read(cell)
    assert kept is not None and kept.scores is None
    page = markdown(study, document(study, maker))
    assert f"sequence: not measured: {kept.facts['refused']}" in page


# ---- tables


def test_tables_hold_every_seed_and_their_mean(study: Study, tmp_path: Path) -> None:
    results = write(study, made(study, tmp_path / "kept"))
    rows = json.loads((tmp_path / JSON).read_text())["cases"]["made"]
    assert rows == results["cases"]["made"]
    random = rows["random"]
    values = random["values"]["average_precision"]
    assert random["seeds"] == [0, 1] and values[0] != values[1]
    assert random["mean"]["average_precision"] == pytest.approx(np.mean(values), abs=1e-6)
    assert random["deviation"]["average_precision"] == pytest.approx(
        np.std(values, ddof=1), abs=1e-6
    )
    low, high = random["interval"]["average_precision"]
    assert low < random["mean"]["average_precision"] < high
    assert rows["told"]["mean"]["average_precision"] == 1.0
    assert rows["told"]["behind"][0] < 0
    assert 0 <= rows["told"]["mean"]["incident_recall[leaks]"] <= 1
    page = (tmp_path / MARKDOWN).read_text()
    assert "| told | 2 | 1.000 ± 0.000 |" in page
    assert "| made | `data=simulated` |" in page
    assert "| window_length | `model=window_length` | 0 |" in page
    assert "Not run" not in page


def test_what_was_not_run_is_said(study: Study, tmp_path: Path) -> None:
    maker = Maker(tmp_path / "kept")
    maker.make(next(cell for cell in study.cells() if cell.row == "random"))
    page = markdown(study, document(study, maker))
    assert "Not run yet, or not all: window_length (1 missing), told (2 missing), random (1" in page


def test_rows_are_added_to_a_table_whose_cells_are_elsewhere(study: Study, tmp_path: Path) -> None:
    whole = document(study, made(study, tmp_path / "kept"))["cases"]["made"]
    others = Maker(tmp_path / "others")
    for cell in study.cells():
        if cell.row != "random":
            others.make(cell)
    write(study, others)
    here = Maker(tmp_path / "here")
    for cell in study.cells():
        if cell.row == "random" or (cell.row, cell.seed) == ("told", 0):
            here.make(cell)
    added = write(study, here, add=True)["cases"]["made"]
    assert list(added) == ["window_length", "random", "told"]
    assert added["random"]["values"]["roc_auc"] == whole["random"]["values"]["roc_auc"]
    assert added["told"]["seeds"] == [0, 1]
    assert "Not run" not in (tmp_path / MARKDOWN).read_text()
    assert list(write(study, here)["cases"]["made"]) == ["random", "told"]


# ---- quick runs


def test_a_quick_run_is_held_to_the_table(study: Study, tmp_path: Path) -> None:
    write(study, made(study, tmp_path / "kept"))
    assert differences(study) == []
    table = json.loads((tmp_path / JSON).read_text())
    values = table["cases"]["made"]["window_length"]["values"]["roc_auc"]
    values[0] += 0.01
    (tmp_path / JSON).write_text(json.dumps(table))
    (found,) = differences(study)
    assert "small/made/window_length/0: roc_auc is " in found
    near = {"made": {"window_length": {"roc_auc": 0.02}}}
    assert differences(replace(study, quick=near)) == []


def test_a_quick_run_needs_its_cells(study: Study, tmp_path: Path) -> None:
    write(study, Maker(tmp_path / "none"))
    with pytest.raises(ConfigError, match="the table lacks small/made/window_length/0"):
        differences(study)
    with pytest.raises(ConfigError, match="names no quick cells"):
        differences(replace(study, quick={}))


def test_a_study_without_its_data_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RISKML_DATA", str(tmp_path))
    assert lacks(Study.load("simulated")) is None
    assert lacks(Study.load("sea")) == "sea reads sea/ below RISKML_DATA, which is not there"
    (tmp_path / "sea").mkdir()
    assert lacks(Study.load("sea")) is None


# ---- the command


def test_the_command_makes_what_is_missing(
    study: Study,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Study, "load", lambda name: study)
    monkeypatch.setattr(making.Maker, "__init__", _kept_in(tmp_path / "kept"))
    assert command.main(["small", "--row", "told"]) == 0
    assert "0 of 2 cells are made already" in capsys.readouterr().out
    assert command.main(["small"]) == 0
    assert "2 of 5 cells are made already" in capsys.readouterr().out
    assert (tmp_path / "average_precision-made.png").is_file()
    assert command.main(["small", "--quick"]) == 0
    assert command.main(["small", "--row", "tolld"]) == 2
    assert "no row 'tolld': did you mean 'told'" in capsys.readouterr().err


def _kept_in(folder: Path) -> Callable[..., None]:
    def begin(self: Maker, given: Path | None = None) -> None:
        self.folder = given or folder

    return begin
