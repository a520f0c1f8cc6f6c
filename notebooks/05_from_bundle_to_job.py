# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5 · From a bundle to a nightly job
#
# What leaves the laboratory is a folder, the bundle. A machine that scores needs no training
# packages: it loads the bundle, reads what is new in the log, and writes scores and alerts.

# %%
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

import riskml

work = Path(tempfile.mkdtemp())
world = riskml.simulate(users=30, days=60, tier="easy", positive_rate=0.04, seed=1)
TODAY = datetime(2024, 2, 24, tzinfo=UTC)
TOMORROWS = [TODAY + timedelta(days=i) for i in range(2)]

# %% [markdown]
# Today we know the log up to now, and nothing of what comes. That is what the detector is
# trained on.

# %%
known = world.events.filter(pl.col("timestamp") < TODAY).drop("period")
log = riskml.read_log(known, test=10, calibration=10)
windows = riskml.extract(log, **world.suits)
report = riskml.evaluate({"neighbours": riskml.NeighboursDetector()}, windows, alerts_per_day=2)
report

# %% [markdown]
# The log has no labels now, as yours has none: no measures, but alerts all the same.
#
# ## Export
#
# The bundle holds features, detector, calibration, threshold, what is known of every user, and a
# model card. Every file is hashed, and nothing in it is a pickle.

# %%
bundle_folder = report.export(work / "bundle")
for path in sorted(bundle_folder.iterdir()):
    print(f"{path.stat().st_size / 1024:8.1f} KiB  {path.name}")

# %% [markdown]
# Loading checks every hash first. A bundle scores raw events, such as those of the next day.
# Friday's windows, to which an event could still come when the log ended, are given once more with
# them. The threshold is set anew for each day, by the scores before it: so a night that reaches
# into Saturday may be no alert with a risk at which Friday's windows are.

# %%
bundle = riskml.load(bundle_folder)
bundle

# %%
next_day = world.events.filter(
    pl.col("timestamp").is_between(TODAY, TODAY + timedelta(days=1), closed="left")
).drop("period")
scored = bundle.score(next_day)
scored.sort("risk", descending=True).select("user_id", "start", "n_events", "risk", "alert").head()

# %% [markdown]
# ## The job
#
# Each night a file with the day's events arrives, and `riskml score` is run once more. It knows
# where it stands, scores each window once, and may be killed at any moment.


# %%
def riskml_command(*words: object) -> str:
    """Run a command as a scheduler would; gives its result, and shows what it says."""
    shown = " ".join(str(word).replace(str(work), ".") for word in words)
    print(f"$ riskml {shown}")
    command = [sys.executable, "-m", "riskml.cli", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    print(done.stderr, end="")
    return done.stdout


nights = []
for day in TOMORROWS:
    end = day + timedelta(days=1)
    events = world.events.filter(pl.col("timestamp").is_between(day, end, closed="left"))
    (work / "log").mkdir(exist_ok=True)
    events.drop("period").write_parquet(work / "log" / f"{day:%Y-%m-%d}.parquet")
    told = riskml_command(
        "score",
        *("--bundle", bundle_folder),
        *("--source", work / "log"),
        *("--out", work / "scores"),
        *("--until", f"{end:%Y-%m-%d}"),
        "--json",
    )
    summary = json.loads(told)["champion"]
    nights.append(
        {"night": f"{day:%Y-%m-%d}"} | {k: summary[k] for k in ("windows_closed", "alerts")}
    )
pl.DataFrame(nights)

# %% [markdown]
# The same night again changes nothing: the job is asked twice, and does its work once.

# %%
again = json.loads(
    riskml_command(
        "score",
        *("--bundle", bundle_folder),
        *("--source", work / "log"),
        *("--out", work / "scores"),
        *("--until", f"{TOMORROWS[-1] + timedelta(days=1):%Y-%m-%d}"),
        "--json",
    )
)["champion"]
assert again["windows_closed"] == 0 and again["alerts"] == 0

# %% [markdown]
# ## Alerts
#
# Each alert comes with its reasons, written by the job itself.

# %%
alerts = pl.read_parquet(work / "scores" / "alerts" / "**" / "*.parquet")
for alert in alerts.sort("risk", descending=True).head(3).iter_rows(named=True):
    print(f"{alert['user_id']}, {alert['window_start']:%a %d %b}: risk {alert['risk']:.0f}")
    for reason in json.loads(alert["reasons"]):
        print(f"   - {reason['text']}")

# %% [markdown]
# From there they go to the alert log, where repeats are counted, people are told, and verdicts
# are kept (`docs/alerts.md`).

# %%
place = f"sqlite:///{work / 'alerts.db'}"
riskml_command("alerts", "init", "--log", place)
riskml_command("alerts", "take", "--from", work / "scores", "--log", place)
print(riskml_command("alerts", "list", "--log", place))

# %% [markdown]
# On a server the same is a line for cron, a Helm chart or a DAG: `docs/scoring-job.md` and
# `docs/deployment.md`. Events one by one are `riskml stream`, over HTTP `riskml serve`.
