"""A command of riskml as a task, in an environment of its own: never that of Airflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from airflow.sdk import Asset, BaseHook, task
from airflow.sdk.log import mask_secret

from riskml_airflow.settings import KUBERNETES, Settings

SCORE, TRAIN = "score", "train"
"""Images of the Dockerfile: all that works day by day, and what needs training's packages."""


def run(
    words: Sequence[str],
    options: str = "",
    accept: Sequence[int] = (0,),
    root: str = "",
    once: str = "",
    resume: str = "",
    limit_s: float | str = "inf",
) -> Any:
    """Run a command; this is sent into the other environment, so it stands alone.

    Args:
        words: `riskml …`, or `train.py …` and `evaluate.py …` of `root`. No secrets.
        options: further words, as for a shell.
        accept: exit codes that are no failure.
        root: folder with train.py.
        once: file that keeps what was told: where it is there, nothing is run.
        resume: folder of an evaluation that is gone on with if it was begun.
        limit_s: seconds that it may take. Airflow's own limit would wait for its end.

    Returns:
        What it told as JSON; None where it told none.
    """
    import json
    import os
    import shlex
    import subprocess
    import sys
    import time
    from pathlib import Path

    kept = Path(once) if once else None
    if kept is not None and kept.is_file():
        print(f"done before, as {kept} says")
        return json.loads(kept.read_text())
    program, *rest = [*words, *shlex.split(options)]
    if resume and (Path(resume) / "parts" / "plan.json").is_file():
        rest = [f"resume={resume}"]
    print(shlex.join([program, *rest]), flush=True)
    begin = ["-m", "riskml.cli"] if program == "riskml" else [str(Path(root) / program)]
    told, ends = " ".join([program, *rest[:1]]), time.monotonic() + float(limit_s)
    parent = os.getppid()
    process = subprocess.Popen([sys.executable, *begin, *rest], stdout=subprocess.PIPE, text=True)
    while True:
        try:
            said, _ = process.communicate(timeout=1)
            break
        except subprocess.TimeoutExpired:
            gone = os.getppid() != parent
            if gone or time.monotonic() > ends:
                # any command may be killed and done again; the next try must not meet this one
                process.kill()
                process.wait()
                why = "its task in Airflow has ended" if gone else f"{limit_s} s were not enough"
                raise RuntimeError(f"{told} was stopped: {why}") from None
    print(said, flush=True)
    if process.returncode not in accept:
        raise RuntimeError(f"{told} ended with exit code {process.returncode}; its log says why")
    try:
        found = json.loads(said)
    except ValueError:
        found = None
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        draft = kept.with_name(f".{kept.name}")
        draft.write_text(json.dumps(found))
        draft.replace(kept)
    return found


def command(
    task_id: str,
    *words: str,
    options: str = "",
    accept: Sequence[int] = (0,),
    once: str = "",
    resume: str = "",
    image: str = SCORE,
    told: Asset | None = None,
    **more: Any,
) -> Any:
    """A task that runs a command.

    Args:
        task_id: its name.
        words: of the command, which may be templates.
        options: further ones, usually those of an Airflow Variable.
        accept: exit codes that are no failure.
        once: see `run`.
        resume: see `run`.
        image: that has what the command needs.
        told: the asset that it brings up to date; its event holds what the command told.
        more: arguments of the operator.

    Returns:
        What the command tells as JSON, for other tasks.
    """
    settings = Settings()
    if told is not None:
        more |= {"outlets": [told], "post_execute": _noting(told)}
    if settings.runtime == KUBERNETES:
        from riskml_airflow.pods import pod

        make = task.kubernetes(task_id=task_id, **pod(settings, image), **more)
    else:
        make = task.external_python(
            task_id=task_id,
            python=settings.python,
            expect_airflow=False,
            pre_execute=hand_over,
            **more,
        )
    return make(run)(
        list(words),
        options=options,
        accept=list(accept),
        root=settings.root,
        once=once,
        resume=resume,
        limit_s="{{ task.execution_timeout.total_seconds() }}",
    )


def hand_over(context: Any) -> None:
    """Give the command its databases, by its environment alone.

    What is an argument of a task stands in Airflow's database and in its pages.
    """
    settings = Settings()
    risk = database(settings.connection)
    context["task"].env_vars = {
        "RISKML_FROM_URL": database(settings.source) if settings.source else risk,
        "MLFLOW_TRACKING_URI": settings.tracking_uri,
        **dict.fromkeys(
            (
                "RISKML_TO_URL",
                "RISKML_SCORE_SOURCE",
                "RISKML_SCORE_OUT",
                "RISKML_ALERTS_FROM",
                "RISKML_ALERTS_URL",
                "RISKML_DATABASE_URL",
            ),
            risk,
        ),
    }


def database(connection: str) -> str:
    """URL of an Airflow Connection to PostgreSQL; its extras are parameters, such as sslmode."""
    found = BaseHook.get_connection(connection)
    password = quote(found.password or "", safe="")
    mask_secret(password)  # Airflow masks it as it is written in the Connection
    user = quote(found.login or "", safe="")
    who = f"{user}:{password}@" if password else f"{user}@" if user else ""
    port = f":{found.port}" if found.port else ""
    query = f"?{urlencode(found.extra_dejson)}" if found.extra_dejson else ""
    return f"postgresql+psycopg://{who}{found.host or ''}{port}/{found.schema or ''}{query}"


def _noting(asset: Asset) -> Any:
    def note(context: Any, result: Any = None) -> None:
        told = result if isinstance(result, dict) else {}
        context["outlet_events"][asset].extra = {"until": end_of(context["dag_run"]), **told}

    return note


def end_of(run: Any) -> str:
    """What `settings.END` is in a run."""
    return f"{run.data_interval_end or run.run_after:%Y-%m-%d}"
