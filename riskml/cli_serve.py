"""`riskml serve`: risk over HTTP."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from riskml.cli_types import needing
from riskml.core import logs
from riskml.core.errors import ConfigError

_path = click.Path(path_type=Path)


@click.command(
    epilog="""\b
    Examples:
      export RISKML_SERVE_TOKEN=$(python -c "import secrets; print(secrets.token_urlsafe(32))")
      riskml serve --bundle outputs/train/<date>/bundle
      riskml serve --bundle current --host 0.0.0.0 --token-file /run/secrets/token
      riskml serve --bundle bundle --insecure-local     # then look at http://127.0.0.1:8080/docs

    \b
    Signals: TERM and INT end it once everything accepted is answered (exit code 0), HUP reads
    bundle and token file again. Exit code 2: a setting or the bundle is wrong. See docs/serving.md.
    """
)
@click.option(
    "--bundle", required=True, type=_path, help="Folder, or a link to one that is exchanged."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", default=8080, show_default=True, help="0 takes any that is free.")
@click.option(
    "--token-file",
    type=_path,
    help="Tokens, one a line; else the variable RISKML_SERVE_TOKEN, comma separated.",
)
@click.option(
    "--insecure-local", is_flag=True, help="Ask for no token; for a loopback address alone."
)
@click.option("--certfile", type=_path, help="TLS certificate chain, PEM.")
@click.option("--keyfile", type=_path, help="Its private key, PEM.")
@click.option("--runtime", help="Of the bundle's graph; the first that it names unless given.")
@click.option("--threads", default=1, show_default=True, help="Of torch, for a batch.")
@click.option("--batch-windows", default=2048, show_default=True, help="Windows scored together.")
@click.option(
    "--batch-wait-ms",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 2),
    help="How long a batch waits for more under load; an idle service never waits.",
)
@click.option("--max-windows", default=5_000, show_default=True, help="Of a request.")
@click.option("--max-events", default=10_000, show_default=True, help="Of a request.")
@click.option("--max-body-mib", default=8, show_default=True, help="Of a request.")
@click.option("--queue", default=512, show_default=True, help="Requests that may wait; then 503.")
@click.option("--timeout", default=30.0, show_default=True, help="Seconds for body and answer.")
@click.option("--grace", default=20.0, show_default=True, help="Seconds to end in after SIGTERM.")
@click.option(
    "--watch", default=1.0, show_default=True, help="Seconds between looks at the bundle; 0: none."
)
@click.option("--docs/--no-docs", default=True, help="Serve /docs and /openapi.json to everybody.")
@click.option("--open-metrics", is_flag=True, help="Serve /metrics without a token.")
def serve(
    bundle: Path,
    host: str,
    port: int,
    token_file: Path | None,
    insecure_local: bool,
    certfile: Path | None,
    keyfile: Path | None,
    runtime: str | None,
    threads: int,
    batch_windows: int,
    batch_wait_ms: float,
    max_windows: int,
    max_events: int,
    max_body_mib: int,
    queue: int,
    timeout: float,
    grace: float,
    watch: float,
    docs: bool,
    open_metrics: bool,
) -> None:
    """Serve a bundle over HTTP: post events or windows, get risk, alert and reasons.

    Stateless: what is known of users is what the bundle knew when it was exported. Refuses to start
    without a token of at least 32 characters. A new bundle is taken up without a pause.
    """
    from riskml.core.listening import Address

    with needing("serve"):
        from riskml.serving.http.access import Tokens
        from riskml.serving.http.app import Settings
        from riskml.serving.http.batching import Limits
        from riskml.serving.http.server import serve

    logging.getLogger("riskml.features").setLevel(logging.ERROR)  # late events are in the answer
    address = Address(host, port, certfile, keyfile)
    if insecure_local and not address.is_local:
        raise ConfigError(f"--insecure-local is for this machine alone, not for --host {host}")
    limits = Limits(
        max_windows,
        max_events,
        max_body_mib << 20,
        queue,
        max(128, 2 * max_body_mib) << 20,
        batch_windows,
        batch_wait_ms / 1000,
        timeout,
    )
    tokens = Tokens.nobody() if insecure_local else Tokens.of(token_file)
    settings = Settings(bundle, tokens, runtime, limits, watch, docs, open_metrics)
    serve(
        settings,
        address,
        grace,
        threads,
        lambda url: logs.tell(f"riskml serves {bundle} at {url}"),
    )
