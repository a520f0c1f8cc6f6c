"""Runs scripts as processes of their own that begin with Hydra imported, which costs most of each.

Reads a request a line, `{"script", "args", "folder", "env", "out", "err"}`; answers with the exit
code. The child is forked before anything is configured, so nothing passes from one to the next.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from typing import Any

import hydra.core.hydra_config
import hydra.main  # noqa: F401

import riskml.core.entry
import riskml.core.hydra_node
import riskml.core.preflight  # noqa: F401


def become(asked: dict[str, Any]) -> None:
    """Take on what the script would have found."""
    for stream, name in ((1, "out"), (2, "err")):
        file = os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv = [asked["script"], *asked["args"]]
    sys.path[0] = asked["folder"]


def serve() -> dict[str, Any]:
    """Fork a child for each request; only children return."""
    while line := sys.stdin.readline():
        child = os.fork()
        if child == 0:
            return dict(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    sys.exit()


if __name__ == "__main__":
    request = serve()
    become(request)
    runpy.run_path(request["script"], run_name="__main__")
