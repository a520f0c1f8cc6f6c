"""What is learnt from verdicts, when it counts, and what an auditor is shown."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import roc_auc_score

from riskml.cli_feedback import LEAST_CHANCE
from riskml.core.errors import ConfigError, DataError
from riskml.core.types import Feature, FeatureKind, FeatureSpec
from riskml.triage.blending import BEFORE, Examples, Seen, Triage, TriageSettings, to_show
from riskml.triage.classifier import TriageClassifier
from riskml.triage.loop import Stream, run_loop, simulated_auditor
from riskml.triage.matrix import family_shares, triage_matrix
from riskml.triage.memory import remembered


def seen(x: npt.ArrayLike, evidence: npt.ArrayLike | None = None) -> Seen:
    rows = np.asarray(x, np.float32)
    told = np.zeros(len(rows)) if evidence is None else np.asarray(evidence, float)
    return Seen(rows, told, np.zeros((len(rows), 2)))


def examples(n: int = 60, users: int = 12, seed: int = 0) -> Examples:
    """True incidents have a high first column; the second says nothing, nor does the detector."""
    rng = np.random.default_rng(seed)
    confirmed = (np.arange(n) % 4 == 0).astype(np.int8)
    x = rng.normal(size=(n, 2)).astype(np.float32)
    x[:, 0] += 4 * confirmed
    background = rng.normal(size=(80, 2)).astype(np.float32)
    names = np.array([f"u{i % users}" for i in range(n)])
    return Examples(seen(x, rng.normal(2, 0.3, n)), confirmed, names, background)


def first(given: Examples, n: int) -> Examples:
    rows = np.arange(n)
    return replace(
        given, seen=given.seen.take(rows), confirmed=given.confirmed[:n], users=given.users[:n]
    )


@pytest.mark.parametrize("kind", ["forest", "xgboost"])
def test_trees_tell_what_auditors_confirm(kind: str) -> None:
    if kind == "xgboost":
        pytest.importorskip("xgboost")
    given = examples()
    told = (given.seen.x, given.confirmed, given.users, given.background)
    fitted = TriageClassifier(kind, trees=30).fit(*told)
    again = TriageClassifier(kind, trees=30).fit(*told)
    others = examples(400, seed=1)
    found = fitted.opinion(others.seen.x)
    assert np.array_equal(found, again.opinion(others.seen.x))
    assert roc_auc_score(others.confirmed, found) > 0.97
    assert roc_auc_score(given.confirmed, fitted.held_out_) > 0.95


def test_opinions_on_judged_windows_are_of_trees_that_saw_none_of_their_user() -> None:
    rng = np.random.default_rng(0)
    users = np.array([f"u{i // 4}" for i in range(80)])
    x = np.repeat(rng.normal(size=(20, 3)), 4, 0).astype(np.float32)  # a user is known by x
    confirmed = np.repeat(rng.permutation(20) % 2, 4).astype(np.int8)
    fitted = TriageClassifier(trees=30).fit(x, confirmed, users, x[:0])
    assert roc_auc_score(confirmed, fitted.opinion(x)) == 1
    assert roc_auc_score(confirmed, fitted.held_out_) < 0.8


def test_chances_are_calibrated_on_windows_like_those_judged() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1200, 1)).astype(np.float32)
    truth = 1 / (1 + np.exp(-1.5 * x[:, 0]))
    said = (rng.random(1200) < truth).astype(np.int8)
    users = np.array([f"u{i % 50}" for i in range(1200)])
    # verdicts by chance, none of them wrong
    settings = TriageSettings(trees=30, wrong=0.01)
    triage = Triage(settings).fit(Examples(seen(x), said, users, x[:1]))
    new = rng.normal(size=(4000, 1)).astype(np.float32)
    told = triage.chance(seen(new))
    assert told is not None
    for quarter in np.array_split(np.argsort(told), 4):
        assert abs(told[quarter].mean() - (1 / (1 + np.exp(-1.5 * new[quarter, 0]))).mean()) < 0.08


def test_verdicts_of_one_user_are_too_few() -> None:
    given = examples()
    one = replace(given, users=np.where(given.confirmed == 1, "a", "b"))
    with pytest.raises(DataError, match="of 1 and 1"):
        TriageClassifier().fit(one.seen.x, one.confirmed, one.users, one.background)
    assert "of two users" in Triage(TriageSettings()).fit(one).reason


def test_below_the_fewest_verdicts_the_order_is_the_detectors_and_it_says_so() -> None:
    triage = Triage(TriageSettings(fewest=5, trees=10))
    windows = Seen(np.zeros((2, 2), np.float32), np.array([1.0, 3.0]), np.array([[2.0, 0], [0, 2]]))
    assert triage.reason == "no verdicts yet"
    triage.fit(first(examples(), 16))  # four true incidents
    assert not triage.learnt
    assert triage.reason.startswith("4 true incidents and 12 false alarms: 5 of each")
    assert triage.log_odds(windows) == pytest.approx(BEFORE[0] + BEFORE[1] * windows.evidence)
    assert triage.chance(windows) is None
    assert triage.worth_showing(triage.log_odds(windows)).all()
    triage.fit(first(examples(), 17))
    assert triage.learnt
    assert triage.reason == ""
    assert triage.coefficients["trees"] > 0


def test_what_the_least_chance_leaves_out() -> None:
    triage = Triage(TriageSettings(kind="none", least_chance=0.2)).fit(examples())
    assert triage.worth_showing(np.array([-1.5, -1.3, 3])).tolist() == [False, True, True]


def test_the_more_verdicts_the_more_they_count() -> None:
    few, many = (Triage(TriageSettings(trees=30)).fit(first(examples(200), n)) for n in (24, 200))
    assert 0 < few.coefficients["trees"] < many.coefficients["trees"]


def test_what_is_remembered_of_a_user() -> None:
    told = remembered(
        np.array(["ann", "ann", "bob", "ann"]), np.array([9, 2, 9, 3]),
        np.array(["ann", "ann", "bob"]), np.array([2, 9, 2]), np.array([1, 1, 0], np.int8), 7,
    )  # fmt: skip
    assert told[0].tolist() == [0.5, 0]  # that of the day itself is not known yet
    assert told[1].tolist() == [0, 0]
    assert told[2].tolist() == [0, 0.5]
    assert told[3].tolist() == [pytest.approx(0.5 ** (1 / 7)), 0]
    often = remembered(
        np.array(["ann"]), np.array([5]), np.repeat("ann", 9), np.repeat(4, 9),
        np.ones(9, np.int8), 7,
    )  # fmt: skip
    assert often.tolist() == [[2, 0]]


def test_the_command_has_the_defaults_of_the_study() -> None:
    assert TriageSettings().least_chance == LEAST_CHANCE


def test_what_is_shown() -> None:
    rng = np.random.default_rng(0)
    evidence = np.arange(100.0)
    assert to_show(evidence, 5, 0.0, rng).tolist() == [99, 98, 97, 96, 95]
    assert to_show(evidence, 5, 0.0, rng, evidence > 96.5).tolist() == [99, 98, 97]
    assert len(to_show(evidence[:3], 5, 0.5, rng)) == 3
    assert to_show(evidence[:0], 5, 0.5, rng).tolist() == []
    drawn = [to_show(evidence, 5, 0.3, rng) for _ in range(400)]
    assert all(len(set(rows.tolist())) == 5 for rows in drawn)
    top = np.mean([np.isin(rows, [99, 98, 97, 96, 95]).sum() for rows in drawn])
    assert 3.5 < top < 3.8  # 3.5 by rank, and now and then one by chance
    assert min(rows.min() for rows in drawn) >= 100 - 5 - 50


def test_nothing_of_a_day_is_known_before_it_was_shown() -> None:
    given = examples(200)
    day = np.repeat(np.arange(10), 20)
    stream = Stream(given.seen.x, np.zeros(200), day, given.users, given.background)
    settings = TriageSettings(explore=0.0, fewest=2, trees=10, least_chance=0.0)
    labels = given.confirmed.copy()
    whole = run_loop(stream, simulated_auditor(labels), Triage(settings), per_day=6, retrain_days=2)
    labels[100:] = 1 - labels[100:]
    other = run_loop(stream, simulated_auditor(labels), Triage(settings), per_day=6, retrain_days=2)
    # what is said on day 5 changes what is remembered on day 6
    assert np.array_equal(whole.log_odds[:120], other.log_odds[:120])
    assert np.array_equal(whole.shown[:120], other.shown[:120])
    assert not np.array_equal(whole.log_odds[120:], other.log_odds[120:])
    assert whole.verdicts == whole.shown.sum() == 60
    assert not whole.learnt[:20].any()
    assert whole.learnt[40:].all()
    assert ((whole.chance > 0) & (whole.chance < 1)).all()


def test_no_more_is_asked_than_the_budget() -> None:
    given = examples(100)
    stream = Stream(
        given.seen.x, given.seen.evidence, np.repeat(np.arange(10), 10), given.users,
        given.background,
    )  # fmt: skip
    asked: list[int] = []

    def judge(row: int) -> int | None:
        asked.append(row)
        return int(given.confirmed[row])

    settings = TriageSettings(trees=5, least_chance=0.0)
    shown = run_loop(stream, judge, Triage(settings), per_day=4, budget=9)
    assert len(asked) == shown.verdicts == 9
    assert shown.shown.sum() == 40


def test_the_auditor_errs_as_told() -> None:
    labels = (np.arange(4000) % 2).astype(np.int8)
    judge = simulated_auditor(labels, noise=0.1, unsure=0.2, seed=1)
    said = [judge(row) for row in range(4000)]
    assert said == [judge(row) for row in range(4000)]
    known = [(verdict, labels[i]) for i, verdict in enumerate(said) if verdict is not None]
    assert 0.77 < len(known) / 4000 < 0.83
    assert 0.08 < np.mean([verdict != label for verdict, label in known]) < 0.12


def test_shares_by_family() -> None:
    spec = FeatureSpec(
        tuple(
            Feature(name, family, FeatureKind.COUNT, name)
            for name, family in [("a", "volume"), ("b", "novelty"), ("c", "volume")]
        )
    )
    shares = np.float32([[1, 2, 3, 4]])
    summed, names = family_shares(shares, ["a", "b", "c", "combination"], spec)
    assert dict(zip(names, summed[0], strict=True)) == {
        "volume": 4, "novelty": 2, "combination": 4,
    }  # fmt: skip
    assert family_shares(shares, None, spec)[0].tolist() == [[10]]


def test_the_matrix(make_windows: object) -> None:
    windows = make_windows(6)  # type: ignore[operator]
    x, names = triage_matrix(windows, {"vae": np.arange(6.0)}, np.ones((6, 1), np.float32), ["e"])
    assert names == [*windows.spec.names, "evidence of vae", "share of e"]
    assert x.shape == (6, len(names))
    assert x[:, -2].tolist() == [0, 1, 2, 3, 4, 5]
    assert triage_matrix(windows, {}, np.ones((6, 0), np.float32), [])[1] == windows.spec.names


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"fewest": 1}, r"triage\.fewest=1"),
        ({"wrong": 0.5}, r"triage\.wrong=0\.5"),
        ({"half_life": 0}, r"triage\.half_life=0"),
        ({"least_chance": 1.0}, r"triage\.least_chance=1\.0"),
        ({"background": 0}, r"triage\.background=0"),
        ({"explore_until": 0}, r"triage\.explore_until=0"),
        ({"explore": 1.0}, r"triage\.explore=1\.0"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        TriageSettings(**settings)  # type: ignore[arg-type]


def test_kinds_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="did you mean 'forest'"):
        TriageSettings(kind="forrest")
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(ConfigError, match=r"riskml\[triage\]"):
        TriageClassifier("xgboost")
