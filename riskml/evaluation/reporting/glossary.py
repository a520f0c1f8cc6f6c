"""Words of the report."""

from __future__ import annotations

from riskml.evaluation.reporting.blocks import Facts, Section

WORDS = (
    ("event", "one row of the log: who did what, to what, from where, when"),
    ("window", "what gets one score: a user's day, a session, or a block of events"),
    ("detector", "a method that gives each window a score; higher is riskier"),
    ("in focus", "the detector that this report is about; the others are there to compare"),
    ("baseline", "a simple or well-known detector: what does not beat it is not worth its cost"),
    ("risky, normal", "what the truth says of a window; detectors never see it"),
    ("incident", "a user's risky events that belong together: one attack"),
    ("scenario", "a kind of incident"),
    ("peer group, role", "users who do similar work"),
    ("alert", "a window whose score is over the threshold, for a person to look at"),
    ("budget", "how many alerts there may be; it sets the threshold, without any label"),
    (
        "within the budget",
        "the windows with the highest scores that the budget has room for: of each UTC day, or of "
        "the whole test period where fewer than the daily number are allowed, which takes "
        "knowing later days; a running system raises alerts at the threshold",
    ),
    (
        "time to detect",
        "from an incident's first event to the last event of the first window found; plus the wait "
        "until the window closes and is scored: up to a day for user_day windows",
    ),
    ("precision", "the share of alerts that are truly risky"),
    ("recall", "the share of risky windows that are alerts"),
    (
        "average precision",
        "going down the list of scores, the mean of the precision at each risky window; depends on "
        "how rare risky windows are",
    ),
    ("ROC-AUC", "the chance that a risky window scores above a normal one; 0.5 is chance"),
    ("p-value", "the chance that a normal window of the same peer group scores as high"),
    ("risk", "the p-value from 0 to 100: 25 is one in ten, 50 one in a hundred, 75 in a thousand"),
    (
        "95 % interval",
        "users and incidents are drawn anew many times from those there are; the interval holds "
        "the middle 95 % of the figures that come out",
    ),
    (
        "paired difference",
        "of two detectors on the same draws, so that easy and hard draws are so for both",
    ),
    ("train, calibration, test", "three periods in this order: learn, set the threshold, judge"),
    ("fold", "one such triple of periods; a backtest has several, one after the other"),
    ("seed", "the number that decides what is drawn by chance"),
    ("fingerprint", "a number that changes if a single letter of data or settings does"),
)


def glossary() -> Section:
    """For readers who are new to all this."""
    return Section("glossary", "Words", (Facts(WORDS, broad=True),))
