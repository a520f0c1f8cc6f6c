# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2 · Train a detector, and ask it why
#
# A variational autoencoder (VAE) learns what each user's days look like. A day that it can
# hardly describe is risky, and because its score is a sum of likelihoods, it can say exactly
# which features made it so.

# %%
import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from scipy.cluster.hierarchy import leaves_list, linkage

import riskml

log = riskml.simulate(users=50, days=60, tier="easy", positive_rate=0.03, seed=0)
windows = riskml.extract(log)
windows

# %% [markdown]
# ## Actions as vectors
#
# Actions that are done in the same company get similar vectors (Word2Vec). Nobody has told it
# what the names mean; the order below comes from the vectors alone.

# %%
spec = windows.train.spec
names, vectors = spec.actions[2:], spec.action_vectors[2:]  # the first two are padding and unknown
unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
order = leaves_list(linkage(unit, "average", metric="cosine"))
likeness = (unit @ unit.T)[np.ix_(order, order)]

figure, axes = plt.subplots(figsize=(8, 7), layout="constrained")
mesh = axes.pcolormesh(likeness, cmap="PuOr_r", vmin=-1, vmax=1)
labels = [names[i] for i in order]
axes.set_xticks(np.arange(len(labels)) + 0.5, labels, rotation=90, fontsize=8)
axes.set_yticks(np.arange(len(labels)) + 0.5, labels, fontsize=8)
axes.invert_yaxis()
axes.set_aspect("equal")
axes.tick_params(length=0)
axes.set_title("How alike actions are, by their vectors", loc="left", fontsize=11)
figure.colorbar(mesh, ax=axes, pad=0.01).set_label("cosine similarity", fontsize=9)
plt.show()

# %% [markdown]
# ## Fit
#
# It learns from the train period and stops early by the calibration period. The test period is
# only scored. `trim=0` and `degrees_of_freedom=0` are the settings for logs, where the train
# period is the past; the same seed gives the same detector.

# %%
training = riskml.TrainingSettings(max_epochs=40, trim=0.0, seed=0)
detector = riskml.VAEDetector(degrees_of_freedom=0, training=training)
detector.fit(windows.train, windows.calibration)
detector

# %% [markdown]
# ## The latent space
#
# Each test day as a point: its place in the latent space, shown in the two directions in which
# the points differ most. The encoder sees the features alone, neither the user nor the role.

# %%
places = detector.latent(windows.test)
centred = places - places.mean(0)
_, spread, directions = np.linalg.svd(centred, full_matrices=False)
flat = centred @ directions[:2].T
kept = (spread[:2] ** 2).sum() / (spread**2).sum()
roles = windows.test.keys["peer"]
shown = roles.value_counts(sort=True)["peer"].to_list()[:6]

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
MARKERS = ("o", "s", "^", "D", "v", "P")
figure, axes = plt.subplots(figsize=(7.5, 5), layout="constrained")
axes.scatter(*flat.T, s=10, color="#d5d9de", label="other roles")
for role, colour, marker in zip(shown, COLOURS, MARKERS, strict=False):
    own = (roles == role).to_numpy()
    axes.scatter(*flat[own].T, s=18, color=colour, marker=marker, label=role)
axes.set_title(f"Test days in the latent space, by role ({kept:.0%} of the variance)", loc="left")
axes.set(xlabel="first direction", ylabel="second direction")
axes.spines[["top", "right"]].set_visible(False)
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
plt.show()

# %% [markdown]
# ## Judge it
#
# `evaluate` scores the test period, sets the threshold by how many alerts people can look at,
# and looks for what would mislead. The truth is used for measuring alone.

# %%
report = riskml.evaluate({"vae": detector}, windows, alerts_per_day=3)
report

# %%
report.plot("score_distribution")

# %% [markdown]
# Where do the alerts lie in the latent space? A place at the edge is one way to be odd, but not
# the only one: a day can lie among the others and still be unlike *this* user's days.

# %%
risky = (report.scores["label"] == 1).to_numpy()
raised = report.scores["alert"].to_numpy()
figure, axes = plt.subplots(figsize=(7.5, 5), layout="constrained")
axes.scatter(*flat.T, s=10, color="#d5d9de", label="no alert")
groups = {
    "alert, truly risky": (raised & risky, "#b3263a", "v"),
    "false alert": (raised & ~risky, "#e69f00", "o"),
    "risky, missed": (~raised & risky, "black", "x"),
}
for name, (rows, colour, marker) in groups.items():
    axes.scatter(*flat[rows].T, s=36, color=colour, marker=marker, label=f"{name} ({rows.sum()})")
axes.set_title("The same days: what was raised, and what was risky", loc="left")
axes.set(xlabel="first direction", ylabel="second direction")
axes.spines[["top", "right"]].set_visible(False)
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
plt.show()

# %% [markdown]
# ## Alerts, with reasons
#
# Riskiest first. "In truth" is there because the world is simulated; a real log has no such
# column.

# %%
report.alerts

# %% [markdown]
# Why this one? The shares are exact parts of the score, and below are the events themselves.

# %%
report.alerts.explain(0)

# %% [markdown]
# ## One user's timeline
#
# Hours, events and risk of the user of that alert. Look at what changed on the day of the dot.

# %%
report.plot_user(report.alerts.explain(0).user_id)

# %% [markdown]
# ## What was found, and what was missed
#
# By kind of attack: how many risky days there were in the test period, and how many of them
# became alerts.

# %%
scenario = report.windows.prepared.incidents.select("incident_id", "scenario")
days = report.scores.filter(pl.col("label") == 1).select("window_id", "alert", "incidents")
(
    days.explode("incidents")
    .join(scenario, left_on="incidents", right_on="incident_id")
    .group_by("scenario")
    .agg(risky_days=pl.len(), alerts=pl.col("alert").sum())
    .sort("scenario")
)

# %% [markdown]
# This is one small world with strong attacks. Try `tier="medium"` or `"hard"`, or another seed,
# and see how much of the picture stays. Next:
# [03_compare_detectors](03_compare_detectors.ipynb).
