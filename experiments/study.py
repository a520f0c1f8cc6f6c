"""What a study measures: study.yaml as its cells, each one detector, one case and one seed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from riskml.core.errors import ConfigError

HERE = Path(__file__).parent
ROOT = HERE.parent
NAMES = ("sea", "hdfs", "simulated", "adbench")
"""The studies, the quickest first."""

DECIDING = ("seed", "data", "features", "model", "threshold", "scoring", "trainer")
"""Groups of a config that can change what is measured."""

READ = (
    *("source", "split", "quality", "pseudonyms"),
    *("normal_weight", "single_user", "warm_up", "population_weight"),
)
"""Settings of the data that decide what windows there are."""


@dataclass(frozen=True)
class Row:
    """A detector of the table.

    Args:
        set: what train.py is given beside the case.
        seeds: one cell each; those of the study unless given.
        scores: a function of the prepared windows that gives test scores, in place of a detector:
            `module:function`. It may look at labels, for scale.
        cases: those that it is measured on, all unless given.
    """

    set: tuple[str, ...] = ()
    seeds: tuple[int, ...] | None = None
    scores: str | None = None
    cases: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Cell:
    """One measurement."""

    study: str
    case: str
    row: str
    seed: int
    overrides: tuple[str, ...]
    scores: str | None = None

    @property
    def folder(self) -> Path:
        """Where it is kept, below outputs/studies."""
        name = self.row.replace(" ", "_").replace("=", "_").replace("/", "_")
        return Path(self.study) / self.case / name / str(self.seed)

    def config(self) -> DictConfig:
        """As `python train.py` composes it from the same words."""
        os.environ.setdefault("RISKML_ROOT", str(ROOT))
        fixed = ["callbacks=quiet", "logger=none", f"seed={self.seed}"]
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            return compose("train", overrides=[*self.overrides, *fixed])

    @cache  # noqa: B019  the cells of a study are few
    def fingerprint(self) -> str:
        """SHA-256 of all settings that can change the numbers, places left unresolved."""
        cfg = self.config()
        known = OmegaConf.create({name: cfg[name] for name in DECIDING})
        if "path" in cfg:
            known.path = OmegaConf.to_container(cfg, resolve=False)["path"]
        families = known.features.families
        for name in set(families) - set(known.features.use):
            del families[name]
        for name in set(known.data) - set(READ):
            del known.data[name]
        text = OmegaConf.to_yaml(known, resolve=False, sort_keys=True)
        return sha256(f"{self.scores}\n{text}".encode()).hexdigest()


@dataclass(frozen=True)
class Study:
    """A folder of experiments/.

    Args:
        name: of the folder.
        title: of the table.
        unit: what a window is.
        data: folder below RISKML_DATA that it reads, None for none.
        cases: what each is given to train.py, by name; one table each.
        seeds: of every row that has none of its own.
        rows: by name.
        columns: metric -> heading; the first one is drawn, and compared.
        focus: the row that the others are compared with.
        scenarios: further incident columns, group -> scenarios.
        worlds: a seed is another world, not another start of the same detector.
        quick: case -> row -> metric -> how far a quick run may lie from the table.
    """

    name: str
    title: str
    unit: str
    data: str | None
    cases: Mapping[str, tuple[str, ...]]
    seeds: tuple[int, ...]
    rows: Mapping[str, Row]
    columns: Mapping[str, str]
    focus: str
    scenarios: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    worlds: bool = False
    quick: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """With study.yaml, the tables and the figures."""
        return HERE / self.name

    @classmethod
    def load(cls, name: str) -> Study:
        """Read study.yaml.

        Raises:
            ConfigError: no such study.
        """
        if name not in NAMES:
            raise ConfigError(f"no study '{name}': choose from {', '.join(NAMES)}")
        told: dict[str, Any] = yaml.safe_load((HERE / name / "study.yaml").read_text())
        rows = {row: Row(**_tuples(given or {})) for row, given in told.pop("rows").items()}
        return cls(name=name, rows=rows, **_tuples(told))

    def cells(self, quick: bool = False) -> list[Cell]:
        """All of the study; or those that a quick run repeats, one seed each.

        Cells on the same windows come one after the other.
        """
        found = [
            Cell(self.name, case, name, seed, (*overrides, *row.set), row.scores)
            for case, overrides in self.cases.items()
            for name, row in self.rows.items()
            if row.cases is None or case in row.cases
            for seed in row.seeds or self.seeds
            if not quick or (name in self.quick.get(case, {}) and seed == self.seeds[0])
        ]
        cases = list(self.cases)
        return sorted(found, key=lambda cell: (cases.index(cell.case), cell.seed))


def _tuples(node: Any) -> Any:
    """Lists of YAML as tuples."""
    if isinstance(node, dict):
        return {key: _tuples(value) for key, value in node.items()}
    return tuple(_tuples(value) for value in node) if isinstance(node, list) else node
