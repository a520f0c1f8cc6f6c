# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 1 · Explore a log
#
# A log says who did what, to which resource, from where, when, and whether it worked. Before
# anything is learnt from it, look at it: what is usual, and for whom?
#
# Here it is a simulated organisation, since its whole truth is known. Below is how to read your
# own.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import polars as pl

import riskml

log = riskml.simulate(users=50, days=60, tier="easy", positive_rate=0.03, seed=0)
log

# %% [markdown]
# ## Your own log
#
# A CSV, Parquet or JSON file, or a frame. Only user, time and action are needed; `columns` says
# what they are called in your log. To try it, some events go to a CSV with other names, and one
# row loses its time.

# %%
folder = Path(tempfile.mkdtemp())
some = log.events.filter(pl.col("timestamp").dt.month() == 1).select(
    login_time=pl.col("timestamp").dt.to_string("%Y-%m-%d %H:%M:%S"),
    employee="user_id",
    operation="action",
    document="resource",
)
some = some.with_columns(
    login_time=pl.when(pl.int_range(pl.len()) == 2).then(None).otherwise("login_time")
)
some.write_csv(folder / "access.csv")

own = riskml.read_log(
    folder / "access.csv",
    columns={
        "timestamp": "login_time",
        "user_id": "employee",
        "action": "operation",
        "resource": "document",
    },
    time_zone="UTC",
)
own

# %% [markdown]
# The row without a time is not lost in silence: it is kept, with the reason.

# %%
own.rejected

# %% [markdown]
# ## When are people at work?
#
# Each row adds up to 100 %, so a quiet day is as easy to read as a busy one. Hours are those of
# the users' own clocks, where the log knows them.

# %%
log.plot_hours("weekday")

# %% [markdown]
# The same by what is done, and by who does it. Rows that look different from the others are what
# peer groups are for.

# %%
log.plot_hours("action")

# %%
log.plot_hours("role")

# %% [markdown]
# ## Who does what?
#
# One row a user, one column an action; users of one role stand together. A detector has to learn
# this picture, since an action that is dull for one role is odd for another.

# %%
counts = (
    log.events.group_by("role", "user_id", "action")
    .len()
    .with_columns(share=pl.col("len") / pl.col("len").sum().over("user_id"))
    .pivot("action", index=["role", "user_id"], values="share")
    .fill_null(0)
    .sort("role", "user_id")
)
actions = log.events["action"].value_counts(sort=True)["action"].to_list()
table = counts.select(actions).to_numpy()

figure, axes = plt.subplots(figsize=(10, 7.5), layout="constrained")
mesh = axes.pcolormesh(np.sqrt(table), cmap="Blues")
axes.set_xticks(np.arange(len(actions)) + 0.5, actions, rotation=90, fontsize=8)
roles = counts["role"].to_list()
first = [i for i, role in enumerate(roles) if i == 0 or roles[i - 1] != role]
middle = [(a + b) / 2 for a, b in zip(first, [*first[1:], len(roles)], strict=True)]
axes.set_yticks(middle, [roles[i] for i in first], fontsize=9)
axes.hlines(first[1:], 0, len(actions), color="black", linewidth=0.6)
axes.invert_yaxis()
axes.tick_params(length=0)
axes.set_title("What each user does: one row a user, by role", loc="left", fontsize=11)
bar = figure.colorbar(mesh, ax=axes, pad=0.01)
ticks = np.array([0.01, 0.05, 0.1, 0.2, 0.4])
bar.set_ticks(np.sqrt(ticks), labels=[f"{tick:.0%}" for tick in ticks])
bar.set_label("share of the user's events (square-root scale)", fontsize=9)
plt.show()

# %% [markdown]
# ## How much, day by day?
#
# Weekends and busy weeks move everybody at once. A limit on raw counts cannot tell a busy week
# from an attack.

# %%
by_day = log.events.group_by(day=pl.col("timestamp").dt.date()).agg(
    events=pl.len(), users=pl.col("user_id").n_unique()
)
by_day = by_day.sort("day")

figure, (above, below) = plt.subplots(2, 1, figsize=(9, 4.2), sharex=True, layout="constrained")
above.bar(by_day["day"], by_day["events"], color="#7a9cc0")
above.set_ylabel("events")
above.set_title("Events and active users of each day (UTC)", loc="left", fontsize=11)
below.bar(by_day["day"], by_day["users"], color="#b4bac1")
below.set_ylabel("users")
below.set_ylim(0, len(log.users))
for axes in (above, below):
    axes.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# ## How much is new?
#
# "Has this user ever touched that?" is a useful question, but in the first days the answer is
# often no, and means nothing. So the train period comes first, and features remember.

# %%
firsts = (
    log.events.filter(pl.col("resource").is_not_null())
    .sort("timestamp")
    .with_columns(new=pl.struct("user_id", "resource").is_first_distinct())
    .group_by(day=pl.col("timestamp").dt.date())
    .agg(share=pl.col("new").mean())
    .sort("day")
)

figure, axes = plt.subplots(figsize=(9, 3), layout="constrained")
axes.plot(firsts["day"], firsts["share"], color="#0b4f8a", linewidth=2)
axes.set_ylim(0, 1)
axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
axes.set_ylabel("share of events")
axes.set_title("Events on a resource that is new to the user", loc="left", fontsize=11)
axes.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# ## From events to windows
#
# What gets a score is a window: here a user's day. `extract` learns vocabulary, peer groups and
# hours from the train period alone, then makes the windows of all periods.

# %%
windows = riskml.extract(log)
windows

# %% [markdown]
# One user's timeline: when they were active, and how much. The band holds most of the days of
# the train period, so what stands out of it is easy to see.

# %%
busiest = log.events["user_id"].value_counts(sort=True)["user_id"][0]
windows.plot_user(busiest)

# %% [markdown]
# Next: [02_train_and_explain](02_train_and_explain.ipynb) learns from these windows, and says
# why a day is risky.
