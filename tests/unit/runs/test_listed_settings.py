"""Which settings a report lists."""

from __future__ import annotations

from omegaconf import OmegaConf

from riskml.runs.steps import settings_of


def test_families_not_used_and_places_are_left_out() -> None:
    cfg = OmegaConf.create(
        {
            "model": {"name": "counts", "hidden": [64, 32], "none": None},
            "features": {
                "use": ["volume"],
                "families": {"volume": {"max_actions": 40}, "graph": {"seed": 0}},
            },
            "trainer": {"callbacks": [{"patience": 3}], "default_root_dir": "/somewhere"},
            "paths": {"outputs": "outputs"},
        }
    )
    assert settings_of(cfg) == {
        "model.name": "counts",
        "model.hidden": "64, 32",
        "trainer.callbacks.0.patience": "3",
        "features.use": "volume",
        "features.families.volume.max_actions": "40",
    }
