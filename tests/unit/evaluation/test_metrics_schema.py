"""metrics.json holds what its schema and docs/outputs.md say, no more."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from evaluation_cases import (
    INCIDENTS,
    SCORES,
    MakeWindows,
    compared,
    evaluated,
    full_comparison,
    prepared,
)
from jsonschema import Draft202012Validator, ValidationError

from riskml.cli import main
from riskml.evaluation.comparison import Comparison
from riskml.evaluation.measures.breakdowns import break_down
from riskml.evaluation.outputs import METRICS_SCHEMA, metrics_document, write_metrics

ROOT = Path(__file__).parents[3]
DOCS = (ROOT / "docs" / "outputs.md").read_text()
SCHEMA = json.loads(METRICS_SCHEMA.read_text())
VALID = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
FIRST_VERSION = ROOT / "tests" / "data" / "metrics_v1.json"


@pytest.fixture
def comparison(make_windows: MakeWindows) -> Comparison:
    return full_comparison(make_windows)


@pytest.fixture
def document(comparison: Comparison, tmp_path: Path) -> dict[str, Any]:
    """As it is read from the file."""
    read: dict[str, Any] = json.loads(
        write_metrics(tmp_path, metrics_document(comparison)).read_text()
    )
    return read


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    metrics = SCHEMA["$defs"]["metrics"]["properties"]
    assert SCHEMA["$defs"]["metric_name"]["enum"] == list(metrics)
    assert all(each["description"] for each in metrics.values())


def test_all_that_a_comparison_holds_is_in_the_document(
    comparison: Comparison, document: dict[str, Any]
) -> None:
    VALID.validate(document)
    assert (document["schema_version"], document["detector"], document["seed"]) == (2, "focus", 3)
    assert document["windows"] == {"train": 80, "calibration": 80, "test": 120}
    assert document["about"]["created"] == "2024-05-01T12:00:00+00:00"
    assert document["about"]["data_fingerprint"] == "d" * 64
    assert {"riskml", "python", "torch", "polars"} <= document["about"]["versions"].keys()
    assert [fold["fold"] for fold in document["folds"]] == [0, 1]
    assert document["folds"][0]["test"]["windows"] == 60
    assert list(document["detectors"]) == ["focus", "best", "worst"]
    assert document["metrics"] == document["detectors"]["focus"] == comparison.focus.metrics
    assert document["intervals"]["best"] == {"average_precision": [0.02, 0.31]}
    assert list(document["lead"]) == ["best", "worst"]
    assert document["lead"]["best"]["average_precision"]["p_value"] == 0.01
    assert document["seeds"] == {"focus": [3, 4], "best": [3], "worst": [3]}
    each = [(fold["fold"], fold["seed"]) for fold in document["by_fold"]["focus"]]
    assert each == [(0, 3), (0, 4), (1, 3), (1, 4)]
    assert document["by_fold"]["best"][1]["metrics"]["average_precision"] == 1
    assert document["findings"][1]["text"] == "2 windows on both sides"
    assert document["notes"] == {"best": "made stable"}
    assert document["refused"] == {"pyod_lof": "too few windows"}


def test_groups_are_of_all_folds_and_of_the_first_seed(
    comparison: Comparison, document: dict[str, Any]
) -> None:
    groups = document["by_group"]["best"]
    assert list(groups) == ["scenario", "role", "tenure"]
    assert groups["scenario"]["theft"]["average_precision"] == 1
    assert groups["tenure"].keys() <= {"unseen", "new", "known"}
    assert sum(group["windows"] for group in groups["tenure"].values()) == 120
    focus = break_down(comparison.focus, "tenure")
    assert focus["windows"].sum() == 120


def test_without_truth_there_are_no_groups(make_windows: MakeWindows) -> None:
    windows = prepared(make_windows)
    found = metrics_document(compared(windows, [evaluated(windows, SCORES)]))
    VALID.validate(found)
    assert found["by_group"] == {"given": {}}
    assert found["lead"] == {}


def test_one_split_has_one_fold(make_windows: MakeWindows) -> None:
    windows = prepared(make_windows, INCIDENTS)
    found = metrics_document(compared(windows, [evaluated(windows, SCORES)]))
    VALID.validate(found)
    assert found["by_fold"]["given"] == [{"fold": 0, "seed": 0, "metrics": found["metrics"]}]


def unknown_metric(document: dict[str, Any]) -> None:
    document["metrics"]["average_precission"] = 0.5


def unknown_interval(document: dict[str, Any]) -> None:
    document["intervals"]["best"]["ap"] = [0.1, 0.2]


def more_than_all(document: dict[str, Any]) -> None:
    document["detectors"]["best"]["roc_auc"] = 1.5


def no_zone(document: dict[str, Any]) -> None:
    document["folds"][0]["test"]["start"] = "2024-05-01T12:00:00"


def another_version(document: dict[str, Any]) -> None:
    document["schema_version"] = 1


def further_name(document: dict[str, Any]) -> None:
    document["about"]["host"] = "here"


def no_fold(document: dict[str, Any]) -> None:
    del document["folds"]


@pytest.mark.parametrize(
    "spoil",
    [
        unknown_metric,
        unknown_interval,
        more_than_all,
        no_zone,
        another_version,
        further_name,
        no_fold,
    ],
)
def test_the_schema_is_strict(
    spoil: Callable[[dict[str, Any]], None], document: dict[str, Any]
) -> None:
    spoilt = copy.deepcopy(document)
    spoil(spoilt)
    with pytest.raises(ValidationError):
        VALID.validate(spoilt)


def test_the_command_prints_it() -> None:
    result = CliRunner().invoke(main, ["schema", "metrics"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output) == SCHEMA
    assert CliRunner().invoke(main, ["schema", "scores"]).exit_code == 2


def documented() -> set[str]:
    """The names in the first cell of each table row of the section on metrics.json."""
    section = DOCS.split("## metrics.json", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)
    names = set(chain.from_iterable(re.findall(r"`([^`]+)`", row) for row in rows))
    for letter, values in (("K", (1, 5, 10, 20, 50)), ("WHERE", ("budget", "threshold"))):
        names = {
            name.replace(letter, str(value)) if letter in name else name
            for name in names
            for value in values
        }
    return names


def in_schema() -> set[str]:
    """Every name that is fixed."""
    groups = [SCHEMA["$defs"][part]["properties"] for part in ("metrics", "group", "period")]
    parts = SCHEMA["properties"]
    nested = [parts[name]["properties"] for name in ("windows", "about")]
    lists = [parts[name]["items"]["properties"] for name in ("folds", "findings")]
    by_name = [parts["by_fold"]["additionalProperties"]["items"]["properties"]]
    by_name += [parts["by_group"]["additionalProperties"]["properties"]]
    by_name += [parts["lead"]["additionalProperties"]["additionalProperties"]["properties"]]
    return set(chain(parts, *groups, *nested, *lists, *by_name))


def test_the_docs_name_what_the_schema_names() -> None:
    assert documented() == in_schema()


def test_documents_hold_documented_names_alone(document: dict[str, Any]) -> None:
    assert set(document) == set(SCHEMA["properties"])
    measured = set(document["metrics"])
    assert measured <= documented()
    assert len(measured) > 60


def test_the_example_in_the_docs_is_of_this_version() -> None:
    example = json.loads(re.findall(r"```json\n(.*?)```", DOCS, re.DOTALL)[0])
    assert example["schema_version"] == SCHEMA["properties"]["schema_version"]["const"]
    assert set(example) == set(SCHEMA["properties"])


def test_the_first_version_is_still_read(tmp_path: Path) -> None:
    """By all of ours that read metrics.json."""
    from riskml.runs.entrants import _fit_seconds

    old = json.loads(FIRST_VERSION.read_text())
    assert old["schema_version"] == 1
    (tmp_path / "metrics.json").write_text(FIRST_VERSION.read_text())
    assert _fit_seconds(tmp_path) == old["metrics"]["fit_seconds"]
