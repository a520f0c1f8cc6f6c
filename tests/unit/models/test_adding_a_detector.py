"""The detector of docs/adding-a-detector.md, taken from the page and put to work."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from made_windows import as_user, make_windows
from sklearn.metrics import roc_auc_score

from riskml.core.errors import BundleError, ConfigError, DataError
from riskml.models import base
from riskml.models.base import Detector, load_detector

PAGE = (Path(__file__).parents[3] / "docs" / "adding-a-detector.md").read_text()
MODULE = "riskml.models.usual_day"


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


TARGET = block("text").strip().strip('",')
CONFIG = yaml.safe_load(block("yaml"))


@pytest.fixture(scope="module")
def kind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[type[Detector]]:
    """The class, imported from the file that the page shows, under the name that it gives."""
    file = tmp_path_factory.mktemp("models") / "usual_day.py"
    file.write_text(block("python"))
    spec = importlib.util.spec_from_file_location(MODULE, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    spec.loader.exec_module(module)
    yield getattr(module, TARGET.rpartition(".")[2])
    del sys.modules[MODULE]


@pytest.fixture
def detector(kind: type[Detector]) -> Detector:
    settings = {k: v for k, v in CONFIG.items() if k not in ("name", "_target_")}
    return kind(**settings).fit(make_windows(each=40, seed=0))


def test_the_page_names_one_class_in_its_file_its_line_and_its_config(
    kind: type[Detector],
) -> None:
    assert CONFIG["_target_"] == TARGET == f"{kind.__module__}.{kind.__qualname__}"
    assert f"riskml/models/{CONFIG['name']}.py" in PAGE
    assert f"conf/model/{CONFIG['name']}.yaml" in PAGE


def test_one_file_is_enough_and_short() -> None:
    assert len(block("python").splitlines()) < 150


def test_odd_windows_are_found(detector: Detector) -> None:
    usual = make_windows(each=10, seed=1)
    odd = usual.x.copy()
    odd[::3, [0, 4]] += 15
    labels = np.arange(len(odd)) % 3 == 0
    scores = detector.score(replace(usual, x=odd))
    assert roc_auc_score(labels, scores) > 0.95


def test_another_users_day_is_odd(detector: Detector) -> None:
    day = make_windows(users=1, each=10, seed=2)
    stolen = detector.score(as_user(day, "user_2"))
    assert stolen.mean() > 2 * detector.score(day).mean()


def test_shares_sum_to_the_score(detector: Detector) -> None:
    test = make_windows(each=5, seed=3)
    shares, topics = detector.contributions(test), detector.topics()
    assert topics is not None
    assert shares.shape == (len(test), len(topics))
    np.testing.assert_allclose(shares.sum(1), detector.score(test), rtol=1e-5)
    one = test.take(np.array([4]))
    np.testing.assert_allclose(detector.score(one), detector.score(test)[4:5], rtol=1e-5)


def test_saved_and_loaded_it_scores_the_same(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector.save(tmp_path)
    test = as_user(make_windows(each=5, seed=4), "somebody new")
    with pytest.raises(BundleError, match="not on the list"):
        load_detector(tmp_path)
    monkeypatch.setattr(base, "ALLOWED", base.ALLOWED | {TARGET})
    loaded = load_detector(tmp_path)
    np.testing.assert_array_equal(loaded.score(test), detector.score(test))
    np.testing.assert_array_equal(loaded.predict(test), detector.predict(test))


def test_what_it_cannot_do_it_refuses(kind: type[Detector]) -> None:
    with pytest.raises(ConfigError, match="prior_windows"):
        kind(prior_windows=0)  # type: ignore[call-arg]
    with pytest.raises(DataError, match="not fitted"):
        kind().score(make_windows(each=1))
