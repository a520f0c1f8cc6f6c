"""What is learnt from verdicts, when it counts, and what an auditor is shown."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from riskml.core.errors import ConfigError, DataError
from riskml.core.types import Feature, FeatureKind, FeatureSpec
from riskml.triage.blending import Triage, TriageSettings, to_show
from riskml.triage.classifier import Examples, TriageClassifier
from riskml.triage.loop import Stream, run_loop, simulated_auditor
from riskml.triage.matrix import family_shares, triage_matrix


def examples(n: int = 60, users: int = 12, seed: int = 0) -> Examples:
    """True incidents have a high first column; the second says nothing."""
    rng = np.random.default_rng(seed)
    confirmed = (np.arange(n) % 4 == 0).astype(np.int8)
    x = rng.normal(size=(n, 2)).astype(np.float32)
    x[:, 0] += 4 * confirmed
    background = rng.normal(size=(80, 2)).astype(np.float32)
    return Examples(x, confirmed, np.array([f"u{i % users}" for i in range(n)]), background)


def first(given: Examples, n: int) -> Examples:
    return replace(given, x=given.x[:n], confirmed=given.confirmed[:n], users=given.users[:n])


@pytest.mark.parametrize("kind", ["forest", "xgboost"])
def test_it_tells_what_auditors_confirm(kind: str) -> None:
    if kind == "xgboost":
        pytest.importorskip("xgboost")
    fitted = TriageClassifier(kind, trees=30).fit(examples())
    again = TriageClassifier(kind, trees=30).fit(examples())
    others = examples(400, seed=1)
    found = fitted.probability(others.x)
    assert np.array_equal(found, again.probability(others.x))
    assert ((found > 0) & (found < 1)).all()
    assert roc_auc_score(others.confirmed, found) > 0.97


def test_chances_are_calibrated_on_windows_like_those_judged() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1200, 1)).astype(np.float32)
    truth = 1 / (1 + np.exp(-1.5 * x[:, 0]))
    said = (rng.random(1200) < truth).astype(np.int8)
    users = np.array([f"u{i % 50}" for i in range(1200)])
    fitted = TriageClassifier(trees=30).fit(Examples(x, said, users, x[:0]))
    new = rng.normal(size=(4000, 1)).astype(np.float32)
    told = fitted.probability(new)
    for quarter in np.array_split(np.argsort(told), 4):
        assert abs(told[quarter].mean() - (1 / (1 + np.exp(-1.5 * new[quarter, 0]))).mean()) < 0.08


def test_verdicts_of_one_user_are_too_few() -> None:
    one = replace(examples(), users=np.where(examples().confirmed == 1, "a", "b"))
    with pytest.raises(DataError, match="of 1 and 1"):
        TriageClassifier(trees=30).fit(one)
    assert "of two users" in Triage(TriageSettings()).fit(one).reason


def test_below_the_fewest_verdicts_nothing_changes_and_it_says_so() -> None:
    triage = Triage(TriageSettings(fewest=5, trees=10))
    evidence, x = np.array([1.0, 3.0]), np.zeros((2, 2), np.float32)
    assert triage.reason == "no verdicts yet"
    assert triage.blend(evidence, x) is evidence
    triage.fit(first(examples(), 16))  # four true incidents
    assert triage.weight == 0
    assert triage.reason.startswith("4 true incidents and 12 false alarms: 5 of each")
    assert triage.blend(evidence, x) is evidence
    assert triage.probability(x) is None
    triage.fit(first(examples(), 17))
    assert triage.reason == ""
    assert triage.weight == pytest.approx(0.8 * 17 / 47)


def test_the_blend_lies_between_detector_and_verdicts() -> None:
    triage = Triage(TriageSettings(half_way=1e-9, most=1.0, trees=30)).fit(examples())
    x = np.float32([[4, 0], [0, 0]])
    risky, normal = triage.blend(np.array([0.5, 0.5]), x)
    assert risky > 1 > normal
    half = Triage(TriageSettings(half_way=60, most=1.0, trees=30)).fit(examples())
    assert half.blend(np.array([0.5]), x[:1])[0] == pytest.approx((0.5 + risky) / 2)


def test_what_is_shown() -> None:
    rng = np.random.default_rng(0)
    evidence = np.arange(100.0)
    assert to_show(evidence, 5, 0.0, rng).tolist() == [99, 98, 97, 96, 95]
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
    stream = Stream(given.x, np.zeros(200), day, given.users, given.background)
    settings = TriageSettings(explore=0.0, fewest=2, trees=10)
    labels = given.confirmed.copy()
    whole = run_loop(stream, simulated_auditor(labels), settings, per_day=6, retrain_days=2)
    labels[100:] = 1 - labels[100:]
    other = run_loop(stream, simulated_auditor(labels), settings, per_day=6, retrain_days=2)
    assert np.array_equal(whole.blended[:120], other.blended[:120])
    assert np.array_equal(whole.shown[:120], other.shown[:120])
    assert not np.array_equal(whole.blended[120:], other.blended[120:])
    assert whole.verdicts == whole.shown.sum() == 60
    late = np.arange(200) >= 100
    assert labels[whole.shown & late].mean() < 0.2  # the flipped labels: it finds the true ones


def test_no_more_is_asked_than_the_budget() -> None:
    given = examples(100)
    stream = Stream(
        given.x, given.x[:, 1].astype(float), np.repeat(np.arange(10), 10), given.users,
        given.background,
    )  # fmt: skip
    asked: list[int] = []

    def judge(row: int) -> int | None:
        asked.append(row)
        return int(given.confirmed[row])

    shown = run_loop(stream, judge, TriageSettings(trees=5), per_day=4, budget=9)
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
        ({"half_way": 0}, r"triage\.half_way=0"),
        ({"most": 1.5}, r"triage\.most=1\.5"),
        ({"explore": 1.0}, r"triage\.explore=1\.0"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        TriageSettings(**settings)  # type: ignore[arg-type]


def test_kinds_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="did you mean 'forest'"):
        TriageClassifier("forrest")
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(ConfigError, match=r"riskml\[triage\]"):
        TriageClassifier("xgboost")
