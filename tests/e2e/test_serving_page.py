"""The service's page in a real browser, and odd requests made from its own document."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.serve_fuzzing import WITH_BODIES, fuzz, generated
from benchmarks.serve_speed import TOKEN, started

pytestmark = pytest.mark.slow

BUNDLE = Path(__file__).parents[1] / "data" / "bundles" / "format_3" / "bundle"
CASES = 200


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    process, port, *_ = started(BUNDLE)
    yield f"http://127.0.0.1:{port}"
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 0


def test_what_the_page_offers_works(url: str, browser: object) -> None:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()  # type: ignore[attr-defined]
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{url}/docs")
    page.get_by_role("button", name="Authorize").first.click()
    page.locator(".auth-container input").fill(TOKEN)
    page.locator(".auth-btn-wrapper button.authorize").click()
    page.locator(".auth-btn-wrapper button.btn-done").click()
    for path in ("/v1/events", "/v1/windows"):
        operation = page.locator(".opblock", has=page.locator(f'[data-path="{path}"]'))
        operation.locator(".opblock-summary-control").click()
        operation.get_by_role("button", name="Execute").click()
        status = operation.locator(".live-responses-table .response-col_status").last
        status.wait_for()
        assert status.inner_text().startswith("200"), status.inner_text()
        assert "model_version" in operation.locator(".live-responses-table").inner_text()
    assert said == []
    assert [address for address in asked if not address.startswith((url, "data:", "blob:"))] == []


def test_odd_requests_are_answered_as_the_document_says(url: str) -> None:
    """Some hundred of them; `python -m benchmarks.serve_fuzzing BUNDLE` sends 10,000."""
    found = fuzz(url, CASES, TOKEN, "fuzzing", WITH_BODIES)
    assert found.returncode == 0, found.stdout[-3_000:]
    assert generated(found.stdout) >= CASES
