"""What the URLs of `riskml stream` name: sources, sinks, dead letters, places of state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from riskml.core.errors import ConfigError

if TYPE_CHECKING:
    from riskml.streaming.ends import DeadLetters, Sink
    from riskml.streaming.job import StreamSource
    from riskml.streaming.partition_state import StateHome

KAFKA, REDIS, FILE, STANDARD = "kafka://", ("redis://", "rediss://"), "file://", "-"


def source_of(
    url: str, group: str, instance: str | None, earliest: bool, follow: bool
) -> StreamSource:
    """A source.

    Args:
        url: of --source.
        group: of Kafka's consumers.
        instance: a name that this member of the group keeps.
        earliest: a partition without state begins with its oldest message.
        follow: wait for more at the end of a file.

    Raises:
        ConfigError: the URL names no source.
    """
    from riskml.streaming.kafka import KafkaTopic
    from riskml.streaming.kafka_source import KafkaSource
    from riskml.streaming.lines import LineSource

    if url.startswith(KAFKA):
        return KafkaSource(KafkaTopic.parse(url, "--source"), group, instance, earliest)
    if url == STANDARD:
        return LineSource(None)
    if "://" not in url or url.startswith(FILE):
        return LineSource(file_of(url), follow)
    raise ConfigError(f"--source {url}: give kafka://HOST:PORT/TOPIC, file://PATH or -")


def sink_of(url: str) -> Sink:
    """A sink; an empty URL is people."""
    from riskml.streaming.database_sink import DatabaseSink
    from riskml.streaming.json_lines import LineSink
    from riskml.streaming.kafka import KafkaTopic
    from riskml.streaming.kafka_sinks import KafkaSink
    from riskml.streaming.people import PeopleSink

    if not url:
        return PeopleSink()
    if url.startswith(KAFKA):
        return KafkaSink(KafkaTopic.parse(url, "--sink"))
    if url == STANDARD:
        return LineSink(None)
    if "://" not in url or url.startswith(FILE):
        return LineSink(file_of(url))
    return DatabaseSink(url)


def letters_of(url: str) -> DeadLetters:
    """Where dead letters go."""
    from riskml.streaming.json_lines import LineLetters
    from riskml.streaming.kafka import KafkaTopic
    from riskml.streaming.kafka_sinks import KafkaLetters

    if url.startswith(KAFKA):
        return KafkaLetters(KafkaTopic.parse(url, "--dead-letters"))
    return LineLetters(file_of(url))


def check_files(source: str, *others: str) -> None:
    """Refuse to write to the file that is read, or twice to one.

    Raises:
        ConfigError: names it.
    """
    seen: set[Path] = set()
    for url in (source, *others):
        if url == STANDARD or ("://" in url and not url.startswith(FILE)):
            continue
        path = file_of(url).resolve()
        if path in seen:
            raise ConfigError(
                f"{path} is given twice: --source, each --sink and --dead-letters need files of "
                "their own"
            )
        seen.add(path)


def homes_of(state: str, stream: str, version: str) -> Callable[[str], StateHome]:
    """The place of each partition's state."""
    from riskml.streaming.partition_state import FolderHome
    from riskml.streaming.redis_home import RedisHome

    if state.startswith(REDIS):
        return lambda name: RedisHome(state, f"{stream}:{version}:{name}")
    if "://" in state:
        raise ConfigError("--state: give a folder, or redis://HOST:PORT/NUMBER")
    return lambda name: FolderHome(Path(state) / stream / version / f"partition={name}")


def file_of(url: str) -> Path:
    """`file://PATH`, or just a path."""
    return Path(url.removeprefix(FILE)).expanduser()
