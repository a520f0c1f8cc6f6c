"""Action names → token ids → Word2Vec vectors, learnt from the train period alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from riskml.core.errors import DataError
from riskml.core.types import PAD, UNKNOWN_ACTION, FloatArray, IntArray

RESERVED = ("<pad>", "<unknown>")
TOKEN = "token"


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

    def encode(self) -> pl.Expr:
        """The `token` (int32) of `action`."""
        return (
            pl.col("action")
            .replace_strict(
                list(self.actions[2:]),
                list(range(2, len(self))),
                default=UNKNOWN_ACTION,
                return_dtype=pl.Int32,
            )
            .alias(TOKEN)
        )


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
    sentences = _Sentences(tokens, counts)
    model.build_vocab(sentences)
    model.train(sentences, total_examples=model.corpus_count, epochs=epochs)
    vectors = np.zeros((vocabulary_size, dimensions), np.float32)
    learnt = np.array([int(word) for word in model.wv.index_to_key], np.int64)
    vectors[learnt] = model.wv.vectors
    if UNKNOWN_ACTION not in learnt:
        direction = np.random.default_rng(seed).standard_normal(dimensions)
        length = np.median(np.linalg.norm(model.wv.vectors, axis=1))
        vectors[UNKNOWN_ACTION] = direction / np.linalg.norm(direction) * length
    return vectors


class _Sentences:
    """The corpus that gensim walks through several times, one list of words a window."""

    def __init__(self, tokens: IntArray, counts: npt.NDArray[np.int64]) -> None:
        self.words = [str(i) for i in range(int(tokens.max(initial=0)) + 1)]
        self.tokens = tokens
        self.ends = np.cumsum(counts).tolist()

    def __iter__(self) -> Iterator[Sequence[str]]:
        words, begin = self.words, 0
        for end in self.ends:
            yield [words[token] for token in self.tokens[begin:end].tolist()]
            begin = end
