"""Windows of a small log, and a report on them."""

from __future__ import annotations

import pytest
from odd_log import events

import riskml
from riskml.export.bundle import Bundle


@pytest.fixture(scope="session")
def windows() -> riskml.LogWindows:
    return riskml.extract(riskml.read_log(events(), test=10, calibration=8))


@pytest.fixture(scope="session")
def report(windows: riskml.LogWindows) -> riskml.Report:
    detectors = {"neighbours": riskml.NeighboursDetector(), "<i>pca": riskml.PyODDetector("PCA")}
    return riskml.evaluate(detectors, windows, alerts_per_day=0.5, resamples=100)


@pytest.fixture(scope="session")
def bundle(report: riskml.Report, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return riskml.load(report.export(tmp_path_factory.mktemp("exported") / "bundle"))
