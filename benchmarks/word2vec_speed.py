"""Word2Vec on a long log: ours beside gensim's own training from a corpus file, one worker each.

    python benchmarks/word2vec_speed.py                 # 5 million tokens, five epochs
    python benchmarks/word2vec_speed.py --tokens 1e6 --repeats 5

Ours begins with arrays and ends with an array, so it writes the corpus file as well; gensim is
given a file that is there. They take turns, and the fastest of each counts; words of every epoch
are counted. Seconds of the processor are shown as well, which others at work disturb less. The
bar: no slower than gensim by more than a tenth.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from gensim.models import Word2Vec

from riskml.features.actions import train_action_vectors, write_corpus

ACTIONS, A_WINDOW = 200, 20
DIMENSIONS, CONTEXT, EPOCHS = 16, 5, 5


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """How long a call takes, and how long the processor is busy with it."""
    begin, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begin, time.process_time() - busy


def plain(corpus: Path) -> Word2Vec:
    """As gensim's documentation has it."""
    return Word2Vec(
        corpus_file=str(corpus),
        vector_size=DIMENSIONS,
        window=CONTEXT,
        min_count=1,
        sg=1,
        negative=5,
        workers=1,
        epochs=EPOCHS,
    )


def main() -> None:
    """Print words a second of both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", default="5e6")
    parser.add_argument("--repeats", type=int, default=2)
    settings = parser.parse_args()
    n = int(float(settings.tokens)) // A_WINDOW * A_WINDOW
    rng = np.random.default_rng(0)
    tokens = np.minimum(rng.geometric(0.05, n) + 1, ACTIONS - 1).astype(np.int32)
    counts = np.full(n // A_WINDOW, A_WINDOW)

    def ours() -> object:
        return train_action_vectors(tokens, counts, ACTIONS, DIMENSIONS, CONTEXT, EPOCHS)

    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.txt"
        writing, _ = seconds(lambda: write_corpus(corpus, tokens, counts))
        turns = [(seconds(ours), seconds(lambda: plain(corpus))) for _ in range(settings.repeats)]
    best = np.min(turns, axis=0)
    print(f"{n:,} tokens, {EPOCHS} epochs of skip-gram, one worker; ", end="")
    print(f"ours writes its file in {writing:.1f} s")
    for name, (wall, busy) in zip(("riskml", "gensim, corpus file"), best, strict=True):
        speed = n * EPOCHS / wall
        print(f"{name:20} {wall:6.1f} s ({busy:.1f} of processor)  {speed:10,.0f} words/s")
    ratio = best[0] / best[1]
    print(f"ours takes {ratio[0]:.2f} times as long ({ratio[1]:.2f} of processor)")


if __name__ == "__main__":
    main()
