"""One step of a model's life: look at it, train a challenger, watch it, let it take over or not.

A job calls `step` every day. Between two calls nothing is kept but the decisions in the alert
log's trail and the versions in the registry, so a step that was killed is found by the next one.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from omegaconf import DictConfig

from riskml.alerting.feedback import FeedbackStore
from riskml.core.errors import ConfigError, RiskmlError
from riskml.data.splits import PERIOD
from riskml.export.bundle import load_bundle
from riskml.export.registry import CHALLENGER, CHAMPION, Registered, Registry
from riskml.retraining.challenger import Challenge, challenger_config, read_config
from riskml.retraining.decisions import ENDS, Decision, Decisions, What
from riskml.retraining.outlook import Outlook
from riskml.retraining.policy import AGE, DRIFT, RetrainPolicy, reasons
from riskml.retraining.shadow import watch
from riskml.retraining.snapshot import log_behind
from riskml.runs.assembly import build_dataset
from riskml.runs.context import BUNDLE, CONFIG_FILE
from riskml.runs.tracking import MLflowTracker
from riskml.runs.train import train

HELD = "held.parquet"
NO_VERDICTS = pl.DataFrame(
    schema={"window_id": pl.String, "verdict": pl.String, "at": pl.Datetime("us", "UTC")}
)
EXPERIMENT = "riskml retraining"

_logger = logging.getLogger(__name__)


class RetrainScheduler:
    """Trains a registered model again when there is reason to.

    Args:
        decisions: of the model; they say where it stands.
        registry: with its versions; the champion's run there has the settings.
        policy: when, and what a challenger has to show.
        outputs: folder for runs.
        verdicts: what people said of alerts; None: nobody did.
        train: makes a run of a config, and gives its folder.
    """

    def __init__(
        self,
        decisions: Decisions,
        registry: Registry,
        policy: RetrainPolicy,
        outputs: Path,
        verdicts: FeedbackStore | None = None,
        train: Callable[[DictConfig], Path] = train,
    ) -> None:
        self.decisions, self.registry, self.policy = decisions, registry, policy
        self.outputs, self.verdicts, self._train = outputs, verdicts, train

    def step(self, now: datetime, asked: str = "", who: str = "") -> Decision | None:
        """Do what is due.

        Args:
            now: all earlier events have arrived; later ones do not exist.
            asked: why a person asks for a retraining; empty: only if the policy says so.
            who: the person.

        Returns:
            What was decided, and written down; None where nothing is to be done.

        Raises:
            RetrainLockedError: another step of this model is at work.
            ConfigError: there is no champion, its settings are not known, or somebody asks while
                a challenger is watched.
            DataError: the log, or the alert log, cannot be read, or the log has not grown.
        """
        with self.decisions.alone():
            history = self.decisions.history()
            champion = self.registry.version(self.decisions.model, CHAMPION)
            last = next((each for each in reversed(history) if each.what is not What.PUT_OFF), None)
            if last is not None and last.what is What.STARTED:
                return self._write(What.INTERRUPTED, now, f"begun at {last.at:%Y-%m-%d %H:%M}")
            if last is not None and last.what is What.TRAINED:
                return self._judge(champion, last, now, asked)
            return self._look(champion, history, now, asked, who)

    def roll_back(self, who: str, why: str) -> Decision:
        """Make the champion before the last promotion champion again.

        Raises:
            ConfigError: nobody or no reason is named, nothing was promoted, or the champion is
                another by now.
        """
        for name, value in (("--who", who), ("--why", why)):
            if not value.strip():
                raise ConfigError(f"{name} is empty: the trail says who rolled back, and why")
        with self.decisions.alone():
            history = self.decisions.history()
            ended = [each for each in history if each.what in (What.PROMOTED, What.ROLLED_BACK)]
            if not ended or ended[-1].what is What.ROLLED_BACK:
                raise ConfigError(
                    f"{self.decisions.model}: there is no promotion to roll back; `riskml registry "
                    "alias` names any version champion"
                )
            content = ended[-1].content
            champion = self.registry.version(self.decisions.model, CHAMPION)
            if champion.version != content["version"]:
                raise ConfigError(
                    f"version {champion.version} is champion, not {content['version']}, which was "
                    "promoted last: somebody has named it since; see `riskml registry list`"
                )
            self.registry.alias(champion.name, content["before"], CHAMPION)
            now = datetime.now(UTC)  # from here the cool-down runs
            versions = {"version": content["before"], "before": champion.version}
            return self._write(What.ROLLED_BACK, now, why, who, **versions)

    def _look(
        self, champion: Registered, history: Sequence[Decision], now: datetime, asked: str, who: str
    ) -> Decision | None:
        """Train a challenger if there is reason to and nothing against it."""
        with tempfile.TemporaryDirectory(prefix="riskml-retrain-") as draft:
            outlook = self.outlook(champion, now, Path(draft))
            facts = outlook.facts(self.policy.drift, asked)
            why = reasons(self.policy, facts)
            if not why:
                return None
            if [*why] == [AGE]:
                outlook.check_grown()
            told = "; ".join(f"{name}: {text}" for name, text in why.items())
            wait = _wait(history, self.policy)
            if wait is not None and now < wait and not asked:
                put_off = f"{told}; not before {wait:%Y-%m-%d %H:%M}"
                if history[-1].what is What.PUT_OFF and history[-1].content["reasons"] == [*why]:
                    return None  # it was said already
                return self._write(What.PUT_OFF, now, put_off, reasons=[*why])
            folder = self.outputs / f"{champion.name}-{datetime.now(UTC):%Y-%m-%d_%H-%M-%S-%f}"
            held = outlook.held(self.policy.hold)
            folder.mkdir(parents=True, exist_ok=True)
            held.write_parquet(folder / HELD)
            snapshot = {
                "reasons": [*why],
                "champion": champion.version,
                "events": len(outlook.events),
                "held_events": len(held),
                "held_windows": held["window_id"].n_unique(),
                "run": str(folder),
            }
            self._write(What.STARTED, now, told, who, **snapshot)
            since = facts.drifting_since if DRIFT in why else None
            challenge = Challenge(champion.name, now, folder / HELD, since, folder)
            cfg = outlook.cfg
            del outlook  # a training has the log in memory once more
        return self._challenge(challenge, cfg, now, snapshot)

    def _challenge(
        self, challenge: Challenge, cfg: DictConfig, now: datetime, snapshot: dict[str, Any]
    ) -> Decision:
        """Train; whatever goes wrong leaves the champion as it was."""
        try:
            folder = self._train(challenger_config(cfg, challenge, self.policy))
            made = self.registry.register(folder / BUNDLE, challenge.model, CHALLENGER)
        except Exception as error:  # a training can fail in any way: it must not end the schedule
            _logger.info("the training failed", exc_info=True)
            kind = "" if isinstance(error, RiskmlError) else f"{type(error).__name__}: "
            reason = str(error).strip().partition("\n")[0]
            return self._write(What.FAILED, now, f"{kind}{reason}", **snapshot)
        why = f"version {made.version}, watched until {now + self.policy.shadow:%Y-%m-%d %H:%M}"
        return self._write(What.TRAINED, now, why, **snapshot, version=made.version)

    def _judge(
        self, champion: Registered, trained: Decision, now: datetime, asked: str
    ) -> Decision | None:
        """Let the challenger take over, or not, once it was watched long enough."""
        version, since = trained.content["version"], _until(trained)
        if champion.version == version:  # killed between taking over and writing it down
            before = trained.content["champion"]
            why = "it was champion already"
            return self._write(What.PROMOTED, now, why, version=version, before=before)
        ready = since + self.policy.shadow
        if now < ready and asked:
            raise ConfigError(
                f"{champion.name}: version {version} is watched until {ready:%Y-%m-%d %H:%M}: ask "
                "for another after that"
            )
        if now < ready:
            return None
        with tempfile.TemporaryDirectory(prefix="riskml-retrain-") as draft:
            outlook = self.outlook(champion, now, Path(draft))
            outlook.check_later(since, "to watch the challenger on")
            address = f"models:/{champion.name}/{version}"
            challenger = load_bundle(self.registry.fetch(address, Path(draft) / CHALLENGER))
            found = watch(
                outlook.bundle,
                challenger,
                outlook.events,
                since,
                now,
                outlook.verdicts,
                self.policy,
            )
        better, why = found.judged(self.policy)
        content = {**found.plain(), "version": version, "before": champion.version}
        if better:
            self.registry.alias(champion.name, version, CHAMPION)
        self.registry.drop_alias(champion.name, CHALLENGER)
        return self._write(What.PROMOTED if better else What.REJECTED, now, why, **content)

    def outlook(self, champion: Registered, now: datetime, draft: Path) -> Outlook:
        """The champion and its log."""
        name, version = champion.name, champion.version
        cfg, earlier = log_behind(
            read_config(self.registry.run_file(name, version, CONFIG_FILE), name)
        )
        folder = self.registry.fetch(f"models:/{name}/{version}", draft / CHAMPION)
        events = build_dataset(cfg.data, cfg.features).events.drop(PERIOD)
        verdicts = NO_VERDICTS if self.verdicts is None else self.verdicts.latest()
        return Outlook(
            cfg,
            folder,
            events.filter(pl.col("timestamp") < now),
            verdicts.filter(pl.col("at") < now),
            earlier,
            now,
        )

    def _write(
        self, what: What, now: datetime, why: str, who: str = "", **content: Any
    ) -> Decision:
        """To the trail, which decides, and to MLflow, where people look."""
        told = {"until": now.isoformat(), **content}
        names = {} if not who else {"who": who}
        made = self.decisions.add(what, datetime.now(UTC), why, **names, **told)
        self._show(made)
        return made

    def _show(self, decision: Decision) -> None:
        tracker = MLflowTracker(self.registry.store, self.registry.files, EXPERIMENT)
        with tracker.run(f"{decision.what} ({self.decisions.model})"):
            tracker.describe(decision.why)
            numbers = {n: v for n, v in decision.content.items() if isinstance(v, int | float)}
            tracker.metrics(numbers)
            texts = {n: v for n, v in decision.plain().items() if n not in numbers}
            tracker.parameters(texts)


def _until(decision: Decision) -> datetime:
    return datetime.fromisoformat(decision.content["until"])


def _wait(history: Sequence[Decision], policy: RetrainPolicy) -> datetime | None:
    """Before when no challenger is trained unless a person asks; None: at any time."""
    for each in reversed(history):
        if each.what in ENDS:
            return _until(each) + policy.cool_down
        if each.what in (What.FAILED, What.INTERRUPTED):
            return _until(each) + policy.retry
    return None
