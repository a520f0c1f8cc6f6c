"""The documentation site is built: no warning, every internal link and anchor leads somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import riskml
from riskml.cli import main
from riskml.cli_map import commands

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def built(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Build as `make docs` does."""
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
    command += ["-c", str(source / "docs" / "site"), str(source), str(out)]
    return subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=900)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    done = built(ROOT, out)
    assert done.returncode == 0, done.stderr[-4000:]
    return out / "docs"


def test_the_reference_has_every_name_command_and_setting(site: Path) -> None:
    python = (site / "reference" / "python" / "index.html").read_text()
    for name in set(riskml.__all__) - {"__version__"}:
        assert f'id="riskml.{name}"' in python, name
    for path, _ in commands(main, "riskml"):
        page = (site / "reference" / "commands" / f"{path[1]}.html").read_text()
        assert f'id="{"-".join(path)}"' in page, path
    for file in (ROOT / "conf" / "model").glob("*.yaml"):
        page = (site / "reference" / "settings" / "model.html").read_text()
        assert f'id="model-{file.stem.replace("_", "-")}"' in page, file


def test_links_and_anchors_of_all_pages_lead_somewhere(site: Path) -> None:
    """Also those that Sphinx makes itself."""
    pages = {path: path.read_text() for path in site.parent.rglob("*.html")}
    anchors = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in pages.items()}
    dead = []
    for path, text in pages.items():
        for href in re.findall(r'<a\b[^>]*\bhref="([^"]+)"', text):
            if re.match(r"[a-z]+:", href):
                continue
            file, _, anchor = href.partition("#")
            target = (path.parent / file).resolve() if file else path
            if not target.is_file() or (anchor and anchor not in anchors.get(target, {anchor})):
                dead.append(f"{path.relative_to(site.parent)}: {href}")
    assert dead == []


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """So that the site works from a folder, without network."""
    for path in site.parent.rglob("*.html"):
        loads = re.findall(
            r'<(?:script|link|img)\b[^>]*\b(?:src|href)="(https?:[^"]+)"', path.read_text()
        )
        assert loads == [], path


def test_a_dead_link_fails_the_build(tmp_path: Path) -> None:
    """With the settings of the real one."""
    for name in ("nowhere.md", "other.md#no-such-heading"):
        source = tmp_path / name.partition("#")[0]
        (source / "docs" / "site").mkdir(parents=True)
        real = (ROOT / "docs" / "site" / "conf.py").read_text()
        kept = re.findall(r"^(?:myst_|root_doc|source_suffix).*$", real, re.MULTILINE)
        conf = "\n".join(['extensions = ["myst_parser"]', *kept])
        (source / "docs" / "site" / "conf.py").write_text(conf)
        (source / "docs" / "other.md").write_text("---\norphan: true\n---\n# Other\n")
        (source / "docs" / "index.md").write_text(f"# Here\n\n[there]({name})\n")
        done = built(source, tmp_path / "out" / name)
        assert done.returncode != 0
        assert "cross-reference target not found" in done.stderr or "local id" in done.stderr
