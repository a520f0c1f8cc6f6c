"""What is drawn when metrics are resampled, and what each draw adds to the counts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from riskml.evaluation.measures.incidents import CHOSEN
from riskml.evaluation.measures.ranking import Floats, rank_bins
from riskml.evaluation.metrics import checked

USER, INCIDENT, WINDOW = "user", "incident", "window"
WAYS = (USER, INCIDENT, WINDOW)

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClusterSums:
    """Counts that each cluster adds, so that a resample's counts are a sum over its clusters.

    Args:
        matrix: sparse [counts, sorts].
        sort: of each cluster [clusters]: those that add the same are one sort.
        blocks: how many clusters are drawn among themselves, in turn; they sum to `clusters`.
        folds: rows of the matrix with each fold's counts by the bins of `rank_bins`: first, last+1.
        alerts: by end of a metric's name, the rows with risky alerts, normal alerts, risky windows,
            incidents found, incidents.
        attacked: how many clusters have risky windows.
        windows: SHA-256 of what is drawn from: window ids, labels and clusters.
    """

    matrix: csr_array
    sort: Codes
    blocks: tuple[int, ...]
    folds: tuple[tuple[int, int], ...]
    alerts: Mapping[str, slice]
    attacked: int
    windows: str


def cluster_sums(tables: Sequence[pl.DataFrame], by: str) -> ClusterSums:
    """The sums of each cluster, see `riskml.evaluation.measures.bootstrap`.

    Raises:
        DataError: a label is not 0 or 1, or a score is not a finite number.
    """
    parts = [checked(table["label"].to_numpy(), table["score"].to_numpy()) for table in tables]
    risky = np.concatenate([part[0] for part in parts])
    columns = ["window_id", "user_id", "incidents", *CHOSEN.values()]
    whole = pl.concat([table.select(columns) for table in tables]).with_row_index("row")
    links = whole.select("row", "window_id", "user_id", incident="incidents").explode("incident")
    links = links.drop_nulls("incident")
    incident = _codes(links["incident"])
    rows = links["row"].to_numpy().astype(np.int64)
    user = _codes(whole["user_id"])
    if by in (USER, WINDOW):
        unit = user if by == USER else _codes(whole["window_id"])
        cluster = _joined(unit, rows, incident)[unit]
        blocks: tuple[int, ...] = (int(cluster.max(initial=-1)) + 1,)
    else:
        own = _own_incidents(user, rows, incident, risky)
        users, normals = np.unique(user[~risky], return_inverse=True)
        cluster = np.empty(len(user), np.int64)
        cluster[~risky] = normals
        cluster[risky] = len(users) + own
        blocks = (len(users), int(own.max(initial=-1)) + 1)
    builder = _Counts(cluster)
    spans, start = [], 0
    for is_risky, scores, _ in parts:
        bins, groups = rank_bins(is_risky, scores)
        span = np.arange(start, start + len(bins))
        spans.append(builder.add(bins, 3 * groups + 1, span))
        start += len(bins)
    alerts = {}
    first_of = np.unique(incident, return_index=True)[1]
    for where, column in CHOSEN.items():
        chosen = whole[column].to_numpy().astype(bool)
        found = np.unique(incident[chosen[rows]])
        first = builder.rows
        for at in (chosen & risky, chosen & ~risky, risky):
            builder.add_one(np.flatnonzero(at))
        builder.add_one(rows[first_of[np.isin(incident[first_of], found)]])
        builder.add_one(rows[first_of])
        alerts[where] = slice(first, builder.rows)
    digest = hashlib.sha256()
    for table in tables:
        digest.update("\0".join(table["window_id"]).encode())
    digest.update(risky.tobytes() + cluster.tobytes())
    matrix, sort = _sorts(builder.matrix(sum(blocks)))
    attacked = len(np.unique(cluster[risky]))
    return ClusterSums(matrix, sort, blocks, tuple(spans), alerts, attacked, digest.hexdigest())


class _Counts:
    """Collects rows of the matrix."""

    def __init__(self, cluster: Codes) -> None:
        self._cluster, self.rows = cluster, 0
        self._at: list[tuple[Codes, Codes]] = []

    def add(self, bins: Codes, size: int, windows: Codes) -> tuple[int, int]:
        """A row a bin, which counts the windows in it; gives the first and one after the last."""
        self._at.append((self.rows + bins, self._cluster[windows]))
        self.rows += size
        return self.rows - size, self.rows

    def add_one(self, windows: Codes) -> None:
        """One row, which counts these windows."""
        self.add(np.zeros(len(windows), np.int64), 1, windows)

    def matrix(self, clusters: int) -> csr_array:
        """All rows; equal places are summed."""
        rows, columns = (np.concatenate(part) for part in zip(*self._at, strict=True))
        ones: Floats = np.ones(len(rows))
        return coo_array((ones, (rows, columns)), shape=(self.rows, clusters)).tocsr()


def _sorts(matrix: csr_array) -> tuple[csr_array, Codes]:
    """The columns that differ, and which of them each one is.

    Columns are told apart by 64 random bits: two of a million are confused once in 37 million runs.
    """
    whole = matrix.astype(np.uint64)
    bits = np.random.default_rng(0).integers(0, 2**64 - 1, matrix.shape[0], np.uint64)
    _, first, sort = np.unique(whole.T @ bits, return_index=True, return_inverse=True)
    return matrix[:, first], sort.astype(np.int64)


def _codes(names: pl.Series) -> Codes:
    """0.. by the order of the names."""
    codes: Codes = names.rank("dense").to_numpy().astype(np.int64) - 1
    return codes


def _joined(units: Codes, rows: Codes, others: Codes) -> Codes:
    """The cluster of each unit, when units that share one of the others are one cluster."""
    n = int(units.max(initial=-1)) + 1
    m = int(others.max(initial=-1)) + 1
    edges = coo_array((np.ones(len(rows)), (units[rows], n + others)), shape=(n + m, n + m))
    return np.unique(_first_of_component(edges)[:n], return_inverse=True)[1].astype(np.int64)


def _own_incidents(
    user: Codes, rows: Codes, incident: Codes, risky: npt.NDArray[np.bool_]
) -> Codes:
    """The cluster of each risky window: its incident, else what its user did beside incidents."""
    n = int(incident.max(initial=-1)) + 1
    first = n + user  # a window of no incident
    np.minimum.at(first, rows, incident)
    edges = coo_array(
        (np.ones(len(rows)), (first[rows], incident)), shape=(n + len(user), n + len(user))
    )
    component = _first_of_component(edges)
    return np.unique(component[first[risky]], return_inverse=True)[1].astype(np.int64)


def _first_of_component(edges: coo_array) -> Codes:
    """The lowest node that each node is joined to, which no order of the rows can change."""
    _, found = connected_components(edges, directed=False)
    _, lowest, component = np.unique(found, return_index=True, return_inverse=True)
    first: Codes = lowest[component].astype(np.int64)
    return first
