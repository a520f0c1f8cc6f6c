"""Reasons in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from riskml.core.errors import BundleError
from riskml.core.types import (
    LOG_RATIO,
    RANK,
    RARITY,
    SHARE,
    Feature,
    FeatureKind,
    FeatureSpec,
    FloatArray,
    Windows,
)
from riskml.scoring.explain import Explainer
from riskml.scoring.sentences import WEEKDAYS, shorten

COUNT, BINARY, CYCLIC = FeatureKind.COUNT, FeatureKind.BINARY, FeatureKind.CYCLIC
SPEC = FeatureSpec(
    (
        Feature("night_events", "time_of_day", COUNT, "events between 00 and 06 h"),
        Feature("minutes", "volume", COUNT, "minutes from first to last event", "min"),
        Feature("weekend", "time_of_day", BINARY, "activity at a weekend"),
        Feature("hour_sin", "time_of_day", CYCLIC, "middle of activity", "h", "hour"),
        Feature("hour_cos", "time_of_day", CYCLIC, "middle of activity", "h", "hour"),
        Feature("weekday_sin", "time_of_day", CYCLIC, "weekday", "d", "weekday"),
        Feature("weekday_cos", "time_of_day", CYCLIC, "weekday", "d", "weekday"),
        Feature("e0", "action_embedding", "continuous", "mix", topic="action_embedding"),  # type: ignore[arg-type]
        Feature("e1", "action_embedding", "continuous", "mix", topic="action_embedding"),  # type: ignore[arg-type]
    ),
    ("<pad>", "<unknown>", "read", "login", "sudo", "copy"),
)
ACTION_COUNTS = (0, 7, 1000, 500, 2, 30)


def row(
    night: float = 0, minutes: float = 10, weekend: float = 0, hour: float = 9, weekday: int = 1
) -> list[float]:
    day, week = 2 * math.pi * hour / 24, 2 * math.pi * weekday / 7
    circle = [math.sin(day), math.cos(day), math.sin(week), math.cos(week)]
    return [night, minutes, weekend, *circle, 0.0, 0.0]


def windows(
    rows: Sequence[Sequence[float]],
    users: Sequence[str] | str = "ann",
    tokens: Sequence[Sequence[int]] | None = None,
) -> Windows:
    n = len(rows)
    start = [datetime(2024, 3, 4, tzinfo=UTC) + timedelta(hours=i) for i in range(n)]
    given = tokens or [[2]] * n
    width = max(map(len, given))
    matrix = [[*ids, *[0] * (width - len(ids))] for ids in given]
    keys = pl.DataFrame(
        {
            "window_id": [f"w{i}" for i in range(n)],
            "user_id": [users] * n if isinstance(users, str) else list(users),
            "start": start,
            "end": start,
            "n_events": [len(ids) for ids in given],
        }
    )
    lengths = np.array([len(ids) for ids in given], np.int32)
    return Windows(keys, np.array(rows, np.float32), SPEC, np.array(matrix, np.int32), lengths)


def fitted() -> Explainer:
    """Ann works at nine, bob at night, eve has four windows only."""
    ann = [row(night=i % 2, minutes=10 + i) for i in range(10)]
    bob = [row(night=20 + i, minutes=50, hour=2, weekday=6, weekend=1) for i in range(10)]
    eve = [row(night=99)] * 4
    users = ["ann"] * 10 + ["bob"] * 10 + ["eve"] * 4
    return Explainer.fit(windows([*ann, *bob, *eve], users), ACTION_COUNTS)


def sentence(
    topic: str, values: Sequence[float], user: str = "ann", **more: list[list[int]]
) -> str:
    """The sentence of the one topic that has a share."""
    shares = np.array([[float(f.topic == topic) for f in SPEC.features]], np.float32)
    topics = [f.topic for f in SPEC.features]
    reasons = fitted().explain(windows([values], user, **more), shares, topics)
    assert [reason.topic for reason in reasons[0]] == [topic]
    return reasons[0][0].text


def test_count() -> None:
    text = sentence("night_events", row(night=14))
    assert text == "events between 00 and 06 h: 14, usually 0–1"
    usual = sentence("night_events", row(night=3), "bob")
    assert usual == "events between 00 and 06 h: 3, usually 21–28"


def test_count_with_a_unit() -> None:
    text = sentence("minutes", row(minutes=1234), "bob")
    assert text == "minutes from first to last event: 1,234 min, usually 50"


def test_binary() -> None:
    assert sentence("weekend", row(weekend=1)) == "activity at a weekend"
    assert sentence("weekend", row(weekend=0), "bob") == "no activity at a weekend"


def test_hour() -> None:
    text = sentence("hour", row(hour=23.5))
    assert text == "middle of activity around 23:30, usually around 09:00"


def test_hours_around_midnight() -> None:
    late = [row(hour=hour, weekday=0) for hour in (23, 23.5, 0.5, 1, 0)]
    explainer = Explainer.fit(windows(late), ACTION_COUNTS)
    shares = np.eye(1, len(SPEC), 3, dtype=np.float32)
    reasons = explainer.explain(windows([row(hour=12)]), shares, [f.topic for f in SPEC.features])
    assert reasons[0][0].text == "middle of activity around 12:00, usually around 00:00"


def test_weekday() -> None:
    found = [sentence("weekday", row(weekday=day)) for day in range(7)]
    assert found == [f"weekday: {name}" for name in WEEKDAYS]


def test_embedding_names_the_rarest_actions() -> None:
    text = sentence("action_embedding", row(), tokens=[[2, 3, 4, 4, 1, 5]])
    assert text == (
        "the mix of actions is unusual (rarest here: 'sudo', a new or rare action, 'copy')"
    )
    assert sentence("action_embedding", row(), tokens=[[2]]).endswith("(rarest here: 'read')")


def test_the_mix_of_actions_is_told_without_embeddings_too() -> None:
    features = tuple(f for f in SPEC.features if f.topic != "action_embedding")
    spec = FeatureSpec(features, SPEC.actions)
    made = windows([row()] * 5, tokens=[[2, 4]] * 5)
    plain = replace(made, x=made.x[:, : len(spec)], spec=spec)
    shares = np.array([[3.0, 1.0]], np.float32)
    first = Explainer.fit(plain, ACTION_COUNTS).explain(
        plain.take(np.arange(1)), shares, ["action_embedding", "minutes"]
    )[0]
    assert first[0].text == "the mix of actions is unusual (rarest here: 'sudo', 'read')"


def test_an_action_beside_other_topics() -> None:
    made = windows([row()], tokens=[[4, 1, 4]])
    shares = np.array([[2.0, 1.0, 0.5]], np.float32)
    topics = ["action: sudo", "persistence", "action: <unknown>"]
    assert [r.text for r in fitted().explain(made, shares, topics)[0]] == [
        "'sudo' × 2: not expected here",
        "this user's windows just before were unusual too",
        "a new or rare action × 1: not expected here",
    ]


def test_unknown_topic_is_the_combination() -> None:
    shares = np.ones((1, 1), np.float32)
    reasons = fitted().explain(windows([row()]), shares, ["latent"])
    assert [r.text for r in reasons[0]] == ["the features together are unlike this user"]


def test_actions() -> None:
    made = windows([row()] * 2, tokens=[[4, 2, 4, 3], [2, 1]])
    shares = np.array([[2.0, 0.5, 1.5, -1.0], [0.1, 4.0, 0.0, 0.0]], np.float32)
    first, second = fitted().explain(made, shares, None)
    assert [(r.topic, r.share, r.text) for r in first] == [
        ("sudo", 3.5, "'sudo' × 2: not expected here"),
        ("read", 0.5, "'read' × 1: not expected here"),
    ]
    assert [(r.topic, r.text) for r in second] == [
        ("<unknown>", "a new or rare action × 1: not expected here"),
        ("read", "'read' × 1: not expected here"),
    ]
    only = fitted().explain(made, shares, None, top=1)
    assert [[r.topic for r in reasons] for reasons in only] == [["sudo"], ["<unknown>"]]


@pytest.mark.parametrize("user", ["nobody", "eve"])
def test_little_known_users_are_compared_with_everyone(user: str) -> None:
    explainer = fitted()
    assert list(explainer.users) == ["ann", "bob"]
    everyone = [row(night=i % 2) for i in range(10)] + [row(night=20 + i) for i in range(10)]
    night = np.array([r[0] for r in everyone] + [99] * 4, np.float32)
    low, high = np.quantile(night, [0.1, 0.9])
    assert explainer.low[0, 0] == pytest.approx(low)
    assert explainer.high[0, 0] == pytest.approx(high)
    text = sentence("night_events", row(night=14), user)
    assert text == f"events between 00 and 06 h: 14, usually {low:.0f}–{high:.0f}"


@pytest.mark.parametrize(
    ("meaning", "unit", "value", "text"),
    [
        (
            "different resources: rank among own windows of the last 30 days",
            RANK,
            0.98,
            "different resources: more than in 98 % of own windows of the last 30 days",
        ),
        (
            "events: rank among peers' windows",
            RANK,
            0,
            "events: less than in 100 % of peers' windows",
        ),
        (
            "events against the own mean of 30 days",
            LOG_RATIO,
            math.log(3.21),
            "events: 3.2 × the own mean of 30 days, usually 0.5–2 ×",
        ),
        (
            "rarity of the oddest hour",
            RARITY,
            2.3,
            "rarity of the oddest hour: 1 in 200, usually 1 in 1–5",
        ),
        ("share of events at night", SHARE, 1, "share of events at night: 100 %, usually 0–50 %"),
        (
            "events against the own mean of 30 days",
            LOG_RATIO,
            7.5,
            "events: over 100 × the own mean of 30 days, usually 0.5–2 ×",
        ),
        ("longest absence", "d", 12, "longest absence: 12 days, usually 0–1"),
        ("longest absence", "d", 1, "longest absence: 1 day, usually 0–1"),
        (
            "resources never met by anybody before",
            "",
            2,
            "resources never met by anybody before: 2, usually 0",
        ),
    ],
)
def test_units_in_words(meaning: str, unit: str, value: float, text: str) -> None:
    usual = {
        LOG_RATIO: (math.log(0.5), math.log(2)),
        RARITY: (0.0, math.log10(5)),
        SHARE: (0, 0.5),
        "": (0, 0),
    }.get(unit, (0, 1))
    feature = Feature("f", "family", FeatureKind.CONTINUOUS, meaning, unit)
    low, high = (np.array([[end]], np.float32) for end in usual)
    explainer = Explainer(FeatureSpec((feature,)), {}, low, high, (0, 0))
    made = windows([row()])
    made = Windows(
        made.keys, np.array([[value]], np.float32), explainer.spec, made.tokens, made.lengths
    )
    assert explainer.explain(made, np.ones((1, 1), np.float32), ["f"])[0][0].text == text


def test_usual_numbers_are_written_in_full() -> None:
    made = [row(minutes=99), row(minutes=100)] * 2
    explainer = Explainer.fit(windows(made, list("abcd")), ACTION_COUNTS)
    explainer.high[0, 1] = 99.6
    shares = np.eye(1, len(SPEC), 1, dtype=np.float32)
    reasons = explainer.explain(windows([row(minutes=7)]), shares, [f.topic for f in SPEC.features])
    assert reasons[0][0].text == "minutes from first to last event: 7 min, usually 99–100"


def test_shares_of_a_topic_add_up_and_only_the_largest_stay() -> None:
    shares = np.array([[0.5, 3.0, -1.0, 1.0, 1.5, 0.0, 0.0, 0.2, 0.1]], np.float32)
    topics = [f.topic for f in SPEC.features]
    odd = windows([row(night=9, minutes=500, hour=3)])
    reasons = fitted().explain(odd, shares, topics)[0]
    assert [r.topic for r in reasons] == ["minutes", "hour", "night_events", "action_embedding"]
    assert [r.share for r in reasons] == pytest.approx([3.0, 2.5, 0.5, 0.3])
    two = fitted().explain(odd, shares, topics, top=2)[0]
    assert [r.topic for r in two] == ["minutes", "hour"]


def test_usual_values_are_no_reason_unless_there_is_no_other() -> None:
    topics = [f.topic for f in SPEC.features]
    shares = np.array([[0.5, 3.0, 0.0, 1.0, 1.5, 4.0, 0.0, 0.0, 0.0]], np.float32)
    usual, odd = row(), row(night=9)
    low = fitted().low[1].tolist()
    usual[0], usual[1] = low[0], low[1]
    told = fitted().explain(windows([usual]), shares, topics)[0]
    assert [r.topic for r in told] == ["weekday", "minutes", "hour", "night_events"]
    odd[1] = low[1]
    assert [r.topic for r in fitted().explain(windows([odd]), shares, topics)[0]] == [
        "night_events"
    ]


def test_topics_of_one_aspect_give_one_reason_with_all_its_shares() -> None:
    meanings = ("sources new to the user", "sources new to peers", "failed actions")
    told = ("new_source", "new_source", "")
    features = tuple(
        Feature(f"f{i}", "family", COUNT, meaning, aspect=aspect)
        for i, (meaning, aspect) in enumerate(zip(meanings, told, strict=True))
    )
    spec, none = FeatureSpec(features), np.zeros((1, 3), np.float32)
    made = windows([row()])
    values = np.array([[2.0, 1.0, 9.0]], np.float32)
    odd = Windows(made.keys, values, spec, made.tokens, made.lengths)
    explainer = Explainer(spec, {}, none, none, (0, 0))
    # each share of the source is smaller than that of the failures, together they are larger
    shares = np.array([[2.0, 3.0, 4.0]], np.float32)
    (reasons,) = explainer.explain(odd, shares, ["f0", "f1", "f2"])
    assert [(r.topic, r.share) for r in reasons] == [("f1", 5.0), ("f2", 4.0)]
    assert reasons[0].text == "sources new to peers: 1, usually 0"
    (only,) = explainer.explain(odd, shares, ["f0", "f1", "f2"], top=1)
    assert [r.topic for r in only] == ["f1"]


def test_a_weekday_outside_the_working_week_is_a_reason() -> None:
    week = [row(weekday=day) for day in (0, 1, 2, 3, 4) * 4]
    explainer = Explainer.fit(windows(week), ACTION_COUNTS)
    topics = [feature.topic for feature in SPEC.features]
    shares = np.array([[0.5, 0, 0, 0, 0, 3.0, 0, 0, 0]], np.float32)

    def told(weekday: int) -> list[str]:
        (reasons,) = explainer.explain(windows([row(night=5, weekday=weekday)]), shares, topics)
        return [reason.topic for reason in reasons]

    assert told(2) == ["night_events"]
    assert told(6) == ["weekday", "night_events"]


def test_usual_window_is_the_middle_of_the_own_range() -> None:
    explainer = fitted()
    ann, nobody = explainer.usual(windows([row(), row()], ["ann", "nobody"]))
    np.testing.assert_allclose(ann, (explainer.low[1] + explainer.high[1]) / 2)
    np.testing.assert_allclose(nobody, (explainer.low[0] + explainer.high[0]) / 2)


def test_long_names_are_cut() -> None:
    assert shorten("x" * 500) == "x" * 59 + "…"
    assert shorten("short") == "short"


def test_distance_from_usual_where_a_detector_cannot_tell() -> None:
    explainer = fitted()
    nothing: FloatArray = np.zeros((2, 0), np.float32)
    made = windows([row(night=50, minutes=15), row(night=0, minutes=15)])
    far, near = explainer.explain(made, nothing, [])
    width = float(explainer.high[0, 0] - explainer.low[0, 0])
    assert far[0].topic == "night_events"
    assert far[0].share == pytest.approx((50 - 1) / width)
    assert far[0].text == "events between 00 and 06 h: 50, usually 0–1"
    assert "night_events" not in [r.topic for r in near]


def test_saved_and_loaded(tmp_path: Path) -> None:
    explainer = fitted()
    explainer.save(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "usual.parquet",
        "usual.safetensors",
    ]
    loaded = Explainer.load(tmp_path, SPEC)
    assert loaded.users == explainer.users
    assert loaded.action_counts == ACTION_COUNTS
    made = windows([row(night=9, hour=3)] * 3, ["ann", "bob", "nobody"], [[4, 1], [5], [2, 3]])
    shares = np.random.default_rng(0).random((3, len(SPEC))).astype(np.float32)
    topics = [f.topic for f in SPEC.features]
    assert loaded.explain(made, shares, topics) == explainer.explain(made, shares, topics)
    assert loaded.explain(made, shares, None) == explainer.explain(made, shares, None)


def test_nobody_is_known_well_enough(tmp_path: Path) -> None:
    explainer = Explainer.fit(windows([row(night=2)] * 4), ACTION_COUNTS)
    explainer.save(tmp_path)
    loaded = Explainer.load(tmp_path, SPEC)
    assert loaded.users == {}
    assert loaded.low.shape == (1, len(SPEC))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "usual.parquet").write_bytes(b"PAR1"),
        lambda folder: (folder / "usual.safetensors").write_bytes(b"cut"),
        lambda folder: (folder / "usual.safetensors").unlink(),
        lambda folder: (folder / "usual.parquet").unlink(),
    ],
    ids=["broken-users", "broken-ranges", "no-ranges", "no-users"],
)
def test_damaged_files(damage: Callable[[Path], None], tmp_path: Path) -> None:
    fitted().save(tmp_path)
    damage(tmp_path)
    with pytest.raises(BundleError, match=r"usual\.safetensors is missing, damaged"):
        Explainer.load(tmp_path, SPEC)


def test_reasons_say_first_that_the_user_is_new(tmp_path: Path) -> None:
    train = windows([row()] * 16, ["ann"] * 10 + ["bob"] * 6)
    explainer = Explainer.fit(train, ACTION_COUNTS, learning_windows=10)
    explainer.save(tmp_path)
    asked = windows([row(night=9)] * 3, ["ann", "bob", "eve"])
    shares = np.zeros((3, len(SPEC)), np.float32)
    shares[:, 0] = 2
    topics = [feature.topic for feature in SPEC.features]
    for made in (explainer, Explainer.load(tmp_path, SPEC)):
        assert made.is_learning(asked.keys["user_id"]).tolist() == [False, True, True]
        known, few, none = made.explain(asked, shares, topics)
        assert [reason.topic for reason in known] == ["night_events"]
        assert [reason.topic for reason in few] == ["new_user", "night_events"]
        assert few[0].text.startswith("new user, only 6 known from training")
        assert none[0].text.startswith("new user, no window known from training")
        assert few[0].share == 0
        assert made.users == {"ann": 1, "bob": 2}


def test_nobody_is_new_unless_asked_for() -> None:
    explainer = Explainer.fit(windows([row()] * 3, "ann"), ACTION_COUNTS)
    assert not explainer.is_learning(pl.Series(["ann", "eve"])).any()


def test_usual_ranges_from_before_users_were_counted(tmp_path: Path) -> None:
    explainer = Explainer.fit(windows([row()] * 10, ["ann"] * 5 + ["bob"] * 5), ACTION_COUNTS)
    explainer.save(tmp_path)
    table = pl.read_parquet(tmp_path / "usual.parquet")
    table.select("user_id").write_parquet(tmp_path / "usual.parquet")
    assert Explainer.load(tmp_path, SPEC).users == explainer.users
