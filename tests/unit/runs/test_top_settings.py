"""What is wrong at the top of a config says so before any work, with the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from riskml.core.errors import ConfigError
from riskml.runs.context import find_run
from riskml.runs.top_settings import baselines_of, check_top, seeds_of

NUMBER = "contamination=.* must be a number from 0 up to 0.5"


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"seed": -1}, "seed=-1 must be a whole number from 0"),
        ({"seed": "abc"}, "seed=abc must be a whole number"),
        ({"seed": 2**32}, "seed=4294967296 must be a whole number from 0 to 4294967295"),
        ({"resamples": "abc"}, "resamples=abc must be a whole number of at least 1"),
        ({"resamples": 0}, "resamples=0 must be"),
        ({"resamples": -1}, "resamples=-1 must be"),
        ({"resamples": None}, "resamples=None must be"),
        ({"resamples": True}, "resamples=True must be"),
        ({"contamination": "abc"}, NUMBER),
        ({"contamination": 0.5}, NUMBER),
        ({"contamination": float("nan")}, NUMBER),
        ({"contamination": True}, NUMBER),
        ({"control": "x"}, "control=x must be one of permuted_labels"),
        ({"control": "x", "contamination": "y"}, "control=x and contamination=y: give one"),
        ({"audit": "shallow"}, "audit=shallow must be one of"),
    ],
)
def test_wrong_at_the_top(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        check_top(OmegaConf.create({"seed": 0, "resamples": 2000, **wrong}))


TRACKED = {"_target_": "riskml.runs.tracking.MLflowTracker"}


@pytest.mark.parametrize(
    ("name", "logger", "text"),
    [
        ("a/b", TRACKED, "register=a/b must be a name without"),
        ("", TRACKED, "register= must be a name"),
        (3, TRACKED, "register=3 must be a name"),
        ("logins", {"_target_": "riskml.runs.tracking.NoTracker"}, "choose logger=mlflow"),
    ],
)
def test_what_cannot_be_registered(name: object, logger: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        check_top(OmegaConf.create({"seed": 0, "register": name, "logger": logger}))
    check_top(OmegaConf.create({"seed": 0, "register": "logins", "logger": TRACKED}))


def test_right_at_the_top() -> None:
    for right in ({}, {"resamples": 1, "contamination": 0}, {"control": "permuted_labels"}):
        check_top(OmegaConf.create({"seed": 0, **right}))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([], r"seeds=\[\] must be a number of seeds, or a list such as"),
        ([0, -1], r"seeds=\[0, -1\] must be whole numbers from 0"),
        ([3, 1, 3], "must be different numbers, and 3 comes twice"),
    ],
)
def test_wrong_seeds(given: object, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        seeds_of(OmegaConf.create({"seed": 7, "seeds": given}))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, r"baselines=None must be a list: baselines=\[pyod_knn\], or \[\] for none"),
        ("counts", r"baselines=counts must be a list: baselines=\[counts\]"),
        (["random", "counts", "random"], "baselines: 'random' comes twice: name it once"),
        ([{"name": "vae"}], r"baselines\[0\]=.* must be the name .* goes to detectors"),
    ],
)
def test_wrong_baselines(given: object, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        baselines_of(OmegaConf.create({"baselines": given}))


@pytest.mark.parametrize("run", [None, 5])
def test_a_run_is_named_by_its_folder(run: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"run={run} must be the folder of a train run"):
        find_run(tmp_path, run)
