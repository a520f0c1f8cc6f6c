"""One clear line, with the remedy, for what Hydra and OmegaConf complain of."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from riskml.core.errors import FEW, did_you_mean

if TYPE_CHECKING:
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from omegaconf import DictConfig

_NOISE = ("full_key:", "object_type=", "reference_type=", "See https://")
_FULL_KEY = re.compile(r"^\s*full_key: (\S+)$", re.MULTILINE)


def explain(error: BaseException) -> str:
    r"""The error in one line.

    >>> explain(ValueError("first\n  second"))
    'first second'
    """
    from hydra.errors import MissingConfigException, OverrideParseException
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, option = error.missing_cfg_file.rpartition("/")
        return f"{group}: there is no '{option}'; {did_you_mean(option, error.options)}"
    if isinstance(error, MissingMandatoryValue) and error.full_key:
        return f"{error.full_key}: must be given, e.g. {error.full_key}=... on the command line"
    missing = re.search(r"Missing mandatory value: (\S+)", str(error))
    if missing:
        return f"{missing[1]}: must be given, e.g. {missing[1]}=... on the command line"
    texts = [str(error)]
    if isinstance(error, OverrideParseException) and error.override not in texts[0]:
        texts.insert(0, f"Error parsing override '{error.override}':")
    if isinstance(error, OverrideParseException) and _is_no_override(error.override):
        return f"{error.override}: no setting; write name=value, without blanks, such as model=vae"
    if isinstance(error, OverrideParseException) and (quoted := _in_quotes(error.override)):
        return f"{error.override}: such a value must stand in quotes, write {quoted}"
    if isinstance(error.__cause__, OmegaConfBaseException):
        texts.append(str(error.__cause__))
    lines = [line.strip() for text in texts for line in text.splitlines()]
    text = " ".join(line for line in lines if line and not line.startswith(_NOISE))
    key = _FULL_KEY.search("\n".join(texts))
    return f"{key[1]}: {text}" if key else text


def _is_no_override(given: str) -> bool:
    """A word without `=`, or an `=` that stands alone; `~name` takes a setting away."""
    return not given.startswith("~") and not all(given.partition("=")[:2])


def _in_quotes(override: str) -> str | None:
    """How to type a text that Hydra's grammar cannot read bare; None where that is no remedy."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    name, _, value = override.partition("=")
    if not value or value[0] in "[{\"'":  # a list or a quote that was begun is another mistake
        return None
    escaped = value.replace("'", "\\'")
    quoted = f"{name}='{escaped}'"
    try:
        read = OverridesParser.create().parse_overrides([quoted])[0].value()
    except HydraException:
        return None
    if read != value:
        return None
    return shlex.quote(quoted) if set(value) & set('"$`\\!') else f'"{quoted}"'


def _swept_over(setting: str, overrides: Sequence[str]) -> str | None:
    """The group that a setting belongs to, if the command line lists several of its choices."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.key_or_group.replace("/", ".")
        if override.is_sweep_override() and setting.startswith(f"{key}."):
            return key
    return None


def _choices_with(loader: ConfigLoaderImpl, group: str, setting: str) -> list[str]:
    """The choices of a group whose files have a setting; files are read, nothing is composed."""
    return [
        name
        for name in loader.get_group_options(group)
        if _has(loader, f"{group}/{name}", setting, setting.removeprefix(f"{group}."))
    ]


def _has(loader: ConfigLoaderImpl, file: str, setting: str, inside: str) -> bool:
    """Whether a file, or one that it builds on, has the setting.

    Args:
        loader: finds it.
        file: as a defaults list names it.
        setting: in full, as a file for the whole config (`@package _global_`) has it.
        inside: the same within the file's group.
    """
    from hydra.core.default_element import ConfigDefault
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    read = loader.repository.load_config(file)
    if read is None:
        return False
    path = setting if read.header.get("package") == "_global_" else inside
    above, _, key = path.rpartition(".")
    try:
        node = OmegaConf.select(read.config, above) if above else read.config
    except OmegaConfBaseException:
        node = None  # an interpolation: what it leads to is not of this file
    if isinstance(node, DictConfig) and key in set(node):  # where it is ??? too
        return True
    group = file.rpartition("/")[0]
    return any(
        _has(loader, f"{group}/{default.path}", setting, inside)
        for default in read.defaults_list or ()
        if isinstance(default, ConfigDefault) and default.path not in (None, "_self_")
    )


def _chosen_otherwise(wrong: str, config: DictConfig, loader: ConfigLoaderImpl) -> str | None:
    """What to choose for a setting that the choice that was made does not have, or null has not."""
    from omegaconf import OmegaConf

    group = wrong
    while "." in group:
        group = group.rpartition(".")[0]
        options = loader.get_group_options(group.replace(".", "/"))
        if not options:
            continue
        made = OmegaConf.select(config, "hydra.runtime.choices").get(group)
        others = _choices_with(loader, group, wrong)
        shown = " or ".join(f"{group}={name}" for name in others[:FEW] if name != made)
        if shown:
            return f"{wrong}: {group}={made or 'null'} has no such setting; give it with {shown}"
        if made is None:
            first = " or ".join(f"{group}={name}" for name in options[:FEW])
            return f"{wrong}: {group}=null has no settings; choose {first} first"
    return None


def advise(
    error: BaseException,
    overrides: Sequence[str],
    compose: Callable[[list[str]], DictConfig],
    loader: ConfigLoaderImpl,
) -> str:
    """As `explain`; for a setting that does not exist also the nearest one that does.

    Where another choice of its group has it, that choice is named.

    Args:
        error: what composing raised.
        overrides: the overrides that it was composed with.
        compose: composes with other overrides.
        loader: finds config groups and their files.
    """
    from hydra.errors import HydraException
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    found = re.search(r"Could not override '([^']*)'", str(error))
    if not found:
        return explain(error)
    wrong = found[1]
    if group := _swept_over(wrong, overrides):
        # Hydra reads settings before it has chosen, and "++" sets what may not be there yet
        return f"{wrong}: belongs to a choice of {group}, which is swept over: write ++{wrong}=..."
    others = [o for o in overrides if o.partition("=")[0] != wrong]
    try:
        config = compose(others)
    except (HydraException, OmegaConfBaseException):
        return explain(error)  # a second mistake hides the valid names
    if advice := _chosen_otherwise(wrong, config, loader):
        return advice
    name = wrong
    while "." in name:
        parent = name.rpartition(".")[0]
        node = OmegaConf.select(config, parent)
        if isinstance(node, DictConfig):
            valid = [f"{parent}.{key!s}" for key in node]
            return f"{wrong}: there is no such setting; {did_you_mean(name, valid)}"
        name = parent
    top = {str(key) for key in config} | set(loader.list_groups(""))
    return f"{wrong}: there is no such setting; {did_you_mean(name, top - {'hydra'})}"
