"""One clear line, with the remedy, for what Hydra and OmegaConf complain of."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from riskml.core.errors import did_you_mean

if TYPE_CHECKING:
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
    if isinstance(error, OverrideParseException) and (quoted := _in_quotes(error.override)):
        return f"{error.override}: such a value must stand in quotes, write {quoted}"
    if isinstance(error.__cause__, OmegaConfBaseException):
        texts.append(str(error.__cause__))
    lines = [line.strip() for text in texts for line in text.splitlines()]
    text = " ".join(line for line in lines if line and not line.startswith(_NOISE))
    key = _FULL_KEY.search("\n".join(texts))
    return f"{key[1]}: {text}" if key else text


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


def advise(
    error: BaseException,
    overrides: Sequence[str],
    compose: Callable[[list[str]], DictConfig],
    groups: Sequence[str],
) -> str:
    """As `explain`; for a setting that does not exist also the nearest one that does.

    Args:
        error: what composing raised.
        overrides: the overrides that it was composed with.
        compose: composes with other overrides.
        groups: names of the config groups.
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
    name = wrong
    while "." in name:
        parent = name.rpartition(".")[0]
        node = OmegaConf.select(config, parent)
        if isinstance(node, DictConfig):
            valid = [f"{parent}.{key!s}" for key in node]
            return f"{wrong}: there is no such setting; {did_you_mean(name, valid)}"
        name = parent
    top = {str(key) for key in config} | set(groups)
    return f"{wrong}: there is no such setting; {did_you_mean(name, top - {'hydra'})}"
