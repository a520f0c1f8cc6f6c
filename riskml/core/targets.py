"""The names that a config may have built, and the checks that hold it to them.

A config is data that people pass around, so it may name nothing but what stands in `ALLOWED`.
The check reads the whole tree before anything is imported or built.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from riskml.core.arguments import check_kind, located
from riskml.core.errors import ConfigError, RiskmlError, did_you_mean

if TYPE_CHECKING:
    from omegaconf import DictConfig, ListConfig

LIGHTNING: frozenset[str] = frozenset(
    {
        "pytorch_lightning.Trainer",
        "pytorch_lightning.callbacks.EarlyStopping",
        "pytorch_lightning.callbacks.GradientAccumulationScheduler",
        "pytorch_lightning.callbacks.LearningRateMonitor",
        "pytorch_lightning.callbacks.ModelCheckpoint",
        "pytorch_lightning.callbacks.RichProgressBar",
        "pytorch_lightning.callbacks.TQDMProgressBar",
        "pytorch_lightning.callbacks.Timer",
    }
)

# A new class that a file in conf/ names gets its line here: the module that defines it, then it.
RISKML: frozenset[str] = frozenset(
    {
        "riskml.baselines.midas.MidasDetector",
        "riskml.baselines.online.HalfSpaceTreesDetector",
        "riskml.baselines.online.RRCFDetector",
        "riskml.baselines.pyod.PyODDetector",
        "riskml.baselines.simple.RandomDetector",
        "riskml.baselines.simple.WindowLengthDetector",
        "riskml.baselines.tokens.BigramDetector",
        "riskml.baselines.tokens.FirstTimesDetector",
        "riskml.baselines.tokens.RareTokensDetector",
        "riskml.baselines.tokens.UnigramRatioDetector",
        "riskml.data.batch_checks.BatchChecks",
        "riskml.data.pseudonymous.PseudonymousLog",
        "riskml.data.folds.ExpandingFolds",
        "riskml.data.folds.RollingFolds",
        "riskml.data.folds.SingleFold",
        "riskml.data.mappings.auth_log.AuthLogSource",
        "riskml.data.mappings.cert.CertSource",
        "riskml.data.mappings.cloudtrail.CloudTrailSource",
        "riskml.data.mappings.ecs.EcsSource",
        "riskml.data.mappings.entra.EntraSource",
        "riskml.data.mappings.ocsf.OcsfSource",
        "riskml.data.simulated.SimulatedSource",
        "riskml.data.sources.CsvSource",
        "riskml.data.sources.DatabaseSource",
        "riskml.data.sources.DuckDbSource",
        "riskml.data.sources.JsonLinesSource",
        "riskml.data.sources.ParquetSource",
        "riskml.data.sources.RowsSource",
        "riskml.data.sources.SnapshotSource",
        "riskml.data.splits.ColumnSplit",
        "riskml.data.splits.TimeSplit",
        "riskml.export.scripted.ScriptedDetector",
        "riskml.features.action_embedding.ActionEmbeddingFeatures",
        "riskml.features.extractor.FeatureExtractor",
        "riskml.features.graph.GraphFeatures",
        "riskml.features.history.HistoryFeatures",
        "riskml.features.novelty.NoveltyFeatures",
        "riskml.features.numbers.NumberFeatures",
        "riskml.features.peer.PeerFeatures",
        "riskml.features.peer_groups.PeerGroups",
        "riskml.features.time_of_day.TimeOfDayFeatures",
        "riskml.features.volume.VolumeFeatures",
        "riskml.features.windows.BlockWindows",
        "riskml.features.windows.SessionWindows",
        "riskml.features.windows.UserDayWindows",
        "riskml.models.autoencoder.AutoencoderDetector",
        "riskml.models.deep.TrainingSettings",
        "riskml.models.contrastive.ContrastiveDetector",
        "riskml.models.counts.CountsDetector",
        "riskml.models.lstm_ae.LSTMAutoencoderDetector",
        "riskml.models.neighbours.NeighboursDetector",
        "riskml.models.sequence.SequenceDetector",
        "riskml.models.transformer.TransformerDetector",
        "riskml.models.vae.VAEDetector",
        "riskml.runs.ray_trainer.RayTrainer",
        "riskml.runs.tracking.MLflowTracker",
        "riskml.runs.tracking.NoTracker",
        "riskml.scoring.conformal.ConformalAlerts",
        "riskml.scoring.settings.ScoringSettings",
        "riskml.scoring.spot.PeaksOverThreshold",
        "riskml.scoring.thresholds.AlertShare",
        "riskml.scoring.thresholds.DailyBudget",
        "riskml.wrappers.ensemble.EnsembleDetector",
        "riskml.wrappers.persistence.PersistenceDetector",
        "riskml.wrappers.quarantine.QuarantineDetector",
        "riskml.wrappers.slow_leak.SlowLeakDetector",
    }
)

ALLOWED: frozenset[str] = LIGHTNING | RISKML
"""Every dotted name that a `_target_` may hold, letter for letter."""

_SPECIAL = frozenset({"_target_", "_partial_", "_args_", "_recursive_", "_convert_"})
_PASSWORD_IN_URL = re.compile(r"[a-zA-Z][\w+.-]*://([^\s/@:]*:[^\s@]+@|\S*[?&]\w*pass\w*=)")
_MAX_DEPTH = 64
_MAX_NODES = 100_000


def check_targets(config: Any, allowed: frozenset[str] = ALLOWED) -> None:
    r"""Refuse a config that could build anything that is not on the list.

    Interpolations are followed. One that cannot be resolved yet may stay, unless it decides what
    is built; `instantiate` looks again once all are resolved. `_partial_` and `_args_` are never
    allowed: the first hands out callables, the second hides which argument a value is for. Nor
    are escaped interpolations (`\${...}`), which Hydra would resolve a second time, unchecked.

    Args:
        config: a config node, or a dict or list of plain values. None is fine.
        allowed: the names that may stand in a `_target_`.

    Raises:
        ConfigError: names the full key, what is wrong with it and the nearest valid name.
    """
    root = _as_config(config)
    if root is None:
        return
    from omegaconf import OmegaConf

    if OmegaConf.is_interpolation(root):
        raise ConfigError(f"{_full_key(root)}: is itself an interpolation; pass what it points to")
    _check_node(root, _full_key(root), allowed, seen={}, depth=0)


def instantiate(node: Any, /, **kwargs: Any) -> Any:
    """Check a config node, then build what it names.

    Arguments arrive as plain Python values: dicts and lists, never `DictConfig`.

    Args:
        node: a config with a `_target_`, or a dict or list of such; None gives None.
        **kwargs: further arguments of the outermost target, which win over the config's. They
            are passed on untouched, so dataclasses, arrays and frames may be given.

    Returns:
        The object, or a dict or list of objects shaped like `node`.

    Raises:
        ConfigError: a name is not allowed, an argument is unknown or missing, or the class
            refused its arguments.

    >>> instantiate(None) is None
    True
    """
    config = _as_config(node)
    if config is None:
        return None
    key = _full_key(config)
    check_targets(config)
    plain = _resolved(config, key, overridden=kwargs)
    check_targets(plain)  # what is built is this copy: nothing can change after the check
    _check_arguments(plain, key, kwargs)
    from hydra.utils import instantiate as build  # noqa: TID251

    try:
        if isinstance(plain, dict) and "_target_" in plain:
            # Late binding keeps Hydra from taking dataclasses among kwargs for configs.
            return build(plain, _convert_="all", _partial_=True)(**kwargs)
        if kwargs:
            raise ConfigError(f"{key or 'config'}: has no _target_ to give {sorted(kwargs)} to")
        return build(plain, _convert_="all")
    except ConfigError as error:
        raise located(error, "", plain, key) from error
    except RiskmlError:
        raise
    except Exception as error:
        raise _clear_error(error, plain, key) from error


def _as_config(config: Any) -> DictConfig | ListConfig | None:
    """The config as OmegaConf nodes, so that a single walk sees every kind of container."""
    from omegaconf import DictConfig, ListConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if config is None or isinstance(config, DictConfig | ListConfig):
        return config
    if not isinstance(config, dict | list | tuple):
        raise ConfigError(f"expected a config, dict or list, got {type(config).__name__}")
    values = list(config) if isinstance(config, tuple) else config
    try:
        return OmegaConf.create(values, flags={"allow_objects": True})
    except (OmegaConfBaseException, RecursionError) as error:
        raise ConfigError(f"not a valid config: {error}") from error


def _full_key(node: DictConfig | ListConfig) -> str:
    return str(node._get_full_key(None) or "")


def _children(node: DictConfig | ListConfig, key: str) -> Iterator[tuple[Any, str]]:
    """Each child's name and its full key."""
    from omegaconf import ListConfig

    if isinstance(node, ListConfig):
        yield from ((i, f"{key}[{i}]") for i in range(len(node)))
    else:
        yield from ((name, f"{key}.{name!s}" if key else str(name)) for name in node)


def _check_node(
    node: DictConfig | ListConfig,
    key: str,
    allowed: frozenset[str],
    seen: dict[int, Any],
    depth: int,
) -> None:
    from omegaconf import DictConfig, ListConfig

    if id(node) in seen:
        return
    seen[id(node)] = node  # holding it keeps its id from being given to another node
    if depth > _MAX_DEPTH or len(seen) > _MAX_NODES:
        raise ConfigError(f"{key}: nested too deeply or refers to itself")
    for name, path in _children(node, key):
        special = isinstance(node, DictConfig) and name in _SPECIAL
        value = _read(node, name, path, must_resolve=special)
        if special:
            _check_special(str(name), value, path, allowed)
        if isinstance(value, DictConfig | ListConfig):
            _check_node(value, path, allowed, seen, depth + 1)
        elif isinstance(value, str) and "${" in value:
            raise ConfigError(f"{path}: an escaped interpolation (\\${{...}}) is not allowed")
        elif isinstance(value, str) and _PASSWORD_IN_URL.search(value):
            raise ConfigError(
                f"{path}: holds a password, and settings are kept with every run; put the URL into "
                "an environment variable instead (data=database: url_variable=NAME)"
            )


def _read(node: DictConfig | ListConfig, name: Any, path: str, *, must_resolve: bool) -> Any:
    """The resolved value, or None where it is not known yet and decides nothing."""
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    try:
        return node[name]
    except MissingMandatoryValue:
        return None
    except OmegaConfBaseException as error:
        if must_resolve or not OmegaConf.is_interpolation(node, name):
            raise ConfigError(f"{path}: cannot be resolved: {error}") from error
        return None
    except RecursionError as error:
        raise ConfigError(f"{path}: refers to itself") from error


def _check_special(name: str, value: Any, path: str, allowed: frozenset[str]) -> None:
    if name == "_target_" and value is not None:
        if type(value) is not str:
            raise ConfigError(f"{path}: must be a name, got {type(value).__name__}")
        if value not in allowed:
            valid = did_you_mean(value, allowed) if allowed else "nothing may be built here"
            raise ConfigError(f"{path}: '{value}' may not be built from a config; {valid}")
    elif name == "_partial_" and value is not False:
        raise ConfigError(f"{path}: not allowed in a config; remove it")
    elif name == "_args_":
        raise ConfigError(f"{path}: not allowed in a config; give each argument by its name")


def _resolved(config: DictConfig | ListConfig, key: str, overridden: Mapping[str, Any]) -> Any:
    """A plain copy with every interpolation resolved and no value missing."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        missing = sorted(OmegaConf.missing_keys(config))
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{key or 'config'}: {' '.join(str(error).split())}") from error
    for where in missing:
        first = re.split(r"[.\[]", where[len(key) :].lstrip("."))[0]
        if first not in overridden:
            raise ConfigError(f"{where}: must be given, e.g. {where}=... on the command line")
    if isinstance(plain, dict):
        return {name: value for name, value in plain.items() if name not in overridden}
    return plain


def _check_arguments(plain: Any, key: str, given: Mapping[str, Any]) -> None:
    """Compare the arguments of every target, nested ones first, with its signature."""
    if isinstance(plain, list):
        for i, value in enumerate(plain):
            _check_arguments(value, f"{key}[{i}]", {})
    if not isinstance(plain, dict):
        return
    for name, value in plain.items():
        _check_arguments(value, f"{key}.{name}" if key else str(name), {})
    if "_target_" not in plain:
        return
    target = _locate(plain["_target_"], key)
    parameters = list(inspect.signature(target).parameters.values())
    named = [p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = {p.name for p in named}
    arguments = [*(name for name in plain if name not in _SPECIAL), *given]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        for name in (n for n in arguments if n not in names):
            where = f"{key}.{name}" if key else str(name)
            raise ConfigError(
                f"{where}: {plain['_target_']} has no such setting; "
                f"{did_you_mean(str(name), names)}"
            )
    for parameter in named:
        if parameter.default is parameter.empty and parameter.name not in arguments:
            where = f"{key}.{parameter.name}" if key else parameter.name
            raise ConfigError(f"{where}: must be given, {plain['_target_']} needs it")
        if parameter.name in plain and parameter.name not in given:
            where = f"{key}.{parameter.name}" if key else parameter.name
            check_kind(where, parameter, plain[parameter.name])


def _locate(name: str | None, key: str) -> Callable[..., Any]:
    if name is None:
        raise ConfigError(f"{key or 'config'}._target_: is null, so there is nothing to build")
    try:
        target: Callable[..., Any] = pkgutil.resolve_name(name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{key or 'config'}: {name} cannot be imported: {error}") from error
    return target


def _clear_error(error: Exception, plain: Any, key: str) -> RiskmlError:
    """The error that a person can act on, dug out of what Hydra wrapped around it."""
    cause: BaseException = error
    while cause.__cause__ is not None and not isinstance(cause, RiskmlError):
        cause = cause.__cause__
    if isinstance(cause, ConfigError):
        failed = str(error).rpartition("\nfull_key: ")
        return located(cause, failed[2] if failed[1] else "", plain, key)
    if isinstance(cause, RiskmlError):
        return cause
    name = plain.get("_target_") if isinstance(plain, dict) else None
    what = f"{key or 'config'} ({name})" if name else key or "config"
    reason = " ".join(str(cause).split())
    return ConfigError(f"{what}: could not be built: {type(cause).__name__}: {reason}")
