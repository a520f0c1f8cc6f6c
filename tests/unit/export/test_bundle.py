"""Bundles: what is in them, and from raw events to the scores of the evaluation."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import polars as pl
import pytest
import torch
from forging import FILES, forge
from polars.testing import assert_frame_equal

import riskml
from riskml.baselines.simple import RandomDetector
from riskml.core.errors import BundleError, DataError
from riskml.core.schema import EVENT_SCHEMA
from riskml.export.bundle import MODEL_CARD, change_threshold, export_bundle, load_bundle
from riskml.export.manifest import FORMAT, MANIFEST
from riskml.export.torchscript import GRAPH_FILE
from riskml.features.extractor import FeatureExtractor
from riskml.features.profile import Profile
from riskml.scoring.alerting import FixedThreshold
from riskml.scoring.thresholds import DailyBudget


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---- what is written


def test_files(exported: Any) -> None:
    assert {path.name for path in exported.folder.iterdir()} == {*FILES, MANIFEST}


def test_every_file_is_hashed(exported: Any) -> None:
    manifest = json.loads((exported.folder / MANIFEST).read_text())
    assert manifest["files"] == {
        name: {
            "sha256": sha256(exported.folder / name),
            "size": (exported.folder / name).stat().st_size,
        }
        for name in FILES
    }


def test_manifest_says_what_the_bundle_is(exported: Any) -> None:
    manifest = load_bundle(exported.folder).manifest
    assert manifest["format"] == FORMAT
    assert manifest["detector"] == "vae"
    assert manifest["versions"]["torch"] == torch.__version__
    assert manifest["graph"] == {
        "format": "torchscript",
        "runtimes": ["torchscript"],
        "topics": exported.detector.topics(),
    }


def test_schemas_hold_what_goes_in_and_comes_out(exported: Any) -> None:
    def check(name: str, frame: pl.DataFrame) -> None:
        schema = json.loads((exported.folder / name).read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        rows = json.loads(frame.write_json())
        for row in rows:
            for column in ("timestamp", "start", "end"):
                if column in row:
                    row[column] = row[column].replace(" ", "T") + "Z"
        jsonschema.validate(rows, schema, format_checker=jsonschema.FormatChecker())
        for column in schema["items"]["required"]:
            with pytest.raises(jsonschema.ValidationError, match=column):
                jsonschema.validate([{k: v for k, v in rows[0].items() if k != column}], schema)

    events = exported.events.with_columns(pl.lit(None).cast(pl.String).alias("resource"))
    assert set(events.columns) == set(EVENT_SCHEMA)
    check("input.schema.json", events)
    check("output.schema.json", load_bundle(exported.folder).score(events))


def test_graph_holds_no_folder_of_the_machine_that_made_it(exported: Any) -> None:
    with zipfile.ZipFile(exported.folder / GRAPH_FILE) as graph:
        content = b"".join(map(graph.read, graph.namelist()))
        assert not [name for name in graph.namelist() if "debug" in name]
    assert str(Path(riskml.__file__).parent).encode() not in content


def test_model_card_goes_along_and_is_hashed(exported: Any, tmp_path: Path) -> None:
    folder = exported.export(tmp_path / "bundle", card="# Model card: ä\n")
    assert (folder / MODEL_CARD).read_text("utf-8") == "# Model card: ä\n"
    (folder / MODEL_CARD).write_text("# Another\n")
    with pytest.raises(BundleError, match=r"model_card\.md was changed"):
        load_bundle(folder)


def test_export_replaces_an_older_bundle(exported: Any, bundle_folder: Path) -> None:
    (bundle_folder / "left_over.txt").write_text("from before")
    assert exported.export(bundle_folder, note="new") == bundle_folder
    assert load_bundle(bundle_folder).manifest["note"] == "new"
    assert {path.name for path in bundle_folder.iterdir()} == {*FILES, MANIFEST}
    assert [path.name for path in bundle_folder.parent.iterdir()] == ["bundle"], "no draft stays"


def test_export_after_an_export_that_broke_off(exported: Any, tmp_path: Path) -> None:
    draft = tmp_path / "bundle.draft"
    draft.mkdir()
    (draft / "half.json").write_text("{")
    load_bundle(exported.export(tmp_path / "bundle"))
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


class HomemadeDetector(RandomDetector):
    """Stands on no list."""


def test_failing_export_leaves_the_older_bundle_alone(exported: Any, bundle_folder: Path) -> None:
    before = sha256(bundle_folder / MANIFEST)
    with pytest.raises(BundleError, match=r"HomemadeDetector cannot be exported: .*targets\.py"):
        export_bundle(
            bundle_folder,
            HomemadeDetector().fit(exported.test),
            exported.extractor,
            exported.evaluation.calibration,
            0.5,
            exported.explainer,
            Profile(),
            {},
        )
    assert sha256(bundle_folder / MANIFEST) == before
    load_bundle(bundle_folder)


# ---- what is scored


def test_scores_from_raw_events_are_those_of_the_evaluation(exported: Any) -> None:
    columns = [
        "window_id",
        "user_id",
        "start",
        "end",
        "n_events",
        "peer",
        "score",
        "p_value",
        "risk",
    ]
    table = load_bundle(exported.folder).score(exported.events)
    assert_frame_equal(
        table.select(*columns, "alert"),
        exported.evaluation.scores.select(*columns, "alert"),
        check_exact=False,
        rel_tol=1e-5,
        abs_tol=1e-5,
    )
    assert 0 < table["alert"].sum() < len(table)


def test_order_of_events_does_not_matter(exported: Any) -> None:
    bundle = load_bundle(exported.folder)
    shuffled = exported.events.sample(fraction=1.0, shuffle=True, seed=1)
    assert_frame_equal(bundle.score(shuffled), bundle.score(exported.events), rel_tol=1e-5)


def test_one_user_alone_scores_as_among_others(exported: Any) -> None:
    bundle = load_bundle(exported.folder)
    mine = bundle.score(exported.events.filter(pl.col("user_id") == "user_1"))
    among = bundle.score(exported.events).filter(pl.col("user_id") == "user_1")
    assert_frame_equal(mine, among, rel_tol=1e-5, abs_tol=1e-5)


def test_new_users_and_new_actions_are_scored(exported: Any) -> None:
    events = exported.events.with_columns(
        pl.lit("somebody new").alias("user_id"), pl.lit("never seen").alias("action")
    )
    assert np.isfinite(load_bundle(exported.folder).score(events)["score"].to_numpy()).all()


def test_no_windows_no_scores(exported: Any) -> None:
    nothing = exported.test.take(np.zeros(0, np.int64))
    assert load_bundle(exported.folder).score_windows(nothing).shape == (0,)


def test_no_events_are_refused(exported: Any) -> None:
    with pytest.raises(DataError, match="no events"):
        load_bundle(exported.folder).score(exported.events.clear())


def test_threshold_changes_without_a_new_export(bundle_folder: Path, exported: Any) -> None:
    graph = sha256(bundle_folder / GRAPH_FILE)
    (bundle_folder / "threshold.json").write_text('{"score": -1e30}')
    forge(bundle_folder)
    assert load_bundle(bundle_folder).score(exported.events)["alert"].all()
    assert sha256(bundle_folder / GRAPH_FILE) == graph


def test_a_rule_that_follows_the_scores_goes_on_where_it_was(exported: Any, tmp_path: Path) -> None:
    keys = exported.test.keys
    rule = DailyBudget(1, max_share=1, adapt=True, adapt_days=7)
    scores = exported.evaluation.scores["score"].to_numpy()
    half = len(keys) // 2
    alerting = rule.start(scores[:half], keys[:half])
    folder = export_bundle(
        tmp_path / "bundle",
        exported.detector,
        exported.extractor,
        exported.evaluation.calibration,
        alerting.threshold,
        exported.explainer,
        Profile(),
        {},
        alerting,
    )
    bundle = load_bundle(folder)
    assert bundle.alerting == alerting
    expected, after = alerting.decide(scores[half:], keys[half:])
    alerts, carried = bundle.alerts(scores[half:], keys[half:])
    assert alerts.tolist() == expected.tolist()
    assert carried == after
    change_threshold(folder, 3.25)
    assert load_bundle(folder).alerting == FixedThreshold(3.25)


def test_windows_of_new_users_are_marked(exported: Any) -> None:
    stranger = exported.events.with_columns(
        pl.when(pl.col("user_id") == "user_0")
        .then(pl.lit("new"))
        .otherwise("user_id")
        .alias("user_id")
    )
    table = load_bundle(exported.folder).score(stranger)
    assert table.filter(pl.col("learning"))["user_id"].unique().to_list() == ["new"]


def test_extractor_comes_back_as_it_was(exported: Any) -> None:
    loaded = FeatureExtractor.load(exported.folder).windows(exported.events)
    np.testing.assert_array_equal(loaded.x, exported.test.x)
    np.testing.assert_array_equal(loaded.tokens, exported.test.tokens)
    assert loaded.spec == exported.test.spec
