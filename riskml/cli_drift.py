"""`riskml drift`: whether a log and its scores are still what a bundle was made for."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskml.cli_types import (
    MOMENT,
    SOURCE_OPTIONS,
    Reading,
    exporting,
    metrics_option,
    options_for_settings,
    source_options,
)
from riskml.core.redaction import printable

if TYPE_CHECKING:
    from riskml.alerting.feedback import FeedbackStore
    from riskml.cli_types import PutMetrics
    from riskml.monitoring.drift import Drift

DRIFTS, ROWS = 3, 100_000


@click.command(
    epilog="""\b
    Examples:
      riskml drift --bundle bundle --source 'log/**/*.parquet' --report drift.html
      riskml drift --bundle bundle --source postgresql+psycopg://reader@host/risk --json
      riskml drift --bundle bundle --source log.csv --feedback sqlite:///feedback.db

    \b
    Exit codes: 0 nothing drifts at present, 3 somebody should look at it,
    2 wrong input or setting, 1 unexpected.
    """
)
@click.option(
    "--bundle",
    "folder",
    type=click.Path(path_type=Path),
    required=True,
    help="Exported by train.py; it holds what drift is held to.",
)
@click.option(
    "--source",
    required=True,
    metavar="URL_OR_PATH",
    envvar="RISKML_SCORE_SOURCE",
    show_envvar=True,
    help="The log, all of it that came after what the bundle knows.",
)
@source_options
@click.option("--since", type=MOMENT, help="Judge windows that begin from here on.")
@click.option(
    "--least", type=int, default=500, show_default=True, help="Windows that make a period."
)
@click.option(
    "--psi", type=float, default=0.1, show_default=True, help="From which on a shift matters."
)
@click.option(
    "--significance",
    type=float,
    default=0.01,
    show_default=True,
    help="Share of false ones among the quantities that are called drifting.",
)
@click.option(
    "--in-a-row",
    type=int,
    default=2,
    show_default=True,
    help="Periods in which a quantity drifts before anybody is woken.",
)
@click.option(
    "--feedback",
    metavar="URL",
    envvar="RISKML_FEEDBACK_URL",
    show_envvar=True,
    help="Store of verdicts: also whether the rate of false alarms rose.",
)
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="HTML page.")
@metrics_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/drift.md).")
@click.pass_context
@options_for_settings(SOURCE_OPTIONS)
def drift(
    ctx: click.Context,
    folder: Path,
    source: str,
    reading: Reading,
    since: datetime | None,
    least: int,
    psi: float,
    significance: float,
    in_a_row: int,
    feedback: str | None,
    report: Path | None,
    metrics: str | None,
    as_json: bool,
) -> None:
    """Tell whether a log and its scores are still what a bundle was made for (docs/drift.md).

    Windows are held to those before the test period of the training, feature by feature and
    weekday by weekday; it takes two periods in a row before anybody is woken.
    """
    from riskml.alerting.feedback import FeedbackStore
    from riskml.export.bundle import load_bundle
    from riskml.monitoring.drift import DriftRules, find_drift
    from riskml.monitoring.drift_reference import DriftReference
    from riskml.monitoring.score_drift import believed, changes
    from riskml.serving.side_by_side import read_log
    from riskml.serving.standing import version_of

    rules = DriftRules(least, psi, significance, in_a_row)
    verdicts = None if feedback is None else FeedbackStore(feedback, writes=False)
    bundle = load_bundle(folder)
    reference = DriftReference.load(folder)
    with exporting(metrics, "drift") as put:
        events = read_log(reading.source(source, ROWS), (bundle,))
        windows, scores = bundle.closed(events)
        if since is not None:
            judged = (windows.keys["start"] >= since).to_numpy()
            windows, scores = windows.take(judged), scores[judged]
        found = find_drift(reference, windows, scores, rules)
        if put is not None:
            _put(put, found)
    p_values = bundle.calibration.p_value(scores, windows.keys["peer"])
    seen = changes(p_values, windows.keys["end"])
    agreed = believed(seen)
    version = version_of(bundle.manifest)
    told = found.plain() | {
        "model_version": version,
        "score_changes": [{"detector": name, "at": at.isoformat()} for name, at in seen.rows()],
        "scores_changed": [at.isoformat() for at in agreed],
        "false_alarms_rose": None if verdicts is None else _false_alarms_rose(verdicts),
    }
    if report is not None:
        from riskml.monitoring.drift_page import drift_page

        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(drift_page(found, seen, agreed, version), encoding="utf-8")
    if as_json:
        click.echo(json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        for line in _lines(found, told):
            click.echo(printable(line))
        if report is not None:
            click.echo(f"report {report}")
    if found.wakes:
        ctx.exit(DRIFTS)


def _put(put: PutMetrics, found: Drift) -> None:
    from riskml.monitoring.command_metrics import drift_registry

    latest = found.table.filter(found.table["begin"] == found.table["begin"].max())
    shifts = dict(latest.select("quantity", "psi").iter_rows())
    put(drift_registry(shifts, int(latest["drifts"].sum()), len(found.wakes)))


def _false_alarms_rose(store: FeedbackStore) -> list[str]:
    """When the rate of false alarms among the verdicts rose."""
    from riskml.alerting.feedback import Verdict
    from riskml.monitoring.score_drift import error_changes

    verdicts = store.latest().sort("at")
    sure = verdicts.filter(verdicts["verdict"] != Verdict.UNSURE)
    false = (sure["verdict"] == Verdict.FALSE_ALARM).to_list()
    return [at.isoformat() for at in error_changes(false, sure["at"].to_list())]


def _lines(drift: Drift, told: dict[str, Any]) -> list[str]:
    """For people."""
    reference, shown = told["reference"], [each for each in told["latest"] if each["drifts"]]
    lines = [
        f"model {told['model_version']}, held to {reference['windows']:,} windows from "
        f"{reference['begin']} to {reference['end']}",
        f"{told['periods']:,} periods of {drift.rules.least_windows:,} windows or more; "
        f"{told['waiting_windows']:,} windows wait for the next",
    ]
    for episode in told["episodes"]:
        named = ", ".join(episode["quantities"])
        lines.append(f"{episode['begin']} to {episode['end']}: {named}")
    if shown:
        lines.append(f"the last period, {shown[0]['begin']} to {shown[0]['end']}:")
    for each in shown:
        woken = " (wakes)" if each["wakes"] else ""
        lines.append(f"  {each['quantity']}: PSI {each['psi']:.3f}, q {each['q_value']:.2g}{woken}")
    for each in told["actions"][-5:]:
        lines.append(
            f"{each['begin']}: action {each['action']} {each['change']}, "
            f"{each['seen']:.2%} of events, {each['expected']:.2%} expected"
        )
    for at in told["scores_changed"]:
        lines.append(f"p-values changed by {at[:16]}, as several detectors say")
    for at in told["false_alarms_rose"] or ():
        lines.append(f"false alarms among the verdicts rose by {at[:16]}")
    wakes = told["wakes"]
    lines.append(
        f"somebody should look at {', '.join(wakes)}" if wakes else "nothing drifts at present"
    )
    return lines
