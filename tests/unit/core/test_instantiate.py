"""What is listed is built with plain values, and wrong arguments are named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import hydra
import pytest
from omegaconf import OmegaConf

from riskml.core import targets
from riskml.core.errors import ConfigError, DataError
from riskml.core.targets import ALLOWED, check_targets, instantiate

STOPPING = "pytorch_lightning.callbacks.EarlyStopping"


@dataclass(frozen=True)
class Spec:
    """Stands for the dataclasses that travel between rooms."""

    size: int


class Model:
    """Takes what a detector takes."""

    def __init__(self, hidden: list[int], spec: Spec, options: dict[str, Any] | None = None):
        if not hidden:
            raise DataError("no layers")
        if min(hidden) < 1:
            raise ValueError("layers must\nhave units")
        self.hidden, self.spec, self.options = hidden, spec, options

    def __call__(self) -> None:
        """A callable, as networks are."""


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of `Model`, on the list for this test."""
    monkeypatch.setattr(targets, "_locate", lambda name, key: Model)
    monkeypatch.setattr(hydra._internal.instantiate._instantiate2, "_locate", lambda name: Model)
    name = f"{__name__}.Model"
    monkeypatch.setattr(check_targets, "__defaults__", (ALLOWED | {name},))
    return name


def test_builds_with_plain_values_and_dataclasses(model: str) -> None:
    config = OmegaConf.create(
        {"n": 4, "m": {"_target_": model, "hidden": ["${n}", 2], "options": {"a": [1]}}}
    )
    spec = Spec(3)
    made = instantiate(config.m, spec=spec)
    assert made.spec is spec
    assert (type(made.hidden), type(made.options), made.hidden) == (list, dict, [4, 2])


def test_given_arguments_win_and_fill_what_is_missing(model: str) -> None:
    config = OmegaConf.create({"_target_": model, "hidden": [1], "spec": "???"})
    assert instantiate(config, hidden=[5], spec=Spec(1)).hidden == [5]


def test_builds_collections() -> None:
    stopping = {"_target_": STOPPING, "monitor": "x"}
    made = instantiate(OmegaConf.create({"a": stopping, "b": None, "c": [stopping]}))
    assert made["a"].monitor == "x"
    assert made["b"] is None
    assert type(made["c"]) is list
    assert instantiate([stopping])[0].monitor == "x"
    assert instantiate(None) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hiden": [1]}, r"m\.hiden: .*Model has no such setting; did you mean 'hidden'\?"),
        ({"hidden": "???"}, r"m\.hidden: must be given, e\.g\. m\.hidden="),
        ({"hidden": []}, "^no layers$"),
        ({"hidden": [0]}, r"m \(.*Model\): could not be built: ValueError: layers must have"),
        ({"hidden": "${nowhere}"}, "nowhere"),
    ],
)
def test_wrong_arguments_are_named(model: str, change: dict[str, Any], message: str) -> None:
    config = OmegaConf.create({"m": {"_target_": model, "hidden": [1], **change}})
    with pytest.raises((ConfigError, DataError), match=message):
        instantiate(config.m, spec=Spec(1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"min_delta": 0.1, "patience": 3}, None),
        ({"patience": "soon"}, "^m.patience=soon must be a number"),
        ({"patience": True}, "^m.patience=True must be a number"),
        ({"patience": 2.5}, "^m.patience=2.5 must be a whole number"),
        ({"patience": float("inf")}, "^m.patience=inf must be a whole number"),
    ],
)
def test_numbers_are_numbers(change: dict[str, Any], message: str | None) -> None:
    config = OmegaConf.create({"m": {"_target_": STOPPING, "monitor": "x", **change}})
    if message is None:
        assert instantiate(config.m).patience == 3
        return
    with pytest.raises(ConfigError, match=message):
        instantiate(config.m)


def test_null_target_builds_nothing() -> None:
    with pytest.raises(ConfigError, match=r"^m\._target_: is null"):
        instantiate({"m": {"_target_": None}})


def test_a_missing_argument_is_named(model: str) -> None:
    with pytest.raises(ConfigError, match=r"spec: must be given, .*Model needs it"):
        instantiate({"_target_": model, "hidden": [1]})


def test_error_of_a_nested_part_keeps_its_words(model: str) -> None:
    inner = {"_target_": model, "hidden": [], "spec": 1}
    with pytest.raises(DataError, match=r"^no layers$"):
        instantiate({"parts": [inner]})


def test_arguments_need_a_target() -> None:
    with pytest.raises(ConfigError, match="no _target_"):
        instantiate({"a": 1}, spec=2)


def test_a_listed_name_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_targets, "__defaults__", (frozenset({"riskml.nowhere.Thing"}),))
    with pytest.raises(ConfigError, match=r"riskml\.nowhere\.Thing cannot be imported"):
        instantiate({"_target_": "riskml.nowhere.Thing"})
