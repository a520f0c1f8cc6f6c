"""The scripts' front door: what people type, and what they are told when it is wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from riskml.core import entry
from riskml.core.entry import hydra_entry
from riskml.core.errors import ConfigError


def test_runs(run: Any, app: Path) -> None:
    done = run("model=autoencoder", "seed=3")
    assert (done.returncode, done.stdout) == (0, "ran {'hidden': 16} 3\n")
    assert (app / "out" / "run" / ".hydra" / "config.yaml").is_file()


def test_sweep_runs_every_job(run: Any) -> None:
    done = run("-m", "model=vae,autoencoder", "seed=range(1,3)")
    assert done.returncode == 0
    ran = [line for line in done.stdout.splitlines() if line.startswith("ran")]
    assert [line[-1] for line in ran] == ["1", "2", "1", "2"]


def test_config_can_ask_for_a_sweep(run: Any, app: Path) -> None:
    with (app / "conf" / "train.yaml").open("a") as file:
        file.write("  mode: MULTIRUN\n  sweeper: {params: {seed: '1,2'}}\n")
    done = run()
    assert (done.returncode, done.stdout.count("ran ")) == (0, 2)


def test_further_folder_of_configs(run: Any, app: Path) -> None:
    folder = app / "my 'own' conf"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "mine.yaml").write_text("hidden: 99\n")
    done = run("--config-dir", folder.name, "model=mine")
    assert (done.returncode, done.stdout) == (0, "ran {'hidden': 99} 1\n")


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--help"], "model: autoencoder, vae"),
        (["--cfg", "job"], "hidden: 8"),
        (["--cfg", "job", "--package", "model"], "hidden: 8"),
        (["--cfg", "hydra"], "job_logging"),
        (["--hydra-help"], "--multirun"),
        (["--info", "searchpath"], "conf"),
        (["--version"], "Hydra 1."),
        (["-sc", "install=bash"], "complete"),
    ],
)
def test_hydras_own_options_work(run: Any, arguments: list[str], shown: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert shown in done.stdout
    assert "ran" not in done.stdout.split()


def test_completion(run: Any) -> None:
    line = "python train.py model=v"
    done = run("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)), COMP_CWORD="2")
    assert (done.returncode, done.stdout.strip()) == (0, "model=vae")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=vea"], "model: there is no 'vea'; did you mean 'vae'? Valid: autoencoder, vae"),
        (["-m", "model=vae,vea"], "model: there is no 'vea'; did you mean 'vae'?"),
        (["modle=vae"], "modle: there is no such setting; did you mean 'model'?"),
        (["model.hiden=3"], "model.hiden: there is no such setting; did you mean 'model.hidden'?"),
        (
            ["model=autoencoder", "model.latent=3"],
            "model.latent: model=autoencoder has no such setting; give it with model=vae",
        ),
        (
            ["experiment.sed=1"],
            "experiment.sed: experiment=null has no settings; choose experiment=",
        ),
        (["modl.hidden=3"], "modl.hidden: there is no such setting; did you mean 'model'?"),
        (["modle=vae", "sed=1"], "Could not override 'modle'"),
        (["experimnt=long"], "experimnt: there is no such setting; did you mean 'experiment'?"),
        (["model=vae,autoencoder"], "To sweep over it, add --multirun"),
        (["seed", "=", "1"], "seed: no setting; write name=value, without blanks"),
        (["seed==1"], """seed==1: such a value must stand in quotes, write "seed='=1'\""""),
        (["seed=a;b"], """seed=a;b: such a value must stand in quotes, write "seed='a;b'\""""),
        (["seed=a/ö, it's"], "such a value must stand in quotes, write \"seed='a/ö, it\\'s'\""),
        (["seed=[1"], "Error parsing override 'seed=[1'"),
        (["--config-name", "trian"], "--config-name: no 'trian' in"),
        (["--config-dir", "nowhere"], "--config-dir: 'nowhere' is not a folder"),
        (["-m", "model=vae,autoencoder", "model.deep=2"], "write ++model.deep=..."),
        (["-m", "seed=interval(0,1)"], "seed: an interval cannot be swept over"),
        (["do=fail"], "log.csv: column 'user' is missing; name it with columns.user_id=..."),
        (["do=missing"], "data.path: must be given, e.g. data.path=..."),
    ],
)
def test_mistake_is_one_line_with_the_remedy(run: Any, arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: {message}") or message in done.stderr
    assert "Traceback" not in done.stdout


def test_a_setting_of_what_is_null_names_the_choice_that_has_it(run: Any, app: Path) -> None:
    main = app / "conf" / "train.yaml"
    main.write_text(main.read_text().replace("data: none", "data: null"))
    done = run("data.path=log.csv")
    assert done.stderr == (
        "error: data.path: data=null has no such setting; give it with data=none\n"
    )


@pytest.mark.parametrize("arguments", [["do=fail"], ["model=vea"], ["+model._target_=os.mkdir"]])
def test_full_errors_on_demand(run: Any, arguments: list[str]) -> None:
    done = run(*arguments, HYDRA_FULL_ERROR="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_a_bug_keeps_its_traceback(run: Any) -> None:
    done = run("do=bug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError: a bug" in done.stderr


def test_interruption(run: Any) -> None:
    done = run("do=interrupt")
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_broken_yaml(run: Any, app: Path) -> None:
    for name in ("train.yaml", "model/vae.yaml"):
        file = app / "conf" / name
        before = file.read_text()
        file.write_text("a: [1\n")
        done = run()
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        file.write_text(before)


def test_environment_of_the_job(run: Any, app: Path) -> None:
    assert f"root {app} full None" in run("do=env").stdout
    assert "root elsewhere full None" in run("do=env", RISKML_ROOT="elsewhere").stdout


def test_clock_stands_still(run: Any, app: Path) -> None:
    """A default chosen by the time is the one that was checked."""
    (app / "conf" / "train.yaml").write_text(
        "defaults: [{model: vae}, _self_]\nseed: '${now:%f}'\ndo: x\n"
        "hydra: {run: {dir: 'out/${now:%f}'}}\n"
    )
    (microseconds,) = run().stdout.split()[-1:]
    assert [folder.name for folder in (app / "out").iterdir()] == [microseconds]


class TestInProcess:
    """The same in this process, where errors and coverage can be seen."""

    @pytest.fixture
    def main(self, app: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Call with arguments; gives what the job saw."""
        monkeypatch.setattr(entry.inspect, "getfile", lambda task: str(app / "train.py"))
        monkeypatch.setenv("RISKML_ROOT", str(app))
        monkeypatch.chdir(app)
        seen: list[dict[str, Any]] = []

        @hydra_entry(config_name="train")
        def main(cfg: Any) -> None:
            seen.append(OmegaConf.to_container(cfg.model))
            if cfg.do == "interrupt":
                raise KeyboardInterrupt

        def call(*arguments: str) -> list[dict[str, Any]]:
            quiet = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
            monkeypatch.setattr(sys, "argv", ["train.py", *arguments, *quiet])
            main()
            return seen

        return call

    def test_runs_and_sweeps(self, main: Any) -> None:
        assert main() == [{"hidden": 8, "latent": 2}]
        assert main("-m", "model=autoencoder,vae")[1] == {"hidden": 16}

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (["model=vea"], 2),
            (["modle=vea"], 2),
            (["model.hiden=1"], 2),
            (["mdl.hidden=1"], 2),
            (["a=1", "b=2"], 2),
            (["a=="], 2),
            (["hydra.job_logging={x:'ext://a.b'}"], 2),
            (["+hydra.callbacks.x._target_=os.mkdir"], 2),
            (["+hydra.callbacks.x=${seed}"], 2),
            (["++hydra.job_logging.root.handlers=['${seed}']"], 2),
            (["++hydra.job_logging.formatters.x.class=evil.X"], 2),
            (["++hydra.job_logging.formatters.x.'()'=evil.X"], 2),
            (["+hydra.job.env_set.A=b"], 2),
            (["hydra.searchpath=[a]"], 2),
            (["--experimental-rerun", "x"], 2),
            (["--config-path", "pkg://x"], 2),
            (["--config-name", "x"], 2),
            (["-m", "seed=interval(0,1)"], 2),
            (["do=interrupt"], 130),
        ],
    )
    def test_exit_codes(self, main: Any, arguments: list[str], code: int) -> None:
        with pytest.raises(SystemExit) as caught:
            main(*arguments)
        assert caught.value.code == code

    def test_full_errors(self, main: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
        with pytest.raises(ConfigError, match="did you mean 'vae'"):
            main("model=vea")

    def test_broken_yaml(self, main: Any, app: Path) -> None:
        (app / "conf" / "train.yaml").write_text("a: [1\n")
        with pytest.raises(SystemExit):
            main()

    def test_given_a_config(self) -> None:
        task = hydra_entry("train")(lambda cfg: cfg.seed + 1)
        assert task(OmegaConf.create({"seed": 1})) == 2
        with pytest.raises(ConfigError):
            task(OmegaConf.create({"seed": {"_target_": "os.mkdir"}}))
