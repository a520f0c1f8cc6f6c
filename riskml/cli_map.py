"""How `riskml --help` looks: a map by what people are at, and an example for every command."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import click

OTHERS = "Others"


class MapGroup(click.Group):
    """Lists its commands under headings.

    Args:
        headings: commands by what people are at, in the order in which they come to need them.
    """

    headings: ClassVar[Mapping[str, Sequence[str]]] = {}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Those that stand under no heading come last."""
        under = {name for names in self.headings.values() for name in names}
        rest = [name for name in self.list_commands(ctx) if name not in under]
        for heading, names in [*self.headings.items(), (OTHERS, rest)]:
            rows = [
                (name, _in_a_line(self.commands[name])) for name in names if name in self.commands
            ]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)


def _in_a_line(command: click.Command) -> str:
    """What a command says of itself first; where more is to be read stands in its own help."""
    first = " ".join((command.help or "").split("\n\n")[0].split())
    return re.sub(r" \(docs/[\w.-]+\)", "", first).split(": ")[0].rstrip(".")


def commands(command: click.Command, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All commands that do something, with the words that call them."""
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, *path, name)
        if command.invoke_without_command:
            yield path, command
    else:
        yield path, command


def hand_down_examples(program: str, group: click.Group) -> None:
    """Give commands without an example those lines of their groups' examples that call them."""
    for path, command in commands(group, program):
        call = " ".join(path)
        if call in (command.epilog or ""):
            continue
        found = [line for outer in _above(group, path[1:]) for line in _calls(outer, call)]
        if found:
            lines = "\n".join(f"  {line}" for line in found)
            told = f"\n\n{command.epilog}" if command.epilog else ""
            command.epilog = f"\b\nExamples:\n{lines}{told}"


def _above(group: click.Group, path: Sequence[str]) -> list[click.Group]:
    """The groups that a command stands in."""
    found = [group]
    for name in path[:-1]:
        inner = found[-1].commands[name]
        assert isinstance(inner, click.Group)
        found.append(inner)
    return found


def _calls(group: click.Group, call: str) -> list[str]:
    """Lines of a group's examples that call a command."""
    lines = [line.strip() for line in (group.epilog or "").splitlines()]
    return [line for line in lines if f"{call} " in f"{line} "]
