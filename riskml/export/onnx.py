"""The graph once more for ONNX Runtime, which is the faster one on CPUs; needs `riskml[onnx]`."""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from riskml.core.errors import BundleError
from riskml.core.types import FloatArray, Windows
from riskml.export.programs import example_of, export_program
from riskml.export.torchscript import BATCH_SIZE, USERS_FILE
from riskml.models.base import Detector
from riskml.models.batches import in_batches, to_tensors

GRAPH_FILE = "model.onnx"
INPUTS = ("x", "tokens", "times", "lengths", "user")
ONNX_BYTES = 1 << 31
PARITY = 1e-4
"""Largest difference from the network's scores, as a share of those above 1."""

EXTERNAL = b"\x0a\x08location"
"""How a tensor says that its numbers lie in another file."""


@dataclass(frozen=True)
class OnnxGraph:
    """A network in ONNX Runtime.

    Args:
        session: that runs it.
        users: index of each user known from training; others have 0.
    """

    remembers: ClassVar[bool] = False
    session: Any
    users: dict[str, int]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read files that have been checked.

        Raises:
            BundleError: ONNX Runtime is not installed.
        """
        try:
            from onnxruntime import InferenceSession
        except ModuleNotFoundError as error:
            raise _missing(error) from error
        session = InferenceSession(
            (folder / GRAPH_FILE).read_bytes(), providers=["CPUExecutionProvider"]
        )
        return cls(session, json.loads((folder / USERS_FILE).read_text()))

    def score(self, windows: Windows) -> FloatArray:
        """Float32 [n] scores."""
        if not len(windows):
            return np.zeros(0, np.float32)
        found: FloatArray = in_batches(
            self._run, to_tensors(windows, self.users), BATCH_SIZE
        ).numpy()
        return found

    def after(self, past: Windows) -> Self:
        """Itself: a network remembers nothing."""
        return self

    def _run(self, *inputs: Tensor) -> Tensor:
        given = {name: part.numpy() for name, part in zip(INPUTS, inputs, strict=True)}
        asked = {each.name: given[each.name] for each in self.session.get_inputs()}
        return torch.from_numpy(self.session.run(None, asked)[0])


def save_onnx(detector: Detector, folder: Path) -> None:
    """Write `model.onnx`, without notes on the machine that made it.

    Raises:
        BundleError: the exporter is not installed, or cannot put the network into ONNX.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            content = _without_notes(_model(detector))
            session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
            _compare(detector, OnnxGraph(session, {}))
        except Exception as error:  # exporters and runtimes fail in any way
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise BundleError(f"{type(detector).__name__} has no ONNX graph: {reason}") from error
    (folder / GRAPH_FILE).write_bytes(content)


def _model(detector: Detector) -> Any:
    """The ONNX model: by torch.export, else of the scripted graph by the older exporter."""
    import onnx

    names: dict[str, Any] = {"input_names": list(INPUTS), "output_names": ["score"]}
    try:
        program = export_program(detector)
    except Exception:  # recurrent networks have no program for any number of events
        axes = {0: "n", 1: "L"}
        timed = axes if detector.spec_.event_times else {0: "n"}
        dynamic = {"tokens": axes, "times": timed}
        names["dynamic_axes"] = {name: {0: "n"} for name in (*INPUTS, "score")} | dynamic
        with tempfile.TemporaryDirectory() as draft:
            path = Path(draft) / GRAPH_FILE
            torch.onnx.export(detector.graph(), example_of(detector), path, dynamo=False, **names)
            return onnx.load(path)
    found = torch.onnx.export(program, (), dynamo=True, verbose=False, **names)
    assert found is not None
    return found.model_proto


def _without_notes(model: Any) -> bytes:
    nodes = [*model.graph.node, *(node for made in model.functions for node in made.node)]
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    for part in (model, model.graph, *nodes, *values):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    content: bytes = model.SerializeToString(deterministic=True)
    return content


@torch.inference_mode()
def _compare(detector: Detector, graph: OnnxGraph) -> None:
    """Run both on windows of several numbers and lengths.

    Raises:
        ValueError: they differ.
    """
    network, spec = detector.eager(), detector.spec_
    draw = torch.Generator().manual_seed(0)
    for n, length in ((1, 1), (2, 3), (5, 2), (4, 40)):
        times = torch.rand(n, length if spec.event_times else 0, 2, generator=draw)
        inputs = (
            torch.randint(0, 5, (n, len(spec)), generator=draw).float(),
            torch.randint(1, len(spec.actions), (n, length), generator=draw),
            times,
            torch.randint(1, length + 1, (n,), generator=draw),
            torch.zeros(n, dtype=torch.int64),
        )
        expected, found = network(*inputs), graph._run(*inputs)
        difference = float(((expected - found).abs() / expected.abs().clamp(min=1)).max())
        if not difference <= PARITY:
            raise ValueError(f"scores differ by {difference:.1e} of their size")


def check_onnx(path: Path) -> None:
    """Refuse a graph that points to other files, or is larger than the format allows.

    Raises:
        ValueError: it does.
    """
    if path.stat().st_size >= ONNX_BYTES:
        raise ValueError("larger than the format allows")
    if EXTERNAL in path.read_bytes():
        raise ValueError("it refers to another file")


def _missing(error: ModuleNotFoundError) -> BundleError:
    return BundleError(f"{error.name} is not installed: pip install 'riskml[onnx]'")
