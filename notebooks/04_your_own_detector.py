# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4 · Your own detector
#
# A detector is one file: it learns from windows and scores windows. This one,
# [`own_tails.py`](own_tails.py), asks for every feature: on what part of this user's own days
# was the value at least as large?

# %%
import inspect

import numpy as np
from own_tails import OwnTailsDetector

import riskml

print(inspect.getsource(OwnTailsDetector.contributions))

# %% [markdown]
# The rest of the file is small print: settings, saving without pickle, names for the reasons.
# `fit`, `predict`, tables and the cards in this notebook come from the base class.

# %%
log = riskml.simulate(users=30, days=60, tier="easy", positive_rate=0.04, seed=1)
windows = riskml.extract(log)
detector = OwnTailsDetector(prior_windows=5).fit(windows.train)
detector

# %% [markdown]
# ## Does it keep the contract?
#
# `check_detector` fits copies and holds them to what every detector in riskml promises.

# %%
check = riskml.check_detector(OwnTailsDetector(), windows)
assert check.passed, check
check

# %% [markdown]
# A check that cannot fail says nothing. So here is a detector with a mistake that is easily
# made: it compares each window with the mean of its batch. Alone, a window would then score
# otherwise, and a service that scores one by one would disagree with the evaluation.


# %%
class BatchMeanDetector(OwnTailsDetector):
    """Wrong on purpose."""

    def score(self, windows: riskml.Windows) -> np.ndarray:
        scores = super().score(windows)
        return scores - scores.mean() if len(scores) else scores


mistaken = riskml.check_detector(BatchMeanDetector(), windows)
assert not mistaken.passed
mistaken

# %% [markdown]
# ## Is it any good?
#
# Beside two others, on the same windows and within the same budget. `show` has all pictures at
# once; `report.save(folder)` writes them with the whole report.

# %%
report = riskml.evaluate(
    {
        "own_tails": detector,
        "neighbours": riskml.NeighboursDetector(),
        "pyod_iforest": riskml.PyODDetector("IForest"),
    },
    windows,
    alerts_per_day=3,
)
report.show()

# %% [markdown]
# ## Reasons come by themselves
#
# Since `contributions` says which feature a score is due to, alerts are explained without
# another line of code.

# %%
report.alerts.explain(0)

# %% [markdown]
# ## To give it to others
#
# Put the file into `riskml/models/`, its name into `riskml/core/targets.py`, and a config into
# `conf/model/`: `docs/adding-a-detector.md` has the three steps. Then `train.py model=own_tails`
# works, and the contract test of the house picks it up by itself.
#
# Next: [05_from_bundle_to_job](05_from_bundle_to_job.ipynb).
