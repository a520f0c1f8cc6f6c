"""Every setting of conf/ with its default: a page a folder, from the files and their comments."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

import yaml
from reference_python import defined

FOLDERS: Mapping[str, str] = {
    "data": "The log, and how it is cut into periods. See [sources](../../sources.md).",
    "quality": "What a log is held to. See [quality](../../quality.md).",
    "pseudonyms": "Names that are replaced. See [pseudonyms](../../privacy.md).",
    "features": "What a window is, and what is known of it. See [features](../../features.md).",
    "model": "The detector. See [detectors made of others](../../wrappers.md) for some of them.",
    "threshold": "Which windows become alerts. See [thresholds](../../thresholds.md).",
    "scoring": "How scores are read.",
    "backtest": "Folds of an evaluation. See [evaluating over time](../../backtest.md).",
    "sweep": "Settings that are searched without labels. See [sweeps](../../sweeps.md).",
    "experiment": "Presets, which choose everything else.",
    "trainer": "Where a deep detector is trained; settings are those of Lightning's `Trainer`.",
    "callbacks": "What happens while it is trained; settings are those of Lightning's callbacks.",
    "logger": "Where runs are tracked. See [runs in MLflow](../../tracking.md).",
    "paths": "Where things are.",
}
"""Folders of conf/ that the commands read, in the order of their pages."""

FILES: Mapping[str, str] = {
    "alerting": "Files for [`riskml alerts`](../../alerts.md) to begin with.",
    "retraining": "The policy of [`riskml retrain`](../../retraining.md).",
}
"""Folders of files that other commands are given."""

INSIDE = {"quality": "data.quality.", "pseudonyms": "data.pseudonyms."}
"""Where a folder's settings stand, if not under its own name."""


@dataclass(frozen=True)
class Setting:
    """A line of a table.

    Args:
        name: as it is given on the command line.
        default: as the file has it.
        meaning: the file's comment, or else what the class says of the argument.
    """

    name: str
    default: str
    meaning: str


@dataclass(frozen=True)
class ConfigFile:
    """A file of conf/.

    Args:
        about: the comment that it begins with.
        takes: choices and files that it begins with, as `group=name` or a name.
        builds: the class of its `_target_`, if it has one.
        settings: in the order of the file.
    """

    about: str
    takes: tuple[str, ...]
    builds: str | None
    settings: tuple[Setting, ...]


def read(path: Path, prefix: str = "") -> ConfigFile:
    """Read a file; settings of packages other than `_global_` get the prefix."""
    text = path.read_text(encoding="utf-8")
    heading = re.match(r"(?:#.*\n)*", text)
    comments = (
        [line.removeprefix("#").strip() for line in heading[0].splitlines()] if heading else []
    )
    whole = "@package _global_" in comments
    tree = yaml.compose(text) or yaml.MappingNode("", [])
    content = yaml.safe_load(text) or {}
    found = _settings(tree, text, "" if whole else prefix, content.get("_target_"))
    return ConfigFile(
        about=" ".join(line for line in comments if not line.startswith("@package")),
        takes=tuple(_takes(content.get("defaults", []))),
        builds=content.get("_target_"),
        settings=tuple(found),
    )


def _takes(defaults: list[str | dict[str, str | None]]) -> Iterator[str]:
    for entry in defaults:
        if isinstance(entry, dict):
            for group, name in entry.items():
                group = group.removeprefix("override ").lstrip("/").partition("@")[0]
                yield f"{group}={'null' if name is None else name}"
        elif entry != "_self_":
            yield entry


def _settings(node: yaml.Node, text: str, prefix: str, target: str | None) -> Iterator[Setting]:
    """Those of a mapping, with those of the mappings inside it."""
    for key, value in node.value:
        name = key.value
        if name in {"_target_", "defaults"} or (name, prefix) == ("hydra", ""):
            continue
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            inner = {k.value: v.value for k, v in value.value}.get("_target_")
            about = _comment(text, key.end_mark.index)
            if about:
                yield Setting(f"{prefix}{name}", "", about)
            yield from _settings(value, text, f"{prefix}{name}.", inner)
        else:
            meaning = _comment(text, value.end_mark.index) or _argument(target, name)
            yield Setting(f"{prefix}{name}", _written(value, text), meaning)


def _written(node: yaml.Node, text: str) -> str:
    if isinstance(node, yaml.SequenceNode) and not node.flow_style:
        return f"[{', '.join(_written(item, text) for item in node.value)}]"
    return " ".join(text[node.start_mark.index : node.end_mark.index].split())


def _comment(text: str, begin: int) -> str:
    """What stands behind a value, on its line."""
    rest = text[begin:].partition("\n")[0]
    return rest.partition("#")[2].strip()


def _argument(target: str | None, name: str) -> str:
    """What a class of ours says of an argument."""
    if target is None or not target.startswith("riskml."):
        return ""
    module, _, kind = target.rpartition(".")
    for base in inspect.getmro(getattr(import_module(module), kind)):
        listed = re.search(r"^Args:\n(.*?)(?:\n\n|\Z)", inspect.getdoc(base) or "", re.M | re.S)
        pattern = rf"^    {name}: (.*(?:\n {{8}}.*)*)"
        if listed and (found := re.search(pattern, listed[1], re.M)):
            return " ".join(found[1].split())
    return ""


def _told(words: str) -> str:
    """A comment, with links to the pages that it names."""
    return re.sub(r"docs/([\w-]+\.md)", r"[\1](../../\1)", words)


def _cell(words: str) -> str:
    return words.replace("|", "\\|")


def _code(words: str) -> str:
    return f"`{_cell(words)}`" if words else ""


def _table(settings: tuple[Setting, ...]) -> Iterator[str]:
    yield "| setting | default | meaning |"
    yield "|---|---|---|"
    for one in settings:
        yield f"| {_code(one.name)} | {_code(one.default)} | {_cell(_told(one.meaning))} |"


def _section(title: str, file: ConfigFile) -> Iterator[str]:
    yield from (f"## {title}", "")
    if file.about:
        yield from (_told(file.about), "")
    if file.takes:
        yield from ("Begins with " + ", ".join(map(_code, file.takes)) + ".", "")
    if file.builds and file.builds.startswith("riskml."):
        yield from (f"Builds {{py:obj}}`{defined(file.builds)}`.", "")
    if file.settings:
        yield from (*_table(file.settings), "")


def files(conf: Path) -> dict[str, dict[str, ConfigFile]]:
    """All files by folder and name; those beside the folders under "".

    A setting that is explained in one way means the same where another file sets it.
    """
    paths = {"": [conf / "train.yaml", conf / "evaluate.yaml"]}
    paths |= {folder: sorted((conf / folder).glob("*.yaml")) for folder in FOLDERS}
    found = {
        folder: {path.stem: read(path, _prefix(folder)) for path in group}
        for folder, group in paths.items()
    }
    meanings: dict[str, set[str]] = defaultdict(set)
    for file in (file for group in found.values() for file in group.values()):
        for one in file.settings:
            meanings[one.name] |= {one.meaning} - {""}
    told = {name: next(iter(known)) for name, known in meanings.items() if len(known) == 1}
    return {
        folder: {name: _explained(file, told) for name, file in group.items()}
        for folder, group in found.items()
    }


def _prefix(folder: str) -> str:
    return INSIDE.get(folder, f"{folder}.") if folder else ""


def _explained(file: ConfigFile, told: Mapping[str, str]) -> ConfigFile:
    """With meanings for settings that only hand their value on, or are explained elsewhere."""
    handed = {one.default: one.meaning for one in file.settings if one.meaning}
    settings = [
        replace(
            one, meaning=one.meaning or handed.get(f"${{{one.name}}}") or told.get(one.name, "")
        )
        for one in file.settings
    ]
    return replace(file, settings=tuple(settings))


def pages(conf: Path) -> dict[str, str]:
    """Markdown of every page, by file name."""
    read_files = files(conf)
    found = {"index.md": _index(read_files[""])}
    for folder, about in FOLDERS.items():
        lines = [f"# {folder}", "", about, ""]
        for name, file in read_files[folder].items():
            lines += _section(f"{folder}={name}", file)
        found[f"{folder}.md"] = "\n".join(lines)
    for folder, about in FILES.items():
        lines = [f"# {folder}", "", about, ""]
        for path in sorted((conf / folder).glob("*.yaml")):
            text = path.read_text(encoding="utf-8").rstrip()
            lines += [f"## conf/{folder}/{path.name}", "", "```yaml", text, "```", ""]
        found[f"{folder}.md"] = "\n".join(lines)
    return found


def _index(commands: Mapping[str, ConfigFile]) -> str:
    lines = [
        "# Settings",
        "",
        "Made from `conf/` when this site is built. Any of them can be given to `train.py` and",
        "`evaluate.py` on the command line: `group=name` chooses a file, `name=value` changes a",
        "setting. The last pages are of files that other commands are given.",
        "",
        ":::{toctree}",
        ":maxdepth: 1",
        *FOLDERS,
        *FILES,
        ":::",
        "",
    ]
    for command, file in commands.items():
        lines += _section(f"{command}.py", file)
    return "\n".join(lines)
