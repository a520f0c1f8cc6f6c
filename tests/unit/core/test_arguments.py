"""Arguments of the wrong kind, and errors of constructors that name the setting as it was typed."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from riskml.core.arguments import check_kind, located
from riskml.core.errors import ConfigError


def builds(
    width: int,
    rate: float | None,
    layers: Sequence[int],
    names: list[str] | None,
    options: Mapping[str, Any],
    word: str,
    place: str | Path,
    free: Any,
) -> None:
    """What a config could name."""


PARAMETERS = inspect.signature(builds).parameters


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", 3),
        ("width", None),
        ("rate", 0.5),
        ("rate", None),
        ("layers", [1]),
        ("layers", ()),
        ("names", None),
        ("options", {"a": 1}),
        ("word", "x"),
        ("word", Path("x")),
        ("place", 3),
        ("free", object()),
    ],
)
def test_what_fits(name: str, value: Any) -> None:
    check_kind(f"model.{name}", PARAMETERS[name], value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("width", "wide", r"^model\.width=wide must be a number, not text$"),
        ("layers", 1, r"^model\.layers=1 must be a list$"),
        ("layers", "12", r"^model\.layers=12 must be a list$"),
        ("layers", None, r"^model\.layers=None must be a list$"),
        ("names", {"a": 1}, "must be a list"),
        ("options", 3, r"^model\.options=3 must be settings: \{name: value\}$"),
        ("word", 3, r"^model\.word=3 must be a word$"),
        ("word", ["x"], "must be a word"),
    ],
)
def test_what_does_not(name: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_kind(f"model.{name}", PARAMETERS[name], value)


PLAIN = {
    "_target_": "Around",
    "keep": 1,
    "training": {"_target_": "Training", "trim": 2},
    "detectors": [{"_target_": "A"}, {"_target_": "B", "fade": 7, "detector": {"limit": 1}}],
}


@pytest.mark.parametrize(
    ("text", "failed", "expected"),
    [
        ("keep=1 must be less", "", "model.keep=1 must be less"),
        ("training.trim=2 must be less", "training", "model.training.trim=2 must be less"),
        ("trim=2 must be less", "training", "model.training.trim=2 must be less"),
        ("fade=7 must be less", "detectors1", "model.detectors[1].fade=7 must be less"),
        ("limit=1 is", "detectors[1].detector", "model.detectors[1].detector.limit=1 is"),
        ("scoring.keep=1 is", "", "scoring.keep=1 is"),
        ("model.keep=1 is", "", "model.keep=1 is"),
        ("no layers", "", "no layers"),
        ("fade=7 must be less", "", "fade=7 must be less"),
        ("keep=1 is", "who knows", "keep=1 is"),
    ],
)
def test_errors_name_the_setting_as_it_was_typed(text: str, failed: str, expected: str) -> None:
    assert str(located(ConfigError(text), failed, PLAIN, "model")) == expected


def test_what_stands_by_itself_has_no_place() -> None:
    error = ConfigError("keep=1 must be less")
    assert located(error, "", PLAIN, "") is error
