"""Findings: what was asked of a setting, how it stands, and the remedy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from riskml.core.errors import RiskmlError
from riskml.core.redaction import printable
from riskml.core.secrets import Secrets


class Level(StrEnum):
    """How it stands."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        level: how it stands.
        setting: its option, its variable, or both.
        told: what was found.
        remedy: what to do; empty where nothing is.
    """

    level: Level
    setting: str
    told: str
    remedy: str = ""

    @property
    def line(self) -> str:
        """For people."""
        remedy = f" → {self.remedy}" if self.remedy else ""
        return printable(f"{self.level:<8} {self.setting}: {self.told}{remedy}")

    def plain(self) -> dict[str, str]:
        """For programs."""
        return asdict(self)


@dataclass
class Checks:
    """Asks of settings, one after the other, and keeps what was found.

    Args:
        values: of the options, by parameter.
        names: of the options as people know them, by parameter.
        offline: nothing is asked over the network.
        overrides: what is left of the command line: settings of train.py.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    offline: bool = False
    overrides: tuple[str, ...] = ()
    found: list[Finding] = field(default_factory=list)

    def name(self, parameter: str) -> str:
        """The setting of a parameter; what is none is its own name."""
        return self.names.get(parameter, parameter)

    def needed(self, parameter: str, remedy: str) -> Any:
        """The value of a setting without which the role does nothing; None after an error."""
        value = self.values.get(parameter)
        if value is None or value == ():
            self.add(Level.ERROR, parameter, "is not set", remedy)
            return None
        return value

    def ask(self, parameter: str, question: Callable[[], str], remedy: str = "") -> bool:
        """Ask, and note the answer; whatever a person can put right is an error.

        Args:
            parameter: the setting that it is about.
            question: gives what was found, or raises.
            remedy: where it raises.

        Returns:
            Whether all is well.
        """
        try:
            self.add(Level.OK, parameter, question())
            return True
        except RiskmlError as error:
            self.add(Level.ERROR, parameter, str(error), remedy)
        except ModuleNotFoundError as error:
            told = f"{error.name} is not installed"
            self.add(Level.ERROR, parameter, told, remedy or "pip install 'riskml[train]'")
        except OSError as error:
            where = f"{error.filename}: " if error.filename is not None else ""
            self.add(Level.ERROR, parameter, f"{where}{error.strerror or error}", remedy)
        return False

    def add(self, level: Level, parameter: str, told: str, remedy: str = "") -> None:
        """Note something, without secrets."""
        setting, told = self.name(parameter), " ".join(Secrets().removed(told).split())
        for word in (setting, setting.split()[0]):  # messages often begin with it
            told = told.removeprefix(f"{word}: ").removeprefix(f"{word} ")
        self.found.append(Finding(level, setting, told, remedy))

    def count(self, level: Level) -> int:
        """Findings of a level."""
        return sum(each.level is level for each in self.found)
