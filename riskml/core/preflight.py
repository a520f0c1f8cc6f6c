"""Look at everything a command line would have Hydra do, before Hydra does any of it."""

from __future__ import annotations

import copy
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from riskml.core.advice import advise, explain
from riskml.core.errors import ConfigError, did_you_mean
from riskml.core.hydra_node import check_hydra_node
from riskml.core.targets import check_targets

if TYPE_CHECKING:
    from argparse import Namespace

    from hydra.types import RunMode
    from omegaconf import DictConfig

VERSION_BASE = "1.3"
NO_SEARCHPATH = "hydra.searchpath: not allowed; name a further folder with --config-dir"


def check_command_line(conf: Path, config_name: str, job_name: str) -> None:
    """Refuse a command line whose config would build what is not on the lists.

    Args:
        conf: the folder of the script's configs.
        config_name: the main config in it, unless the command line names another.
        job_name: what Hydra calls the job.

    Raises:
        ConfigError: names the setting, what is wrong with it and the remedy.
    """
    # No public way reads the same options, from the same folders, as Hydra is going to.
    from hydra import version
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_config_search_path, get_args_parser
    from hydra.core.config_search_path import SearchPathQuery
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    args = get_args_parser().parse_args()
    if args.experimental_rerun is not None:
        raise ConfigError("--experimental-rerun: not allowed; it reads a pickle, which runs code")
    main = _folder("--config-path", args.config_path, conf.parent) or conf
    extra = _folder("--config-dir", args.config_dir, Path.cwd())
    if args.shell_completion:
        return  # completes names and builds nothing; what it is given are no overrides
    name = None if args.hydra_help else args.config_name or config_name
    overrides: list[str] = list(args.overrides)
    _check_search_path([main, extra] if extra else [main], name, overrides)
    version.setbase(VERSION_BASE)
    folders = create_config_search_path(str(main))
    if extra is not None:
        schema = SearchPathQuery(provider="schema")
        folders.prepend(provider="command-line", path=f"file://{extra}", anchor=schema)
    GlobalHydra.instance().clear()
    loader = Hydra.create_main_hydra2(job_name, folders).config_loader
    assert isinstance(loader, ConfigLoaderImpl)
    try:
        for config in _configs(name, overrides, args):
            check_hydra_node(config)
            check_targets(_job(config))
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError, AttributeError) as error:
        text = advise(
            error,
            overrides,
            compose=lambda others: _compose(name, others, RunMode.RUN),
            loader=loader,
        )
        raise ConfigError(text) from error
    finally:
        GlobalHydra.instance().clear()


def _folder(option: str, value: str | None, base: Path) -> Path | None:
    """The folder that an option names; `pkg://` would import the package it names."""
    if value is None:
        return None
    folder = Path(os.path.normpath(base / value))
    if "://" in value or not folder.is_dir():
        raise ConfigError(f"{option}: '{value}' is not a folder")
    return folder


def _check_search_path(folders: Sequence[Path], name: str | None, overrides: list[str]) -> None:
    """Refuse `hydra.searchpath`: composing alone would import the packages it names."""
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if any(override.lstrip("+~ ").startswith("hydra.searchpath") for override in overrides):
        raise ConfigError(NO_SEARCHPATH)
    if name is None:
        return
    file_name = name if name.endswith(".yaml") else f"{name}.yaml"
    files = [folder / file_name for folder in folders if (folder / file_name).is_file()]
    if not files:
        names = [file.stem for folder in folders for file in folder.glob("*.yaml")]
        raise ConfigError(
            f"--config-name: no '{name}' in {folders[0]}; {did_you_mean(name, names)}"
        )
    for file in files:
        try:
            config = OmegaConf.load(file)
            path = OmegaConf.select(config, "hydra.searchpath") if config else None
        except (OmegaConfBaseException, YAMLError, OSError, RecursionError) as error:
            raise ConfigError(f"{file}: cannot be read: {explain(error)}") from error
        if isinstance(config, DictConfig) and path is not None:
            raise ConfigError(f"{file}: {NO_SEARCHPATH}")


def _compose(name: str | None, overrides: list[str], mode: RunMode) -> DictConfig:
    """Compose as Hydra is going to; `hydra.compose` knows no sweeps."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode

    engine = GlobalHydra.instance().hydra
    assert engine is not None
    return engine.compose_config(
        config_name=name,
        overrides=overrides,
        run_mode=mode,
        validate_sweep_overrides=mode is RunMode.RUN,
    )


def _configs(name: str | None, overrides: list[str], args: Namespace) -> Iterator[DictConfig]:
    """Every config that the command leads to: of one run, or of a sweep and each of its jobs."""
    from hydra.types import RunMode

    shown = args.help or args.hydra_help or args.cfg or args.info
    if shown or not (args.multirun or _sweeps_by_itself(name, overrides)):
        yield _compose(name, overrides, RunMode.RUN)
        return
    sweep = _compose(name, overrides, RunMode.MULTIRUN)
    yield sweep
    yield from (_compose(name, job, RunMode.RUN) for job in _sweep_jobs(sweep))


def _sweeps_by_itself(name: str | None, overrides: list[str]) -> bool:
    """Whether the config asks for a sweep without --multirun."""
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf.errors import OmegaConfBaseException

    try:
        mode = _compose(name, overrides, RunMode.MULTIRUN).hydra.mode
    except (HydraException, OmegaConfBaseException):
        return False  # as Hydra decides; composing the run reports the error
    return bool(mode == RunMode.MULTIRUN)


def _sweep_jobs(sweep: DictConfig) -> Iterator[list[str]]:
    """The overrides of each job, as Hydra's own sweeper combines them."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    params = OmegaConf.select(sweep, "hydra.sweeper.params") or {}
    given = [f"{key}={value}" for key, value in params.items()]
    if any(line.lstrip("+~ ").startswith("hydra") for line in given):
        raise ConfigError("hydra.sweeper.params: may not set anything of Hydra itself")
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    choices: dict[str, list[str]] = {}
    for override in parser.parse_overrides([*given, *sweep.hydra.overrides.task]):
        key = override.get_key_element()
        if not override.is_sweep_override():
            choices[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            choices[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            raise ConfigError(f"{key}: an interval cannot be swept over; list the values")
    fixed = list(sweep.hydra.overrides.hydra)
    for job in itertools.product(*choices.values()):
        yield [*fixed, *job]


def _job(config: DictConfig) -> DictConfig:
    """The config as the job's function will see it."""
    from omegaconf import open_dict, read_write

    job = copy.deepcopy(config)
    with read_write(job), open_dict(job):
        del job["hydra"]
    return job
