"""Reports of a week or a month, from the alert log and what stands beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from sqlalchemy import select

from riskml import __version__
from riskml.alerting.alert_log import AlertLog
from riskml.alerting.feedback import FeedbackStore
from riskml.alerting.log_tables import ALERTS
from riskml.alerting.page.veil import PSEUDONYM, Veil
from riskml.alerting.verification import verify
from riskml.core.pseudonyms import Pseudonyms
from riskml.core.replacing import replace_bytes
from riskml.data.pseudonymous import Names
from riskml.evaluation.reporting.blocks import Document
from riskml.evaluation.reporting.html import render_html
from riskml.reporting.alerts import alerts, precision, scenarios
from riskml.reporting.coverage import coverage
from riskml.reporting.drift_file import DriftFile
from riskml.reporting.log_facts import read_log
from riskml.reporting.model import model
from riskml.reporting.pdf import render_pdf
from riskml.reporting.people import people
from riskml.reporting.periods import Period
from riskml.reporting.score_facts import ScoreFacts, Scores
from riskml.reporting.styles import style
from riskml.reporting.summary import attention, key_numbers, reading, summary
from riskml.reporting.suppressed import suppressed
from riskml.reporting.view import Naming, View
from riskml.reporting.words import Words

SECTIONS = (summary, alerts, precision, scenarios, people, suppressed, coverage, model, reading)


@dataclass(frozen=True)
class Report:
    """Of a period, ready to be written or sent.

    Args:
        name: of its files, without ending.
        title: of it, with the period.
        text: the headline numbers as plain text.
        html: one file that needs no other.
        pdf: the same on paper; None: not made.
        warnings: in words.
    """

    name: str
    title: str
    text: str
    html: str
    pdf: bytes | None = None
    warnings: tuple[str, ...] = ()

    @property
    def files(self) -> dict[str, bytes]:
        """Name → content."""
        found = {f"{self.name}.html": self.html.encode()}
        return found if self.pdf is None else {**found, f"{self.name}.pdf": self.pdf}

    def write(self, folder: Path) -> list[Path]:
        """Write the files, each in one step; the folder is made."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / name for name in self.files]
        for path, content in zip(paths, self.files.values(), strict=True):
            replace_bytes(path, content)
        return paths


@dataclass(frozen=True)
class ReportGenerator:
    """Makes reports.

    Args:
        log: of alerts.
        pseudonyms: what is shown of users.
        scores: what jobs have scored; None: coverage and models are not looked at.
        feedback: verdicts on single windows; None: states of alerts alone count.
        drift: what `riskml drift` says; None: nothing.
        clock: tells the time.
    """

    log: AlertLog
    pseudonyms: Pseudonyms
    scores: Scores | None = None
    feedback: FeedbackStore | None = None
    drift: DriftFile | None = None
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def make(
        self, period: Period, language: str, naming: Naming | None = None, pdf: bool = True
    ) -> Report:
        """A report.

        Args:
            period: that it is about.
            language: one of `LANGUAGES`.
            naming: who is shown names, and why; the trail of each alert that is shown says so.
            pdf: whether to make one.

        Raises:
            ConfigError: what a PDF needs is not installed.
            DataError: the log or the scores cannot be read.
        """
        view = self.view(period, language, naming)
        found = document(view)
        words, title = view.words, f"{found.title}: {words_of_period(view)}"
        html = render_html(found, style(words, title))
        content, warnings = render_pdf(html, language) if pdf else (None, [])
        if naming is not None:  # nobody is shown a name before the trail says so
            for alert_id in view.shown_alerts:
                self.log.unveil(alert_id, naming.who, naming.why, self.clock())
        name = f"risk-{period.length}-{period.last}.{language}"
        return Report(name, title, _text(view), html, content, tuple(warnings))

    def view(self, period: Period, language: str, naming: Naming | None = None) -> View:
        """All that a report is made from."""
        scores = None if self.scores is None else self.scores.of(period)
        scores_before = None if self.scores is None else self.scores.of(period.before)
        view = View(
            Words(language),
            Veil(Names({})),
            period,
            self.clock(),
            read_log(self.log, period, self.feedback),
            read_log(self.log, period.before, self.feedback),
            scores,
            scores_before,
            self.drift,
            verify(self.log),
            naming,
        )
        shown: set[str] = set()
        if naming is not None:
            mine = pl.col("alert_id").is_in(view.shown_alerts)
            shown = set(view.log.concerned.filter(mine)["user_id"])
        return replace(view, veil=self._veil(shown, scores, scores_before))

    def _veil(self, shown: set[str], *scores: ScoreFacts | None) -> Veil:
        """Over all users that are known of but some."""
        with self.log.reading() as connection:
            users = set(connection.execute(select(ALERTS.c.user_id).distinct()).scalars())
        for each in scores:
            users |= set() if each is None else set(each.windows["user_id"])
        hidden = sorted(user for user in users - shown if not PSEUDONYM.fullmatch(user))
        return Veil(Names(self.pseudonyms.of(hidden)))


def document(view: View) -> Document:
    """All that a report says; sections that have nothing to say are left out."""
    words, before = view.words, view.period.before
    sections = [section(view) for section in SECTIONS]
    made = f"{words.day(view.made.date())} {view.made:%H:%M}"
    return Document(
        words(f"title_{view.period.length}"),
        words(
            "subtitle",
            span=words_of_period(view),
            before=words.span(before.first, before.last),
        ),
        [section for section in sections if section.blocks],
        words.language,
        words("contents"),
        words("footer", version=__version__, made=made),
    )


def words_of_period(view: View) -> str:
    """From its first day to its last."""
    return view.words.span(view.period.first, view.period.last)


def _text(view: View) -> str:
    lines = [f"{view.words('attention')} {text}" for text in attention(view)]
    for each in key_numbers(view):
        detail = f" ({each.detail})" if each.detail else ""
        lines.append(f"{each.label}: {each.value}{detail}")
    return "\n".join([*lines, "", view.words("mail_files")])
