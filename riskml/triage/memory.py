"""What verdicts on a user's earlier windows say of a later one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int8]
Strings = npt.NDArray[np.str_]

MOST = 2.0
"""Verdicts that a user's past counts for at most, so that nobody is condemned or excused by it."""


def remembered(
    users: Strings,
    day: Int64,
    judged_users: Strings,
    judged_day: Int64,
    confirmed: Labels,
    half_life: float,
) -> Float64:
    """Incidents confirmed and false alarms of the same user on days before, fading with time.

    Args:
        users: whose the windows are [n].
        day: number of the day on which each ends [n].
        judged_users: whose the judged windows are [m].
        judged_day: number of the day on which each of those ends [m].
        confirmed: int8 [m], 1 where an auditor found a true incident, 0 where a false alarm.
        half_life: days after which a verdict counts half.

    Returns:
        float64 [n, 2]: confirmed, false alarms; each at most 2.
    """
    found = np.zeros((len(users), 2))
    rows_of: dict[str, list[int]] = {}
    for row, user in enumerate(judged_users.tolist()):
        rows_of.setdefault(user, []).append(row)
    for row, user in enumerate(users.tolist()):
        for said in rows_of.get(user, ()):
            age = int(day[row]) - int(judged_day[said])
            if age > 0:
                found[row, 1 - int(confirmed[said])] += 0.5 ** (age / half_life)
    return np.minimum(found, MOST)
