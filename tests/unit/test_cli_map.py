"""`riskml --help` and that of every command."""

from __future__ import annotations

import re
import shlex

import click
import pytest
from click.testing import CliRunner

from riskml.cli import main
from riskml.cli_map import OTHERS, commands

ALL = {path: command for path, command in commands(main, "riskml")}


def help_of(*words: str) -> str:
    result = CliRunner().invoke(main, [*words, "--help"], prog_name="riskml", max_content_width=100)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_map_has_every_command_once_under_a_heading() -> None:
    shown = help_of()
    assert f"{OTHERS}:" not in shown
    for name in main.commands:
        assert len(re.findall(rf"^  {name} ", shown, re.MULTILINE)) == 1, name
    assert "..." not in shown.split("Options:")[1], "a description is cut short"


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_an_example_that_its_parser_takes(path: tuple[str, ...]) -> None:
    call = " ".join(path)
    text = (ALL[path].epilog or "").replace("\\\n", " ")
    calls = [line[line.index(call) :] for line in text.splitlines() if call in line]
    assert calls, "no example"
    assert call in help_of(*path[1:])
    for line in calls:
        words = shlex.split(
            re.sub(r"<\w+>|\$\([^)]*\)", "X", re.split(r" \| | > |  # | && ", line)[0])
        )
        known = {name for each in ALL[path].params for name in (*each.opts, *each.secondary_opts)}
        for word in words[len(path) :]:
            if re.match(r"--?[a-z]", word):
                assert word.split("=")[0] in known | {"-"}, f"{word} in {line}"


def test_a_command_under_no_heading_comes_last() -> None:
    group = type(main)("tool")
    group.add_command(click.Command("odd", help="Something else."))
    shown = CliRunner().invoke(group, ["--help"]).stdout
    assert shown.index(f"{OTHERS}:") < shown.index("odd")
