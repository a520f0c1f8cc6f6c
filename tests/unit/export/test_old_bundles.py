"""Bundles that earlier versions wrote load, and score the same events as they did then.

Each folder of `tests/data/bundles/` was made when its format was the present one: `bundle/` by
`export_bundle`, then `scored.parquet` by scoring `events.parquet` with it. They never change.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from riskml.core.errors import BundleError
from riskml.export.bundle import change_threshold, load_bundle
from riskml.export.graphs import NATIVE, TORCHSCRIPT
from riskml.export.manifest import FORMAT, MANIFEST, READABLE
from riskml.export.seal import KEY_VARIABLE
from riskml.scoring.alerting import FixedThreshold

OLD = Path(__file__).parents[2] / "data" / "bundles"
MADE = sorted(path.name for path in OLD.iterdir())


def test_there_is_one_of_every_format_that_is_read() -> None:
    formats = {
        json.loads((OLD / made / "bundle" / MANIFEST).read_text())["format"] for made in MADE
    }
    assert formats == set(READABLE)


@pytest.mark.parametrize("made", MADE)
def test_scores_are_those_of_then(made: str) -> None:
    bundle = load_bundle(OLD / made / "bundle")
    scored = bundle.score(pl.read_parquet(OLD / made / "events.parquet"))
    then = pl.read_parquet(OLD / made / "scored.parquet")
    assert_frame_equal(scored, then, check_exact=False, rel_tol=1e-5, abs_tol=1e-5)
    assert 0 < scored["alert"].sum() < len(scored)


def test_there_is_one_of_each_form_of_the_present_format() -> None:
    manifests = [json.loads((OLD / made / "bundle" / MANIFEST).read_text()) for made in MADE]
    forms = {each["graph"]["format"] for each in manifests if each["format"] == FORMAT}
    assert forms == {TORCHSCRIPT, NATIVE}


def test_format_2_has_no_seal_and_is_refused_with_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "k" * 32)
    with pytest.raises(BundleError, match="of format 2, which cannot be signed"):
        load_bundle(OLD / "format_2" / "bundle")


def test_format_2_becomes_3_when_it_is_changed(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(OLD / "format_2" / "bundle", tmp_path / "bundle"))
    change_threshold(folder, 1.5)
    bundle = load_bundle(folder)
    assert bundle.alerting == FixedThreshold(1.5)
    assert bundle.manifest["format"] == FORMAT
    assert bundle.manifest["detector"] == "vae"


def test_format_2_may_not_lose_a_hash(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(OLD / "format_2" / "bundle", tmp_path / "bundle"))
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace('"sha256"', '"sha1"').replace('": "8326', '": "x'))
    with pytest.raises(BundleError, match="has no SHA-256"):
        load_bundle(folder)
