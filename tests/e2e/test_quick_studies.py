"""A few results of every study are made again, and must be those of its committed table."""

from __future__ import annotations

import pytest

from experiments.quick import differences, lacks
from experiments.study import NAMES, ROOT, Study

pytestmark = [pytest.mark.slow, pytest.mark.needs_data]


@pytest.mark.parametrize("name", NAMES)
def test_quick_run_is_near_the_table(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("RISKML_ROOT", str(ROOT))
    study = Study.load(name)
    if reason := lacks(study):
        pytest.skip(reason)
    assert differences(study) == []
