"""Hydra never acts on a command line or a folder of configs that names what is not listed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

ON_THE_COMMAND_LINE: dict[str, list[str]] = {
    "callback": ["+hydra.callbacks.x._target_=builtins.open", "+hydra.callbacks.x.file=MARK"],
    "callback_forced": ["++hydra.callbacks={x:{_target_:os.mkdir,path:MARK}}"],
    "callback_interpolated": ["+hydra.callbacks.x=${y}", "+y={_target_:os.mkdir,path:MARK}"],
    "callbacks_interpolated": ["+y={x:{_target_:os.mkdir,path:MARK}}", "hydra.callbacks=${y}"],
    "launcher": ["-m", "hydra.launcher._target_=os.mkdir", "+hydra.launcher.path=MARK"],
    "sweeper": ["-m", "hydra.sweeper._target_=os.mkdir", "+hydra.sweeper.path=MARK"],
    "launcher_argument": ["-m", "+hydra.launcher.x={_target_:os.mkdir,path:MARK}"],
    "handler_class": [
        "hydra.job_logging.handlers.file.class=builtins.open",
        "hydra.job_logging.handlers.file.filename=MARK",
    ],
    "handler_factory": ["--config-dir=hostile", "experiment=factory"],
    "handler_interpolated": ["+y=evil.Handler", "hydra.job_logging.handlers.file.class=${y}"],
    "hydra_logging_class": ["hydra.hydra_logging.handlers.console.class=evil.Handler", "-m"],
    "hydra_logging_in_help": ["hydra.hydra_logging.handlers.console.class=evil.X", "--help"],
    "hydra_logging_in_hydra_help": [
        "hydra.hydra_logging.handlers.console.class=evil.X",
        "--hydra-help",
    ],
    "ext_import": ["hydra.job_logging.handlers.console.stream=ext://evil.stream"],
    "ext_in_a_format": ["hydra.job_logging.formatters.simple.format=ext://evil.text"],
    "ext_by_interpolation": ["+y=ext://evil.x", "hydra.job_logging.handlers.file.filename=${y}"],
    "ext_behind_the_folder": [
        "hydra.runtime.output_dir='ext:'",
        "hydra.hydra_logging.handlers.console.stream=${hydra.runtime.output_dir}//evil.x",
        "-m",
    ],
    "cfg_reference": ["hydra.job_logging.handlers.console.stream=cfg://handlers"],
    "formatter_class": ["+hydra.job_logging.formatters.simple.class=evil.Formatter"],
    "filter_factory": ["--config-dir=hostile", "experiment=filter"],
    "attributes": ["--config-dir=hostile", "experiment=attributes"],
    "searchpath_imports": ["hydra.searchpath=[pkg://evil]"],
    "searchpath_added": ["++hydra.searchpath=[pkg://evil]"],
    "config_path_imports": ["--config-path", "pkg://evil", "--config-name", "extra"],
    "config_path_short": ["-cp", "pkg://evil", "-cn", "extra"],
    "pickle": ["--experimental-rerun", "some.pickle"],
    "env_set": ["+hydra.job.env_set.LD_PRELOAD=x.so"],
    "config_dir_primary": ["--config-dir", "hostile", "--config-name", "callback"],
    "config_dir_abbreviated": ["--config-d", "hostile", "--config-n", "callback"],
    "config_path_primary": ["--config-path", "hostile", "--config-name", "callback"],
    "config_name_outside": ["--config-name", "../hostile/callback"],
    "config_dir_searchpath": ["--config-dir", "hostile", "--config-name", "searchpath"],
    "config_dir_searchpath_hidden": ["--config-dir", "hostile", "--config-name", "hidden"],
    "config_dir_group": ["--config-dir", "hostile", "experiment=handler"],
    "config_dir_hydra_group": ["--config-dir", "hostile", "hydra/job_logging=evil"],
    "one_job_of_a_sweep": ["--config-dir", "hostile", "-m", "experiment=long,handler"],
    "globbed_sweep": ["--config-dir", "hostile", "-m", "experiment=glob(h*)"],
    "sweeper_params": ["--config-dir=hostile", "--config-name=params"],
    "sweeper_params_group": ["--config-dir=hostile", "--config-name=params_group"],
    "job_target": ["+model._target_=builtins.open", "+model.file=MARK"],
    "job_target_at_the_top": ["+_target_=os.mkdir", "+path=MARK"],
    "job_partial": ["+model._partial_=true"],
    "job_target_in_a_sweep": ["-m", "+model._target_=os.mkdir,os.system"],
}

HANDLER = "{version: 1, root: {}, handlers: {x: {class: evil.Handler}}}"
LOGGING = "# @package _global_\nhydra: {job_logging: {%s}}\n"
SWEEP = "defaults: [{model: vae}, _self_]\nhydra: {mode: MULTIRUN, sweeper: {params: {%s}}}\n"
HOSTILE_CONF = {
    "callback.yaml": "hydra: {callbacks: {x: {_target_: os.mkdir, path: marker}}}\nseed: 1\n",
    "searchpath.yaml": "hydra: {searchpath: ['pkg://evil']}\n",
    "hidden.yaml": "hydra: ${other}\nother: {searchpath: ['pkg://evil']}\n",
    "params.yaml": SWEEP % "hydra.job_logging.handlers.file.class: evil.Handler",
    "params_group.yaml": SWEEP % "+experiment: 'long,handler'",
    "experiment/handler.yaml": f"# @package _global_\nhydra: {{job_logging: {HANDLER}}}\n",
    "experiment/factory.yaml": LOGGING % "handlers: {x: {'()': os.mkdir, path: marker}}",
    "experiment/filter.yaml": LOGGING % "filters: {x: {'()': evil.Filter}}",
    "experiment/attributes.yaml": LOGGING % "handlers: {console: {'.': {formatter: x}}}",
    "hydra/job_logging/evil.yaml": HANDLER,
}


@pytest.fixture
def hostile(app: Path) -> Path:
    """The app, with a folder of hostile configs that somebody passed on."""
    for name, text in HOSTILE_CONF.items():
        (app / "hostile" / name).parent.mkdir(parents=True, exist_ok=True)
        (app / "hostile" / name).write_text(text)
    return app


@pytest.mark.parametrize("case", ON_THE_COMMAND_LINE)
def test_hostile_command_line_is_refused_before_hydra_acts(
    case: str, hostile: Path, run: Any
) -> None:
    done: subprocess.CompletedProcess[str] = run(
        *(arg.replace("MARK", str(hostile / "marker")) for arg in ON_THE_COMMAND_LINE[case])
    )
    assert not (hostile / "marker").exists()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert re.search("may not|not allowed|not a folder|interpolation", done.stderr), done.stderr
    assert not (hostile / "out").exists()


@pytest.mark.parametrize(
    "case",
    [
        "callback_forced",
        "ext_import",
        "searchpath_imports",
        "config_path_imports",
        "config_dir_searchpath_hidden",
        "filter_factory",
        "one_job_of_a_sweep",
        "sweeper_params",
    ],
)
def test_the_command_lines_are_real(case: str, hostile: Path, run: Any) -> None:
    """A script with plain Hydra obeys them."""
    arguments = [a.replace("MARK", str(hostile / "marker")) for a in ON_THE_COMMAND_LINE[case]]
    run(*arguments, script="unguarded.py")
    assert (hostile / "marker").exists()
