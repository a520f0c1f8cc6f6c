"""The graph in ONNX Runtime scores as it does in TorchScript; without the extra, errors say so."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forging import forge

import riskml
from riskml.core.errors import BundleError
from riskml.core.types import Windows
from riskml.export.bundle import load_bundle
from riskml.export.graphs import save_graph
from riskml.export.manifest import describe
from riskml.export.onnx import GRAPH_FILE, OnnxGraph
from riskml.export.programs import export_program
from riskml.export.torchscript import TorchScriptGraph
from riskml.models.autoencoder import AutoencoderDetector
from riskml.models.base import Detector
from riskml.models.contrastive import ContrastiveDetector
from riskml.models.deep import TrainingSettings
from riskml.models.lstm_ae import LSTMAutoencoderDetector
from riskml.models.transformer import TransformerDetector

SHORT = TrainingSettings(max_epochs=2, batch_size=64)
ONNX = [AutoencoderDetector, ContrastiveDetector, LSTMAutoencoderDetector]
"""The VAE is that of the bundle below."""

MakeWindows = Callable[..., Windows]


def windows_of(make_windows: MakeWindows, n: int, seed: int = 0) -> Windows:
    """With vectors for the four actions."""
    windows = make_windows(n, seed, event_times=True)
    vectors = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    return replace(windows, spec=replace(windows.spec, action_vectors=vectors))


def fitted(kind: type[Detector], make_windows: MakeWindows) -> Detector:
    return kind(training=SHORT).fit(windows_of(make_windows, 200))  # type: ignore[call-arg]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ONNX)
def test_scores_of_both_runtimes(
    kind: type[Detector], make_windows: MakeWindows, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    detector, windows = fitted(kind, make_windows), windows_of(make_windows, 300, 1)
    graph = save_graph(detector, tmp_path, onnx=True)
    assert graph["runtimes"] == ["torchscript", "onnx"]
    scripted, onnx = TorchScriptGraph.load(tmp_path), OnnxGraph.load(tmp_path)
    expected, found = scripted.score(windows), onnx.score(windows)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(onnx.score(windows), found)
    for row in (0, 7, 299):
        alone = onnx.score(windows.take(np.array([row])))
        np.testing.assert_allclose(alone, found[[row]], rtol=1e-6, atol=1e-6)
    assert onnx.score(windows.take(np.zeros(0, np.int64))).shape == (0,)
    content = (tmp_path / GRAPH_FILE).read_bytes()
    model = pytest.importorskip("onnx").load_from_string(content)
    added = [node for node in model.graph.node if node.op_type == "ScatterND" and node.attribute]
    assert added == [], "the runtime's threads lose sums of it"
    assert b"site-packages" not in content
    assert str(Path(riskml.__file__).parent).encode() not in content


@pytest.mark.slow
def test_the_runtime_is_chosen_at_loading(exported: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    folder = exported.export(tmp_path / "bundle", onnx=True)
    events = exported.events
    default, other = riskml.load(folder).score(events), riskml.load(folder, "onnx").score(events)
    assert isinstance(load_bundle(folder, "onnx").graph, OnnxGraph)
    np.testing.assert_allclose(other["score"], default["score"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(other["risk"], default["risk"], rtol=1e-3, atol=1e-2)
    assert other["alert"].to_list() == default["alert"].to_list()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [AutoencoderDetector, ContrastiveDetector])
def test_programs_of_torch_export(kind: type[Detector], make_windows: MakeWindows) -> None:
    from riskml.models.batches import to_tensors

    detector, windows = fitted(kind, make_windows), windows_of(make_windows, 50, 1)
    program = export_program(detector).module()
    found = program(*to_tensors(windows, detector.users())).detach().numpy()
    np.testing.assert_allclose(found, detector.score(windows), rtol=1e-4, atol=1e-4)


def test_without_the_extra_errors_say_what_to_install(
    exported: Any, make_windows: MakeWindows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnx", "onnxruntime", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BundleError, match=r"is not installed: pip install 'riskml\[onnx\]'"):
        save_graph(exported.detector, tmp_path, onnx=True)
    (tmp_path / GRAPH_FILE).write_bytes(b"")
    with pytest.raises(BundleError, match=r"pip install 'riskml\[onnx\]'"):
        OnnxGraph.load(tmp_path)
    with pytest.raises(BundleError, match="cannot be run by 'onnx': Valid: torchscript"):
        riskml.load(exported.folder, "onnx")


def test_a_graph_that_points_to_other_files_is_refused(bundle_folder: Path) -> None:
    (bundle_folder / GRAPH_FILE).write_bytes(b"\x0a\x08location\x12\x0b../../secret")
    entry = describe(bundle_folder / GRAPH_FILE)
    forge(bundle_folder, lambda m: m["files"].update({GRAPH_FILE: entry}))
    with pytest.raises(BundleError, match="refers to another file"):
        load_bundle(bundle_folder)


@pytest.mark.slow
def test_a_network_that_onnx_cannot_have_is_named(
    make_windows: MakeWindows, tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript")
    with pytest.raises(BundleError, match="TransformerDetector has no ONNX graph"):
        save_graph(fitted(TransformerDetector, make_windows), tmp_path, onnx=True)
