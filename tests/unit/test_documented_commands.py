"""Commands in README.md and docs/ are such as the real parsers take."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from riskml.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
ENDS = re.compile(r"\s(?:\||&&|>>?|<|&|#|;)(?:\s|$)")
MADE_THERE = {"usual_day"}
"""Files that a page has its reader write."""
CHOICES = {path.name: path for path in (ROOT / "conf").iterdir() if path.is_dir()}


def commands(page: Path, program: str) -> Iterator[str]:
    """What a page calls a program with, without pipes, redirections and remarks."""
    for language, block in FENCED.findall(page.read_text(encoding="utf-8")):
        if language not in {"", "bash", "sh", "cron"}:
            continue
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            for found in re.finditer(rf"(?:^|[|&*(] +)(?:python )?{re.escape(program)} (.*)", line):
                yield ENDS.split(found[1])[0].strip()


def words(line: str) -> list[str]:
    """As a shell splits them; what a shell would put in is one word."""
    line = re.sub(r"\$\([^)]*\)|\$\w+|<[\w /]+>", "X", line)
    return shlex.split(line if line.count("'") % 2 == 0 else f"{line}'")  # goes on below


def unknown(line: str) -> str | None:
    """What of a call of riskml its parser does not know."""
    command: click.Command = main
    rest = iter(words(line))
    for word in rest:
        if re.match(r"--?[a-z]", word):
            name, equals, _ = word.partition("=")
            options = [one for one in command.params if name in (*one.opts, *one.secondary_opts)]
            if not options and name not in {"-h", "--help"}:
                return f"no option {word}"
            if options and not equals and not getattr(options[0], "is_flag", False):
                next(rest, None)  # its value
        elif isinstance(command, click.Group):
            if word not in command.commands:
                return f"no command {word}"
            command = command.commands[word]
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_riskml_knows_its_commands_and_options(page: Path) -> None:
    calls = [line for line in commands(page, "riskml") if line and line[0].isalpha()]
    wrong = {line: what for line in calls if (what := unknown(line)) is not None}
    assert wrong == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_choices_of_train_and_evaluate_are_files_of_conf(page: Path) -> None:
    for program in ("train.py", "evaluate.py"):
        top = yaml.safe_load((ROOT / "conf" / f"{program[:-3]}.yaml").read_text())
        for line in commands(page, program):
            for word in words(line):
                group, equals, value = word.partition("=")
                if not equals or group not in CHOICES or group == "paths":
                    continue
                assert any(group in entry for entry in top["defaults"] if entry != "_self_"), line
                for name in set(value.split(",")) - MADE_THERE - {"...", "null"}:
                    assert (CHOICES[group] / f"{name}.yaml").is_file(), line


def test_commands_are_found_and_wrong_ones_told() -> None:
    assert len(list(commands(ROOT / "README.md", "riskml"))) > 10
    assert unknown("alerts take --from scores") is None
    assert unknown("alerts takes --from scores") == "no command takes"
    assert unknown("score --bundel b") == "no option --bundel"
