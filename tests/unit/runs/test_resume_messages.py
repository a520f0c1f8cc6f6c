"""What `resume=` says of other settings and of damaged parts, before the data are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from riskml.core.errors import BundleError, ConfigError
from riskml.evaluation.backtesting.parts import PART, Refused, write_part
from riskml.evaluation.backtesting.plan import PLAN
from riskml.runs import resuming
from riskml.runs.context import CONFIG_FILE, PARTS

VAE = {"name": "vae", "_target_": "riskml.models.vae.VAEDetector", "latent_dim": 8}
COUNTS = {"name": "counts", "weight": "${data.weight}"}


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """An evaluation that was begun, with one part."""
    past = OmegaConf.create(
        {"model": VAE, "data": {"name": "sea", "weight": 0.5}, "seeds": 2, "paths": {"run": "r"}}
    )
    OmegaConf.save(past, tmp_path / CONFIG_FILE)
    write_part(tmp_path / PARTS, 0, Refused("vae", 0, 0, "too few windows"))
    mark = resuming.mark_of(past, "fingerprint")
    (tmp_path / PARTS / PLAN).write_text(json.dumps({"settings": mark}))
    return tmp_path


def resume(folder: Path, monkeypatch: pytest.MonkeyPatch, **typed: tuple[str, Any]) -> DictConfig:
    """As the command line with these, each as it was typed and as it was composed."""
    monkeypatch.setattr(resuming, "_given", lambda: {key: text for key, (text, _) in typed.items()})
    given = {key: value for key, (_, value) in typed.items()}
    nothing = {"resume": str(folder), "model": None, "data": None, "seeds": None, "callbacks": None}
    cfg, fingerprint = resuming.begun(OmegaConf.create({**nothing, **given}))
    assert fingerprint == "fingerprint"
    return cfg


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        (
            {"model": ("counts", COUNTS)},
            "model is counts here and was vae when it was begun: leave",
        ),
        (
            {"model": ("vae", {**VAE, "latent_dim": 4})},
            "model is vae here and was vae with latent_dim=8 when",
        ),
        ({"seeds": ("3", 3)}, "seeds is 3 here and was 2 when it was begun"),
        ({"experiment": ("sea", None)}, "whatever experiment=sea says: leave experiment out"),
    ],
)
def test_what_was_typed_and_what_it_was(
    typed: dict[str, Any], text: str, begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=text):
        resume(begun, monkeypatch, **typed)


def test_the_same_choice_again_is_fine(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resume(begun, monkeypatch, model=("vae", VAE), seeds=("2", 2)).seeds == 2


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2}', '{"format": 1, "reason": ""}', None])
def test_a_damaged_part_is_named_with_the_remedy(
    text: str | None, begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (part,) = (begun / PARTS).rglob(PART)
    part.unlink()
    if text is not None:
        part.write_text(text)
    with pytest.raises(BundleError, match=f"^{part} .*delete the folder {part.parent}: that part"):
        resume(begun, monkeypatch)
