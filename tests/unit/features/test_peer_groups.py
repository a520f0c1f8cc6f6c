"""Who is compared with whom."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from event_tables import ZERO, extractor, same_windows, table, worldly_log

from riskml.core.errors import DataError
from riskml.core.types import PEER
from riskml.features import peer_groups
from riskml.features.extractor import FeatureExtractor
from riskml.features.novelty import NoveltyFeatures
from riskml.features.peer_groups import NO_GROUP, PeerGroups
from riskml.features.windows import UserDayWindows


def groups_of(made: FeatureExtractor, users: list[str], **columns: list[str | None]) -> list[int]:
    events = table(users, [ZERO] * len(users), **columns).with_row_index("row")
    prepared = made._prepare(events, ("row",))[0]
    return prepared.sort("row")[PEER].to_list()


def test_groups_learnt_from_the_mix_of_actions() -> None:
    users = [f"{team}{i}" for team in ("clerk", "admin") for i in range(6) for _ in range(8)]
    actions = ["read" if user[0] == "c" else "sudo" for user in users]
    actions[::8] = ["login"] * 12
    times = [ZERO + timedelta(minutes=i) for i in range(len(users))]
    peers = PeerGroups(groups=2)
    made = extractor(UserDayWindows(), peers=peers).fit(table(users, times, actions))
    clerks = groups_of(made, [f"clerk{i}" for i in range(6)])
    admins = groups_of(made, [f"admin{i}" for i in range(6)])
    assert len(peers) == 3
    assert len(set(clerks)) == len(set(admins)) == 1
    assert {clerks[0], admins[0]} == {1, 2}
    assert groups_of(made, ["nobody"]) == [NO_GROUP]


def test_too_few_users_for_groups() -> None:
    peers = PeerGroups()
    made = extractor(UserDayWindows(), peers=peers).fit(worldly_log(1, users=9))
    assert len(peers) == 1
    assert groups_of(made, ["user0", "user1"]) == [NO_GROUP] * 2


@pytest.mark.filterwarnings("error")
def test_users_who_all_do_the_same_are_one_group_without_a_warning() -> None:
    users = [f"u{i}" for i in range(20)]
    peers = PeerGroups(groups=2)
    events = table(users, [ZERO] * 20, ["login"] * 20)
    made = extractor(UserDayWindows(), peers=peers).fit(events)
    assert len(set(groups_of(made, users))) == 1


def test_groups_that_the_log_names() -> None:
    events = table(list("abcd"), [ZERO] * 4, role=["sales", "it", None, "sales"])
    made = extractor(UserDayWindows(), peers=PeerGroups("role")).fit(events)
    found = groups_of(made, list("abxyz"), role=["sales", "it", "sales", "board", None])
    assert found == [2, 1, 2, NO_GROUP, NO_GROUP]
    with pytest.raises(DataError, match=r"no column 'role' \(features\.peers\.column\)"):
        made.windows(events.drop("role"))


def test_a_role_whose_novelty_counts_still_names_the_group() -> None:
    events = table(list("ab"), [ZERO] * 2, role=["sales", "it"])
    families = {"novelty": NoveltyFeatures(("role",))}
    made = extractor(UserDayWindows(), families=families, peers=PeerGroups("role")).fit(events)
    assert groups_of(made, ["a"], role=["sales"]) == [2]


@pytest.mark.parametrize("column", [None, "role"])
def test_saved_and_loaded(column: str | None, tmp_path: Path) -> None:
    peers = PeerGroups(column)
    made = extractor(UserDayWindows(), peers=peers).fit(worldly_log(1))
    made.save(tmp_path)
    loaded = FeatureExtractor.load(tmp_path)
    assert len(loaded.peers) == len(peers) > 1
    users: list[str] = [f"user{i}" for i in range(14)]
    role: list[str | None] = [f"role{i % 3}" for i in range(14)]
    assert groups_of(loaded, users, role=role) == groups_of(made, users, role=role)
    assert same_windows(loaded.windows(worldly_log(2)), made.windows(worldly_log(2)))


def test_windows_name_the_group_of_their_user() -> None:
    events = table(["ann", "bob"], [ZERO, ZERO], role=["clerk", None])
    roles = extractor(UserDayWindows(), peers=PeerGroups("role")).fit(events)
    assert roles.windows(events).keys.select("user_id", "peer").rows() == [
        ("ann", "clerk"),
        ("bob", "everyone"),
    ]


def test_more_groups_than_can_be_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_groups, "MOST_GROUPS", 2)
    three = table(list("abc"), [ZERO] * 3, role=["sales", "it", "board"])
    with pytest.raises(DataError, match=r"'role' \(features\.peers\.column\) has 3 values"):
        extractor(UserDayWindows(), peers=PeerGroups("role")).fit(three)
