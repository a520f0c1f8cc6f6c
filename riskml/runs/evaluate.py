"""`python evaluate.py`: detectors over folds in time, fitted anew in each, beside baselines."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from riskml.core.errors import ConfigError
from riskml.core.targets import check_targets
from riskml.data.batch_reference import BatchReference
from riskml.data.datasets import Dataset
from riskml.data.folds import Folds, SingleFold
from riskml.evaluation.backtest import Backtested, backtest
from riskml.evaluation.backtesting.units import Change, Check
from riskml.evaluation.checks.auditor import STANDARD
from riskml.evaluation.checks.controls import PermutationCheck, contaminated, permuted
from riskml.runs.assembly import (
    build,
    build_scoring,
    build_threshold,
    chosen_detectors,
    chosen_parameters,
)
from riskml.runs.context import (
    LATEST,
    PARTS,
    REFERENCE,
    Run,
    find_run,
    load_config,
    start_run,
)
from riskml.runs.entrants import entrants_of, features_of
from riskml.runs.resuming import begun, drop_new_folder, mark_of
from riskml.runs.steps import compare, config_fingerprint, read_data, report
from riskml.runs.top_settings import check_top

FROM_RUN = ("data", "features", "threshold", "scoring", "seed")
"""Settings that come from the run unless they are given."""

A_DAY = 86_400.0


def evaluate(cfg: DictConfig) -> Path:
    """Evaluate the detectors in question and the baselines on the same windows.

    Returns:
        The folder with metrics.json, scores, alerts and plots.
    """
    named = cfg.get("model") is not None or cfg.get("detectors") is not None
    if cfg.get("resume"):
        (cfg, fingerprint), named = begun(cfg), True
        drop_new_folder(Path(cfg.paths.run))
        trained = None if cfg.run is None else find_run(Path(cfg.paths.outputs), cfg.run)
    else:
        cfg, trained = complete(cfg)
        fingerprint = config_fingerprint(cfg)
    check_top(cfg)
    # processes have no Hydra that could resolve anything
    settled = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))
    assert isinstance(settled, DictConfig)
    with start_run(cfg, f"evaluate {cfg.model.name} on {cfg.data.name}") as run:
        run.tracker.parameters(chosen_parameters(cfg))
        folds = folds_of(cfg)
        if not named and trained is None:
            run.say(f"{cfg.model.name} is fitted afresh in every fold: the trained one is left out")
        dataset, found = _backtest(run, settled, folds, trained, fingerprint)
        for step, epoch in enumerate(found.epochs if len(found.folds) == 1 else ()):
            run.tracker.metrics(epoch, step)
        _say_folds(run, found)
        report(run, compare(run, found, dataset, fingerprint))
        run.say(
            f"results     {run.folder}\nplots       {run.folder / 'plots'}"
            f"\nMLflow page {run.tracker.page()}"
        )
    return run.folder


def _backtest(
    run: Run, cfg: DictConfig, folds: Folds, trained: Path | None, fingerprint: str
) -> tuple[Dataset, Backtested]:
    """Read the data, then fit and judge everybody in every fold."""
    # settings that are wrong should say so before the data is read
    entrants, features = entrants_of(cfg, trained), features_of(cfg, trained)
    rule, scoring = build_threshold(cfg.threshold), build_scoring(cfg.get("scoring"))
    change, checks = controls_of(cfg)
    if entrants.merged and cfg.detectors is not None:
        names = ", ".join(entrants.merged)
        run.say(f"in detectors and in baselines: {names}; a single row each, as in detectors")
    dataset = read_data(run, earlier_log(cfg, trained))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    try:
        # some units take minutes, so the speed is that of the whole run
        with Progress(
            *columns, console=run.console, transient=True, speed_estimate_period=A_DAY
        ) as progress:
            task = progress.add_task("fitting and judging", total=None)

            def watch(done: int, total: int, doing: str) -> None:
                progress.update(task, completed=done, total=total, description=doing)

            found = backtest(
                dataset,
                entrants.detectors,
                features,
                folds,
                rule,
                scoring,
                entrants.seeds,
                run.folder / PARTS,
                entrants.fit,
                entrants.fit_seconds,
                watch=watch,
                settings=mark_of(cfg, fingerprint),
                audit=cfg.get("audit") or STANDARD,
                checks=checks,
                change=change,
            )
    except KeyboardInterrupt:
        run.say(f"interrupted; go on with: python evaluate.py resume={run.folder}")
        raise
    return dataset, found


def controls_of(cfg: DictConfig) -> tuple[Change | None, list[Check]]:
    """What is done to the windows before anything is fitted on them, and what is asked after.

    Args:
        cfg: that `check_top` has seen.
    """
    control, share = cfg.get("control"), cfg.get("contamination")
    if control is not None:
        return partial(permuted, control=control, seed=cfg.seed), [PermutationCheck(control)]
    if share is not None:
        return partial(contaminated, share=share, seed=cfg.seed), []
    return None, []


def folds_of(cfg: DictConfig) -> Folds:
    """The rule that makes folds; the split of the data where there are no settings for it."""
    folds: Folds = build(cfg.get("backtest")) or SingleFold()
    return folds


def _say_folds(run: Run, found: Backtested) -> None:
    for fold in found.folds:
        title = f"fold {fold.number + 1}" if len(found.folds) > 1 else "windows"
        periods = ", ".join(
            f"{name} {start:%Y-%m-%d} to {end:%Y-%m-%d} ({windows:,})"
            for name, (start, end, windows) in (
                ("train", fold.train),
                ("calibration", fold.calibration),
                ("test", fold.test),
            )
        )
        run.say(f"{title}: {periods}")
    run.say(f"{found.features} features; unknown actions in test {found.unknown_action_rate:.2%}")


def complete(cfg: DictConfig) -> tuple[DictConfig, Path | None]:
    """Fill in from a train run what the command line does not say.

    Returns:
        The whole config, and the run whose detector is evaluated, or None where it is fitted
        afresh: because `model=` or `detectors=` asks for it, or because there are folds or seeds.

    Raises:
        ConfigError: neither a run nor detectors and data are given, no such run, or no such model.
    """
    chosen = cfg.get("detectors") is not None
    if chosen and cfg.model is not None:
        raise ConfigError("give model or detectors, not both; the first of detectors is in focus")
    fresh = chosen or cfg.model is not None
    whole = OmegaConf.create({str(key): cfg._get_node(key) for key in cfg})
    assert isinstance(whole, DictConfig)
    folder = None
    if fresh and cfg.data is not None:
        if cfg.run != LATEST:  # one that is named must be there, even where nothing is taken of it
            find_run(Path(cfg.paths.outputs), cfg.run)
        whole.seed = 0 if cfg.seed is None else cfg.seed
    else:
        folder = find_run(Path(cfg.paths.outputs), cfg.run)
        past = load_config(folder)
        for key in FROM_RUN:
            if whole.get(key) is None:
                whole[key] = past.get(key)  # older runs have no scoring
        if not fresh:
            whole.model = past.model
            whole.features = past.features
    if chosen:
        whole.model = next(iter(chosen_detectors(whole).values()))
    anew = fresh or folds_of(whole).moves or whole.get("seeds") is not None
    anew = anew or whole.get("contamination") is not None
    whole.run = None if anew or folder is None else str(folder.resolve())
    check_targets(whole)
    return whole, None if anew else folder


def earlier_log(cfg: DictConfig, trained: Path | None) -> BatchReference | None:
    """The columns of the log that the detector learnt from, if this is the same again.

    Its days are likely to be in this log once more, so their volumes are left out.
    """
    if trained is None or load_config(trained).data.name != cfg.data.name:
        return None
    reference = BatchReference.load(trained / REFERENCE)
    return None if reference is None else reference.without_volumes()
