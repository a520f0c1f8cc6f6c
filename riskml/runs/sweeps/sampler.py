"""What to try next: Optuna's samplers, shown the ranks among all trials as they are now.

The quality of a trial is a rank among the others, so it changes with every trial that ends, while
a study keeps what it was first told. So each time the finished trials are copied with their present
quality into a study in memory, and that one is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from riskml.evaluation.choice import borda
from riskml.runs.sweeps.settings import RANDOM, SweepSettings
from riskml.runs.sweeps.space import Space
from riskml.runs.sweeps.study import DEFAULT, SCORE_SECONDS, TERMS, SweepStudy


def qualities(trials: list[FrozenTrial], weights: Mapping[str, float]) -> dict[int, float]:
    """Quality of each complete trial by its number: weighted mean rank of its terms."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    ranks = borda([trial.user_attrs[TERMS] for trial in complete], weights)
    return {t.number: float(rank) for t, rank in zip(complete, ranks, strict=True)}


def ranked_study(
    study: SweepStudy,
    weights: Mapping[str, float],
    sampler: BaseSampler | None = None,
    seconds: bool = False,
    without: int | None = None,
) -> Study:
    """A study in memory whose values are the qualities as they are now.

    Args:
        study: whose trials are copied, without those that failed.
        weights: of the terms.
        sampler: of the copy.
        seconds: whether the time of scoring is a second objective.
        without: number of a trial that is left out.
    """
    directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE][: 2 if seconds else 1]
    copy = optuna.create_study(sampler=sampler, directions=directions, study_name=study.name)
    trials = [t for t in study.trials() if t.number != without]
    quality = qualities(trials, weights)
    kept = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    for trial in trials:
        if trial.state not in kept:
            continue
        values: list[float] | None = None
        if trial.state == TrialState.COMPLETE:
            values = [quality[trial.number]]
            values += [trial.user_attrs[SCORE_SECONDS]] if seconds else []
        elif trial.state == TrialState.PRUNED and seconds:
            continue
        copy.add_trial(
            create_trial(
                state=trial.state,
                values=values,
                params=trial.params,
                distributions=trial.distributions,
                intermediate_values=trial.intermediate_values,
                user_attrs=trial.user_attrs,
            )
        )
    return copy


class RankSampler(BaseSampler):
    """Gives the first trial the settings of the config, and others what the ranks suggest.

    What it draws follows from the seed and the number of the trial, so that a sweep that was
    killed and went on draws what an uninterrupted one would, and no two processes the same.

    Args:
        study: that is sampled for.
        space: what is tried.
        weights: of the terms.
        settings: of the sweep.
        seed: of what is drawn.
    """

    def __init__(
        self,
        study: SweepStudy,
        space: Space,
        weights: Mapping[str, float],
        settings: SweepSettings,
        seed: int,
    ) -> None:
        self.study, self.space, self.weights = study, space, weights
        self.settings, self.seed = settings, seed

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """All of the space, which is the same for every trial."""
        return self.space.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Values of all settings."""
        default = self.space.default
        if default is not None and self.study.lacks_default(trial.number):
            self.study.note(trial.number, {DEFAULT: True})
            return default
        several = self.settings.several_objectives
        copy = ranked_study(self.study, self.weights, self._sampler(trial), several, trial.number)
        return dict(copy.ask(fixed_distributions=search_space).params)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A value by chance, for a setting that the space does not hold."""
        return self._sampler(trial).sample_independent(study, trial, param_name, param_distribution)

    def _sampler(self, trial: FrozenTrial) -> BaseSampler:
        seed = int(np.random.SeedSequence([self.seed, trial.number]).generate_state(1)[0])
        if self.settings.sampler == RANDOM:
            return RandomSampler(seed)
        # settings depend on each other: they are drawn together
        return TPESampler(
            seed=seed, n_startup_trials=self.settings.startup_trials, multivariate=True, group=False
        )
