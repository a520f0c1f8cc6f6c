"""Batches whose borders depend on the events alone."""

from __future__ import annotations

from itertools import pairwise

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from riskml.serving.batching import in_batches


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=60),
    st.lists(st.integers(1, 60), max_size=5),
    st.integers(1, 20),
)
def test_any_parts_give_the_same_batches(times: list[int], cuts: list[int], rows: int) -> None:
    times.sort()
    log = pl.DataFrame(
        {"timestamp": times, "event_id": [f"{i:03d}" for i in range(len(times))]},
        schema={"timestamp": pl.Int64, "event_id": pl.String},
    )
    edges = [0, *sorted(c for c in cuts if c < len(log)), len(log)]
    parts = [log[a:b] for a, b in pairwise(edges)]
    found = list(in_batches(parts, rows))
    assert pl.concat(found).equals(log)
    whole = list(in_batches([log], rows))
    assert [len(batch) for batch in found] == [len(batch) for batch in whole]
    for batch, after in pairwise(found):
        assert batch["timestamp"][-1] < after["timestamp"][0]
        assert len(batch) <= rows or batch["timestamp"].n_unique() == 1
