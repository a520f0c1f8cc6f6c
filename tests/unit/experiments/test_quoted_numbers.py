"""Numbers quoted in README.md and docs/ stand in committed tables; and the rule that says so."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments import quoted
from experiments.quoted import RULES, claims, documents, sections, without_source

TABLE = """# Found

| detector | AP | seconds |
|---|---|---|
| **vae** | 0.512 ± 0.020 | 1,204 |
| `other` | 0.700 | 7 |

Both at 1.5 GB, 85.3 % of them.
"""


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.parent.name + "-" + path.name)
def test_every_quoted_number_stands_in_a_table(path: Path) -> None:
    rules = yaml.safe_load(RULES.read_text())
    assert list(without_source(path, rules)) == []


def test_tables_that_are_quoted_are_committed() -> None:
    named = {file for path in documents() for part in sections(path) for file in part.sources}
    rules = yaml.safe_load(RULES.read_text())
    given = [f for own in rules.values() for files in own.get("from", {}).values() for f in files]
    wanted = {path.relative_to(quoted.ROOT).as_posix() for path in named} | set(given)
    assert len(wanted) > 6
    done = subprocess.run(
        ["git", "ls-files", "--error-unmatch", *sorted(wanted)],
        cwd=quoted.ROOT,
        capture_output=True,
        text=True,
    )
    if "not a git repository" in done.stderr:
        pytest.skip("not a git checkout")
    assert done.returncode == 0, done.stderr


def test_rules_name_documents_that_are_there() -> None:
    names = {path.relative_to(quoted.ROOT).as_posix() for path in documents()}
    assert set(yaml.safe_load(RULES.read_text())) <= names


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a document beside a results file, and gives what has no source."""
    monkeypatch.setattr(quoted, "ROOT", tmp_path)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "results.md").write_text(TABLE)
    quoted._source.cache_clear()

    def check(text: str, rules: dict[str, Any] | None = None) -> list[str]:
        path = tmp_path / "page.md"
        path.write_text(text)
        return list(without_source(path, {"page.md": rules or {}}))

    yield check
    quoted._source.cache_clear()


LINK = "## Results\n\n[All of it](experiments/results.md).\n\n"


@pytest.mark.parametrize(
    "text",
    [
        "The VAE has 0.512 (0.020).",
        "The VAE has 0.51.",
        "It takes 1,204 s, and 1.5 GB.",
        "It finds 85.3 %, that is 85 %, of them.",
        "| detector | AP |\n|---|---|\n| vae | 0.512 |\n",
        "| detector | AP |\n|---|---|\n| VAE | 0.512 ± 0.020 |\n",
    ],
)
def test_what_stands_there_passes(page: Any, text: str) -> None:
    assert page(LINK + text) == []


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The VAE has 0.513.", "0.513"),
        ("The VAE has 0.5120.", "0.5120"),
        ("It takes 1,205 events.", "1,205"),
        ("Of these 0.513.", "0.513"),
        ("| of it |\n|---|\n| vae | found in 86 % of all the windows there are |\n", "86 %"),
        ("It finds 86 % of them.", "86 %"),
        ("It takes 12 s.", "12"),
        ("- one\n- and AP 0.2", "0.2"),
        ("| detector | AP |\n|---|---|\n| vae | 0.700 |\n", "0.700"),
        ("| detector | AP |\n|---|---|\n| new | 0.512 |\n", "0.512"),
        ("| detector | AP | n |\n|---|---|---|\n| vae | 0.512 | 9 |\n", "9"),
    ],
)
def test_what_does_not_is_told(page: Any, text: str, number: str) -> None:
    (line,) = page(LINK + text)
    assert line.startswith(f"page.md, Results: {number} in")


@pytest.mark.parametrize(
    "text",
    [
        "```bash\npython x.py --share 0.9\n```",
        "    python x.py 0.9",
        "`share=0.9` of version 1.2.3 and 3 of them, see §4, port 5432",
        "| setting | default |\n|---|---|\n| `share` | 0.9 |\n",
        "| detector | at 4.6 % |\n|---|---|\n",
        "[a link](https://example.org/0.9)",
        "A share of 0.9, and 1,000 more.",
        "Recall has 95 % intervals.",
        "| what | how |\n|---|---|\n| the scale | from 0 to 100, where 25 are ten times rarer |\n",
    ],
)
def test_what_is_no_result_is_not_asked_for(page: Any, text: str) -> None:
    assert page(text) == []


def test_a_number_needs_the_table_of_its_own_section(page: Any) -> None:
    assert page(LINK + "### Below\n\n0.512\n") == []
    (line,) = page(LINK + "## Beside\n\n0.512\n")
    assert line.startswith("page.md, Beside: 0.512")
    assert (
        page(LINK + "## Beside\n\n0.512\n", {"from": {"Beside": ["experiments/results.md"]}}) == []
    )


def test_exemptions_are_phrases_and_sections(page: Any) -> None:
    text = "## Settings\n\nA share of 0.9, and 0.8, found.\n"
    assert len(page(text, {"exempt": {"share of 0.9": "a setting"}})) == 1
    assert page(text, {"exempt": {"Settings": "settings"}}) == []
    (idle,) = page("Nothing.", {"exempt": {"share of 0.9": "a setting"}})
    assert "which is not there" in idle
    (lost,) = page("## A\n", {"from": {"A": ["experiments/gone.md"]}})
    assert "experiments/gone.md, which is not there" in lost


def test_turned_tables_are_loose(page: Any) -> None:
    turned = LINK + "| | vae | other |\n|---|---|---|\n| AP | 0.512 | 0.700 |\n"
    assert page(turned) != []
    assert page(turned, {"loose": ["Results"]}) == []
    (line,) = page(turned.replace("0.700", "0.701"), {"loose": ["Results"]})
    assert "0.701 in the row 'AP'" in line


def test_ranges_of_percentages() -> None:
    found = [number.value for number in claims("It finds 1.30–1.42 % of them.")]
    assert found == pytest.approx([0.013, 0.0142])
