"""`riskml stream`: scores event by event."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from riskml.cli_stream_ends import STANDARD, check_files, homes_of, letters_of, sink_of, source_of
from riskml.cli_stream_replay import replay_dlq
from riskml.cli_types import DURATION, PAIR, needing
from riskml.core import logs
from riskml.core.errors import ConfigError
from riskml.core.interrupts import ending

if TYPE_CHECKING:
    from riskml.streaming.counts import Counts
    from riskml.streaming.job import StreamJob, Watcher

_path = click.Path(path_type=Path)


@click.group(
    invoke_without_command=True,
    epilog="""\b
    Examples:
      riskml simulate --users 100 --test-period --speed 1000x | \\
          riskml stream --bundle bundle --state state
      riskml stream --bundle bundle --state state --source kafka://broker/logins \\
          --sink kafka://broker/risk --sink postgresql+psycopg://host/risk \\
          --dead-letters kafka://broker/logins.dlq

    \b
    Exit codes: 0 stopped or at the end, 2 wrong input or setting, 1 unexpected, 130 interrupted.
    """,
)
@click.option("--bundle", "folder", type=_path, help="Exported by train.py.")
@click.option(
    "--source",
    default=STANDARD,
    show_default=True,
    metavar="URL",
    help="kafka://HOST:PORT/TOPIC, a file of JSON lines (file://PATH), or - for standard input.",
)
@click.option(
    "--sink",
    "sinks",
    multiple=True,
    metavar="URL",
    envvar="RISKML_STREAM_SINK",
    show_envvar=True,
    help="kafka://HOST:PORT/TOPIC (alerts also to TOPIC.alerts), a database URL, a file of JSON "
    "lines (file://PATH), or - for JSON lines on standard output; several times. Without one "
    "alerts are told on standard output.",
)
@click.option(
    "--state",
    metavar="FOLDER|redis://",
    envvar="RISKML_STREAM_STATE",
    show_envvar=True,
    help="Where profiles and positions are kept; the same for all processes of a group.",
)
@click.option(
    "--dead-letters",
    metavar="URL",
    help="kafka://HOST:PORT/TOPIC or file://PATH for what cannot be scored, with the reason.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "avro", "protobuf"]),
    default="json",
    show_default=True,
    help="Of Kafka's messages.",
)
@click.option("--schema", type=_path, help="Avro: .avsc. Protobuf: a descriptor set.")
@click.option("--message", help="Protobuf: full name of the message.")
@click.option(
    "--column",
    "columns",
    type=PAIR,
    multiple=True,
    help="Event column and the message's field, dots for fields inside others, such as "
    "user_id=actor.id.",
)
@click.option("--time-zone", help="IANA name, for times without a zone.")
@click.option("--default-action", help="Action of messages that name none.")
@click.option("--group", default="riskml", show_default=True, help="Kafka consumer group.")
@click.option(
    "--instance",
    envvar="RISKML_STREAM_INSTANCE",
    show_envvar=True,
    help="A name that this process keeps over restarts, so that its partitions wait for it.",
)
@click.option(
    "--from",
    "begin",
    type=click.Choice(["earliest", "latest"]),
    default="earliest",
    show_default=True,
    help="Where a partition without state begins.",
)
@click.option("--follow", is_flag=True, help="Of a file: wait for more at its end.")
@click.option(
    "--lateness",
    type=DURATION,
    help="How long windows stay open for events that come late; as the model was trained with "
    "unless given.",
)
@click.option(
    "--early-alerts/--final-alerts",
    default=True,
    show_default=True,
    help="Raise an alert as soon as a window that still grows reaches the threshold.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 10_000_000),
    default=10_000,
    show_default=True,
    help="Messages in a step at most.",
)
@click.option(
    "--checkpoint",
    type=DURATION,
    default="2s",
    show_default=True,
    help="How often state and position are kept; what came since is done again after a kill.",
)
@click.option("--stop-when-idle", type=DURATION, help="End when nothing has come for so long.")
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=20.0,
    show_default=True,
    help="Seconds to end in after SIGTERM or Ctrl-C; what is not kept by then is done again.",
)
@click.option("--runtime", help="Of the graph: torchscript, onnx or native.")
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    help="Serve /metrics to Prometheus at this port (docs/monitoring.md); 0 takes any that is "
    "free.",
)
@click.option(
    "--metrics-host", default="127.0.0.1", show_default=True, help="Address of --metrics-port."
)
@click.option("--json", "as_json", is_flag=True, help="Summary as one JSON object on stderr.")
@click.pass_context
def stream(
    ctx: click.Context,
    folder: Path | None,
    source: str,
    sinks: tuple[str, ...],
    state: str | None,
    dead_letters: str | None,
    form: str,
    schema: Path | None,
    message: str | None,
    columns: tuple[tuple[str, str], ...],
    time_zone: str | None,
    default_action: str | None,
    group: str,
    instance: str | None,
    begin: str,
    follow: bool,
    lateness: timedelta | None,
    early_alerts: bool,
    batch: int,
    checkpoint: timedelta,
    stop_when_idle: timedelta | None,
    grace: float,
    runtime: str | None,
    metrics_port: int | None,
    metrics_host: str,
    as_json: bool,
) -> None:
    """Score events as they come, with an exported bundle (docs/streaming.md).

    Each window is told as it grows and once it is closed. Kill it at any moment and start it
    again: nothing is lost, and each window and alert has one effect.
    """
    if ctx.invoked_subcommand is not None:
        return
    for option, value in (("--bundle", folder), ("--state", state)):
        if value is None:
            raise ConfigError(f"give {option} (riskml stream --help)")
    assert folder is not None and state is not None
    asked = ctx.with_resource(ending(grace))
    from riskml.data.event_mapping import EventMapping
    from riskml.export.bundle import load_bundle
    from riskml.serving.standing import known_until, version_of
    from riskml.streaming.job import Pace, StreamJob
    from riskml.streaming.messages import EventReader, decoder
    from riskml.streaming.scorer import StreamSettings

    mapping = EventMapping(
        dict(columns), time_zone, default_action=default_action, max_rejected_share=1.0
    )
    decode = decoder(form, schema, message)
    loaded = load_bundle(folder, runtime)
    if lateness is not None:
        loaded.extractor.lateness = lateness
    check_files(source, *sinks, *filter(None, [dead_letters]))
    with ExitStack() as opened:
        reading = source_of(source, group, instance, begin == "earliest", follow)
        opened.callback(reading.close)
        job = StreamJob(
            loaded,
            reading,
            EventReader(mapping, loaded.extractor.reads(), decode),
            homes_of(state, reading.name, version_of(loaded.manifest)),
            [sink_of(url) for url in sinks or [""]],
            None if dead_letters is None else letters_of(dead_letters),
            StreamSettings(early_alerts=early_alerts),
            Pace(most=batch, checkpoint=checkpoint, idle=stop_when_idle),
        )
        watch = _progress()
        if metrics_port is not None:
            watch = _metered(job, metrics_host, metrics_port, watch)
        opened.pop_all()  # the job closes what it has

    asked.ask = job.stop
    done = job.run(watch)
    if sys.stderr.isatty():
        click.echo(err=True)  # below the progress
    if as_json:
        click.echo(json.dumps({"model_version": job.version, **asdict(done)}), err=True)
    else:
        logs.tell(done.line())
    known = known_until(loaded)
    if done.late and not done.events and known is not None:
        logs.tell(
            f"all events came too late: the bundle knows the log up to {known:%Y-%m-%d %H:%M} UTC; "
            "to replay the test period, train with bundle_knows=before_test"
        )
    if dead_letters is None and done.late + done.ahead + done.poison:
        logs.tell("what was set apart is kept, with the reason, by --dead-letters")


stream.add_command(replay_dlq)


def _metered(job: StreamJob, host: str, port: int, then: Watcher | None) -> Watcher:
    """Serve the job's metrics from now on; gives its watcher."""
    with needing("monitoring"):
        from riskml.monitoring.metrics_ends import serve_metrics
        from riskml.streaming.metering import Metering
    metering = Metering()
    url = serve_metrics(metering.metrics, host, port)
    logs.tell(f"riskml shows its metrics at {url}")
    metering.begin(job)
    job.sinks = [*job.sinks, metering]

    def watch(done: Counts) -> None:
        metering.kept(job)
        if then is not None:
            then(done)

    return watch


def _progress() -> Watcher | None:
    """One line on standard error that is written over and over, for people only."""
    if not sys.stderr.isatty():
        return None

    def show(done: Counts) -> None:
        click.echo(f"\r{done.line()} ", err=True, nl=False)

    return show
