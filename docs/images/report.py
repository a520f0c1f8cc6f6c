"""Takes report.png, the picture of a report in README.md, with a real browser.

    python train.py model=vae
    python evaluate.py detectors=[neighbours,vae]
    python docs/images/report.py outputs/evaluate/<date>/report.html

It shows the head of the report, the curves and the first alert; what lies between is left out.
"""

from __future__ import annotations

import shutil
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

SHOWN = """
section:not(#summary, #curves, #alerts) { display: none !important }
nav, footer, #summary .keys ~ * { display: none !important }
#alerts p, #alerts details ~ details, #alerts dl, #alerts h3 ~ h3, #alerts .scroll { display: none }
section { margin-top: 1.2rem !important }
body, main { padding-bottom: 0 !important; margin-bottom: 0 !important }
"""


def main(report: Path) -> None:
    """Write report.png beside this file."""
    browser = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    )
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser, args=["--no-sandbox", "--disable-background-networking"]
        )
        page = chromium.new_page(viewport={"width": 1000, "height": 600}, bypass_csp=True)
        page.goto(report.resolve().as_uri())
        page.add_style_tag(content=SHOWN)
        taken = Image.open(BytesIO(page.screenshot(full_page=True)))
        chromium.close()
    colours = taken.convert("RGB").quantize(96)  # so many are enough, and a third of the bytes
    colours.save(Path(__file__).with_suffix(".png"), optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
