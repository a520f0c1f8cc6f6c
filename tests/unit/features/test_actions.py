"""Vocabulary and Word2Vec vectors."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

import riskml
from riskml.core.errors import DataError
from riskml.core.types import PAD, UNKNOWN_ACTION, FloatArray, IntArray
from riskml.features import actions
from riskml.features.actions import (
    ActionVocabulary,
    train_action_vectors,
    unknown_rate,
    write_corpus,
)

ACTIONS = ["read"] * 4 + ["login"] * 2 + ["copy"] * 2 + ["sudo"]


def encode(vocabulary: ActionVocabulary, actions: Sequence[str]) -> list[int]:
    return pl.DataFrame({"action": actions}).select(vocabulary.encode())["token"].to_list()


def test_commonest_first_then_by_name() -> None:
    vocabulary = ActionVocabulary(2).fit(pl.Series(ACTIONS))
    assert vocabulary.actions == ("<pad>", "<unknown>", "read", "copy", "login")
    assert vocabulary.counts == (0, 1, 4, 2, 2)
    assert len(vocabulary) == 5


def test_rare_and_unseen_are_unknown() -> None:
    vocabulary = ActionVocabulary(2).fit(pl.Series(ACTIONS))
    assert encode(vocabulary, ["login", "sudo", "never seen", "read"]) == [4, 1, 1, 2]
    assert ActionVocabulary(1).fit(pl.Series(ACTIONS)).actions[-1] == "sudo"
    table = pl.DataFrame({"action": ["read"]}).select(vocabulary.encode())
    assert table.schema["token"] == pl.Int32


def test_actions_named_like_reserved_ids() -> None:
    vocabulary = ActionVocabulary(1).fit(pl.Series(["<pad>", "<pad>", "<unknown>", "x"]))
    assert vocabulary.actions == ("<pad>", "<unknown>", "x")
    assert vocabulary.counts == (0, 3, 1)
    assert encode(vocabulary, ["<pad>", "<unknown>", "x"]) == [1, 1, 2]


def test_only_rare_actions() -> None:
    vocabulary = ActionVocabulary(5).fit(pl.Series(["a", "b"]))
    assert vocabulary.actions == ("<pad>", "<unknown>")
    assert encode(vocabulary, ["a", "z"]) == [1, 1]


def test_nothing_to_learn_from() -> None:
    with pytest.raises(DataError, match=r"train period holds no events.*data\.split"):
        ActionVocabulary().fit(pl.Series([], dtype=pl.String))


def test_unknown_rate() -> None:
    assert unknown_rate(np.array([[2, 1, 0], [1, 3, 4]], np.int32)) == pytest.approx(2 / 5)
    assert unknown_rate(np.array([[2, 2, 0]], np.int32)) == 0
    assert unknown_rate(np.zeros((2, 3), np.int32)) == 0


def sentences(unknown: bool = False) -> tuple[IntArray, npt.NDArray[np.int64]]:
    """Windows about tokens 2 to 5 or about 6 to 9, never about both."""
    rng = np.random.default_rng(1)
    lengths = rng.integers(3, 9, 120)
    low = np.where(np.arange(120) % 2, 2, 6)
    tokens = (low[:, None] + rng.integers(0, 4, (120, 8))).astype(np.int32)
    if unknown:
        tokens[:10, 0] = UNKNOWN_ACTION
    return tokens[np.arange(8) < lengths[:, None]], lengths


def vectors(unknown: bool = False, seed: int = 0, epochs: int = 3) -> FloatArray:
    return train_action_vectors(*sentences(unknown), 10, dimensions=8, epochs=epochs, seed=seed)


def test_same_vectors_every_time() -> None:
    assert vectors().tobytes() == vectors().tobytes()
    assert not np.array_equal(vectors(), vectors(seed=1))


def test_same_vectors_in_another_process() -> None:
    code = (
        "import hashlib\n"
        "from test_actions import vectors\n"
        "print(hashlib.sha256(vectors().tobytes()).hexdigest())"
    )
    paths = [str(Path(__file__).parent), str(Path(riskml.__file__).parents[1])]
    environment = os.environ | {"PYTHONHASHSEED": "4711", "PYTHONPATH": os.pathsep.join(paths)}
    output = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    assert output.strip() == hashlib.sha256(vectors().tobytes()).hexdigest()


@pytest.mark.parametrize("rare_in_training", [False, True])
def test_padding_is_zero_and_unknown_has_its_own(rare_in_training: bool) -> None:
    found = vectors(rare_in_training)
    assert found.shape == (10, 8)
    assert found.dtype == np.float32
    assert not found[PAD].any()
    others = np.delete(found, UNKNOWN_ACTION, axis=0)
    assert np.abs(others - found[UNKNOWN_ACTION]).max(axis=1).min() > 1e-3
    assert np.linalg.norm(found[UNKNOWN_ACTION]) > 0.01


def test_unknown_without_training_has_the_usual_length() -> None:
    lengths = np.linalg.norm(vectors(), axis=1)
    assert lengths[UNKNOWN_ACTION] == pytest.approx(np.median(lengths[2:]), rel=1e-5)


def test_actions_of_the_same_windows_are_near() -> None:
    learnt = vectors(epochs=150)[2:]
    unit = learnt / np.linalg.norm(learnt, axis=1, keepdims=True)
    cosine = unit @ unit.T
    assert min(cosine[:4, :4].min(), cosine[4:, 4:].min()) > cosine[:4, 4:].max() + 0.2


def test_corpus_has_a_line_a_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "EVENTS_AT_ONCE", 2)  # lines go on from part to part
    tokens, counts = np.array([2, 13, 2, 1, 4, 4], np.int32), np.array([3, 1, 2])
    write_corpus(tmp_path / "corpus.txt", tokens, counts)
    assert (tmp_path / "corpus.txt").read_text() == "2 13 2\n1\n4 4\n"


def test_all_of_a_long_window_is_learnt_from() -> None:
    """Its tokens 6 to 9 come after the ten thousandth, where gensim ends what it takes at once."""
    rng = np.random.default_rng(0)
    tokens = np.concatenate([rng.integers(2, 6, 10_000), rng.integers(6, 10, 10_000)])
    learnt = train_action_vectors(tokens.astype(np.int32), np.array([20_000]), 10, dimensions=8)[2:]
    unit = learnt / np.linalg.norm(learnt, axis=1, keepdims=True)
    cosine = unit @ unit.T
    assert min(cosine[:4, :4].min(), cosine[4:, 4:].min()) > cosine[:4, 4:].max() + 0.2
