"""The model card: what users of an exported model have to know (Mitchell et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping

from riskml.core.types import FeatureSpec, Windows
from riskml.core.versions import versions
from riskml.evaluation.comparison import Comparison
from riskml.evaluation.reporting.blocks import (
    Block,
    Bullets,
    Cell,
    Code,
    Column,
    Document,
    Facts,
    Line,
    Section,
    Table,
    Text,
)
from riskml.evaluation.reporting.curves import chance
from riskml.evaluation.reporting.groups import groups
from riskml.evaluation.reporting.limits import ALWAYS, known_limits
from riskml.evaluation.reporting.markdown import render_markdown
from riskml.evaluation.reporting.metric_names import MEANINGS, shown
from riskml.evaluation.reporting.numbers import between, count, moment, number, share
from riskml.evaluation.reporting.summary import warnings, what_was_evaluated
from riskml.evaluation.reporting.view import MAIN, WINDOWS, View
from riskml.evaluation.reporting.workload import reliability
from riskml.scoring.alerting import FixedThreshold
from riskml.scoring.calibration import P_VALUE, SCORE

MODEL_CARD = "model_card.md"

SHOWN = (
    MAIN,
    "roc_auc",
    "recall_at_fpr_0.01",
    *(
        f"{name}_at_threshold"
        for name in (
            "precision",
            "recall",
            "f1",
            "incident_recall",
            "days_to_detect_median",
            "alerts_per_true_incident",
            "false_alerts_per_day",
        )
    ),
    *(f"{name}_at_budget" for name in ("precision", "recall", "incident_recall")),
)

WHAT_COUNTS = {
    SCORE: "alert from a score of",
    P_VALUE: "alert from −log10 of the p-value of",
}

INTENDED = (
    "To put windows of users' activity into an order in which people look at them, within a budget "
    "of alerts a day, in the organisation and kind of log that it learnt from.",
    "To give those people reasons in words: where to look first, never a verdict.",
    "To be fitted anew, and evaluated anew, when the log, its users or their work change.",
)

MISUSE = (
    "To decide about a person without a person: no dismissal, sanction or locking of an account on "
    "a score alone. Alerts are often false; the table below says how often.",
    "To judge how well, how long or how hard somebody works.",
    "On another organisation's log, or another kind of log: it does not know what is usual there.",
    "As proof that nothing has happened: it misses attacks, and those that look like usual work "
    "most of all.",
    "As the only control. It complements access rules, logging and review.",
)

ETHICS = (
    "It reads traces of what employees do. Collect only what is needed, tell the people concerned, "
    "and let their representatives see this card where law or custom asks for it.",
    "Unusual is not guilty: new users, night shifts, part-time work, illness or a changed job look "
    "unusual too. Watch the tables by role and tenure for groups that get more than their share "
    "of false alarms.",
    "With pseudonyms on, names stay out of files and results; habits can give a person away all "
    "the same.",
    "Keep alerts no longer than their check takes, and record what came of them.",
)

LOAD = """import riskml

bundle = riskml.load("bundle")  # every file is checked against its SHA-256 first
scored = bundle.score(events)   # a Polars or pandas frame: user_id, timestamp, action, ..."""


def model_card(
    comparison: Comparison,
    train: Windows,
    files: Mapping[str, str] | None = None,
) -> str:
    """The card of the detector in focus, in Markdown.

    Args:
        comparison: of the run that trained it.
        train: the windows that it learnt from.
        files: SHA-256 by name of the files that hold the model.
    """
    view = View(comparison)
    about, name = comparison.about, comparison.focus.name
    first = "This card goes with the model. It says what the model is for, what it learnt from, "
    sections = [
        Section("model", "The model", (_model(view, train), Text(first + "and how far it goes."))),
        Section("use", "Intended use", (Bullets(INTENDED),)),
        Section("misuse", "Not to be used", (Bullets(MISUSE),)),
        Section("training", "What it learnt from", (_training(view, train),)),
        Section("results", "How well it does", _results(view)),
        Section("threshold", "Threshold and budget of alerts", (_threshold(view),)),
        Section("calibration", "Calibration", _calibration(view)),
        groups(view),
        Section("limits", "Known limits", (Bullets([*known_limits(view), *ALWAYS]),)),
        Section("ethics", "Ethical notes", (Bullets(ETHICS),)),
        Section("features", "Features by family", (_features(train.spec),)),
        Section("origin", "Versions and hashes", _origin(view, files or {})),
        Section("load", "How to load it", (Code(LOAD),)),
    ]
    document = Document(
        f"Model card: {name}, trained on {about.data}",
        f"Made {moment(about.created)} UTC by riskml",
        [section for section in sections if section.blocks],
    )
    return render_markdown(document)


def _model(view: View, train: Windows) -> Facts:
    about, evaluation = view.about, view.evaluations[0]
    items = [
        ("detector", view.focus.name),
        ("gives", "a score per window; higher is riskier; p-value and risk from 0 to 100 from it"),
        ("window", WINDOWS.get(about.window, about.window or "not recorded")),
        ("features", f"{len(train.spec):,}"),
        ("actions it knows", f"{len(train.spec.actions):,}"),
        ("seed", str(evaluation.seed)),
    ]
    if evaluation.note:
        items.append(("note", evaluation.note))
    return Facts(items)


def _training(view: View, train: Windows) -> Facts:
    fold, about = view.comparison.folds[0], view.about
    return Facts(
        [
            ("log", about.data),
            ("train period", f"{moment(fold.train[0])} to {moment(fold.train[1])} UTC"),
            ("windows", f"{len(train):,}"),
            ("events in them", f"{int(train.keys['n_events'].sum()):,}"),
            ("users", f"{train.keys['user_id'].n_unique():,}"),
            (
                "calibration period (threshold and p-values)",
                f"{moment(fold.calibration[0])} to {moment(fold.calibration[1])} UTC, "
                f"{fold.calibration[2]:,} windows",
            ),
            (
                "labels",
                "no truth was shown to it; attacks in the train period would count as usual",
            ),
        ]
    )


def _results(view: View) -> list[Block]:
    blocks: list[Block] = [*warnings(view)]
    blocks.append(Text(what_was_evaluated(view, "This card")))
    lines = []
    for name in SHOWN:
        value = view.metrics.get(name)
        if value is not None:
            interval = between(view.focus.intervals.get(name))
            cells = (Cell(name), Cell(shown(name, value)), Cell(interval), Cell(MEANINGS[name]))
            lines.append(Line(cells))
    if lines:
        columns = [
            Column("measure", number=False),
            Column("value"),
            Column("95 % interval"),
            Column("meaning", number=False),
        ]
        notes = [f"By chance average precision would be {number(chance(view.evaluations))}."]
        blocks.append(Table("Measured on the test period", columns, lines, notes))
    return blocks


def _threshold(view: View) -> Facts:
    evaluation, metrics = view.evaluations[-1], view.metrics
    fixed = isinstance(evaluation.alerting, FixedThreshold)
    items = [
        ("budget", view.about.budget),
        (WHAT_COUNTS[evaluation.calibration.alert_by], f"{evaluation.threshold:.6g}"),
        ("set by", "the calibration period alone, without labels"),
        ("afterwards", "stays as it is" if fixed else "follows the scores of the days before"),
    ]
    if (promised := metrics.get("alerts_promised")) is not None:
        ratio = share(metrics.get("alerts_delivered_ratio"))
        items.append(
            ("alerts in the test period", f"{view.alerts:,}, {ratio} of {count(promised)} promised")
        )
    return Facts(items)


def _calibration(view: View) -> list[Block]:
    peers = len(view.evaluations[0].calibration.peers)
    text = (
        "Risk is read from the p-value, the share of calibration windows with such a score or a "
        "higher one. "
    )
    text += (
        f"{peers} peer groups have a curve of their own." if peers else "One curve serves everyone."
    )
    return [Text(text), reliability(view)]


def _features(spec: FeatureSpec) -> Table:
    families: dict[str, list[str]] = {}
    for feature in spec.features:
        families.setdefault(feature.family, []).append(feature.name)
    columns = [
        Column("family", number=False),
        Column("features"),
        Column("names", number=False),
    ]
    lines = [
        Line((Cell(family), Cell(str(len(names))), Cell(", ".join(names))))
        for family, names in families.items()
    ]
    return Table("What the model sees of a window", columns, lines)


def _origin(view: View, files: Mapping[str, str]) -> list[Block]:
    about = view.about
    hashes = [
        ("data (events and truth)", about.data_fingerprint),
        ("settings", about.config_fingerprint),
        *files.items(),
    ]
    return [Text("SHA-256:"), Facts(hashes), Text("Versions:"), Facts([*versions().items()])]
