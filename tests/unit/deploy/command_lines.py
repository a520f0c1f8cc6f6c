"""Whether a command line is one that riskml takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from riskml.cli import main


def parsed(words: Sequence[str]) -> dict[str, Any]:
    """The options that the command of a command line gets; runs nothing.

    Raises:
        click.UsageError: there is no such command, option or value, or one is missing.
    """
    name, *rest = words
    assert name == "riskml", words
    command: click.Command = main
    context = command.make_context(name, rest)
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        if not rest and command.invoke_without_command:
            break
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
        context = command.make_context(name, rest, parent=context)
    return context.params
