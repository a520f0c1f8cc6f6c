"""Whether the scores of a fitted detector are worth measuring; see docs/traps.md.

Some windows are scored again: alone as the first part of the period, under other names, at another
date and in another order; beside fewer others; and, by a detector that remembers, each user's up to
one of them, a risky one where there is any. Nothing of that may change a score.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from riskml.core.errors import DataError
from riskml.core.types import FloatArray, Windows
from riskml.evaluation.checks.findings import OK, REFUSED, Finding
from riskml.evaluation.checks.probes import (
    INSTANT,
    Rows,
    Scale,
    another_date,
    earliest,
    in_another_order,
    moved,
    renamed,
    with_users,
)
from riskml.evaluation.metrics import Labels
from riskml.models.base import Detector

FIRST_PART, COMPANY, AGAIN = 0.4, 0.3, 0.05
"""Shares of the test windows that are scored once more: as the first part of the period, beside
fewer others, and once again by the detector as it is after scoring."""

AGAIN_DIFFERS, NAMES, DATES, ORDER, FUTURE, MATES, UNSTABLE = (
    "not_deterministic",
    "window_ids",
    "dates",
    "row_order",
    "future",
    "batch_mates",
    "unstable",
)
"""Names of the traps."""

WRONG = {
    AGAIN_DIFFERS: "scores change from call to call",
    NAMES: "scores change with the ids of windows, so they are looked up, not judged",
    DATES: "scores change where all windows are moved to another date that lies alike in week, "
    "month and year, so they are looked up, not judged",
    ORDER: "scores change with the order of the rows",
    FUTURE: "scores of windows change with what comes after them",
    MATES: "scores of windows change with the others that are scored beside them",
    UNSTABLE: "scores change where windows come alone, under other ids, dates and in another order",
}
RIGHT = {
    AGAIN_DIFFERS: "scored again, windows have the same scores",
    NAMES: "under other ids, windows have the same scores",
    DATES: "at another date, windows have the same scores",
    ORDER: "in another order, windows have the same scores",
    FUTURE: "where later windows are not there, windows have the same scores",
    MATES: "beside fewer others, windows have the same scores",
}


@dataclass(frozen=True)
class View:
    """Some test windows as a detector is shown them, and what came before.

    Args:
        past: between train period and test.
        part: to be scored.
        rows: where they are among the test windows.
    """

    past: Windows
    part: Windows
    rows: Rows


class Audit:
    """Scores views of the test windows with copies of the detector, before it is judged itself.

    Args:
        name: of the detector.
        detector: fitted; it stays as it is.
        past: windows between train period and test.
        test: windows to be judged.
        labels: of the test windows, where they are known: cheats matter most at risky ones.
    """

    def __init__(
        self,
        name: str,
        detector: Detector,
        past: Windows,
        test: Windows,
        labels: Labels | None = None,
    ) -> None:
        self.name, self.past, self.test = name, past, test
        self.risky = np.zeros(0, np.int64) if labels is None else np.flatnonzero(labels == 1)
        self.remembers = bool(getattr(detector, "remembers", False))
        self.of_everybody = bool(getattr(detector, "learns_from_everybody", False))
        # whose past counts for a window: its user's, or everybody's, who are then like one user
        whose = pl.lit("everybody") if self.of_everybody else pl.col("user_id")
        self.whose = test.keys.with_columns(whose=whose)["whose"]
        self.detector = pristine(detector)
        self.seed = int(test.fingerprint()[:8], 16)
        # what remembers may count the days since
        self.by = INSTANT if self.remembers else another_date(test)
        self.first = self._all_changed(earliest(test, FIRST_PART))
        self.company = self.beside_few(self.some(COMPANY, self.seed, self.risky))
        self.cut = self.beside_few(self._cut_short() if self.remembers else self.first.rows[:0])
        # asked before the whole is seen, so that nothing of it can be kept
        views = (self.first, self.company, self.cut)
        self._of_first, self._of_company, self._of_cut = map(self._scored, views)

    # ---- views

    def some(self, share: float, seed: int, first: Rows | None = None) -> Rows:
        """Rows of a part of the windows, of whole users where their past counts.

        Args:
            share: of all windows.
            seed: of the draw.
            first: rows that may fill up to half of the part before any others are drawn.
        """
        n, rng = len(self.test), np.random.default_rng(seed)
        most = int(np.ceil(n * share)) if n > 1 else 0
        if not self.remembers:
            wanted = rng.permutation(np.zeros(0, np.int64) if first is None else first)
            drawn = np.concatenate([wanted[: (most + 1) // 2], rng.permutation(n)])
            return np.sort(pl.Series(drawn).unique(maintain_order=True).head(most).to_numpy())
        users = self.whose.value_counts(name="len").sort("whose")
        users = users[rng.permutation(len(users))]
        before = users["len"].cum_sum() - users["len"]
        chosen = users["whose"].filter(before < share * n).head(len(users) - 1)
        return np.flatnonzero(self.whose.is_in(chosen.to_list()).to_numpy())

    def _cut_short(self) -> Rows:
        """Rows of users up to one of their windows: a risky one, or any where there is none."""
        n, rng = len(self.test), np.random.default_rng(self.seed + 2)
        risky = np.zeros(n, bool)
        risky[self.risky] = True
        windows = (
            self.test.keys.select("end", "start", self.whose, risky=risky, chance=rng.random(n))
            .with_row_index("row")
            .sort("end", "start", "row")
            .with_columns(turn=pl.int_range(pl.len()).over("whose"))
        )
        last = (
            windows.sort("risky", "chance", descending=True)
            .unique("whose", keep="first", maintain_order=True)
            .with_columns(before=pl.col("turn").cum_sum() - pl.col("turn"))
            .filter(pl.col("before") < FIRST_PART * n)  # users with risky windows come first
            .select("whose", last="turn")
        )
        kept = windows.join(last, on="whose").filter(pl.col("turn") <= pl.col("last"))
        return np.sort(kept["row"].to_numpy().astype(np.int64))

    def beside_few(self, rows: Rows) -> View:
        """These windows; with the past of their users alone, where no other past counts."""
        part, past = self.test.take(rows), self.past
        if self.remembers and not self.of_everybody:
            past = with_users(past, part.keys["user_id"].unique().to_list())
        return View(past, part, rows)

    def with_part(self, rows: Rows, part: Windows) -> FloatArray | str:
        """Scores of other windows in the place of those at `rows`; or how it failed."""
        view = self.beside_few(rows)
        return self._scored(View(view.past, part, rows))

    def _all_changed(self, rows: Rows) -> View:
        rows = in_another_order(self.test, rows, self.remembers, self.seed)
        part = self.test.take(rows)
        return View(moved(renamed(self.past), self.by), moved(renamed(part), self.by), rows)

    def _one_changed(self) -> Iterator[tuple[str, View]]:
        """One change at a time, to tell which of them matters."""
        past, test, rows = self.past, self.test, np.arange(len(self.test))
        shuffled = in_another_order(test, rows, self.remembers, self.seed)
        yield AGAIN_DIFFERS, View(past, test, rows)
        yield NAMES, View(renamed(past), renamed(test), rows)
        yield DATES, View(moved(past, self.by), moved(test, self.by), rows)
        yield ORDER, View(past, test.take(shuffled), shuffled)
        rows = np.sort(self.first.rows)
        yield FUTURE, View(past, test.take(rows), rows)

    # ---- what is found

    def findings(self, detector: Detector, scores: FloatArray) -> list[Finding]:
        """Whether the scores hold.

        Args:
            detector: that gave the scores, as it is now.
            scores: of all test windows.
        """
        scale, wrong = Scale.of(scores), {}
        if how := self._differs(self.first.rows, self._of_first, scores, scale):
            views = ((trap, view, self._scored(view)) for trap, view in self._one_changed())
            found = {trap: self._differs(v.rows, each, scores, scale) for trap, v, each in views}
            wrong = {trap: text for trap, text in found.items() if text} or {UNSTABLE: how}
        if how := self._differs(self.cut.rows, self._of_cut, scores, scale):
            wrong.setdefault(FUTURE, how)
        if how := self._differs(self.company.rows, self._of_company, scores, scale):
            wrong[MATES] = how
        # others beside a window may matter: then no less than all are scored again
        others_matter = self.of_everybody or MATES in wrong
        rows = np.arange(len(scores)) if others_matter else self.some(AGAIN, self.seed + 1)
        later = self._scored(self.beside_few(rows), detector)
        if how := self._differs(rows, later, scores, scale):
            wrong[AGAIN_DIFFERS] = how
        if AGAIN_DIFFERS in wrong:
            wrong = {AGAIN_DIFFERS: wrong[AGAIN_DIFFERS]}  # nobody can tell more
        if wrong:
            return [
                Finding(t, REFUSED, f"{WRONG[t]} ({how})", self.name) for t, how in wrong.items()
            ]
        asked = [t for t in RIGHT if len((self.company if t == MATES else self.first).rows)]
        return [Finding(trap, OK, RIGHT[trap], self.name) for trap in asked]

    def _scored(self, view: View, detector: Detector | None = None) -> FloatArray | str:
        """Scores of a view, by a copy unless a detector is given; or how it failed."""
        if not len(view.rows):
            return np.zeros(0, np.float32)
        try:
            by = pristine(self.detector) if detector is None else detector
            return checked_scores(self.name, by.score_after(view.past, view.part), view.part)
        except Exception as error:  # one that looks something up may fail in any way
            return f"{type(error).__name__}: {' '.join(str(error).split())}"

    @staticmethod
    def _differs(rows: Rows, found: FloatArray | str, scores: FloatArray, scale: Scale) -> str:
        """How scores found differ from those of the whole; empty where they do not."""
        if isinstance(found, str):
            return found
        differing = scale.differing(found, scores[rows])
        if not differing.any():
            return ""
        most = float(np.abs(found.astype(np.float64) - scores[rows])[differing].max())
        return f"{int(differing.sum()):,} of {len(rows):,} windows, by up to {most:.3g}"


def pristine(detector: Detector) -> Detector:
    """A copy that shares nothing with the detector; itself where it cannot be copied."""
    try:
        return copy.deepcopy(detector)
    except Exception:  # whatever it is made of may fail in its own way
        return detector


def checked_scores(name: str, scores: object, windows: Windows) -> FloatArray:
    """The scores as numbers of their own, float32 [n].

    Raises:
        DataError: they are no such numbers, or not all of them are finite.
    """
    try:
        values = np.array(scores, np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} gave scores that are no numbers ({error})") from error
    if values.shape != (len(windows),):
        raise DataError(f"{name} gave scores of shape {values.shape} for {len(windows):,} windows")
    odd = np.flatnonzero(~np.isfinite(values))
    if len(odd):
        raise DataError(
            f"{name} gave a score that is no finite number for {len(odd)} windows, "
            f"first '{windows.keys['window_id'][int(odd[0])]}'"
        )
    return values
