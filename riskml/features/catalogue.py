"""The list of all features for people: `riskml catalogue`, kept in `docs/features.md`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from itertools import groupby

from riskml.core.types import Feature
from riskml.features.actions import RESERVED, ActionVocabulary
from riskml.features.extractor import FAMILIES

_INTRODUCTION = """\
# Features

Every feature of a window with the families' default settings, written by `riskml catalogue`.
`features.use=[volume,novelty,history]` says which families are used. Every number is causal: it
looks at the window itself, at what came before it, and at what was learnt from the train period.
"""


def catalogue() -> str:
    """Markdown: a section a family, a row a feature.

    An action's columns stand once, as `count:<action>`, and so do the dimensions of an embedding.
    """
    vocabulary = ActionVocabulary()
    vocabulary.actions = (*RESERVED, "<action>")
    sections, before = [_INTRODUCTION], list[Feature]()
    for name, kind in FAMILIES.items():
        made = kind().features(vocabulary, before)
        before = before + made
        about = (inspect.getdoc(kind) or "").splitlines()[0]
        sections.append(f"## {name}\n\n{about}\n\n{_table(made)}")
    return "\n".join(sections)


def _table(features: Iterable[Feature]) -> str:
    rows = ["| feature | kind | unit | meaning |", "|---|---|---|---|"]
    for _, alike in groupby(features, lambda feature: (feature.topic, feature.meaning)):
        group = list(alike)
        first, last = group[0], group[-1]
        between = ", " if len(group) == 2 else " … "
        name = f"`{first.name}`" if first is last else f"`{first.name}`{between}`{last.name}`"
        meaning = first.meaning.replace("<", "&lt;")
        rows.append(f"| {name} | {first.kind} | {first.unit} | {meaning} |")
    return "\n".join(rows) + "\n"
