"""The summary: what was evaluated, what came out, and what it means for those who read alerts."""

from __future__ import annotations

from riskml.evaluation.reporting.blocks import (
    WARNING,
    Block,
    Bullets,
    KeyNumber,
    KeyNumbers,
    Section,
    Text,
)
from riskml.evaluation.reporting.curves import chance
from riskml.evaluation.reporting.numbers import (
    between,
    count,
    day,
    in_days,
    listed,
    number,
    share,
    some,
)
from riskml.evaluation.reporting.spending import wait_of, what_binds
from riskml.evaluation.reporting.view import (
    AHEAD,
    BEHIND,
    MAIN,
    OPEN,
    WINDOWS,
    View,
    best,
    rank,
)


def summary(view: View) -> Section:
    """In plain words, for somebody who reads nothing else."""
    blocks: list[Block] = [*warnings(view)]
    blocks += [Text(what_was_evaluated(view)), KeyNumbers(_key_numbers(view))]
    blocks.append(Text(main_result(view), lead="Main result."))
    blocks += against_others(view)
    blocks.append(Text(a_day(view), lead="What people who look at alerts get."))
    return Section("summary", "Summary", blocks)


def warnings(view: View) -> list[Text]:
    """What must be read before any figure."""
    return [Text(f"A check refuses these figures: {why}", WARNING) for why in view.refusals]


def what_was_evaluated(view: View, subject: str = "This report") -> str:
    """Detector, data, periods and truth."""
    folds, about, whole = view.comparison.folds, view.about, view.whole
    window = WINDOWS.get(about.window, "a stretch of one user's events")
    users = whole["user_id"].n_unique()
    first = min(fold.test[0] for fold in folds)
    last = max(fold.test[1] for fold in folds)
    if len(folds) == 1:
        learnt = f"It learnt from events up to {day(folds[0].train[1])}"
    else:
        learnt = (
            f"It was fitted anew {len(folds)} times, each time on the events before the period it "
            "was then judged on"
        )
    if view.refusals and not view.has_labels:
        truth = "How many of them are truly risky is left out with all figures, see above."
    elif not view.has_labels:
        truth = "Which of them are truly risky is not known for this log."
    else:
        truth = f"{view.positives:,} of them ({share(view.positives / len(whole))}) are truly risky"
        if view.has_incidents:
            truth += f", the traces of {some(len(view.detections), 'incident')}"
        truth += "; no detector was shown which."
    return (
        f"{subject} tells how well the detector “{view.focus.name}” finds risky user behaviour "
        f"in the log “{about.data}”. {learnt}, and was judged on {len(whole):,} later windows of "
        f"{some(users, 'user')}, from {day(first)} to {day(last)}. A window is what gets one risk "
        f"score, here {window}. {truth}"
    )


def main_result(view: View) -> str:
    """The main metric with its interval."""
    value = view.metrics.get(MAIN)
    if view.refusals and value is None:
        return "None is given: a check has found why it would mislead, see above."
    if value is None:
        return (
            "Without windows that are known to be risky nothing can be said about how many alerts "
            "are right. What follows shows how many alerts there are, when, and why."
        )
    interval = view.focus.intervals.get(MAIN)
    ends = f" (95 % interval {between(interval)})" if interval else ""
    return (
        f"Average precision {number(value)}{ends}. It is 1 where every risky window "
        "scores above every normal one; drawing windows by lot gives about "
        f"{number(chance(view.evaluations))} here."
    )


def against_others(view: View) -> list[Block]:
    """Which detectors it beats, said only where the paired interval allows."""
    if view.metrics.get(MAIN) is None:
        return []
    lead, others = "Against other detectors.", view.others
    if not others:
        text = (
            "No other was evaluated beside it, so nothing here tells whether a simpler one would "
            "do as well."
        )
        return [Text(text, lead=lead)]
    if len(view.standings(None)) == len(others):
        return [Text(_by_place(view), lead=lead)]
    name = view.focus.name
    text = (
        f"{some(len(others), 'other detector')} judged the same windows. Whether {name} beats one "
        "is decided by the 95 % interval of the difference in average precision: only where all "
        "of it is above zero."
    )
    told = (
        (AHEAD, f"{name} is better than"),
        (OPEN, "No difference beyond chance from"),
        (BEHIND, f"{name} is worse than"),
        (None, "Not tested against"),
    )
    items = [
        f"{words} {len(names)} of {len(others)}: {listed(names)}."
        for standing, words in told
        if (names := view.standings(standing))
    ]
    if not view.standings(AHEAD):
        items.insert(0, f"{name} is better than none of them beyond chance.")
    return [Text(text, lead=lead), Bullets(items)]


def _by_place(view: View) -> str:
    place = sorted(view.comparison.rows, key=rank).index(view.focus) + 1
    top = best(view.others)
    leader = f"; the highest other is {top.name} ({number(top.metrics[MAIN])})" if top else ""
    return (
        f"Of {len(view.comparison.rows)} detectors on the same windows it is number {place} by "
        f"average precision{leader}. No intervals of the differences were computed, so whether it "
        "beats any of them is not settled."
    )


def a_day(view: View) -> str:
    """What those who look at the alerts get."""
    alerts, span = view.alerts, view.test_days
    promised = view.metrics.get("alerts_promised")
    binds = f"; {what}" if (what := what_binds(view)) else ""
    text = (
        f"The budget is {view.about.budget}{binds}. There were {some(alerts, 'alert')} in "
        f"{some(round(span), 'day')}, {count(alerts / span)} a day"
    )
    text += f" ({count(promised)} in all were promised). " if promised else ". "
    if view.positives and alerts:
        true = int((view.whole["alert"] & (view.whole["label"] == 1)).sum())
        odds = f" ({share(true / alerts)})" if true else ""
        text += f"{true:,} of the alerts are truly risky{odds}. "
        weight = view.focus.evaluations[0].normal_weight
        if weight != 1:
            precision = share(view.metrics.get("precision_at_threshold"))
            text += (
                f"Normal windows were thinned out, each stands for {count(weight)}: of alerts on "
                f"all of them {precision} would be. "
            )
    if view.has_incidents:
        found = view.detections.filter("found")
        text += f"{len(found)} of {some(len(view.detections), 'incident')} raised an alert"
        if not found.is_empty():
            text += f", half of those within {in_days(_median(view))} of its first event, "
            text += wait_of(view)
        text += "."
    return text.strip()


def _key_numbers(view: View) -> list[KeyNumber]:
    metrics, intervals = view.metrics, view.focus.intervals
    found: list[KeyNumber] = []
    if (value := metrics.get(MAIN)) is not None:
        ends = between(intervals.get(MAIN))
        detail = f"95 % interval {ends}" if ends else "no interval computed"
        found.append(KeyNumber(number(value), "average precision", detail))
    ratio = metrics.get("alerts_delivered_ratio")
    detail = "no number promised" if ratio is None else f"{share(ratio)} of those promised"
    found.append(KeyNumber(count(view.alerts / view.test_days), "alerts a day", detail))
    if (precision := metrics.get("precision_at_threshold")) is not None:
        ends = between(intervals.get("precision_at_threshold"), share)
        detail = f"95 % interval {ends}" if ends else "no interval computed"
        found.append(KeyNumber(share(precision), "of alerts are truly risky", detail))
    if view.has_incidents:
        caught = int(view.detections["found"].sum())
        label = f"of {some(len(view.detections), 'incident')} found"
        detail = f"typically after {in_days(_median(view))}, once the window closes"
        detail = detail if caught else ""
        found.append(KeyNumber(f"{caught}", label, detail))
    return found


def _median(view: View) -> float | None:
    value = view.detections.filter("found")["days_to_detect"].median()
    return float(value) if isinstance(value, int | float) else None
