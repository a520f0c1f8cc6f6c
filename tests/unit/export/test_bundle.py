"""Bundles: whole and unchanged, or refused; from raw events to the scores of the evaluation."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from riskml.baselines.simple import RandomDetector
from riskml.core.errors import BundleError, DataError
from riskml.export.bundle import (
    FORMAT,
    MANIFEST,
    MODEL_CARD,
    change_threshold,
    export_bundle,
    load_bundle,
)
from riskml.export.torchscript import GRAPH_FILE
from riskml.features.extractor import FeatureExtractor
from riskml.features.profile import Profile
from riskml.scoring.alerting import FixedThreshold
from riskml.scoring.thresholds import DailyBudget

FILES = (
    "calibration.json",
    "features.json",
    "features.safetensors",
    "model.ts",
    "profile.json",
    "profile.names.parquet",
    "profile.users.parquet",
    "threshold.json",
    "users.json",
    "usual.parquet",
    "usual.safetensors",
)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def rehash(folder: Path, name: str) -> None:
    edit_manifest(folder, lambda m: m["files"].update({name: sha256(folder / name)}))


# ---- what is written


def test_files(exported: Any) -> None:
    assert {path.name for path in exported.folder.iterdir()} == {*FILES, MANIFEST}


def test_every_file_is_hashed(exported: Any) -> None:
    manifest = json.loads((exported.folder / MANIFEST).read_text())
    assert manifest["files"] == {name: sha256(exported.folder / name) for name in FILES}


def test_manifest_says_what_the_bundle_is(exported: Any) -> None:
    manifest = load_bundle(exported.folder).manifest
    assert manifest["format"] == FORMAT
    assert manifest["detector"] == "vae"
    assert manifest["torch"] == torch.__version__
    assert manifest["inputs"][0].startswith("x float32")
    assert manifest["output"] == "score float32 [n]"


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


def test_failing_export_leaves_the_older_bundle_alone(exported: Any, bundle_folder: Path) -> None:
    before = sha256(bundle_folder / MANIFEST)
    with pytest.raises(BundleError, match="no TorchScript graph"):
        export_bundle(
            bundle_folder,
            RandomDetector().fit(exported.test),
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
    rehash(bundle_folder, "threshold.json")
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


# ---- what is refused


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0, -1])
def test_a_changed_byte_is_refused(name: str, place: int, bundle_folder: Path) -> None:
    content = bytearray((bundle_folder / name).read_bytes())
    content[place] ^= 1
    (bundle_folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name} was changed after export"):
        load_bundle(bundle_folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(name: str, bundle_folder: Path) -> None:
    (bundle_folder / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        load_bundle(bundle_folder)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_the_manifest_does_not_vouch_for_is_refused(
    name: str, bundle_folder: Path
) -> None:
    edit_manifest(bundle_folder, lambda m: m["files"].pop(name))
    with pytest.raises(BundleError, match=name):
        load_bundle(bundle_folder)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_readable_is_refused(name: str, bundle_folder: Path) -> None:
    """Even where the manifest vouches for it."""
    (bundle_folder / name).write_bytes(b"nonsense")
    rehash(bundle_folder, name)
    with pytest.raises(BundleError):
        load_bundle(bundle_folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"files": 3}'])
def test_an_unreadable_manifest_is_refused(content: str, bundle_folder: Path) -> None:
    (bundle_folder / MANIFEST).write_text(content)
    with pytest.raises(BundleError, match=r"manifest\.json is missing, damaged"):
        load_bundle(bundle_folder)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json is missing"):
        load_bundle(tmp_path)


@pytest.mark.parametrize("number", [0, FORMAT + 1, str(FORMAT), None])
def test_another_format_is_refused(number: object, bundle_folder: Path) -> None:
    edit_manifest(bundle_folder, lambda m: m.update(format=number))
    with pytest.raises(BundleError, match=f"bundle format {number}; this riskml reads {FORMAT}"):
        load_bundle(bundle_folder)


@pytest.mark.parametrize("form", ["../outside.json", "sub/../../outside.json", "absolute", ".."])
def test_paths_out_of_the_folder_are_refused(form: str, bundle_folder: Path) -> None:
    outside = bundle_folder.parent / "outside.json"
    outside.write_text("{}")
    (bundle_folder / "sub").mkdir()
    name = str(outside) if form == "absolute" else form
    edit_manifest(bundle_folder, lambda m: m["files"].update({name: sha256(outside)}))
    with pytest.raises(BundleError, match="not a plain file"):
        load_bundle(bundle_folder)


@pytest.mark.parametrize("name", FILES)
def test_symbolic_links_are_refused(name: str, bundle_folder: Path) -> None:
    elsewhere = bundle_folder.parent / name
    shutil.move(bundle_folder / name, elsewhere)
    (bundle_folder / name).symlink_to(elsewhere)
    with pytest.raises(BundleError, match=f"{name} is missing or not a plain file"):
        load_bundle(bundle_folder)


def test_a_bundle_of_another_windowing_is_refused(bundle_folder: Path) -> None:
    state = json.loads((bundle_folder / "features.json").read_text())
    state["window"]["kind"] = "hour"
    (bundle_folder / "features.json").write_text(json.dumps(state))
    rehash(bundle_folder, "features.json")
    with pytest.raises(BundleError, match=r"features\.json"):
        load_bundle(bundle_folder)


def test_extractor_comes_back_as_it_was(exported: Any) -> None:
    loaded = FeatureExtractor.load(exported.folder).windows(exported.events)
    np.testing.assert_array_equal(loaded.x, exported.test.x)
    np.testing.assert_array_equal(loaded.tokens, exported.test.tokens)
    assert loaded.spec == exported.test.spec
