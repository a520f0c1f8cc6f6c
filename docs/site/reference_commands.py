"""The command line: a page a command of `riskml`, from the commands themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click
import yaml

from riskml.cli import main

RUNS = """\
## train.py and evaluate.py

[Settings](../settings/index.md) has every choice and every setting. Exit codes: 0 done, 2 wrong
input or setting, 130 interrupted, 1 unexpected.
"""


def pages(conf: Path) -> dict[str, str]:
    """Markdown of every page, by file name."""
    found = {"index.md": "\n".join(_index(conf))}
    for name, command in main.commands.items():
        found[f"{name}.md"] = "\n".join(_command(command, ("riskml", name), "#"))
    return found


def _index(conf: Path) -> Iterator[str]:
    yield from ("# Commands", "", "Made from the commands themselves when this site is built.", "")
    yield RUNS
    for command in ("train", "evaluate"):
        file = yaml.safe_load((conf / f"{command}.yaml").read_text(encoding="utf-8"))
        yield from _block(file["hydra"]["help"]["template"].partition("\n==")[0])
    yield from ("## riskml", "", *_told(main.help), *_usage(main, ("riskml",)))
    yield from (*_options(main), *_told(main.epilog))
    for heading, names in main.headings.items():
        yield from (":::{toctree}", f":caption: {heading}", ":maxdepth: 2", "", *names, ":::", "")


def _command(command: click.Command, path: tuple[str, ...], level: str) -> Iterator[str]:
    yield from (f"{level} {' '.join(path)}", "")
    yield from (*_told(command.help), *_usage(command, path))
    yield from (*_options(command), *_told(command.epilog))
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _command(inner, (*path, name), f"{level}#")


def _told(text: str | None) -> Iterator[str]:
    """Help as Markdown: paragraphs, and as it stands what click is told not to wrap."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text or "")):
        if paragraph.lstrip().startswith("\b"):
            yield from _block(paragraph.lstrip("\b \n"))
        elif paragraph.strip():
            yield from (_escaped(" ".join(paragraph.split())), "")


def _block(text: str) -> Iterator[str]:
    yield from ("```text", inspect.cleandoc(text).rstrip(), "```", "")


def _usage(command: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    context = click.Context(command, info_name=" ".join(path))
    yield from _block(" ".join([*path, *command.collect_usage_pieces(context)]))


def _options(command: click.Command) -> Iterator[str]:
    """Options with what their help says, which names default, range and environment variable."""
    context = click.Context(command)
    records = [record for one in command.params if (record := one.get_help_record(context))]
    if records:
        yield from ("| option | meaning |", "|---|---|")
        for names, meaning in records:
            yield f"| `{_cell(names)}` | {_cell(_escaped(meaning))} |"
        yield ""


def _escaped(text: str) -> str:
    """What Markdown would read as its own, outside of `code`."""
    parts = re.split(r"(`[^`]*`)", text)
    text = "".join(p if p.startswith("`") else re.sub(r"([*_<\[\]])", r"\\\1", p) for p in parts)
    return re.sub(r"docs/([\w-]+\.md)", r"[\1](../../\1)", text)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
