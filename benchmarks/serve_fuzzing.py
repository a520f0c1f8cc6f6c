"""Odd and hostile requests for `riskml serve`, made by Schemathesis from its own OpenAPI document.

    python -m benchmarks.serve_fuzzing BUNDLE [--cases 10000]

Starts the service as a process, sends the cases, and fails where one was answered with a 5xx or
otherwise than the document says. Needs `riskml[serve]` and Schemathesis (`riskml[dev]`).
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.serve_speed import TOKEN, started

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "ignored_auth",
)
WITH_BODIES = "^/v1/(events|windows)$"


def fuzz(
    url: str, cases: int, token: str, phases: str = "examples,coverage,fuzzing", only: str = ""
) -> subprocess.CompletedProcess[str]:
    """Send about so many cases, nearly all to the two routes that take bodies.

    Args:
        url: of the service.
        cases: about how many.
        token: for those that are not about tokens.
        phases: of Schemathesis.
        only: a pattern of paths.
    """
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
        *("--header", f"Authorization: Bearer {token}", "--checks", ",".join(CHECKS)),
        *(("--include-path-regex", only) if only else ()),
        *("--phases", phases, "--max-examples", str(max(10, cases // 2))),
        *("--suppress-health-check", "all", "--seed", "1", "--no-shrink"),
        *("--continue-on-failure", "--generation-database", "none", "--no-color"),
    ]
    with tempfile.TemporaryDirectory() as scratch:  # it keeps notes where it runs
        return subprocess.run(command, capture_output=True, text=True, cwd=scratch)


def generated(output: str) -> int:
    """How many cases a run has sent."""
    found = re.search(r"([\d,]+) generated", output)
    return int(found[1].replace(",", "")) if found else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--cases", type=int, default=10_000)
    given = parser.parse_args()
    process, port, *_ = started(given.bundle)
    try:
        found = fuzz(f"http://127.0.0.1:{port}", given.cases, TOKEN)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    print(found.stdout[-3_000:])
    raise SystemExit(found.returncode)


if __name__ == "__main__":
    main()
