"""``theke events``: what is in the logs, read by people and programs."""

from __future__ import annotations

import argparse
import asyncio
import heapq
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import msgspec
from nats.errors import Error as NatsError

from libs.cli import exits
from libs.cli.places import Unknown, chosen_services, declared, instance_id, instances, places
from libs.cli.progress import Progress
from libs.cli.replay import PREFIX, NotTaken, taker, windows
from libs.contracts.auth.commands import NoBody
from libs.contracts.auth.events import INSTALLATION
from libs.domain.errors import DomainError
from libs.domain.ids import instance_token
from libs.domain.principal import system
from libs.eventstore.log import LOST, Log
from libs.runtime.asking import Services, connected
from libs.runtime.config import SERVICES, Settings
from libs.runtime.endpoints import NotRunning
from libs.runtime.log_reading import LogRequest, selected
from libs.runtime.proof import Places
from libs.runtime.publishing import CloudEvent, render

ANSWER_WITHIN_S: Final = 2.0
FOLLOW_EVERY_S: Final = 0.5
TAIL_EVENTS: Final = 20
FOUND_EVENTS: Final = 100
EVENTS_MAX: Final = 1_000_000
BACK_ROWS: Final = 5_000  # looked through at a time from the end of a log backwards
DATA_SHOWN_CHARS: Final = 160

DESCRIPTION: Final = """\
Read the logs. An event has a place (service, instance, position), a stream and its version there, a type, a time and its data. A service
that answers is asked; the log of one that is down is read straight from its database.
"""

EPILOG: Final = """\
examples:
  theke events tail --follow                               everything as it happens
  theke events tail -n 5 --service pos --type receipt.issued
  theke events show pos 17                                 one event, whole
  theke events show pos 17-40 --instance demo --json       a range, a line per event as it is published
  theke events search Schnitzel --since 2026-03-05         whose data say so
  theke events search --stream receipt-bon_0abc            all of a stream
  theke events replay pos --instance demo > pos.jsonl      all that was published, as it was published
  theke events replay pos --instance demo --from 1200 --into nats://me@nats.example:4222
                                                           … into a stream there that listens to replay.>

exit codes:
  0  done, also if nothing was found
  1  a log could not be read, or what is replayed was not taken; the reason is on stderr
  2  there is no such service, instance, position or time
  3  Theke is not running, and its servers are not one's own
"""


def add(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subcommands.add_parser(
        "events",
        help="read the logs: tail, show, search, replay",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = command.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    tail = actions.add_parser("tail", help="the newest events", description="The newest events of all logs, in order of time.")
    tail.add_argument("-n", type=_count, default=TAIL_EVENTS, metavar="COUNT", help=f"how many ({TAIL_EVENTS})")
    tail.add_argument("--follow", action="store_true", help="go on with what happens, until Ctrl-C")
    show = actions.add_parser("show", help="events by position, whole", description="Show events of one log whole, by position.")
    show.add_argument("service", metavar="SERVICE", help=", ".join(SERVICES))
    show.add_argument("range", metavar="POSITION[-POSITION]", type=_range)
    search = actions.add_parser("search", help="events by what they say", description="Find events, oldest first.")
    search.add_argument("text", metavar="TEXT", nargs="?", default="", help="somewhere in the data (JSON), as it is written there")
    search.add_argument("--from", dest="first", type=_count, default=1, metavar="POSITION", help="not before this position")
    search.add_argument("--to", dest="last", type=_count, default=0, metavar="POSITION", help="not behind this position")
    search.add_argument("--since", type=_moment, metavar="TIME", help="not before: 2026-03-05 or 2026-03-05T18:30, UTC")
    search.add_argument("--until", type=_moment, metavar="TIME", help="before")
    search.add_argument("--limit", type=_count, default=FOUND_EVENTS, metavar="COUNT", help=f"of each log, at most ({FOUND_EVENTS})")
    replay = actions.add_parser(
        "replay",
        help="what was published, once more, in order",
        description="Show or send what an instance published, from any position, as the same messages in the same order.",
    )
    replay.add_argument("service", metavar="SERVICE", help=", ".join(SERVICES))
    replay.add_argument("--from", dest="first", type=_count, default=1, metavar="POSITION", help="not before this position")
    replay.add_argument(
        "--to", dest="last", type=_count, default=0, metavar="POSITION", help="not behind this position; the head if absent"
    )
    replay.add_argument("--type", metavar="TYPE", action="append", default=[], help="may be repeated: receipt.issued")
    replay.add_argument("--instance", metavar="NAME", default="", help="by its name or its id (i17)")
    replay.add_argument(
        "--into", metavar="URL", default="", help="a NATS server with a stream for them; absent: a line per event on stdout"
    )
    replay.add_argument("--prefix", metavar="SUBJECT", default=PREFIX, help=f"what their subjects begin with there ({PREFIX})")
    for action in (tail, search):
        action.add_argument("--service", metavar="NAME", action="append", default=[], help="may be repeated; all if absent")
        action.add_argument("--type", metavar="TYPE", action="append", default=[], help="may be repeated: receipt.issued")
        action.add_argument("--stream", metavar="STREAM", default="", help="whole name: receipt-bon_0abc")
    for action in (tail, show, search):
        action.add_argument("--instance", metavar="NAME", default="", help="by its name or its id (i17)")
        action.add_argument("--json", action="store_true", help="for programs: a line per event, CloudEvents as they are published")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    try:
        return asyncio.run(_run(arguments, settings))
    except NotRunning as absence:
        return _refused(str(absence), exits.NOT_RUNNING)
    except Unknown as refusal:
        return _refused(str(refusal), exits.USAGE)
    except NotTaken as refusal:
        return _refused(str(refusal), exits.FAILED)
    except (*LOST, asyncpg.PostgresError, NatsError, DomainError) as error:
        return _refused(f"the log cannot be read: {str(error) or type(error).__name__}", exits.FAILED)
    except KeyboardInterrupt:
        return exits.DONE


def _refused(why: str, code: int) -> int:
    print(f"theke: {why}", file=sys.stderr)
    return code


async def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    known = places(settings)
    async with AsyncExitStack() as open_:
        logs = Logs(known, open_)
        work = {"tail": _tail, "show": _show, "search": _search, "replay": _replay}[arguments.action]
        await work(arguments, known, logs)
    return exits.DONE


# --- where events come from ---------------------------------------------------------------------------------------------------


class Logs:
    """Every log, by whatever way there is: the service that has it, or its database."""

    def __init__(self, known: Places, open_: AsyncExitStack) -> None:
        self._places = known
        self._open = open_
        self._services: Services | None = None
        self._tried = False
        self._straight: dict[str, Log] = {}

    async def heads(self, service: str) -> dict[int, int]:
        """Instance → head."""
        if service not in self._straight and (services := await self._bus()) is not None:
            try:
                principal = system(INSTALLATION, "cli")
                status = await services.query(service, "status", NoBody(), dict[str, Any], principal=principal, deadline=ANSWER_WITHIN_S)
                return {int(instance): head for instance, head in status["heads"].items()}
            except DomainError as refusal:
                print(f"theke: {service} does not answer ({refusal.reason}), so its log is read from the database", file=sys.stderr)
        return await (await self._log(service)).heads()

    async def read(self, service: str, wanted: LogRequest) -> AsyncGenerator[list[CloudEvent], None]:
        """``heads`` has been asked before, so the way is known."""
        if service in self._straight or self._services is None:
            async for rows in selected(await self._log(service), wanted):
                yield [_decoder.decode(render(service, row).payload) for row in rows]
            return
        async for events in self._services.log(service, wanted):
            yield events

    async def one(self, service: str, instance: int, position: int) -> CloudEvent | None:
        async with aclosing(self.read(service, LogRequest(instance, position - 1, 1))) as pieces:
            async for events in pieces:
                for event in events:
                    return event
        return None

    async def _bus(self) -> Services | None:
        if not self._tried and self._places.nats_url:
            self._tried = True
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    connection, self._services = await connected(self._places.nats_url, "events")
                self._open.push_async_callback(connection.close)
            except (DomainError, TimeoutError):
                print("theke: NATS does not answer, so logs are read from the database", file=sys.stderr)
        return self._services

    async def _log(self, service: str) -> Log:
        if service not in self._straight:
            declared(service)  # its events are known by importing it
            log = Log(self._places.log_dsn, service)
            await log.open()
            self._open.push_async_callback(log.close)
            self._straight[service] = log
        return self._straight[service]


_decoder: Final = msgspec.json.Decoder(CloudEvent)


# --- tail ---------------------------------------------------------------------------------------------------------------------


async def _tail(arguments: argparse.Namespace, known: Places, logs: Logs) -> None:
    services = chosen_services(arguments.service)
    instance = await instance_id(known, arguments.instance) if arguments.instance else None
    at: dict[tuple[str, int], int] = {}
    newest: list[CloudEvent] = []
    for service in services:
        for of, head in (await logs.heads(service)).items():
            if instance is None or of == instance:
                at[service, of] = head
                newest += await _newest(arguments, logs, service, of, head)
    for event in heapq.nlargest(arguments.n, newest, key=_in_time)[::-1]:
        _print(event, arguments.json)
    while arguments.follow:
        await asyncio.sleep(FOLLOW_EVERY_S)
        fresh: list[CloudEvent] = []
        for service in services:
            for of, head in (await logs.heads(service)).items():
                before = at.get((service, of), 0)
                if head > before and (instance is None or of == instance):
                    async for events in logs.read(service, _request(arguments, of, before, head, EVENTS_MAX)):
                        fresh += events
                    at[service, of] = head
        for event in sorted(fresh, key=_in_time):
            _print(event, arguments.json)


async def _newest(arguments: argparse.Namespace, logs: Logs, service: str, instance: int, head: int) -> list[CloudEvent]:
    """The last events that fit, looked for from the end backwards."""
    found: list[CloudEvent] = []
    end = head
    while end > 0 and len(found) < arguments.n:
        begin = max(0, end - max(BACK_ROWS, arguments.n))
        piece: list[CloudEvent] = []
        async for events in logs.read(service, _request(arguments, instance, begin, end, EVENTS_MAX)):
            piece = [*piece, *events][-arguments.n :]
        found = [*piece, *found][-arguments.n :]
        end = begin
    return found


def _request(arguments: argparse.Namespace, instance: int, after: int, up_to: int, limit: int) -> LogRequest:
    return LogRequest(instance, after, limit, up_to, tuple(arguments.type), arguments.stream)


def _in_time(event: CloudEvent) -> tuple[datetime, str, int]:
    return event.time, event.source, event.position


# --- show ---------------------------------------------------------------------------------------------------------------------


async def _show(arguments: argparse.Namespace, known: Places, logs: Logs) -> None:
    [service] = chosen_services([arguments.service])
    heads = await logs.heads(service)
    instance = await _the_instance(arguments, known, heads)
    first, last = arguments.range
    if first > heads.get(instance, 0):
        raise Unknown(f"the log of {service} {instance_token(instance)} ends at {heads.get(instance, 0)}")
    async for events in logs.read(service, LogRequest(instance, first - 1, last - first + 1, last)):
        for event in events:
            _print(event, arguments.json, whole=True)


async def _the_instance(arguments: argparse.Namespace, known: Places, heads: Mapping[int, int]) -> int:
    if arguments.instance:
        return await instance_id(known, arguments.instance)
    if len(heads) == 1:
        return next(iter(heads))
    names = ", ".join(one.name for one in await instances(known))
    raise Unknown(f"say which instance with --instance: {names or 'there is none yet'}")


# --- search -------------------------------------------------------------------------------------------------------------------


async def _search(arguments: argparse.Namespace, known: Places, logs: Logs) -> None:
    instance = await instance_id(known, arguments.instance) if arguments.instance else None
    for service in chosen_services(arguments.service):
        for of, head in sorted((await logs.heads(service)).items()):
            if instance is None or of == instance:
                await _search_log(arguments, logs, service, of, head)


async def _search_log(arguments: argparse.Namespace, logs: Logs, service: str, instance: int, head: int) -> None:
    first, last = arguments.first, min(arguments.last or head, head)
    if arguments.since is not None:
        first = max(first, await _position_at(logs, service, instance, head, arguments.since))
    if arguments.until is not None:
        last = min(last, await _position_at(logs, service, instance, head, arguments.until) - 1)
    if first > last:
        return
    wanted = msgspec.structs.replace(_request(arguments, instance, first - 1, last, arguments.limit), text=arguments.text)
    async for events in logs.read(service, wanted):
        for event in events:
            _print(event, arguments.json)


async def _position_at(logs: Logs, service: str, instance: int, head: int, moment: datetime) -> int:
    """The first position that is not before a moment: times of a log never run backwards, so halving finds it."""
    low, high = 1, head + 1
    while low < high:
        middle = (low + high) // 2
        event = await logs.one(service, instance, middle)
        if event is not None and event.time < moment:
            low = middle + 1
        else:
            high = middle
    return low


# --- replay -------------------------------------------------------------------------------------------------------------------


async def _replay(arguments: argparse.Namespace, known: Places, logs: Logs) -> None:
    """Up to where the log ends now. Raises NotTaken, which says from where to go on."""
    [service] = chosen_services([arguments.service])
    heads = await logs.heads(service)
    instance = await _the_instance(arguments, known, heads)
    last = min(arguments.last or heads.get(instance, 0), heads.get(instance, 0))
    wanted = LogRequest(instance, arguments.first - 1, EVENTS_MAX, last, tuple(arguments.type), published=True)
    behind = wanted.after
    async with taker(arguments.into, arguments.prefix) as takes:
        with Progress(f"{service} {instance_token(instance)}", last - behind) as progress:
            while behind < last:
                began = behind
                async for events in logs.read(service, msgspec.structs.replace(wanted, after=behind)):
                    for window in windows(events):
                        try:
                            await takes.take(window)
                        except NotTaken as refusal:
                            raise NotTaken(
                                f"{refusal}; all before position {behind + 1} stands there, go on with --from {behind + 1}"
                            ) from None
                        behind = window[-1].position
                        progress.at(behind - wanted.after)
                if behind == began:
                    break


# --- how events look ----------------------------------------------------------------------------------------------------------


def _print(event: CloudEvent, as_json: bool, *, whole: bool = False) -> None:
    print(_encoder.encode(event).decode() if as_json else _whole(event) if whole else line(event), flush=True)


_encoder: Final = msgspec.json.Encoder()


def line(event: CloudEvent) -> str:
    service = event.source.split("/")[1]
    data = bytes(event.data).decode()
    shown = data if len(data) <= DATA_SHOWN_CHARS else f"{data[:DATA_SHOWN_CHARS]}…"
    number = f" no. {event.number}" if event.number is not None else ""
    place = f"{service} {event.instance} {event.position}"
    return f"{event.time:%Y-%m-%d %H:%M:%S}.{event.time.microsecond // 1000:03}  {place:<22}  {event.type}{number}  {event.stream}  {shown}"


def _whole(event: CloudEvent) -> str:
    service = event.source.split("/")[1]
    lines = [
        f"{event.type} (version {event.schemaversion} of its kind)",
        f"  place     {service} {event.instance}, position {event.position}",
        f"  stream    {event.stream}, version {event.version}",
        f"  time      {event.time.isoformat()}",
        f"  by        {event.actor or '-'}",
        f"  command   {event.correlation or '-'}",
        f"  id        {event.id}",
    ]
    if event.number is not None:
        lines.append(f"  number    {event.number}")
    data = msgspec.json.format(bytes(event.data), indent=2).decode()
    return "\n".join([*lines, *(f"  {row}" for row in data.splitlines()), ""])


# --- what may be written on the command line ----------------------------------------------------------------------------------


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= EVENTS_MAX:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: a whole number from 1 to {EVENTS_MAX:,} is allowed")


def _range(text: str) -> tuple[int, int]:
    parts = text.split("-")
    if len(parts) <= 2 and all(part.isascii() and part.isdigit() and int(part) >= 1 for part in parts):
        first, last = int(parts[0]), int(parts[-1])
        if first <= last < first + EVENTS_MAX:
            return first, last
    raise argparse.ArgumentTypeError(f"{text!r}: a position or a range is allowed, 17 or 17-40")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: a day or a time is allowed, 2026-03-05 or 2026-03-05T18:30") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
