"""The report in a real browser, on a desk, on a phone and on paper.

Skipped where there is no Chromium: `apt-get install chromium`, or name one in RISKML_CHROMIUM.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import last_run

pytestmark = pytest.mark.slow

SIZES = {"desk": (1280, 900), "phone": (390, 844)}


class Looked:
    """The page, and what it said and asked for while it was open."""

    def __init__(self, browser: object, path: Path, size: str, **settings: object) -> None:
        width, height = SIZES[size]
        context = browser.new_context(  # type: ignore[attr-defined]
            viewport={"width": width, "height": height}, offline=True, **settings
        )
        self.page = context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def hidden_rows(self) -> int:
        return int(self.page.evaluate(HIDDEN))


HIDDEN = "[...document.querySelectorAll('details tr')].filter(row => !row.checkVisibility()).length"


@pytest.fixture(scope="module", params=["train", "evaluate"])
def report(request: pytest.FixtureRequest, trained: Path) -> Path:
    return last_run(trained, request.param) / "report.html"


@pytest.mark.parametrize("size", SIZES)
def test_it_fits_and_is_quiet(size: str, report: Path, browser: object) -> None:
    looked = Looked(browser, report, size)
    page = looked.page
    assert page.title().startswith("Evaluation of vae on csv")
    wide, shown = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= shown
    broken = "[...document.images].filter(image => !image.complete || !image.naturalWidth).length"
    assert page.evaluate("document.images.length") == 5
    assert page.evaluate(broken) == 0
    for part in page.locator("details").all():
        part.evaluate("part => part.open = true")
    wide, shown = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= shown, "with everything open"
    assert looked.said == []
    assert [address for address in looked.asked if not address.startswith("data:")] == [
        report.as_uri()
    ]


def test_columns_sort_by_value(trained: Path, browser: object) -> None:
    page = Looked(browser, last_run(trained, "evaluate") / "report.html", "desk").page
    table = page.locator("#detectors table.sortable").first
    names, values = table.locator("tbody th"), table.locator("tbody td:nth-child(2)")

    def column() -> list[float]:
        return [float(cell.get_attribute("data-value")) for cell in values.all()]

    best = column()
    assert sorted(best, reverse=True) == best
    assert best[0] > best[-1]
    table.locator("thead button", has_text="average precision").click()
    assert column() == best, "the best first"
    table.locator("thead button", has_text="average precision").click()
    assert column() == best[::-1]
    heads = table.locator("thead th[aria-sort]")
    assert heads.count() == 1
    assert heads.get_attribute("aria-sort") == "ascending"
    table.locator("thead button", has_text="detector").press("Enter")
    order = [text.split()[0] for text in names.all_inner_texts()]
    assert order == ["random", "vae", "window_length"]
    assert len(set(column())) == len(set(best)), "rows move as a whole"


def test_it_works_without_scripts(report: Path, browser: object) -> None:
    page = Looked(browser, report, "desk", java_script_enabled=False).page
    assert page.locator("th button").count() == 0
    page.locator("details.case summary").nth(1).click()
    assert page.locator("details.case").nth(1).get_attribute("open") is not None


def test_on_paper_everything_is_open(report: Path, browser: object, tmp_path: Path) -> None:
    looked = Looked(browser, report, "desk")
    page = looked.page
    assert looked.hidden_rows() > 0
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert looked.hidden_rows() == 0
    cut = "[...document.querySelectorAll('.scroll')].filter(s => s.scrollWidth > s.clientWidth + 1)"
    page.set_viewport_size({"width": 703, "height": 1000})  # what margins leave of A4
    assert page.evaluate(f"{cut}.map(s => s.getAttribute('aria-label'))") == []
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    assert looked.hidden_rows() > 0
    page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
