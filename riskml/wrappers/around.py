"""What the detectors share that read another's evidence in the light of the user's past."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl
from safetensors.numpy import load_file, save_file

from riskml.core.errors import reading
from riskml.core.types import FeatureSpec, FloatArray, Windows
from riskml.models.base import Detector, read_state, write_state
from riskml.models.turns import Int64, Turns, with_new_users
from riskml.wrappers.parts import (
    FitPart,
    Float64,
    Part,
    checked,
    described,
    fit_plainly,
    in_two,
    unfitted,
)

MEMORY, HELD, PART = "memory.safetensors", "held.parquet", "part"
HELD_COLUMNS = {"window_id": pl.String, "user": pl.Int64, "day": pl.Float64, "evidence": pl.Float64}
MICROSECONDS_A_DAY = 86_400e6


@dataclass
class Memory:
    """What is known of each user.

    Args:
        users: row of each user.
        values: float64 [users] by name.
        held: windows that wait for something: id, row of the user, day of the end, evidence.
    """

    users: dict[str, int]
    values: dict[str, Float64]
    held: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=HELD_COLUMNS))


@dataclass(frozen=True)
class Turn:
    """The next window of each of some users.

    Args:
        user: int64 [k], rows of the memory.
        evidence: float64 [k], −log10 of the p-value.
        day: float64 [k], days from 1970 to the window's end.
        window_id: names of the windows [k].
    """

    user: Int64
    evidence: Float64
    day: Float64
    window_id: npt.NDArray[np.object_]


class AroundDetector(Detector):
    """Walks over the windows of each user by their ends, with the evidence of another detector.

    The evidence is −log10 of the p-value among the later windows given to `fit` (the calibration
    period); without them, among the last fifth of the train windows, which is then held out. What
    is remembered begins in the train period, whose windows are read among themselves.

    Args:
        detector: any; it stays as it is, another like it is fitted.
        contamination: share of odd rows that is expected; sets `threshold_`.

    Raises:
        ConfigError: no detector.
    """

    remembers = True
    topic = ""
    """What the past adds to the evidence, in `topics`."""

    def __init__(self, detector: Detector, contamination: float) -> None:
        self.detector = checked("detector", detector)
        self.learns_from_everybody = detector.learns_from_everybody
        self.expect(contamination, detector.kinds)

    def settings(self) -> dict[str, Any]:
        """Constructor arguments; the detector as class and settings."""
        return {**self.arguments(), "detector": described(self.detector)}

    @property
    def has_chance(self) -> bool:
        """As of the detector."""
        return self.detector.has_chance

    # ---- what each kind is

    @abstractmethod
    def blank(self, users: int) -> dict[str, Float64]:
        """What is remembered of users who have no windows yet."""

    @abstractmethod
    def step(self, memory: Memory, turn: Turn) -> Float64:
        """Judge the windows of a turn [k] by the memory, then teach them to it."""

    def combined(self, evidence: Float64, walked: Float64) -> Float64:
        """Scores from the evidence and what `step` gave, [n]."""
        return walked

    def due_to_detector(self, evidence: Float64, scores: FloatArray) -> Float64:
        """The part of the scores that is put down to the detector's topics, [n]."""
        return evidence

    @abstractmethod
    def limits(self) -> dict[str, Any]:
        """What `set_limits` found, as plain values; saved, and given back to `restore_limits`."""

    @abstractmethod
    def restore_limits(self, found: dict[str, Any]) -> None:
        """Read what `limits` gave; nothing: not known yet."""

    def study(self, evidence: Float64) -> None:
        """Learn from the evidence of the train windows, before any walk."""

    def set_limits(self, early: Float64, later: Float64) -> None:
        """Learn from what `step` gave in the train period and after it."""

    # ---- fit and score

    def learn(
        self, windows: Windows, validation: Windows | None = None, fit_part: FitPart = fit_plainly
    ) -> None:
        """Fit the detector, then walk over the train windows.

        Args:
            windows: train windows.
            validation: later, normal windows.
            fit_part: how the detector is fitted.
        """
        self.spec_ = windows.spec
        early, later = in_two(windows, validation)
        self.part_ = Part.fit(self.detector, early, later, fit_part)
        before, after = self.part_.fitted_evidence(), self.part_.evidence(later)
        self.restore_limits({})
        self.study(before)
        # limits come from a first walk without any, and hold in the second
        for _ in range(2):
            users = {name: i for i, name in enumerate(early.keys["user_id"].unique().sort())}
            self.memory_ = Memory(users, self.blank(len(users)))
            walked = self._walk(early, before, self.memory_)
            self.set_limits(walked, self._walk(later, after, self._recalled(later)))
        if validation is None:
            self.memory_ = self._recalled(later)
            self._walk(later, after, self.memory_)

    def _recalled(self, *batches: Windows) -> Memory:
        """A copy of the memory with room for users who are new."""
        users = with_new_users(self.memory_.users, *batches)
        blank = self.blank(len(users) - len(self.memory_.users))
        values = {name: np.append(v, blank[name]) for name, v in self.memory_.values.items()}
        return Memory(users, values, self.memory_.held)

    def _walk(self, windows: Windows, evidence: Float64, memory: Memory) -> Float64:
        """What `step` gives for each window, float64 [n]."""
        walked = np.zeros(len(windows))
        names = windows.keys["window_id"].to_numpy()
        day = windows.keys["end"].dt.epoch("us").to_numpy() / MICROSECONDS_A_DAY
        for rows, user in Turns.of(windows, memory.users):
            turn = Turn(user, evidence[rows], day[rows], names[rows])
            walked[rows] = self.step(memory, turn)
        return walked

    def score(self, windows: Windows) -> FloatArray:
        """Float32 [n]; a window is judged after the train windows and its user's before it here."""
        return self._score(None, windows)[0]

    def after(self, past: Windows) -> Self:
        """The same once what came between has been walked over."""
        self.check_spec(past)
        later = copy(self)
        later.part_ = self.part_.with_detector(lambda part: part.after(past))
        later.memory_ = self._recalled(past)
        self._walk(past, self.part_.evidence(past), later.memory_)
        return later

    def with_parts(self, change: Callable[[Detector], Detector]) -> Self:
        """The same around a changed detector."""
        changed = copy(self)
        changed.part_ = self.part_.with_detector(change)
        changed.detector = unfitted(changed.part_.detector)
        return changed

    def _score(self, past: Windows | None, windows: Windows) -> tuple[FloatArray, Float64]:
        """Scores and evidence [n]."""
        self.check_spec(windows)
        batches = [windows] if past is None else [past, windows]
        memory = self._recalled(*batches)
        if past is not None:
            self._walk(past, self.part_.evidence(past), memory)
        evidence = self.part_.evidence(windows, past)
        scores = self.combined(evidence, self._walk(windows, evidence, memory))
        return scores.astype(np.float32), evidence

    # ---- contributions

    def contributions(self, windows: Windows) -> FloatArray:
        """What is due to each of the detector's topics, and what the past adds, float32 [n, t]."""
        return self.contributions_after(None, windows, np.arange(len(windows)))

    def contributions_after(
        self, past: Windows | None, windows: Windows, rows: Int64
    ) -> FloatArray:
        """The same of some windows after what came between."""
        scores, evidence = self._score(past, windows)
        due = self.due_to_detector(evidence, scores)[rows]
        own = self.part_.split(due, past, windows, rows)
        return np.column_stack([own, scores[rows] - own.sum(1)])

    def topics(self) -> list[str]:
        """The detector's, and one for the past."""
        return [*self.part_.topics(), self.topic]

    # ---- saving

    def save(self, folder: Path) -> None:
        """Write `detector.json`, the memory, and the detector in a folder of its own."""
        memory = self.memory_
        limits = self.limits()
        write_state(folder, self, users=list(memory.users), limits=limits)
        save_file(
            {name: np.ascontiguousarray(v) for name, v in memory.values.items()}, folder / MEMORY
        )
        memory.held.write_parquet(folder / HELD)
        self.part_.save(folder / PART)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        state = read_state(folder, cls)
        with reading(folder):
            part = Part.load(folder / PART)
            detector = cls(**state["settings"] | {"detector": unfitted(part.detector)})
            detector.part_ = part
            detector.restore_fitted(state)
            detector.spec_ = FeatureSpec.from_dict(state["spec"], np.zeros((0, 0), np.float32))
            detector.restore_limits(state["limits"])
            users = {name: i for i, name in enumerate(state["users"])}
            with reading(folder / HELD):
                held = pl.read_parquet(folder / HELD)
                if held.schema != HELD_COLUMNS:
                    raise ValueError(f"columns are {held.schema}")
            with reading(folder / MEMORY):
                values = load_file(folder / MEMORY)
                sizes = {name: value.shape for name, value in values.items()}
                if sizes != {
                    name: value.shape for name, value in detector.blank(len(users)).items()
                }:
                    raise ValueError(f"{len(users)} users, but {sizes}")
            detector.memory_ = Memory(users, values, held)
        return detector
