"""A loaded bundle as the service asks it: several requests at once, none of which teaches it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
import polars as pl

from riskml.core.errors import DataError
from riskml.core.types import (
    PEER,
    FeatureSpec,
    FloatArray,
    Int64Array,
    Windows,
)
from riskml.export.bundle import Bundle, load_bundle
from riskml.features.profile import USER
from riskml.scoring.alerting import FixedThreshold
from riskml.scoring.calibration import risk_of
from riskml.scoring.rolling_budget import RollingBudget
from riskml.scoring.spot import SpotTail
from riskml.serving.http.answers import Answer, Scored, Seen
from riskml.serving.http.drafts import Draft, plain
from riskml.serving.http.merging import together
from riskml.serving.http.problems import Problem, wrong_field
from riskml.serving.reasons import reasons
from riskml.serving.standing import version_of

Asked = Literal["alerts", "all", "none"]
MOST_EXPLAINED = 100
"""Windows of a request that get sentences, the riskiest first; writing them takes longest."""

WARM_UP = (1, 2, 500)
"""Sizes of batches that a graph has seen before it is asked: its first runs compile it."""


AS_JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z

DAY = 86_400_000_000
"""In microseconds."""

BY_DAY = (FixedThreshold, RollingBudget, SpotTail)
"""Rules that decide about a window without a look at others of its day."""


_NO_ALERT = np.zeros(0, np.bool_)


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

    @property
    def spec(self) -> FeatureSpec:
        """Of the windows."""
        return self.bundle.extractor.spec

    @cached_property
    def reads(self) -> list[str]:
        """Columns of events."""
        return self.bundle.extractor.reads()

    def score_drafts(self, drafts: Sequence[Draft], asked: Sequence[Asked]) -> list[Answer]:
        """Score the windows of several requests, together where none depends on another's.

        Raises:
            Problem: of the first window whose score is no number.
        """
        if self.bundle.graph.remembers and len(drafts) > 1:
            pairs = zip(drafts, asked, strict=True)
            return [self.score_drafts([draft], [how])[0] for draft, how in pairs]
        windows = together(drafts, self.spec, self.bundle.extractor.max_tokens, self._groups)
        ends = np.cumsum([0, *map(len, drafts)])
        parts = [np.arange(a, b) for a, b in pairwise(ends.tolist())]
        found = self._scored(windows, parts)
        answers = []
        for part, how in zip(parts, asked, strict=True):
            self._explain(windows, found, part, how)
            mine = found.rows[part[0] : part[-1] + 1] if len(part) else []
            answers.append(self._answer(mine, int(found.alert[part].sum()), found.seen(part)))
        return answers

    def score_events(self, events: pl.DataFrame, repeated: int, asked: Asked) -> Answer:
        """Windows of events that come after those which the bundle knows; open ones as they stand.

        Raises:
            Problem: a column is missing or holds something else, or a time zone is not known.
        """
        if events.is_empty():
            seen = Seen(repeated=repeated)
            return self._answer([], 0, seen, late_events=0, repeated_events=repeated)
        # windows of others that are still open are not asked for
        known = self.bundle.profile.of(events["user_id"].unique())
        try:
            windows, after = self.bundle.extractor.transform(events, known, open_windows=True)
        except DataError as error:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)[:500]) from error
        rows = np.arange(len(windows))
        found = self._scored(windows, [rows])
        self._explain(windows, found, rows, asked)
        late = after.late - known.late
        seen = replace(found.seen(rows), events=len(events) - late, late=late, repeated=repeated)
        alerts = int(found.alert.sum())
        return self._answer(found.rows, alerts, seen, late_events=late, repeated_events=repeated)

    # ---- steps

    def _answer(self, rows: list[dict[str, Any]], alerts: int, seen: Seen, **more: int) -> Answer:
        content = {"model_version": self.version, "windows": rows, **more}
        body = orjson.dumps(content, option=AS_JSON)
        return Answer(self.version, body, len(rows), alerts, seen)

    def _scored(self, windows: Windows, requests: Sequence[Int64Array]) -> Scored:
        if not len(windows):
            return Scored([], windows.tokens, np.zeros(0, np.float32), np.zeros(0), _NO_ALERT)
        scores = self._finite_scores(windows)
        peers, bundle = windows.keys[PEER], self.bundle
        p_values = bundle.calibration.p_value(scores, peers)
        alert = np.zeros(len(windows), np.bool_)
        for part in self._decided_together(windows.keys, requests):
            # taking rows out of a frame costs more than all the rest: mostly there is no need
            keys = windows.keys if len(part) == len(windows) else windows.keys[part]
            alert[part] = bundle.alerts(scores[part], keys)[0]
        columns: dict[str, list[Any]] = {
            "score": scores.tolist(),
            "p_value": p_values.tolist(),
            "risk": risk_of(p_values).tolist(),
            "alert": alert.tolist(),
            "learning": bundle.explainer.is_learning(windows.keys["user_id"]).tolist(),
            "reasons": [None] * len(windows),
        }
        return Scored(plain(windows.keys, columns), windows.tokens, scores, p_values, alert)

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
        scored: Scored,
        part: Int64Array,
        asked: Asked,
    ) -> None:
        """Put reasons into some of the rows."""
        if asked == "none":
            return
        wanted = part if asked == "all" else part[scored.alert[part]]
        if len(wanted) > MOST_EXPLAINED:
            riskiest = np.argsort(-risk_of(scored.p_values[wanted]), kind="stable")
            wanted = wanted[riskiest[:MOST_EXPLAINED]]
        for row, found in zip(wanted, reasons(self.bundle, windows, wanted), strict=True):
            scored.rows[row]["reasons"] = [
                {"topic": reason.topic, "share": float(reason.share), "text": reason.text}
                for reason in found
            ]

    def _decided_together(
        self, keys: pl.DataFrame, requests: Sequence[Int64Array]
    ) -> list[Int64Array]:
        """Rows about whose alerts one call may decide, as if each request were alone.

        A rule that follows the scores tells days apart by what came on those before, so requests
        of one and the same day go together; unless it weighs the windows of a day against others.
        """
        if len(requests) == 1 or not isinstance(self.bundle.alerting, BY_DAY):
            return list(requests)
        days = keys["end"].cast(pl.Int64).to_numpy() // DAY
        of_day: dict[int, list[Int64Array]] = {}
        apart = []
        for part in requests:
            found = set(days[part].tolist())
            if len(found) == 1:
                of_day.setdefault(found.pop(), []).append(part)
            else:
                apart.append(part)
        return [*(np.sort(np.concatenate(parts)) for parts in of_day.values()), *apart]

    @cached_property
    def _groups(self) -> dict[str, str]:
        """Peer group by user, as learnt."""
        peers = self.bundle.extractor.peers
        if not len(peers.users):
            return {}
        names = peers.named(pl.Series(peers.group_of))
        groups = pl.DataFrame({USER: peers.users, PEER: names})
        users = self.bundle.profile.names.join(groups, on=USER)
        return dict(users.select("user_id", PEER).iter_rows())

    def _try(self, n: int) -> None:
        """Score and explain blank windows."""
        blank = self.example_values()
        now = np.full(n, int(datetime.now(UTC).timestamp()) * 1_000_000)
        draft = Draft(
            np.tile(np.array(blank, np.float32), (n, 1)),
            [""] * n,
            [""] * n,
            [None] * n,
            now,
            now,
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
