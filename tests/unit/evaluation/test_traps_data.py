"""Data sets that flatter are refused or named; honest ones pass. See docs/traps.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from evaluation_cases import MakeWindows
from trap_cases import RISKY, Honest, fair, judged, labels

from riskml.core.errors import DataError
from riskml.core.types import Feature, FeatureKind, Windows
from riskml.evaluation.checks.data_checks import looked_at
from riskml.evaluation.checks.findings import OK
from riskml.evaluation.evaluator import KEPT
from riskml.features.preparation import PreparedWindows


@pytest.fixture
def windows(make_windows: MakeWindows) -> PreparedWindows:
    return fair(make_windows)


def bad(windows: PreparedWindows) -> dict[str, str]:
    """Verdict by trap, where it is not fine."""
    found = looked_at(windows).findings
    return {each.trap: each.verdict for each in found if each.verdict != OK}


def text(windows: PreparedWindows, trap: str) -> str:
    return next(each.text for each in looked_at(windows).findings if each.trap == trap)


def with_keys(windows: PreparedWindows, **columns: pl.Expr) -> PreparedWindows:
    """Columns of the keys of all parts changed; `pl.col("label")` is there in the test period."""

    def changed(part: Windows, truth: pl.Series) -> Windows:
        keys = part.keys.with_columns(truth.alias("label")).with_columns(**columns)
        return replace(part, keys=keys if "label" in columns else keys.drop("label"))

    assert windows.test_truth is not None
    parts = [
        changed(part, pl.Series(np.zeros(len(part), np.int8)))
        for part in (windows.train, windows.calibration)
    ]
    test = changed(windows.test, windows.test_truth["label"])
    truth = windows.test_truth.with_columns(test.keys["window_id"])
    return replace(windows, train=parts[0], calibration=parts[1], test=test, test_truth=truth)


def with_feature(
    windows: PreparedWindows, name: str, values: np.ndarray, kind: str = "continuous"
) -> PreparedWindows:
    """One more feature, which is 0 before the test period."""

    def widened(part: Windows, column: np.ndarray) -> Windows:
        spec = replace(part.spec, features=(*part.spec.features, feature))
        x = np.column_stack([part.x, column]).astype(np.float32)
        return replace(part, x=x, spec=spec)

    feature = Feature(name, "other", FeatureKind(kind), name)
    zeros = [np.zeros(len(part)) for part in (windows.train, windows.calibration)]
    return replace(
        windows,
        train=widened(windows.train, zeros[0]),
        calibration=widened(windows.calibration, zeros[1]),
        test=widened(windows.test, values),
    )


def some(windows: PreparedWindows, rows: np.ndarray) -> PreparedWindows:
    """Only these of the test windows, some perhaps more than once."""
    assert windows.test_truth is not None
    test = windows.test.take(rows)
    ids = pl.Series("window_id", [f"{row}-{i}" for i, row in enumerate(rows)])
    return replace(
        windows,
        test=replace(test, keys=test.keys.with_columns(ids)),
        test_truth=windows.test_truth[rows].with_columns(ids),
    )


def test_honest_data_pass(windows: PreparedWindows) -> None:
    assert bad(windows) == {}
    assert {"prevalence", "order_of_periods", "duplicates", "new_users"} <= {
        each.trap for each in looked_at(windows).findings
    }
    assert "40 test windows, 1 of them risky, are of 1 users without" in text(windows, "new_users")


def test_what_is_refused_of_the_data_has_no_numbers_for_anybody(windows: PreparedWindows) -> None:
    leaking = with_feature(windows, "flag", labels(windows), "binary")
    found = judged(Honest(), leaking)
    assert "'flag'" in found.refused
    assert {name for name, value in found.metrics.items() if value is not None} <= set(KEPT)


# ---- labels and artefacts


def test_a_feature_that_is_the_label_is_refused_by_name(windows: PreparedWindows) -> None:
    for values in (labels(windows), 1 - labels(windows), labels(windows) * 7.0 + 2):
        leaking = with_feature(windows, "flag", values)
        assert bad(leaking) == {"label_in_features": "refused"}
        assert "'flag' (ROC-AUC 1.000" in text(leaking, "label_in_features")


def test_a_feature_that_is_nearly_the_label_is_named(windows: PreparedWindows) -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, 200)
    leaking = with_feature(windows, "hint", labels(windows) + noise)
    assert bad(leaking) == {"label_in_features": "warning"}
    assert "'hint'" in text(leaking, "label_in_features")
    assert "level" not in text(leaking, "label_in_features")


def test_a_feature_that_tells_in_a_narrow_range_is_named(windows: PreparedWindows) -> None:
    draw = np.random.default_rng(0)
    wide = draw.normal(0, 3, 200)
    wide[np.abs(wide - 0.5) < 0.2] += 1
    band = np.where(labels(windows) == 1, draw.uniform(0.4, 0.6, 200), wide)
    made = with_feature(windows, "band", band)
    assert bad(made) == {"label_in_features": "warning"}
    assert "'band' (in some of its ranges" in text(made, "label_in_features")


def test_the_label_in_code_is_refused(windows: PreparedWindows) -> None:
    code = np.where(labels(windows) == 1, 7, np.random.default_rng(0).choice([4, 12], 200))
    assert bad(with_feature(windows, "code", code)) == {"label_in_features": "refused"}


def test_a_label_that_is_odd_or_even_is_named(windows: PreparedWindows) -> None:
    even = 2 * np.random.default_rng(0).integers(20, 60, 200)
    made = with_feature(windows, "parity", even + labels(windows))
    assert bad(made) == {"label_in_features": "warning"}
    assert "odd or even" in text(made, "label_in_features")
    counts = pl.lit(pl.Series(np.resize(even, 300)))
    made = with_keys(windows, n_events=counts.head(pl.len()) + pl.col("label"))
    assert bad(made)["shared_artefacts"] == "warning"


@pytest.mark.parametrize("name", ["label", "gt_scenario", "anomaly"])
def test_columns_called_truth_are_refused(name: str, windows: PreparedWindows) -> None:
    named = with_feature(windows, name, np.random.default_rng(0).normal(size=200))
    assert bad(named) == {"labels_in_windows": "refused"}
    keys = windows.test.keys.with_columns(pl.lit(0).alias(name))
    assert bad(replace(windows, test=replace(windows.test, keys=keys))) == {
        "labels_in_windows": "refused"
    }


def test_an_action_that_none_but_attackers_do_is_named(windows: PreparedWindows) -> None:
    test = windows.test
    tokens, lengths = test.tokens.copy(), test.lengths.copy()
    tokens[RISKY, 0] = 4
    spec = replace(test.spec, actions=(*test.spec.actions, "exploit"))
    leaking = replace(windows, test=replace(test, tokens=tokens, lengths=lengths, spec=spec))
    assert bad(leaking) == {"label_in_features": "warning"}
    assert "the action 'exploit' (12 of its 12 windows)" in text(leaking, "label_in_features")


RISKY_ONES = pl.col("label") == 1
ARTEFACTS = {
    "the form of user ids": {
        "user_id": pl.when(RISKY_ONES).then(pl.lit("attacker7")).otherwise("user_id")
    },
    "the form of window ids": {
        "window_id": pl.when(RISKY_ONES).then("bad" + pl.col("window_id")).otherwise("window_id")
    },
    "fractions of a second": {
        "start": pl.when(RISKY_ONES)
        .then(pl.col("start").dt.offset_by("123us"))
        .otherwise(pl.col("start"))
    },
    "how long windows last": {
        "end": pl.when(RISKY_ONES).then(pl.col("end").dt.offset_by("1m")).otherwise(pl.col("end"))
    },
    "the number of events": {
        "n_events": pl.when(RISKY_ONES).then(pl.lit(50)).otherwise("n_events")
    },
    "the peer group": {"peer": pl.when(RISKY_ONES).then(pl.lit("vendor")).otherwise("peer")},
    "the second they begin in": {
        "start": pl.when(RISKY_ONES)
        .then(pl.col("start").dt.offset_by("17s"))
        .otherwise(pl.col("start"))
    },
}


@pytest.mark.parametrize("artefact", ARTEFACTS)
def test_artefacts_that_tell_attackers_apart_are_named(
    artefact: str, windows: PreparedWindows
) -> None:
    made = with_keys(windows, **ARTEFACTS[artefact])
    assert bad(made)["shared_artefacts"] == "warning"
    assert artefact in text(made, "shared_artefacts")


def test_attacks_that_all_come_last_are_named(make_windows: MakeWindows) -> None:
    late = fair(make_windows, list(range(185, 200)))
    assert bad(late) == {"shared_artefacts": "warning"}
    assert "when in the test period they begin" in text(late, "shared_artefacts")


# ---- how many are risky


def test_a_balanced_test_set_is_refused(windows: PreparedWindows) -> None:
    normal = np.flatnonzero(labels(windows) == 0)[: len(RISKY)]
    balanced = some(windows, np.sort(np.concatenate([RISKY, normal])))
    assert bad(balanced)["prevalence"] == "refused"
    assert "50.0% of the test windows are risky" in text(balanced, "prevalence")
    stated = replace(balanced, normal_weight=188 / 12)
    assert "prevalence" not in bad(stated)
    protocol = replace(balanced, over_time=False)
    assert bad(protocol)["prevalence"] == "warning"


def test_normal_windows_that_were_left_out_are_missed(windows: PreparedWindows) -> None:
    normal = np.flatnonzero(labels(windows) == 0)
    thinned = some(windows, np.sort(np.concatenate([RISKY, normal[::3]])))
    assert bad(thinned)["prevalence"] == "refused"
    assert "seem to have been left out" in text(thinned, "prevalence")
    few = some(windows, np.sort(np.concatenate([RISKY[:4], normal[::3]])))
    assert bad(few)["prevalence"] == "warning"


def test_weights_that_flatter_are_refused(windows: PreparedWindows) -> None:
    assert bad(replace(windows, normal_weight=0.5)) == {"prevalence": "refused"}


def test_without_risky_windows_there_is_nothing_to_measure(make_windows: MakeWindows) -> None:
    none = fair(make_windows, [])
    assert bad(none) == {"no_positives": "warning"}
    assert judged(Honest(), none).metrics["average_precision"] is None
    assert bad(fair(make_windows, list(range(200))))["prevalence"] == "refused"


def test_without_truth_the_windows_are_still_looked_at(windows: PreparedWindows) -> None:
    unknown = replace(windows, test_truth=None)
    assert bad(unknown) == {}
    assert bad(replace(unknown, test=windows.train)) != {}


# ---- train and test


@pytest.mark.parametrize("where", ["train", "calibration"])
def test_risky_windows_among_those_learnt_from_are_counted(
    where: str, windows: PreparedWindows
) -> None:
    other = {"train": "calibration", "calibration": "train"}[where]
    made = replace(windows, background={where: 5, other: 0})
    assert bad(made) == {"risky_background": "warning"}
    size = len(getattr(windows, where))
    expected = f"5 of {size} {where} windows ({5 / size:.2%}) are risky"
    assert text(made, "risky_background").startswith(expected)
    assert bad(replace(windows, background={"train": 0, "calibration": 0})) == {}


def test_windows_on_both_sides_of_the_split_are_refused(windows: PreparedWindows) -> None:
    ids = windows.test.keys["window_id"].to_list()
    ids[5] = windows.train.keys["window_id"][0]
    keys = windows.test.keys.with_columns(pl.Series("window_id", ids))
    assert windows.test_truth is not None
    made = replace(
        windows,
        test=replace(windows.test, keys=keys),
        test_truth=windows.test_truth.with_columns(pl.Series("window_id", ids)),
    )
    assert bad(made) == {"duplicates": "refused"}
    assert f"first '{ids[5]}'" in text(made, "duplicates")


def test_contents_on_both_sides_are_counted_and_measured_without(
    windows: PreparedWindows,
) -> None:
    """What was learnt by heart looks normal wherever it comes again."""
    x, tokens, lengths = (
        a.copy() for a in (windows.test.x, windows.test.tokens, windows.test.lengths)
    )
    rows = np.flatnonzero(labels(windows) == 0)[:90]
    for mine, theirs in (
        (x, windows.train.x),
        (tokens, windows.train.tokens),
        (lengths, windows.train.lengths),
    ):
        mine[rows] = theirs[:90]
    made = replace(windows, test=replace(windows.test, x=x, tokens=tokens, lengths=lengths))
    assert bad(made) == {"duplicates": "warning"}
    assert "90 of 200 test windows and 0 of 12 risky ones" in text(made, "duplicates")

    class ByHeart(Honest):
        def learn(self, windows: Windows, validation: Windows | None = None) -> None:
            self.spec_, self.seen = windows.spec, {row.tobytes() for row in windows.x}

        def score(self, windows: Windows) -> np.ndarray:
            return np.array(
                [float(row.tobytes() not in self.seen) for row in windows.x], np.float32
            )

    metrics = judged(ByHeart(), made).metrics
    assert metrics["roc_auc"] > 0.7  # type: ignore[operator]
    assert metrics["roc_auc_without_duplicates"] == 0.5
    assert metrics["average_precision_without_duplicates"] == pytest.approx(12 / 110)
    honest = judged(Honest(), windows).metrics
    assert "roc_auc_without_duplicates" not in honest


def test_risky_windows_that_were_copied_are_named(windows: PreparedWindows) -> None:
    test = windows.test
    twice = np.sort(np.concatenate([np.arange(200), RISKY]))
    copied = some(windows, twice)
    later = copied.test.keys.with_columns(
        pl.col("start", "end") + pl.duration(minutes=pl.int_range(pl.len()) % 7)
    )
    copied = replace(copied, test=replace(copied.test, keys=later))
    assert bad(copied)["duplicates"] == "warning"
    assert "100% of the risky windows hold what another" in text(copied, "duplicates")
    again = replace(copied, test=test.take(twice), test_truth=windows.test_truth[twice])  # type: ignore[index]
    assert bad(again)["duplicates"] == "refused"


def test_a_random_split_is_refused_and_a_protocol_is_told(windows: PreparedWindows) -> None:
    def at(part: Windows, days: int) -> Windows:
        return replace(
            part, keys=part.keys.with_columns(pl.col("start", "end") - timedelta(days=days))
        )

    early = replace(windows, test=at(windows.test, 30))
    assert bad(early)["order_of_periods"] == "refused"
    assert bad(replace(early, over_time=False))["order_of_periods"] == "warning"
    later = replace(windows, calibration=at(windows.calibration, 20))
    assert bad(later)["order_of_periods"] == "warning"
    assert (
        bad(replace(windows, test=windows.train, test_truth=None))["order_of_periods"] == "refused"
    )


def test_windows_that_overlap_are_no_independent_cases(windows: PreparedWindows) -> None:
    long = with_keys(windows, end=pl.col("end").dt.offset_by("2d"))
    assert bad(replace(long, over_time=False))["overlapping_windows"] == "warning"


def test_a_test_without_new_users_says_so(windows: PreparedWindows) -> None:
    known = np.flatnonzero((windows.test.keys["user_id"] != "user4").to_numpy())
    assert bad(some(windows, known)) == {"new_users": "warning"}


# ---- truth


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda truth: truth.head(199), "the truth has 199 rows and the test period 200 windows"),
        (
            lambda truth: truth.reverse(),
            r"row 0 \(counted from 0\) of the truth is of window '3-0199'",
        ),
        (lambda truth: truth.with_columns(label=pl.lit(2)), r"label 2 of row 0 .* must be 0 or 1"),
        (
            lambda truth: truth.with_columns(label=pl.lit(None, pl.Int8)),
            r"label None of row 0 .* must be 0 or 1",
        ),
    ],
)
def test_truth_that_does_not_fit_the_windows_is_an_error(
    spoil: Callable[[pl.DataFrame], pl.DataFrame], message: str, windows: PreparedWindows
) -> None:
    assert windows.test_truth is not None
    with pytest.raises(DataError, match=message):
        judged(Honest(), replace(windows, test_truth=spoil(windows.test_truth)))


def test_users_with_a_single_window_tell_nothing_by_their_name(
    make_windows: MakeWindows,
) -> None:
    """That one window of a user is risky says nothing where there is no other to tell by."""
    rows = list(range(0, 200, 20))
    windows = fair(make_windows, rows)
    names = pl.Series("user_id", [f"person{i}" for i in range(200)])
    keys = windows.test.keys.with_columns(names)
    single = replace(windows, test=replace(windows.test, keys=keys))
    assert "shared_artefacts" not in bad(single)
