"""A service takes up new bundles and refuses broken ones, and the old one goes on meanwhile."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from http_client import BUNDLE, TOKEN, serving

from riskml.export.bundle import change_threshold
from riskml.serving.http.access import Tokens
from riskml.serving.http.batching import Limits
from riskml.serving.http.drafts import draft_of
from riskml.serving.http.model import Model
from riskml.serving.http.openapi import window_examples


def copied(folder: Path, threshold: float) -> Path:
    shutil.copytree(BUNDLE, folder)
    change_threshold(folder, threshold)
    return folder


def test_reload_on_demand(tmp_path: Path) -> None:
    link = tmp_path / "current"
    link.symlink_to(copied(tmp_path / "a", 1e6))
    with serving(link) as client:
        example = client.example("/v1/windows")
        first = client.post("/v1/windows", example).json()
        assert not any(row["alert"] for row in first["windows"])
        same = client.post("/v1/reload").json()
        assert (same["changed"], same["model_version"]) == (False, first["model_version"])

        link.unlink()
        link.symlink_to(copied(tmp_path / "b", -1e6))
        changed = client.post("/v1/reload").json()
        assert (changed["changed"], changed["previous"]) == (True, first["model_version"])
        second = client.post("/v1/windows", example).json()
        assert all(row["alert"] for row in second["windows"])
        assert second["model_version"] == changed["model_version"] != first["model_version"]

        (tmp_path / "b" / "threshold.json").write_text('{"score": 3.0}')
        refused = client.post("/v1/reload")
        assert refused.status_code == 409
        assert "threshold.json was changed after export" in refused.json()["detail"]
        assert (
            client.post("/v1/windows", example).json()["model_version"] == changed["model_version"]
        )
        shutil.rmtree(tmp_path / "b")
        assert client.post("/v1/reload").status_code == 409
        assert client.get("/ready").status_code == 200
        for result, times in (("loaded", 1), ("unchanged", 1), ("refused", 2)):
            assert client.metric(f'riskml_reloads_total{{result="{result}"}}') == times


def test_bundle_and_tokens_are_watched(tmp_path: Path) -> None:
    folder, file = copied(tmp_path / "bundle", 1.0), tmp_path / "tokens"
    file.write_text("x" * 32)
    with serving(folder, watch_s=0.05, tokens=Tokens.of(file)) as client:
        assert client.get("/v1/model").status_code == 401
        file.write_text(TOKEN)
        until = time.monotonic() + 30
        while client.get("/v1/model").status_code == 401 and time.monotonic() < until:
            time.sleep(0.05)
        before = client.get("/v1/model").json()["model_version"]
        change_threshold(folder, 2.0)  # file by file: looked at half-way, it is refused
        while client.get("/v1/model").json()["model_version"] == before:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert client.get("/v1/model").json()["threshold"] == 2.0


def test_a_batch_gives_each_request_what_it_gets_alone() -> None:
    """Days apart, with a threshold that follows the scores."""
    model = Model.load(BUNDLE)
    assert model.bundle.alerting.kind == "rolling_budget"
    usual, busy = window_examples(model)
    days = [f"2024-0{month}-{day:02d}T10:00:00Z" for month in (2, 3, 5) for day in (1, 2, 9)]
    bodies = [
        [usual | {"end": days[0]}, busy | {"end": days[8]}, busy | {"end": days[1]}],
        *([busy | {"end": day}, usual | {"end": day}] for day in days),
        [usual | {"end": days[3]}],
    ]
    drafts = [draft_of(json.dumps(body).encode(), model.spec, 10) for body in bodies]
    found = model.score_drafts(drafts, ["alerts"] * len(drafts))
    for draft, answer in zip(drafts, found, strict=True):
        (alone,) = model.score_drafts([draft], ["alerts"])
        one, other = json.loads(answer.body)["windows"], json.loads(alone.body)["windows"]
        assert [row["alert"] for row in one] == [row["alert"] for row in other]
        assert answer.alerts == alone.alerts
        np.testing.assert_allclose(
            [row["score"] for row in one], [row["score"] for row in other], rtol=2e-6
        )


@pytest.mark.parametrize("wait", [0.0, 0.002])
def test_waiting_for_a_batch_changes_no_answer(wait: float) -> None:
    with serving(limits=Limits(batch_wait_s=wait, batch_windows=3)) as client:
        example = client.example("/v1/windows")
        found = [client.post("/v1/windows?reasons=none", example).json() for _ in range(3)]
        scores = [[row["score"] for row in answer["windows"]] for answer in found]
        assert scores[0] == scores[1] == scores[2]


def test_a_service_that_stops_answers_what_waits() -> None:
    with serving() as client:
        client.service.stopping = True
        ready = client.get("/ready")
        assert (ready.status_code, ready.json()) == (503, {"status": "stopping"})
        answer = client.post("/v1/windows", client.example("/v1/windows"))
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
