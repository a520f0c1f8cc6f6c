"""The scripted graph: the format that the bundle's contract names, and the runtime for it."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from riskml.core.types import FloatArray, Windows
from riskml.models.base import Detector
from riskml.models.batches import in_batches, to_tensors

GRAPH_FILE, USERS_FILE = "model.ts", "users.json"
BATCH_SIZE = 4096
_WRITTEN_ANYWAY = ("byteorder", ".data/serialization_id")


@dataclass(frozen=True)
class TorchScriptGraph:
    """A network without the classes that it was made of.

    Args:
        module: (x, tokens, times, lengths, user) -> score.
        users: index of each user known from training; others have 0.
    """

    remembers: ClassVar[bool] = False
    module: torch.jit.ScriptModule
    users: dict[str, int]

    @classmethod
    def of(cls, detector: Detector) -> Self:
        """Script the detector's network; never trace it.

        Raises:
            BundleError: the detector has no graph.
        """
        with warnings.catch_warnings():
            # TorchScript is deprecated upstream but is what the bundle's contract names
            warnings.simplefilter("ignore", DeprecationWarning)
            return cls(detector.graph(), detector.users())

    def save(self, folder: Path) -> None:
        """Write the graph and the index of its users."""
        with tempfile.TemporaryDirectory() as draft, warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            whole = Path(draft) / GRAPH_FILE
            self.module.save(str(whole))
            _without_sources(whole, folder / GRAPH_FILE)
        (folder / USERS_FILE).write_text(json.dumps(self.users, ensure_ascii=False))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read files that have been checked.

        Raises:
            ValueError: an index is none.
        """
        users = json.loads((folder / USERS_FILE).read_text())
        if not all(type(index) is int and 0 <= index <= len(users) for index in users.values()):
            raise ValueError("users: an index is out of range")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module: torch.jit.ScriptModule = torch.jit.load(  # type: ignore[no-untyped-call]
                str(folder / GRAPH_FILE), map_location="cpu"
            )
        return cls(module.eval(), users)

    def score(self, windows: Windows) -> FloatArray:
        """Float32 [n] scores."""
        return self._run(self.module, windows)

    def contributions(self, windows: Windows) -> FloatArray:
        """Exact shares of each score, float32 [n, parts]."""
        return self._run(self.module.contributions, windows)

    def after(self, past: Windows) -> Self:
        """Itself: a network remembers nothing."""
        return self

    @torch.inference_mode()
    def _run(self, function: Callable[..., Tensor], windows: Windows) -> FloatArray:
        if not len(windows):
            return np.zeros(0, np.float32)
        tensors = to_tensors(windows, self.users)
        found: FloatArray = in_batches(function, tensors, BATCH_SIZE).numpy()
        return found


def _without_sources(whole: Path, path: Path) -> None:
    """Leave out the notes on lines of source: folders of one machine, which nothing reads."""
    reader: Any = torch._C.PyTorchFileReader(str(whole))
    writer: Any = torch._C.PyTorchFileWriter(str(path))
    for name in reader.get_all_records():
        if not name.endswith(".debug_pkl") and name not in _WRITTEN_ANYWAY:
            record = reader.get_record(name)
            writer.write_record(name, record, len(record))
    writer.write_end_of_file()
