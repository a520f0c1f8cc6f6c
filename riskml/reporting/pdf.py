"""The report as an accessible PDF (PDF/UA-1: tagged, with language and title), by WeasyPrint."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from riskml.core.errors import ConfigError

MISSING = re.compile(r'"(.)" \(U\+')
HANGUL = re.compile("[ᄀ-ᇿ㄰-㆏가-힣]")
LIBRARIES = "apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
KOREAN = "apt-get install fonts-nanum (or fonts-noto-cjk)"
OTHERS = "apt-get install fonts-noto-core"


def render_pdf(html: str, language: str) -> tuple[bytes, list[str]]:
    """A PDF of a document, and warnings in words.

    Args:
        html: that loads nothing from elsewhere.
        language: of it.

    Raises:
        ConfigError: WeasyPrint, its libraries, or the fonts of the language are not installed.
    """
    try:
        from weasyprint import HTML
        from weasyprint.logger import LOGGER
        from weasyprint.urls import URLFetcher
    except ModuleNotFoundError as error:
        told = "pip install 'riskml[report]', or make HTML alone with --html-only"
        raise ConfigError(f"{error.name} is not installed: {told}") from error
    except OSError as error:  # a shared library
        told = f"Debian has them: {LIBRARIES}; or make HTML alone with --html-only"
        raise ConfigError(f"WeasyPrint lacks libraries: {told}") from error
    with _missing_glyphs(LOGGER) as missing:
        document = HTML(string=html, url_fetcher=URLFetcher(allowed_protocols=["data"]))
        content = document.write_pdf(pdf_variant="pdf/ua-1")
    signs = "".join(sorted(missing))
    if language == "ko" and HANGUL.search(signs):
        told = f"{KOREAN}, or make HTML alone with --html-only"
        raise ConfigError(f"no installed font has Korean letters: {told}")
    if signs:
        remedy = KOREAN if HANGUL.search(signs) else OTHERS
        return content, [f"no installed font has {signs[:20]}: they are boxes in the PDF; {remedy}"]
    return content, []


@contextmanager
def _missing_glyphs(logger: logging.Logger) -> Iterator[set[str]]:
    """Characters without a glyph; WeasyPrint says so in its log, which is otherwise left out."""
    found: set[str] = set()

    def keep(record: logging.LogRecord) -> bool:
        sign = MISSING.search(record.getMessage())
        if sign is not None:
            found.add(sign[1])
        return False

    logger.addFilter(keep)
    try:
        yield found
    finally:
        logger.removeFilter(keep)
