"""``theke events replay``: what was published, once more, for a system that begins anew or needs more than the 30 days that streams keep.

The events come from the log, as the same bytes and in the same order as they were published, to the terminal or into a stream of JetStream.
Into a stream they go in windows: the next one is sent when all of the one before stand there. Each has its id as ``Nats-Msg-Id``, so a
stream that was sent a window twice keeps it once, for as long as it remembers ids.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

import msgspec
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from libs.bus.jetstream import decode_ack
from libs.cli.places import Unknown
from libs.runtime.publishing import CloudEvent, subject_of

WINDOW_EVENTS: Final = 256
ACK_WITHIN_S: Final = 5.0
CONNECT_WITHIN_S: Final = 5
NAME: Final = "theke events replay"
MESSAGE_ID: Final = "Nats-Msg-Id"
PREFIX: Final = "replay"
RESERVED: Final = ("evt", "int", "cmd", "qry", "live", "ctl", "_INBOX")  # Theke's own
_PREFIX: Final = re.compile(r"[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64}){0,7}")
_encoder: Final = msgspec.json.Encoder()


class NotTaken(Exception):
    """The stream did not take an event; the message says why."""


class Taker(Protocol):
    """Whoever gets the events, at most WINDOW_EVENTS at a time."""

    async def take(self, window: Sequence[CloudEvent]) -> None:
        """Returns when it has them. Raises NotTaken; it may have some of them then."""
        ...


class Lines:
    """A line each, for a file or another program."""

    async def take(self, window: Sequence[CloudEvent]) -> None:
        sys.stdout.write("".join(f"{_encoder.encode(event).decode()}\n" for event in window))
        sys.stdout.flush()


class Stream:
    """A stream of JetStream that listens to ``<prefix>.>``."""

    def __init__(self, client: Client, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    async def take(self, window: Sequence[CloudEvent]) -> None:
        inbox, missing = self._client.new_inbox(), set(range(len(window)))
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def acknowledge(message: Msg) -> None:
            if why := refusal(message):
                if not answered.done():
                    answered.set_exception(NotTaken(why))
                return
            missing.discard(int(message.subject.rpartition(".")[2]))
            if not missing and not answered.done():
                answered.set_result(None)

        listening = await self._client.subscribe(f"{inbox}.*", cb=acknowledge)
        try:
            for number, event in enumerate(window):
                service, instance = event.source.split("/")[1], int(event.instance.removeprefix("i"))
                subject = f"{self._prefix}.{subject_of(service, instance, event.type)}"
                await self._client.publish(subject, _encoder.encode(event), f"{inbox}.{number}", {MESSAGE_ID: str(event.id)})
            async with asyncio.timeout(ACK_WITHIN_S):
                await answered
        except TimeoutError:
            raise NotTaken(f"no acknowledgement within {ACK_WITHIN_S:g} s") from None
        finally:
            await listening.unsubscribe()


def windows(events: Sequence[CloudEvent]) -> Iterator[Sequence[CloudEvent]]:
    """The events in pieces that are sent at once."""
    for first in range(0, len(events), WINDOW_EVENTS):
        yield events[first : first + WINDOW_EVENTS]


def refusal(acknowledgement: Msg) -> str:
    """Why a message was not taken; empty if it was."""
    if not acknowledgement.data:  # nobody listens
        return "there is no stream with these subjects"
    ack = decode_ack(acknowledgement.data)
    return ack.error.description if ack.error is not None else ""


@asynccontextmanager
async def taker(url: str, prefix: str) -> AsyncIterator[Taker]:
    """Lines if there is no ``url``. Raises Unknown for a prefix that cannot be one, NotTaken if the server cannot be reached."""
    if not url:
        yield Lines()
        return
    if not _PREFIX.fullmatch(prefix) or prefix.partition(".")[0] in RESERVED:
        raise Unknown(
            f"subjects cannot begin with {prefix[:50]!r}: words of letters, digits, - and _ with dots between, not {', '.join(RESERVED)}"
        )
    try:
        client = await nats.connect(
            url, name=NAME, error_cb=_silent, connect_timeout=CONNECT_WITHIN_S, allow_reconnect=False, max_reconnect_attempts=1
        )
    except Exception as error:
        raise NotTaken(f"the server cannot be reached: {str(error) or type(error).__name__}") from None
    try:
        yield Stream(client, prefix)
    finally:
        await client.close()


async def _silent(_: Exception) -> None:
    """What goes wrong shows in what is not acknowledged."""
