"""The windows of several requests as one `Windows`, so that they are scored together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from riskml.core.schema import TIMESTAMP
from riskml.core.types import (
    EVERYONE,
    PEER,
    UNKNOWN_ACTION,
    FeatureSpec,
    FloatArray,
    IntArray,
    Windows,
)
from riskml.serving.http.drafts import Draft


def together(
    drafts: Sequence[Draft], spec: FeatureSpec, max_tokens: int, groups: Mapping[str, str]
) -> Windows:
    """The windows of several requests, one after the other.

    Whole columns are handed to Polars, no expressions: those go through its pool of threads, and
    under load a hand-over takes longer than the work.

    Args:
        drafts: of the requests.
        spec: of the model.
        max_tokens: of longer windows the last actions stay.
        groups: peer group by user, for those that were not given.
    """
    tokens, lengths = _tokens(drafts, spec, max_tokens)
    users = [name for draft in drafts for name in draft.users]
    given = [name for draft in drafts for name in draft.peers]
    peers = [peer or groups.get(user, EVERYONE) for peer, user in zip(given, users, strict=True)]
    keys = pl.DataFrame(
        [
            pl.Series("window_id", [name for draft in drafts for name in draft.ids], pl.String()),
            pl.Series("user_id", users, pl.String()),
            pl.Series("start", np.concatenate([draft.starts for draft in drafts])).cast(TIMESTAMP),
            pl.Series("end", np.concatenate([draft.ends for draft in drafts])).cast(TIMESTAMP),
            pl.Series("n_events", lengths.astype(np.int64)),
            pl.Series(PEER, peers, pl.String()),
        ]
    )
    times = _times(drafts, tokens.shape, spec, max_tokens)
    x = np.concatenate([draft.x for draft in drafts])
    return Windows(keys, x, spec, tokens, lengths, times)


def _tokens(drafts: Sequence[Draft], spec: FeatureSpec, most: int) -> tuple[IntArray, IntArray]:
    """Ids of the actions, padded, and their numbers; a window without any has one unknown one."""
    if not any(any(draft.actions) for draft in drafts):
        n = sum(map(len, drafts))
        return np.full((n, 1), UNKNOWN_ACTION, np.int32), np.ones(n, np.int32)
    known = {action: i for i, action in enumerate(spec.actions) if i > UNKNOWN_ACTION}
    actions = [(row or ())[-most:] for draft in drafts for row in draft.actions]
    rows = [[known.get(a, UNKNOWN_ACTION) for a in row] or [UNKNOWN_ACTION] for row in actions]
    lengths = np.array([len(row) for row in rows], np.int32)
    tokens = np.zeros((len(rows), int(lengths.max(initial=1))), np.int32)
    for row, ids in enumerate(rows):
        tokens[row, : len(ids)] = ids
    return tokens, lengths


def _times(
    drafts: Sequence[Draft], shape: tuple[int, ...], spec: FeatureSpec, most: int
) -> FloatArray:
    """As `Windows.times`; 0 where they were not given."""
    if not spec.event_times:
        return np.zeros((shape[0], 0, 2), np.float32)
    filled = np.zeros((*shape, 2), np.float32)
    moments = [(row or ())[-most:] for draft in drafts for row in draft.times]
    for row, of_window in enumerate(moments):
        if of_window:
            found = np.array(of_window, np.float64)
            filled[row, : len(found)] = np.column_stack([np.log1p(found[:, 0]), found[:, 1]])
    return filled
