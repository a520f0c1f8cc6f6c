"""A loaded bundle as the service asks it: several requests at once, none of which teaches it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from riskml.core.errors import DataError
from riskml.core.types import EVERYONE, PEER, FeatureSpec, FloatArray, Windows
from riskml.export.bundle import Bundle, load_bundle
from riskml.export.seal import SEAL
from riskml.features.hashing import hashed
from riskml.scoring.alerting import FixedThreshold
from riskml.serving.http.drafts import Draft, plain, together
from riskml.serving.http.problems import Problem, wrong_field
from riskml.serving.reasons import reasons

Asked = Literal["alerts", "all", "none"]
MOST_EXPLAINED = 100
"""Windows of a request that get sentences, the riskiest first; writing them takes longest."""

WARM_UP = (1, 2, 500)
"""Sizes of batches that a graph has seen before it is asked: its first runs compile it."""


@dataclass(frozen=True)
class Answer:
    """What a request comes to.

    Args:
        version: of the model.
        body: JSON.
        windows, alerts: how many are in it.
    """

    version: str
    body: bytes
    windows: int
    alerts: int


@dataclass(frozen=True)
class Model:
    """A bundle and what is worked out of it once.

    Args:
        bundle: loaded; never changes.
        version: tells it from others.
        folder: where it was read, links followed.
        loaded: when.
    """

    bundle: Bundle
    version: str
    folder: Path
    loaded: datetime

    @classmethod
    def load(cls, path: Path, runtime: str | None = None) -> Model:
        """Verify, load and warm up what lies at a path at this moment.

        Raises:
            BundleError: it is no whole bundle.
        """
        folder = path.resolve()
        bundle = load_bundle(folder, runtime)
        model = cls(bundle, version_of(bundle.manifest), folder, datetime.now(UTC))
        for n in WARM_UP:
            model._try(n)
        return model

    @cached_property
    def spec(self) -> FeatureSpec:
        """Of the windows; the extractor makes it anew each time it is asked."""
        return self.bundle.extractor.spec

    @cached_property
    def reads(self) -> list[str]:
        """Columns of events."""
        return self.bundle.extractor.reads()

    def score_drafts(self, drafts: Sequence[Draft], asked: Sequence[Asked]) -> list[Answer]:
        """Score the windows of several requests.

        Together where a window's score and alert do not depend on others; else one by one.

        Raises:
            Problem: of the first window whose score is no number.
        """
        one_by_one = self.bundle.graph.remembers or not self._fixed
        if one_by_one and len(drafts) > 1:
            pairs = zip(drafts, asked, strict=True)
            return [self.score_drafts([draft], [how])[0] for draft, how in pairs]
        windows = self._with_peers(together(drafts, self.spec, self.bundle.extractor.max_tokens))
        rows, alert, risk = self._scored(windows)
        answers, begin = [], 0
        for draft, how in zip(drafts, asked, strict=True):
            end = begin + len(draft)
            part = np.arange(begin, end)
            self._explain(windows, rows, part, alert, risk, how)
            answers.append(self._answer(rows[begin:end], int(alert[part].sum())))
            begin = end
        return answers

    def score_events(self, events: pl.DataFrame, repeated: int, asked: Asked) -> Answer:
        """Windows of events that come after those which the bundle knows; open ones as they stand.

        Raises:
            Problem: a column is missing or holds something else, or a time zone is not known.
        """
        if events.is_empty():
            return self._answer([], 0, late_events=0, repeated_events=repeated)
        # windows of others that are still open are not asked for
        known = self.bundle.profile.of(events["user_id"].unique())
        try:
            windows, after = self.bundle.extractor.transform(events, known, open_windows=True)
        except DataError as error:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
        rows, alert, risk = self._scored(windows)
        self._explain(windows, rows, np.arange(len(windows)), alert, risk, asked)
        late = after.late - known.late
        return self._answer(rows, int(alert.sum()), late_events=late, repeated_events=repeated)

    # ---- steps

    def _answer(self, rows: list[dict[str, Any]], alerts: int, **more: int) -> Answer:
        content = {"model_version": self.version, "windows": rows, **more}
        return Answer(self.version, orjson.dumps(content), len(rows), alerts)

    def _scored(
        self, windows: Windows
    ) -> tuple[list[dict[str, Any]], npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
        if not len(windows):
            return [], np.zeros(0, np.bool_), np.zeros(0)
        scores = self._finite_scores(windows)
        peers, bundle = windows.keys[PEER], self.bundle
        risk = bundle.calibration.risk(scores, peers)
        alert, _ = bundle.alerts(scores, windows.keys)
        columns: dict[str, list[Any]] = {
            "score": scores.tolist(),
            "p_value": bundle.calibration.p_value(scores, peers).tolist(),
            "risk": risk.tolist(),
            "alert": alert.tolist(),
            "learning": bundle.explainer.is_learning(windows.keys["user_id"]).tolist(),
            "reasons": [None] * len(windows),
        }
        return plain(windows.keys, columns), alert, risk

    def _finite_scores(self, windows: Windows) -> FloatArray:
        scores = self.bundle.score_windows(windows)
        if not np.isfinite(scores).all():
            row = int(np.flatnonzero(~np.isfinite(scores))[0])
            message = "has no finite score: its features are far outside of what can be"
            raise wrong_field(row, "features", message)
        return scores

    def _explain(
        self,
        windows: Windows,
        rows: list[dict[str, Any]],
        part: npt.NDArray[np.int64],
        alert: npt.NDArray[np.bool_],
        risk: npt.NDArray[np.float64],
        asked: Asked,
    ) -> None:
        """Put reasons into some of the rows."""
        if asked == "none":
            return
        wanted = part if asked == "all" else part[alert[part]]
        if len(wanted) > MOST_EXPLAINED:
            wanted = wanted[np.argsort(-risk[wanted], kind="stable")[:MOST_EXPLAINED]]
        for row, found in zip(wanted, reasons(self.bundle, windows, wanted), strict=True):
            rows[row]["reasons"] = [
                {"topic": reason.topic, "share": float(reason.share), "text": reason.text}
                for reason in found
            ]

    @cached_property
    def _fixed(self) -> bool:
        return isinstance(self.bundle.alerting, FixedThreshold)

    @cached_property
    def _groups(self) -> dict[int, str]:
        """Peer group by hash of the user, as learnt."""
        peers = self.bundle.extractor.peers
        if not len(peers.users):
            return {}
        names = pl.DataFrame({PEER: peers.group_of}).select(peers.name()).to_series()
        return dict(zip(peers.users.tolist(), names.to_list(), strict=True))

    def _with_peers(self, windows: Windows) -> Windows:
        """Peers that were not given are those learnt."""
        keys = windows.keys
        if not keys[PEER].null_count():
            return windows
        if not self._groups:
            return replace(windows, keys=keys.with_columns(pl.col(PEER).fill_null(EVERYONE)))
        users = keys.select(hashed("user_id")).to_series().to_list()
        learnt = [self._groups.get(user, EVERYONE) for user in users]
        given = keys[PEER].to_list()
        peers = [peer or other for peer, other in zip(given, learnt, strict=True)]
        return replace(windows, keys=keys.with_columns(pl.Series(PEER, peers)))

    def _try(self, n: int) -> None:
        """Score and explain blank windows."""
        blank = self.example_values()
        now = datetime.now(UTC)
        draft = Draft(
            np.tile(np.array(blank, np.float32), (n, 1)),
            [""] * n,
            [""] * n,
            [None] * n,
            [now] * n,
            [now] * n,
            [None] * n,
            [None] * n,
        )
        try:
            for _ in range(3):
                self.score_drafts([draft], ["all" if n == 1 else "none"])
        except Problem as problem:
            logging.getLogger(__name__).warning("the warm-up has no score: %s", problem.detail)

    def example_values(self) -> list[float]:
        """Feature values of a usual window."""
        explainer = self.bundle.explainer
        middle = (explainer.low[0] + explainer.high[0]) / 2
        return [round(float(value), 4) for value in middle]


def version_of(manifest: dict[str, Any]) -> str:
    """The model version: the begin of the manifest's seal, which no two different bundles share."""
    return str(manifest.get(SEAL) or sha256(repr(manifest).encode()).hexdigest())[:16]
