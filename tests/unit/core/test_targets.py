"""Nothing but listed names is ever built, whichever way a config tries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate as hydra_instantiate  # noqa: TID251
from omegaconf import OmegaConf

from riskml.core.errors import ConfigError
from riskml.core.targets import check_targets, instantiate

STOPPING = "pytorch_lightning.callbacks.EarlyStopping"


def opened(marker: str, **extra: Any) -> dict[str, Any]:
    """A config that makes the marker file when Hydra builds it."""
    return {"_target_": "builtins.open", "file": marker, "mode": "w", **extra}


def written(marker: str) -> str:
    """The same as text, for `oc.create`."""
    return f"{{_target_: builtins.open, file: '{marker}', mode: w}}"


@dataclass
class Structured:
    """A structured config, which Hydra takes for a config wherever it stands."""

    _target_: str = "builtins.open"
    file: str = "marker"
    mode: str = "w"


class Pretender(str):
    """A string that claims to be a listed name."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return other == STOPPING

    def __hash__(self) -> int:
        return hash(STOPPING)


HOSTILE: dict[str, Callable[[str], Any]] = {
    "open": opened,
    "io_open": lambda m: opened(m, _target_="io.open"),
    "mkdir": lambda m: {"_target_": "os.mkdir", "path": m},
    "makedirs": lambda m: {"_target_": "os.makedirs", "name": m},
    "path_touch": lambda m: {
        "_target_": "pathlib.Path.touch",
        "self": {"_target_": "pathlib.Path"},
    },
    "system": lambda m: {"_target_": "os.system", "command": f"touch {m}"},
    "eval": lambda m: {"_target_": "builtins.eval", "_args_": [f"open({m!r}, 'w')"]},
    "exec": lambda m: {"_target_": "builtins.exec", "_args_": [f"open({m!r}, 'w')"]},
    "popen": lambda m: {"_target_": "subprocess.Popen", "args": ["touch", m]},
    "check_output": lambda m: {"_target_": "subprocess.check_output", "args": ["touch", m]},
    "import_module": lambda m: {"_target_": "importlib.import_module", "name": "antigravity"},
    "torch_load": lambda m: {"_target_": "torch.load", "f": m, "weights_only": False},
    "torch_save": lambda m: {"_target_": "torch.save", "obj": {}, "f": m},
    "numpy_save": lambda m: {"_target_": "numpy.savetxt", "fname": m, "X": [1]},
    "hydra_itself": lambda m: {"_target_": "hydra.utils.instantiate", "config": opened(m)},
    "our_own_instantiate": lambda m: {"_target_": "riskml.core.targets.instantiate"},
    "in_dict": lambda m: {"callbacks": {"stop": {"hook": opened(m)}}},
    "in_list": lambda m: {"callbacks": [{"_target_": STOPPING, "monitor": "x"}, opened(m)]},
    "in_lists_in_lists": lambda m: {"a": [[{"b": [[opened(m)]]}]]},
    "list_at_the_top": lambda m: [[opened(m)]],
    "tuple": lambda m: {"a": (opened(m),)},
    "argument_of_a_listed_one": lambda m: {"_target_": STOPPING, "monitor": opened(m)},
    "below_recursive_false": lambda m: {
        "_target_": STOPPING,
        "_recursive_": False,
        "monitor": opened(m),
    },
    "in_convert_all": lambda m: {"_convert_": "all", "a": opened(m)},
    "by_interpolation": lambda m: {"name": "builtins.open", "a": opened(m, _target_="${name}")},
    "by_two_interpolations": lambda m: {
        "x": "builtins",
        "y": "open",
        "a": opened(m, _target_="${x}.${y}"),
    },
    "node_by_interpolation": lambda m: {"a": "${b.c}", "b": {"c": opened(m)}},
    "node_made_by_resolver": lambda m: {"a": f"${{oc.create:{written(m)}}}"},
    "node_decoded": lambda m: {"text": written(m), "a": "${oc.create:${oc.decode:${text}}}"},
    "escaped_interpolation": lambda m: {
        "_target_": STOPPING,
        "monitor": f"\\${{oc.create:{written(m)}}}",
    },
    "escaped_target": lambda m: {"name": "builtins.open", "a": opened(m, _target_="\\${name}")},
    "from_the_environment": lambda m: opened(m, _target_="${oc.env:HOSTILE_TARGET}"),
    "default_of_the_environment": lambda m: opened(m, _target_="${oc.env:NONE,builtins.open}"),
    "target_not_resolvable": lambda m: opened(m, _target_="${nowhere}"),
    "partial": lambda m: {"_target_": STOPPING, "_partial_": True, "monitor": "x"},
    "partial_by_interpolation": lambda m: {
        "yes": True,
        "a": {"_target_": STOPPING, "_partial_": "${yes}", "monitor": "x"},
    },
    "partial_as_text": lambda m: {"_target_": STOPPING, "_partial_": "true", "monitor": "x"},
    "partial_open": lambda m: opened(m, _partial_=True),
    "positional": lambda m: {"_target_": STOPPING, "_args_": ["x"]},
    "leading_space": lambda m: {"_target_": f" {STOPPING}", "monitor": "x"},
    "trailing_newline": lambda m: {"_target_": f"{STOPPING}\n", "monitor": "x"},
    "other_case": lambda m: {"_target_": STOPPING.lower(), "monitor": "x"},
    "zero_width_space": lambda m: {"_target_": f"{STOPPING}\u200b", "monitor": "x"},
    "fullwidth_dot": lambda m: {"_target_": STOPPING.replace(".", "\uff0e"), "monitor": "x"},
    "attribute_of_a_listed_one": lambda m: {"_target_": f"{STOPPING}.__init__.__globals__"},
    "method_of_a_listed_one": lambda m: {"_target_": "pytorch_lightning.Trainer.save_checkpoint"},
    "module_of_a_listed_one": lambda m: {
        "_target_": "pytorch_lightning.callbacks.early_stopping.EarlyStopping"
    },
    "through_a_listed_module": lambda m: opened(
        m, _target_="pytorch_lightning.callbacks.model_checkpoint.os.mkdir"
    ),
    "double_dot": lambda m: {"_target_": "pytorch_lightning..Trainer"},
    "empty": lambda m: {"_target_": ""},
    "number": lambda m: {"_target_": 7},
    "list_as_target": lambda m: {"_target_": ["builtins.open"]},
    "target_in_a_target": lambda m: {"_target_": opened(m)},
    "callable": lambda m: opened(m, _target_=open),
    "pretender": lambda m: opened(m, _target_=Pretender("builtins.open")),
    "structured_config": lambda m: {"a": [Structured(file=m)]},
}


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "marker"


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_config_is_refused_and_leaves_no_trace(
    case: str, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOSTILE_TARGET", "builtins.open")
    config = HOSTILE[case](str(marker))
    for attempt in (check_targets, instantiate):
        with pytest.raises(ConfigError):
            attempt(config)
    if case != "tuple":  # OmegaConf makes a list of it
        with pytest.raises(ConfigError):
            instantiate(OmegaConf.create(config, flags={"allow_objects": True}))
    assert not marker.exists()


@pytest.mark.parametrize("case", ["open", "mkdir", "in_list", "node_by_interpolation"])
def test_the_cases_are_real(case: str, marker: Path) -> None:
    """Hydra alone builds them, so the marker would have shown it."""
    pytest.importorskip("pytorch_lightning")
    hydra_instantiate(OmegaConf.create(HOSTILE[case](str(marker))))
    assert marker.exists()


def test_escaped_interpolations_are_resolved_twice_by_hydra(marker: Path) -> None:
    """Why they are refused: this one gets past a check of the resolved tree."""
    node = {"_target_": "builtins.dict", "a": f"\\${{oc.create:{written(str(marker))}}}"}
    hydra_instantiate(OmegaConf.create(node))
    assert marker.exists()


def test_message_names_the_key_and_the_nearest_name() -> None:
    config = OmegaConf.create(
        {"trainer": {"callbacks": [{"_target_": "pytorch_lightning.Trainr"}]}}
    )
    with pytest.raises(ConfigError, match=r"trainer\.callbacks\[0\]\._target_") as caught:
        check_targets(config)
    assert "did you mean 'pytorch_lightning.Trainer'?" in str(caught.value)


def test_key_of_a_part_is_the_full_key() -> None:
    config = OmegaConf.create({"a": {"b": {"_target_": "os.mkdir"}}})
    with pytest.raises(ConfigError, match=r"^a\.b\._target_: 'os.mkdir'"):
        instantiate(config.a.b)


GOOD: dict[str, Any] = {
    "nothing": None,
    "plain": {"a": 1, "b": [1, {"c": None}]},
    "listed": {"_target_": STOPPING, "monitor": "x"},
    "by_interpolation": {"n": STOPPING, "a": {"_target_": "${n}", "monitor": "x"}},
    "null_target": {"logger": {"_target_": None}},
    "partial_false": {"_target_": STOPPING, "_partial_": False, "monitor": "x"},
    "missing": {"path": "???"},
    "not_resolvable_yet": {"folder": "${hydra:runtime.output_dir}", "x": "${nowhere}"},
    "shared": {"a": {"_target_": STOPPING, "monitor": "x"}, "b": "${a}", "c": "${a}"},
    "dollar": {"price": "$5"},
}


@pytest.mark.parametrize("case", GOOD)
def test_good_config_passes(case: str) -> None:
    check_targets(GOOD[case])
    if GOOD[case] is not None:
        check_targets(OmegaConf.create(GOOD[case]))


def test_config_that_refers_to_itself_ends() -> None:
    deep: dict[str, Any] = {}
    for _ in range(80):
        deep = {"a": deep}
    with pytest.raises(ConfigError, match="nested too deeply"):
        check_targets(deep)
    for config in ({"a": "${a}"}, {"a": "${b}", "b": {"c": "${a}"}}):
        with pytest.raises(ConfigError, match=r"[Rr]ecursive|parent|itself"):
            instantiate(config)
    with pytest.raises(ConfigError, match="expected a config"):
        check_targets("builtins.open")
