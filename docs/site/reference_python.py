"""The Python reference: a page a room of riskml/, from docstrings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module

import riskml
from riskml.core.targets import RISKML

ROOMS = {
    "core": ("what everything else is made of", ["types", "errors", "pseudonyms"]),
    "data": ("logs, and how they are cut into periods", ["event_mapping"]),
    "features": ("events → windows", ["family", "profile"]),
    "models": ("detectors of our own", ["base", "face", "tables", "likelihoods"]),
    "baselines": ("detectors to compare with", []),
    "wrappers": ("detectors made of others", []),
    "scoring": ("score → risk → alert", ["calibration", "explain"]),
    "evaluation": ("how good it is", ["evaluator", "comparison", "backtest"]),
    "export": ("what leaves the laboratory", ["bundle"]),
    "serving": ("a bundle at work", ["job", "stores"]),
    "streaming": ("event by event", ["replay"]),
    "alerting": ("windows → alerts", ["alert_log", "feedback"]),
    "graph": ("who touched what", ["store"]),
    "monitoring": ("watching it", ["drift"]),
    "runs": ("what train.py and evaluate.py do", []),
}
"""What a room is for, and its modules that are shown whole; of others, what a config may build."""


def pages() -> dict[str, str]:
    """reStructuredText of every page, by file name."""
    buildable: dict[str, list[str]] = defaultdict(list)
    for name in sorted(set(map(defined, RISKML))):
        buildable[name.split(".")[1]].append(name)
    found = {"index.rst": "\n".join(_index())}
    for room, (about, modules) in ROOMS.items():
        whole = [f"riskml.{room}.{module}" for module in modules]
        found[f"{room}.rst"] = "\n".join(_room(room, about, whole, buildable.pop(room, [])))
    assert not buildable, f"no page for {sorted(buildable)}"
    return found


def defined(name: str) -> str:
    """Where what is imported as `name` is defined."""
    module, _, last = name.rpartition(".")
    thing = getattr(import_module(module), last)
    return f"{thing.__module__}.{thing.__qualname__}"


def _title(text: str, line: str = "=") -> list[str]:
    return [text, line * len(text), ""]


def _index() -> Iterator[str]:
    yield from _title("Python")
    yield "What ``import riskml`` gives. The rooms behind it have pages of their own:"
    yield from ("", ".. toctree::", "   :maxdepth: 1", "")
    yield from (f"   {room}" for room in ROOMS)
    yield ""
    for name in sorted(riskml.__all__, key=str.lower):
        thing = getattr(riskml, name)
        if isinstance(thing, type):
            yield from (f".. autoclass:: riskml.{name}", "   :members:", "")
        elif callable(thing):
            yield from (f".. autofunction:: riskml.{name}", "")


def _room(room: str, about: str, whole: list[str], buildable: list[str]) -> Iterator[str]:
    yield from _title(f"riskml.{room}")
    yield from (f"{about[0].upper()}{about[1:]}.", "")
    for module in whole:
        yield from _title(module, "-")
        yield from (f".. automodule:: {module}", "   :members:", "")
    others = [name for name in buildable if name.rpartition(".")[0] not in whole]
    if others:
        yield from _title("What a config may build", "-")
    for name in others:
        kind = "autoclass" if name.rpartition(".")[2][0].isupper() else "autofunction"
        yield from (f".. {kind}:: {name}", "   :members:" if kind == "autoclass" else "", "")
