"""Whatever runs the buckets gives all results, and says in one line what went wrong."""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from riskml.core.environment import environment
from riskml.core.errors import ConfigError, DataError
from riskml.features.engines import Processes, RayTasks


def threads(bucket: int) -> tuple[int, str | None]:
    return bucket, os.environ.get("POLARS_MAX_THREADS")


def failing(folder: Path, bucket: int) -> int:
    if bucket == 1:
        raise DataError("bucket 1 is damaged")
    time.sleep(0.01)
    (folder / str(bucket)).touch()
    return bucket


def dying(bucket: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return bucket


def test_one_process_is_this_one() -> None:
    assert list(Processes(1).map(lambda bucket: (bucket, os.getpid()), [3, 5])) == [
        (3, os.getpid()),
        (5, os.getpid()),
    ]


def test_no_process_is_refused() -> None:
    with pytest.raises(ConfigError, match="workers=0 must be at least 1"):
        Processes(0)


@pytest.mark.parametrize("weak", [False, True])
def test_variables_are_put_back(monkeypatch: pytest.MonkeyPatch, weak: bool) -> None:
    monkeypatch.setenv("RISKML_SET", "old")
    monkeypatch.delenv("RISKML_UNSET", raising=False)
    with environment({"RISKML_SET": "new", "RISKML_UNSET": "new"}, weak=weak):
        assert os.environ["RISKML_SET"] == ("old" if weak else "new")
        assert os.environ["RISKML_UNSET"] == "new"
    assert os.environ["RISKML_SET"] == "old" and "RISKML_UNSET" not in os.environ


def test_without_ray_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'riskml\[ray\]'"):
        RayTasks()
    assert "RAY_AUTH_MODE" not in os.environ


@pytest.mark.slow
def test_several_processes(tmp_path: Path) -> None:
    before = os.environ.get("POLARS_MAX_THREADS")
    with Processes(2) as engine:
        assert sorted(engine.map(threads, range(5))) == [(i, "1") for i in range(5)]
        assert list(engine.map(threads, [])) == []
        with pytest.raises(DataError, match="bucket 1 is damaged"):
            list(engine.map(partial(failing, tmp_path), range(500)))
        # the others were called off
        assert len(list(tmp_path.iterdir())) < 250
        with pytest.raises(DataError, match="a worker was killed before its bucket was done"):
            list(engine.map(dying, range(3)))
        # the next ones are other processes
        assert sorted(engine.map(threads, range(2))) == [(0, "1"), (1, "1")]
    assert os.environ.get("POLARS_MAX_THREADS") == before
