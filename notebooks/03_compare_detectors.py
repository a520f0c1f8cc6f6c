# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3 · Compare detectors
#
# Is the elaborate model better than a simple one? Often the honest answer is "not shown", and it
# takes intervals to see it. All detectors below get the same windows and the same budget of
# alerts.

# %%
import matplotlib.pyplot as plt
import numpy as np
import polars as pl

import riskml

log = riskml.simulate(users=50, days=60, tier="medium", positive_rate=0.03, seed=0)
windows = riskml.extract(log)

# %% [markdown]
# Three of riskml and four of PyOD; the first is in focus. What is not fitted yet is fitted on
# the train period.

# %%
training = riskml.TrainingSettings(max_epochs=40, trim=0.0, seed=0)
detectors = {
    "vae": riskml.VAEDetector(degrees_of_freedom=0, training=training),
    "neighbours": riskml.NeighboursDetector(),
    "counts": riskml.CountsDetector(),
    "pyod_iforest": riskml.PyODDetector("IForest"),
    "pyod_knn": riskml.PyODDetector("KNN"),
    "pyod_pca": riskml.PyODDetector("PCA"),
    "pyod_lof": riskml.PyODDetector("LOF"),
}
report = riskml.evaluate(detectors, windows, alerts_per_day=3)
report

# %% [markdown]
# ## How sure is that?
#
# Few users are attacked, so a handful of other users would have given other numbers. The lines
# show in which range 95 % of such draws lie: draws of users, since days of one user are alike.

# %%
table = report.table.sort("average_precision")
place = np.arange(len(table))
low, middle, high = (table[f"average_precision{end}"].to_numpy() for end in ("_low", "", "_high"))

figure, axes = plt.subplots(figsize=(7.5, 3.4), layout="constrained")
axes.hlines(place, low, high, color="#7a9cc0", linewidth=3)
axes.plot(middle, place, "o", color="#0b4f8a", markersize=8)
axes.set_yticks(place, table["detector"])
axes.set_xlim(0, 1.02)
axes.set_xlabel("average precision")
axes.set_title("Average precision, with 95 % intervals", loc="left", fontsize=11)
axes.spines[["top", "right"]].set_visible(False)
axes.grid(axis="x", alpha=0.3)
plt.show()

# %% [markdown]
# Overlapping intervals do not settle it: both detectors saw the *same* users. The paired
# difference does. Where the line crosses 0, the detector in focus is not shown to be above or
# below.

# %%
others = [row for row in report.comparison.rows[1:] if "average_precision" in row.lead]
leads = [row.lead["average_precision"] for row in others]
place = np.arange(len(leads))

figure, axes = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
axes.axvline(0, color="black", linewidth=1, linestyle=":")
axes.hlines(place, [d.low for d in leads], [d.high for d in leads], color="#e69f00", linewidth=3)
axes.plot([d.value for d in leads], place, "o", color="#8a5a00", markersize=8)
axes.set_yticks(place, [f"vae − {row.name}" for row in others])
axes.set_xlabel("difference of average precision")
axes.set_title("How far the VAE is above each of the others", loc="left", fontsize=11)
axes.spines[["top", "right"]].set_visible(False)
axes.grid(axis="x", alpha=0.3)
plt.show()

# %% [markdown]
# ## What a budget buys
#
# People can look at so many windows a day. The curve says what share of the risky ones they
# would have seen; the dotted line is the budget.

# %%
report.plot("recall_by_budget")

# %%
report.plot("precision_recall")

# %% [markdown]
# ## Do they find the same?
#
# One column a risky day, one row a detector: dark where the day was within the budget. Detectors
# that miss different days are worth combining (`riskml.EnsembleDetector`); where all miss the
# same, other features may help rather than another model.

# %%
incidents = windows.prepared.incidents.select("incident_id", "scenario")
first = report.scores.filter(pl.col("label") == 1).select(
    "window_id", "start", incident_id=pl.col("incidents").list.first()
)
risky = first.join(incidents, on="incident_id").sort("scenario", "start")
names = [row.name for row in report.comparison.rows]
found = [
    risky.join(row.evaluations[0].scores, on="window_id", maintain_order="left")["within_budget"]
    for row in report.comparison.rows
]

figure, axes = plt.subplots(figsize=(9, 4.2), layout="constrained")
look = {"cmap": "Blues", "vmin": 0, "vmax": 1.3, "edgecolor": "#b4bac1", "linewidth": 0.6}
axes.pcolormesh(np.array([days.to_numpy() for days in found], float), **look)
axes.set_yticks(np.arange(len(names)) + 0.5, names)
scenarios = risky["scenario"].to_list()
begin = [i for i, name in enumerate(scenarios) if i == 0 or scenarios[i - 1] != name]
middle = [(a + b) / 2 for a, b in zip(begin, [*begin[1:], len(scenarios)], strict=True)]
labels = [scenarios[i].replace("_", " ") for i in begin]
axes.set_xticks(middle, labels, rotation=35, ha="right", fontsize=9)
axes.vlines(begin[1:], 0, len(names), color="black", linewidth=1.2)
axes.invert_yaxis()
axes.tick_params(length=0)
axes.set_title("Risky days within the budget, by kind of attack: dark is found", loc="left")
plt.show()

# %% [markdown]
# ## Before you choose
#
# - This is one small world. Several seeds, and folds over time, say more: `python evaluate.py
#   detectors=[vae,neighbours] data=simulated backtest=rolling seeds=5`.
# - Without labels there are other ways to choose: `docs/sweeps.md`.
# - `experiments/` holds the studies on public logs and on worlds that nothing was chosen on.
#
# Next: [04_your_own_detector](04_your_own_detector.ipynb).
