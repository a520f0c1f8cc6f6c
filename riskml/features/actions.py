"""Action names → token ids → Word2Vec vectors, learnt from the train period alone."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from riskml.core.errors import DataError
from riskml.core.types import PAD, UNKNOWN_ACTION, FloatArray, IntArray

RESERVED = ("<pad>", "<unknown>")
TOKEN = "token"
EVENTS_AT_ONCE = 1_000_000


class ActionVocabulary:
    """Ids of the actions seen in training, commonest first; 0 pads and 1 is any other action.

    Args:
        min_count: actions rarer than this in training share the unknown id.
    """

    def __init__(self, min_count: int = 2) -> None:
        self.min_count = min_count
        self.actions: tuple[str, ...] = RESERVED
        self.counts: tuple[int, ...] = (0, 0)

    def fit(self, actions: pl.Series) -> ActionVocabulary:
        """Learn ids from the actions of the train period.

        Raises:
            DataError: there is no action at all.
        """
        if actions.is_empty():
            raise DataError(
                "the train period holds no events: move data.split or load more history"
            )
        table = (
            pl.DataFrame({"action": actions})
            .group_by("action")
            .len("count")
            .sort(["count", "action"], descending=[True, False])
        )
        known = table.filter(
            (pl.col("count") >= self.min_count) & ~pl.col("action").is_in(RESERVED)
        )
        rare = len(actions) - int(known["count"].sum())
        self.actions = (*RESERVED, *known["action"].to_list())
        self.counts = (0, rare, *known["count"].to_list())
        return self

    def __len__(self) -> int:
        return len(self.actions)

    def unknown(self, actions: pl.Series) -> int:
        """How many of these were not learnt."""
        tokens = actions.to_frame("action").select(self.encode())
        return int((tokens[TOKEN] == UNKNOWN_ACTION).sum())

    def encode(self) -> pl.Expr:
        """The `token` (int32) of `action`."""
        return _encode(self.actions)


@lru_cache(maxsize=8)
def _encode(actions: tuple[str, ...]) -> pl.Expr:
    ids = pl.int_range(2, len(actions), dtype=pl.Int32, eager=True)
    known = pl.Series(actions[2:], dtype=pl.String)
    token = pl.col("action").replace_strict(
        known, ids, default=UNKNOWN_ACTION, return_dtype=pl.Int32
    )
    return token.alias(TOKEN)


def unknown_rate(tokens: IntArray) -> float:
    """Share of events whose action was not learnt (out-of-vocabulary rate), 0 where no event."""
    events = np.count_nonzero(tokens != PAD)
    return float(np.count_nonzero(tokens == UNKNOWN_ACTION) / events) if events else 0.0


def train_action_vectors(
    tokens: IntArray,
    counts: npt.NDArray[np.int64],
    vocabulary_size: int,
    dimensions: int = 16,
    context: int = 5,
    epochs: int = 5,
    seed: int = 0,
) -> FloatArray:
    """Skip-gram Word2Vec over the windows' token sequences (Mikolov et al. 2013).

    One worker: with more, gensim's result differs from run to run.

    Args:
        tokens: int32 [events] ids, window after window.
        counts: int64 [windows] events of each.
        vocabulary_size: number of ids, reserved ones included.
        dimensions: length of a vector.
        context: actions looked at on either side.
        epochs: passes over the windows.
        seed: of initialisation and sampling.

    Returns:
        float32 [vocabulary_size, dimensions]; padding is zero. An unknown action has a vector of
        its own: trained on the rare actions of the train period, or, where there were none, a
        fixed random direction of the usual length.
    """
    from gensim.models import Word2Vec

    model = Word2Vec(
        vector_size=dimensions,
        window=context,
        min_count=1,
        sg=1,
        negative=5,
        workers=1,
        seed=seed,
        epochs=epochs,
    )
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.txt"
        write_corpus(corpus, tokens, counts)
        model.build_vocab(corpus_file=str(corpus))
        model.train(
            corpus_file=str(corpus),
            total_words=model.corpus_total_words,
            total_examples=model.corpus_count,
            epochs=epochs,
        )
    vectors = np.zeros((vocabulary_size, dimensions), np.float32)
    learnt = np.array([int(word) for word in model.wv.index_to_key], np.int64)
    vectors[learnt] = model.wv.vectors
    if UNKNOWN_ACTION not in learnt:
        direction = np.random.default_rng(seed).standard_normal(dimensions)
        length = np.median(np.linalg.norm(model.wv.vectors, axis=1))
        vectors[UNKNOWN_ACTION] = direction / np.linalg.norm(direction) * length
    return vectors


def write_corpus(file: Path, tokens: IntArray, counts: npt.NDArray[np.int64]) -> None:
    """A line a window, ids for words: what gensim trains from without a step in Python.

    Args:
        file: where to.
        tokens: int32 [events], window after window.
        counts: int64 [windows] events of each; gensim cuts lines of more than 10,000 into several.
    """
    ends = np.zeros(len(tokens), bool)
    ends[np.cumsum(counts) - 1] = True
    with file.open("wb") as out:
        for begin in range(0, len(tokens), EVENTS_AT_ONCE):
            some = slice(begin, begin + EVENTS_AT_ONCE)
            words = pl.select(
                pl.lit(pl.Series(tokens[some])).cast(pl.String)
                + pl.when(pl.Series(ends[some])).then(pl.lit("\n")).otherwise(pl.lit(" "))
            )
            out.write(words.to_series().str.join("").item().encode())
