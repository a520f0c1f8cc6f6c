"""What the report says: that it is so, and that it reads well whatever is missing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from evaluation_cases import MakeWindows
from PIL import Image
from report_cases import INCIDENTS, comparison, with_intervals

from riskml.evaluation.comparison import Comparison, Finding, Interval, Row
from riskml.evaluation.reporting.blocks import (
    Bullets,
    Case,
    Document,
    Facts,
    KeyNumbers,
    Pictures,
    Table,
    Text,
)
from riskml.evaluation.reporting.curves import precision_recall
from riskml.evaluation.reporting.html import render_html
from riskml.evaluation.reporting.limits import known_limits
from riskml.evaluation.reporting.markdown import render_markdown
from riskml.evaluation.reporting.numbers import THIN
from riskml.evaluation.reporting.report import report_document, write_report
from riskml.evaluation.reporting.view import View
from riskml.scoring.thresholds import AlertShare, DailyBudget


def texts(document: Document, *names: str) -> Iterator[str]:
    """All texts of these sections, or of all."""
    for section in document.sections:
        if names and section.name not in names:
            continue
        for block in section.blocks:
            match block:
                case Text(text, _, lead):
                    yield f"{lead} {text}"
                case Bullets(items):
                    yield from items
                case Facts(items):
                    yield from (part for item in items for part in item)
                case KeyNumbers(items):
                    yield from (f"{n.value} {n.label} {n.detail}" for n in items)
                case Table():
                    yield from (block.caption, *block.notes)
                    yield from (f"{c.text} {c.detail}" for row in block.lines for c in row.cells)
                case Case():
                    yield from (block.title, *block.reasons)
                    yield from (part for item in block.facts.items for part in item)
                case Pictures(items):
                    yield from (part for item in items for part in (item.alt, item.caption))


def said(made: Comparison, *names: str) -> str:
    """The same as one text, without its pictures."""
    return "\n".join(texts(report_document(made, {}), *names)).replace(THIN, " ")


def table(made: Comparison, section: str, caption: str = "") -> Table:
    for part in report_document(made, {}).sections:
        for block in part.blocks:
            if part.name == section and isinstance(block, Table) and caption in block.caption:
                return block
    raise AssertionError(f"no table '{caption}' in {section}")


def columns(found: Table) -> dict[str, list[str]]:
    titles = [column.title for column in found.columns]
    cells = [[cell.text.replace(THIN, " ") for cell in line.cells] for line in found.lines]
    return dict(zip(titles, map(list, zip(*cells, strict=True)), strict=True))


def test_everything_has_its_place(make_windows: MakeWindows, tmp_path: Path) -> None:
    made = comparison(make_windows)
    made = replace(made, findings=(Finding("order", "ok", "in order"),), refused={"x": "too few"})
    html, markdown = write_report(tmp_path, made, "pictures")
    names = re.findall(r'<section id="([a-z]+)"', html.read_text())
    assert names == [
        *("summary", "limits", "checks", "detectors", "curves", "workload"),
        *("incidents", "groups", "alerts", "risk", "origin", "glossary"),
    ]
    pictures = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert len(pictures) == html.read_text().count("<img ") == 5
    linked = re.findall(r"\]\((pictures/[a-z_]+\.png)\)", markdown.read_text())
    assert sorted(linked) == [f"pictures/{name}" for name in pictures]
    for name in pictures:
        with Image.open(tmp_path / "pictures" / name) as image:
            image.verify()
    titles = re.findall(r'<h2 id="[a-z]+-title">(.*?)</h2>', html.read_text())
    assert titles == re.findall(r"^## (.*)$", markdown.read_text(), re.MULTILINE)


def test_figures_are_those_measured(make_windows: MakeWindows) -> None:
    made = comparison(make_windows)
    metrics, scores = made.focus.metrics, made.focus.evaluations[0].scores
    summary = said(made, "summary")
    assert f"Average precision {metrics['average_precision']:.3f}" in summary
    assert "60 later windows of 3 users" in summary
    assert "4 of them (6.7 %) are truly risky, the traces of 3 incidents" in summary
    assert "lot gives about 0.067 here" in summary
    alerts = scores.filter(pl.col("alert"))
    assert f"There were {len(alerts)} alerts in 6 days" in summary
    assert f"{alerts['label'].sum()} of the alerts are truly risky" in summary
    found = scores.filter(pl.col("alert")).explode("incidents")["incidents"].drop_nulls().n_unique()
    assert f"{found} of 3 incidents raised an alert" in summary
    detectors = columns(table(made, "detectors", "same windows"))
    by_name = {row.name: row.metrics["average_precision"] for row in made.rows}
    ranked = sorted(by_name, key=lambda name: -(by_name[name] or 0))
    assert detectors["detector"] == ranked
    assert detectors["average precision"] == [f"{by_name[name]:.3f}" for name in ranked]


def test_a_detector_is_beaten_only_where_the_interval_is_above_zero(
    make_windows: MakeWindows,
) -> None:
    names = ("bad", "good", "middle", "other", "untold")
    leads = {"bad": (0.001, 0.5), "good": (-0.4, -0.1), "middle": (-0.01, 0.6), "other": (0.0, 0.3)}
    made = with_intervals(comparison(make_windows, others=names), leads)
    summary = said(made, "summary")
    assert "focus is better than 1 of 5: bad." in summary
    unclear = re.search(r"No difference beyond chance from 2 of 5: (.*)\.", summary)
    assert unclear is not None
    assert sorted(unclear.group(1).split(" and ")) == ["middle", "other"]
    assert "focus is worse than 1 of 5: good." in summary
    assert "Not tested against 1 of 5: untold." in summary
    found = columns(table(made, "detectors", "same windows"))
    marks = dict(zip(found["detector"], found["focus ahead by"], strict=True))
    assert {name: mark[-1:] for name, mark in marks.items()} == {
        **{"focus": "", "bad": "▲", "good": "▼", "middle": "≈", "other": "≈", "untold": "–"}
    }
    assert f"95 % interval {(made.focus.metrics['average_precision'] or 0) - 0.1:.3f}" in summary


def test_better_than_none_is_said(make_windows: MakeWindows) -> None:
    made = with_intervals(comparison(make_windows), {"good": (-0.4, 0.1), "bad": (-0.1, 0.4)})
    assert "focus is better than none of them beyond chance" in said(made, "summary")


def test_without_intervals_nothing_is_settled(make_windows: MakeWindows) -> None:
    made = comparison(make_windows)
    summary = said(made, "summary")
    assert "Of 3 detectors on the same windows it is number 2" in summary
    assert "the highest other is good (1.000)" in summary
    assert "not settled" in summary
    assert "No intervals were computed" in said(made, "limits")
    assert "ahead by" not in said(made, "detectors")


def without_alerts(made: Comparison) -> Comparison:
    rows = []
    for row in made.rows:
        silent = [
            replace(e, scores=e.scores.with_columns(alert=pl.lit(False))) for e in row.evaluations
        ]
        rows.append(replace(row, evaluations=tuple(silent)))
    alerts, events = made.alerts.clear(), made.events.clear()
    return replace(made, rows=tuple(rows), alerts=alerts, events=events)


ODD: dict[str, Callable[[MakeWindows], Comparison]] = {
    "alone": lambda make: comparison(make, others=()),
    "no truth": lambda make: comparison(make, None),
    "nothing risky": lambda make: comparison(make, {}),
    "risky, but no incidents": lambda make: comparison(make, {row: [] for row in INCIDENTS}),
    "thinned out": lambda make: comparison(make, normal_weight=12.5),
    "folds and seeds": lambda make: comparison(make, folds=2, seeds=2),
    "no alert": lambda make: without_alerts(comparison(make)),
    "no events": lambda make: replace(
        comparison(make), events=comparison(make, folds=1).events.clear()
    ),
}


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("alone", "No other was evaluated beside it"),
        ("no truth", "Which of them are truly risky is not known for this log"),
        ("nothing risky", "0 of them (0 %) are truly risky"),
        ("risky, but no incidents", "Only 4 risky windows"),
        ("thinned out", "each stands for 12.5"),
        ("folds and seeds", "It was fitted anew 2 times"),
        ("no alert", "No alert was raised"),
        ("no events", "riskiest of"),
    ],
)
def test_it_reads_well_whatever_is_missing(
    case: str, sentence: str, make_windows: MakeWindows
) -> None:
    made = ODD[case](make_windows)
    document = report_document(made, {})
    assert sentence in said(made)
    for text in texts(document):
        assert not re.search(r"\b(None|nan|inf|null)\b", text), text
        assert "  " not in text.strip(), text
        assert text != "", "an empty text"
    assert "<h2" in render_html(document)
    assert "## Summary" in render_markdown(document)


def test_refused_figures_are_said_first(make_windows: MakeWindows) -> None:
    made = comparison(make_windows)
    findings = (
        Finding("order", "ok", "in order"),
        Finding("leak", "refused", "the label is a feature", "focus"),
        Finding("leak", "refused", "of no matter here", "bad"),
        Finding("few", "warning", "few windows"),
    )
    made = replace(made, findings=findings)
    first = report_document(made, {}).sections[0].blocks[0]
    assert first == Text("A check refuses these figures: the label is a feature", "warning")
    assert "of no matter here" not in said(made, "summary")
    odd = columns(table(made, "checks", "saw something"))
    assert odd["verdict"] == ["refused", "refused", "look at this"]
    assert odd["of"] == ["focus", "bad", "the data"]
    assert columns(table(made, "checks", "passed"))["check"] == ["order"]
    assert "Finding of a check (focus): the label is a feature" in said(made, "limits")
    assert "Finding of a check (the data): few windows" in said(made, "limits")
    assert "Checks saw something of other detectors too (1)." in said(made, "limits")


def refused(row: Row, why: str) -> Row:
    """As `evaluate_detector` gives it."""
    finding = Finding("leak", "refused", why, row.name)
    kept = ("test_windows", "alerts_promised", "fit_seconds")
    metrics = {name: v if name in kept else None for name, v in row.metrics.items()}
    own = [
        replace(e, scores=e.scores.drop("label", "incidents"), metrics=metrics, findings=(finding,))
        for e in row.evaluations
    ]
    return replace(row, evaluations=tuple(own), metrics=metrics)


def test_withheld_figures_of_the_focus(make_windows: MakeWindows, tmp_path: Path) -> None:
    made = comparison(make_windows)
    focus = refused(made.focus, "the label is a feature")
    made = replace(made, rows=(focus, *made.rows[1:]), alerts=made.alerts.drop("label"))
    summary = said(made, "summary")
    assert summary.startswith(" A check refuses these figures: the label is a feature")
    assert "truly risky is left out with all figures" in summary
    assert "None is given: a check has found why it would mislead" in summary
    assert "is not known" not in said(made)
    found = columns(table(made, "detectors", "same windows"))
    assert dict(zip(found["detector"], found["average precision"], strict=True))["focus"] == "–"
    assert "figures are withheld: the label is a feature" in said(made, "detectors")
    html = write_report(tmp_path, made)[0].read_text()
    assert html.count("<img ") == 3, "no curves"


def test_withheld_figures_of_another(make_windows: MakeWindows) -> None:
    made = comparison(make_windows)
    focus, good, bad = made.rows
    made = replace(made, rows=(focus, good, refused(bad, "it reads ahead")))
    assert "A check refuses" not in said(made, "summary")
    assert "figures are withheld: it reads ahead" in said(made, "detectors")
    labels = [line.get_label() for line in precision_recall(made.rows).axes[0].get_lines()]
    assert labels == ["good", "focus", "chance"]


def test_alerts_show_their_first_events_and_count_the_rest(make_windows: MakeWindows) -> None:
    made = comparison(make_windows)
    section = next(s for s in report_document(made, {}).sections if s.name == "alerts")
    cases = [block for block in section.blocks if isinstance(block, Case)]
    assert len(cases) == len(made.alerts)
    for case, alert in zip(cases, made.alerts.iter_rows(named=True), strict=True):
        assert case.title.split(". ")[1].startswith(f"{alert['user_id']}, risk")
        assert case.verdict.startswith("truly" if alert["label"] else "false alarm")
        assert case.events["action"].to_list() == [f"action{i}" for i in range(30)]
        assert case.events["success"].unique().sort().to_list() == ["no", "yes"]
        assert {"event_id", "user_id", "window_id", "fold"}.isdisjoint(case.events.columns)
        assert case.more == 5
        assert list(case.reasons) == alert["reasons"]


def test_the_same_window_of_two_folds_has_its_own_events(make_windows: MakeWindows) -> None:
    made = comparison(make_windows, folds=2)
    later = made.events.filter(pl.col("fold") == 1).with_columns(action=pl.lit("later"))
    both = pl.concat([made.events.filter(pl.col("fold") == 0), later])
    section = report_document(replace(made, events=both), {}).sections[-3]
    cases = [block for block in section.blocks if isinstance(block, Case)]
    folds = made.alerts.head(20)["fold"].to_list()
    assert set(folds) == {0, 1}
    for case, fold in zip(cases, folds, strict=True):
        assert (case.events["action"][0] == "later") == (fold == 1)


def test_groups_count_what_they_say(make_windows: MakeWindows) -> None:
    made = comparison(make_windows)
    scores = made.focus.evaluations[0].scores
    false = int((scores["alert"] & (scores["label"] == 0)).sum())
    tenure = columns(table(made, "groups", "By tenure"))
    assert sum(map(int, tenure["windows"])) == 60
    assert sum(map(int, tenure["false alarms"])) == false
    scenario = columns(table(made, "groups", "By scenario"))
    assert scenario["scenario"] == ["takeover", "theft"]
    assert scenario["risky windows"] == ["1", "3"]
    assert scenario["incidents"] == ["1", "2"]


def test_incidents_tell_found_from_missed(make_windows: MakeWindows) -> None:
    made = comparison(make_windows, tail=-15.0)  # the focus finds none
    missed = columns(table(made, "incidents"))
    assert missed["incident"] == ["one", "two", "three"]
    assert missed["verdict"] == ["missed"] * 3
    assert missed["time to detect"] == ["–"] * 3
    assert "0 of 3 incidents had at least one alert" in said(made, "incidents")
    assert "0 of 3 incidents found" in said(made, "summary")
    found = columns(table(comparison(make_windows, tail=60), "incidents"))
    assert found["verdict"] == ["found"] * 3
    assert found["time to detect"] == ["4.0 min"] * 3, "windows last five minutes"


def test_days_of_alerts_add_up(make_windows: MakeWindows) -> None:
    for folds in (1, 2):
        made = comparison(make_windows, folds=folds)
        by_day = View(made).by_day
        tables = [e.scores for e in made.focus.evaluations]
        assert by_day["alerts"].sum() == sum(int(t["alert"].sum()) for t in tables)
        assert by_day["promised"].sum() == pytest.approx(
            sum(e.metrics["alerts_promised"] or 0 for e in made.focus.evaluations)
        )
        assert by_day["true_alerts"].sum() == sum(
            int((t["alert"] & (t["label"] == 1)).sum()) for t in tables
        )


def test_limits_follow_from_facts(make_windows: MakeWindows) -> None:
    def limits(made: Comparison) -> str:
        return "\n".join(known_limits(View(made))).replace(THIN, " ")

    made = comparison(make_windows)
    told = limits(made)
    assert "Only 3 incidents: one more or one less found moves the share" in told
    assert "33 percentage points" in told
    assert "One seed" in told
    assert "One test period" in told
    assert "A short test period: 6 days" in told
    assert "simulated" not in told
    several = limits(comparison(make_windows, folds=2, seeds=2))
    assert "One seed" not in several
    assert "One test period" not in several
    simulated = replace(made, about=replace(made.about, data="simulated"))
    assert "The log is simulated" in limits(simulated)
    changed = replace(made.about, unknown_action_rate=0.25)
    assert "25 % of test events are actions" in limits(replace(made, about=changed))
    scores = made.focus.evaluations[0].scores

    def of(**columns: object) -> Comparison:
        table = scores.with_columns(**columns)  # type: ignore[arg-type]
        own = replace(made.focus, evaluations=(replace(made.focus.evaluations[0], scores=table),))
        return replace(made, rows=(own, *made.rows[1:]))

    assert "hardly knew" not in limits(of(learning=False))
    assert "100 % of test windows are of users that the detector hardly knew" in limits(
        of(learning=True)
    )
    assert "P-values promise too much: 100 %" in limits(of(p_value=0.001))
    assert "P-values promise too much" not in limits(of(p_value=0.5))
    assert "Reasons were worked out for the" in limits(of(alert=True))
    metrics = {**made.focus.metrics, "alerts_delivered_ratio": 2.0}
    broken = replace(made, rows=(replace(made.focus, metrics=metrics), *made.rows[1:]))
    assert "The promise of alerts was not kept: 200 %" in limits(broken)
    assert "Not compared with a and b" in limits(replace(made, refused={"a": "x", "b": "y"}))
    assert "1 other detector stands above focus here, the best at 1.000" in told


def test_origin_names_periods_fingerprints_and_versions(make_windows: MakeWindows) -> None:
    made = comparison(make_windows, folds=2)
    made = replace(made, about=replace(made.about, command="python evaluate.py run=x"))
    origin = said(made, "origin")
    for part in ("d" * 64, "c" * 64, "torch", "2026-01-02 03:04 UTC", "one day of one user"):
        assert part in origin
    periods = columns(table(made, "origin"))
    assert periods["fold"] == ["1"] * 3 + ["2"] * 3
    assert periods["period"] == ["train", "calibration", "test"] * 2
    assert periods["windows"] == ["40", "40", "60"] * 2


def test_the_budget_is_said_to_be_spent_as_it_is(make_windows: MakeWindows) -> None:
    made = comparison(make_windows)  # ten windows a day

    def with_rule(rule: DailyBudget | AlertShare) -> Comparison:
        return replace(made, about=replace(made.about, rule=rule))

    daily = said(with_rule(DailyBudget(2, max_share=1)))
    assert "the highest of each UTC day" in daily
    assert "binds" not in daily
    capped = said(with_rule(DailyBudget(5, max_share=0.1)))
    assert "has room for, the highest of the whole test period, which cannot be told" in capped
    assert "the cap of 10 % of windows binds: of " in capped
    assert "a day it allows 1 alert a day instead of 5" in capped
    assert "the highest of the whole test period" in said(with_rule(AlertShare(0.05)))


def test_time_to_detect_names_the_wait(make_windows: MakeWindows) -> None:
    made = comparison(make_windows)
    for section in ("summary", "detectors", "incidents"):
        assert "plus the wait until the window closes: up to a day" in said(made, section)


def test_each_fold_has_its_figures(make_windows: MakeWindows) -> None:
    made = comparison(make_windows, folds=2, seeds=2)
    found = columns(table(made, "detectors", "in each fold"))
    assert found["fold"] == ["1", "2"]
    assert found["risky windows"] == ["4", "4"]
    own = [e.metrics["average_precision"] or 0 for e in made.focus.evaluations if e.fold == 1]
    assert found["average precision"][1] == f"{sum(own) / 2:.3f}"
    assert all(each.endswith(" of 3") for each in found["incidents found"])
    assert "the mean of 2 seeds" in said(made, "detectors")
    assert "in each fold" not in said(comparison(make_windows), "detectors")


def test_exact_and_missing_intervals_have_their_notes(make_windows: MakeWindows) -> None:
    made = comparison(make_windows)
    intervals = {"incident_recall_at_budget": Interval(0.3, 1, exact=True)}
    focus = replace(made.focus, intervals=intervals)
    text = said(replace(made, rows=(focus, *made.rows[1:])), "detectors")
    assert "Clopper and Pearson" in text
    assert "No interval: all resamples give the same figure." in text


def test_settings_are_listed(make_windows: MakeWindows) -> None:
    made = comparison(make_windows)
    made = replace(made, about=replace(made.about, settings={"model.top_k": "8"}))
    assert columns(table(made, "origin", "Settings of focus")) == {
        "setting": ["model.top_k"],
        "value": ["8"],
    }


def test_alerts_are_on_the_users_clock(make_windows: MakeWindows) -> None:
    made = comparison(make_windows)
    assert "Times are UTC; hours in reasons are on the clock of UTC." in said(made, "alerts")
    events = made.events.with_columns(time_zone=pl.lit("Asia/Tokyo"))
    section = report_document(replace(made, events=events), {}).sections[-3]
    assert section.name == "alerts"
    case = next(block for block in section.blocks if isinstance(block, Case))
    first = made.alerts["start"][0].astimezone(ZoneInfo("Asia/Tokyo"))
    assert f": {first:%Y-%m-%d %H:%M} to " in case.title
    assert "(Asia/Tokyo)" in case.title
    assert case.events.columns[0] == "time (UTC)"
    assert case.shown.startswith("30 of 35 events shown")


def test_new_users_who_are_suspected_more_often_are_a_limit(make_windows: MakeWindows) -> None:
    made = comparison(make_windows, {})
    evaluation = made.focus.evaluations[0]

    def limits(alarms: int) -> str:
        row = pl.int_range(pl.len())
        scores = evaluation.scores.with_columns(
            known_windows=pl.when(row < 20).then(0).otherwise(50).cast(pl.Int64),
            learning=row < 20,
            alert=(row < alarms) | (row == 30),
        )
        own = replace(made.focus, evaluations=(replace(evaluation, scores=scores),))
        return "\n".join(known_limits(View(replace(made, rows=(own, *made.rows[1:])))))

    assert "New users are suspected more often" in limits(5)
    assert "New users are suspected" not in limits(1)
