"""`riskml stream replay-dlq`: what was set apart, again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from riskml.cli_stream_ends import FILE, STANDARD, file_of
from riskml.core import logs

if TYPE_CHECKING:
    from riskml.streaming.ends import DeadLetter


@click.command(
    name="replay-dlq",
    epilog="""\b
    Examples:
      riskml stream replay-dlq --dead-letters kafka://broker/logins.dlq --to kafka://broker/logins
      riskml stream replay-dlq --dead-letters file://dead.jsonl --rule late_event --to -
    """,
)
@click.option(
    "--dead-letters", required=True, metavar="URL", help="kafka://HOST:PORT/TOPIC or file://PATH."
)
@click.option(
    "--to",
    required=True,
    metavar="URL",
    help="kafka://HOST:PORT/TOPIC, or - for lines on standard output.",
)
@click.option(
    "--rule", "rules", multiple=True, help="Only what was set apart by this rule; several times."
)
@click.option(
    "--group",
    default="riskml-replay",
    show_default=True,
    help="Remembers which letters of a topic were sent.",
)
def replay_dlq(dead_letters: str, to: str, rules: tuple[str, ...], group: str) -> None:
    """Send what was set apart once more, byte for byte, after the cause was put right.

    Letters of a topic are sent once a group, and those that --rule leaves out count as sent; those
    of a file each time.
    """
    from riskml.streaming.json_lines import read_letters
    from riskml.streaming.kafka import KafkaTopic
    from riskml.streaming.kafka_sinks import KafkaWriter
    from riskml.streaming.replay import KafkaReplay, replay

    send: Callable[[DeadLetter], None]
    writer = None
    if to == STANDARD:

        def send(letter: DeadLetter) -> None:
            sys.stdout.buffer.write(letter.value + b"\n")

    else:
        writer = KafkaWriter(KafkaTopic.parse(to, "--to"), "--to")

        def send(letter: DeadLetter) -> None:
            writer.send(letter.key, letter.value)

    if dead_letters.startswith(FILE):
        sent, left = replay(read_letters(file_of(dead_letters)), send, rules)
        if writer is not None:
            writer.settle()
    else:
        letters = KafkaReplay(KafkaTopic.parse(dead_letters, "--dead-letters"), group)
        try:
            sent, left = replay(letters, send, rules)
            if writer is not None:
                writer.settle()
            sys.stdout.flush()
            if sent + left:
                letters.done()
        finally:
            letters.close()
    logs.tell(f"{sent:,} sent again, {left:,} left out")
