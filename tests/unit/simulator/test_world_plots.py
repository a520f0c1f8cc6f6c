"""The pictures are drawn, and a folder without a world is refused."""

from pathlib import Path

import pytest
from matplotlib.image import imread

from riskml.core.errors import DataError
from riskml.data.simulator import SimulationSettings, simulate
from riskml.data.simulator.plots import save_plots


def test_four_pictures_with_something_on_them(small_world: Path, tmp_path: Path) -> None:
    paths = save_plots(small_world, tmp_path / "plots")
    assert [path.name for path in paths] == [
        "role_week.png",
        "hours_by_weekday.png",
        "user_life.png",
        "resource_popularity.png",
    ]
    for path in paths:
        picture = imread(path)
        assert picture.shape[0] > 300 and picture.shape[1] > 600
        assert picture.std() > 0.02


def test_a_world_without_attacks_has_no_life_to_show(tmp_path: Path) -> None:
    settings = SimulationSettings(
        users=20, days=16, test_days=5, positive_rate=0.0, train_contamination=0.0
    )
    world = simulate(settings, tmp_path / "world")
    names = [path.name for path in save_plots(world, world / "plots")]
    assert "user_life.png" not in names and len(names) == 3
    simulate(settings, world)  # its own pictures do not keep a world from being replaced


def test_no_world_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"world\.json"):
        save_plots(tmp_path, tmp_path / "plots")
