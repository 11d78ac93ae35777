"""Whoever follows a row finds in their feed what others do with it: a record with flag MONITOR for every change of it and every follower.

The changes are heard from the logs of all services. What was made of an event and how far was heard are one append, so an event is never
noted twice, whatever crashes; no rebuild and no second process notes it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec
import structlog

from libs.contracts.auth.rights import ROLES
from libs.contracts.crm.events import RECORD_EVENTS
from libs.contracts.erp import RECORDS
from libs.contracts.resources import RESOURCES
from libs.domain.access import Access
from libs.domain.clock import SystemClock
from libs.domain.decider import Aggregate, Command, CommandType, Decision, Lookup, States, StreamRef
from libs.domain.errors import DomainError, FieldError, Kind, invalid, unavailable
from libs.domain.events import Event, Recorded, event
from libs.domain.fields import ENTITIES
from libs.domain.principal import Principal, system
from libs.domain.resources import Resource
from libs.projections.tables import Statement
from libs.records.access import RowRights, access_of
from libs.records.effects import Also, Effect, Follows, Pending, Write
from libs.records.numbered import DRAWS_MAX, Numbered
from libs.runtime.hearing import Heard, Hearing
from libs.runtime.publishing import CloudEvent
from libs.runtime.service import Host

log = structlog.get_logger(__name__)

FEED_RECORD: Final = "feed_record"
MONITOR: Final = 3  # its flag
FOLLOWERS_MAX: Final = 1_000  # of one row
ADVANCE_AFTER: Final = 1_000  # events that nobody follows, before it is kept that they were heard
NAME_MAX_CHARS: Final = 200
SHOWN_LOOKS_MAX: Final = 250  # until tables are there
SHOWN_LOOK_S: Final = 0.02
APPEND_WITHIN_S: Final = 10.0
NAMESPACE: Final = UUID("1c0c7a52-8f0e-5a3b-9d0c-4f1d8a5b7e21")
# what a change of these amounts to
ACTIONS: Final[Mapping[str, Mapping[Any, str]]] = {
    "visibility": {0: "RESTORE", 1: "ARCHIVE", 2: "DELETE"},
    "activity": {0: "ACTIVATE", 1: "DEACTIVATE", 2: "DELETE"},
    "discarded": {True: "DELETE"},
    "is_active": {True: "RESTORE", False: "ARCHIVE"},
}
# events of records with a key of their own: what the ERP calls them
KEYED: Final[Mapping[str, str]] = {"application": "applications", "article": "items", "user": "users"}
ENTITY_OF: Final[Mapping[str, str]] = {**{RECORDS[name].name: name for name in ENTITIES if name in RECORDS}, **KEYED}
SOURCES: Final = tuple(sorted({RESOURCES[entity].service for entity in ENTITY_OF.values()}))


# --- what is noted ----------------------------------------------------------------------------------------------------------------


@event("monitor.noted")
class MonitorNoted(Event, frozen=True, kw_only=True):
    """Everything up to this position of a service's log is in the feeds of those who follow it. ``life``: of that log; empty: its first."""

    source: str
    position: int
    life: str = ""


def evolve(_: Heard, recorded: Recorded) -> Heard:
    return Heard(recorded.data.position, recorded.data.life)


PLACE: Final = Aggregate("monitor", Heard(), evolve)


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What an event of ``source`` means for those who follow the row; nobody: it is only kept that it was heard. ``followers``: IDs of
    users; ``ids``: of the feed's records, drawn. ``life``: of the log that was heard."""

    source: str
    position: int
    life: str = ""
    at: int = 0
    entity: str = ""
    index: int = 0
    text: str = ""
    sender: str = ""
    followers: tuple[int, ...] = ()
    ids: tuple[int, ...] = ()


def note_command(feed: Numbered) -> CommandType:
    """``monitor.note``, for Theke alone. ``feed``: the feed's records."""
    created = RECORD_EVENTS[FEED_RECORD].created

    async def complete(command: Command[Note], lookup: Lookup) -> Command[Note]:
        ids: list[int] = []
        for _ in range(DRAWS_MAX):
            wanted = len(command.body.followers) - len(ids)
            if not wanted:
                return msgspec.structs.replace(command, body=msgspec.structs.replace(command.body, ids=tuple(ids)))
            drawn = [await lookup.draw(FEED_RECORD, command.instance) for _ in range(wanted)]
            taken = await lookup.rows(feed.resource.table, command.instance, [str(id_) for id_ in drawn], ("id",), "id")
            ids += [id_ for id_ in drawn if str(id_) not in taken]
        raise unavailable("ids_taken")

    def streams(command: Command[Note]) -> tuple[StreamRef, ...]:
        return (StreamRef(PLACE, command.body.source), *(feed.ref(id_) for id_ in command.body.ids))

    def decide(states: States, command: Command[Note], _: Any) -> Decision:
        note, place = command.body, PLACE.stream(command.body.source)
        known: Heard = states[place]
        if (known.life == note.life and known.position >= note.position) or (known.life and not note.life):
            return Decision({})  # it was noted before, or is no more
        if any(states[feed.ref(id_).name].exists for id_ in note.ids):
            raise unavailable("ids_taken")
        moment = {"creationdate": int(command.at.timestamp()), "date": note.at}
        what = {"entity": note.entity, "index": note.index, "flag": MONITOR, "text": note.text}
        what |= {"sender": note.sender} if note.sender else {}
        records = {
            feed.ref(id_).name: [created(**moment, **what, owneruser=follower, assigneduser=follower)]
            for id_, follower in zip(note.ids, note.followers, strict=True)
        }
        return Decision({place: [MonitorNoted(source=note.source, position=note.position, life=note.life)], **records})

    def reply(_: States, __: Command[Note], recorded: Sequence[Recorded]) -> int:
        return sum(isinstance(one.data, created) for one in recorded)

    return CommandType("monitor.note", Note, streams, decide, reply, "monitor.note", None, complete)


class OnlyTheke(Effect):
    """What Theke writes into a feed no client writes, or rewrites."""

    name = "monitor"
    hears = frozenset({FEED_RECORD})

    async def streams(self, lookup: Lookup, instance: int, pending: Sequence[Pending]) -> Sequence[Also]:
        return ()

    def decide(self, states: States, writes: Sequence[Write], facts: Any, at: datetime) -> Follows:
        for write in writes:
            if write.before is not None and write.after is not None and write.before["flag"] == MONITOR:
                raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": "creator"})
            if write.after is not None and write.after["flag"] == MONITOR:
                raise invalid(FieldError("flag", "not_allowed", {"allowed": "0, 1, 2, 4"}))
        return Follows()


# --- who follows, and what it is called -------------------------------------------------------------------------------------------

_FOLLOWERS: Final = Statement(
    "select f.entity, f.index_, f.creator, f.lastmodified, f.position, u.key, u.roles from {crm.follows} f "
    "join {auth.users} u on u.instance = $1 and u.id = f.creator and u.is_active "
    "where f.instance = $1 and (f.entity, f.index_) in (select e.entity, e.id from unnest($2::text[], $3::bigint[]) e(entity, id)) "
    "order by f.id limit $4"
)
_ACTORS: Final = Statement(
    "select u.key, u.id, concat_ws(' ', u.first_name, u.last_name) as name, u.username from {auth.users} u "
    "where u.instance = $1 and u.key = any($2::text[])"
)
_OF_KEYS: Final[Mapping[str, Statement]] = {
    "applications": Statement("select p.key, p.id from {auth.applications} p where p.instance = $1 and p.key = any($2::text[])"),
    "items": Statement("select a.key, a.id from {inventory.articles} a where a.instance = $1 and a.key = any($2::text[])"),
    "users": Statement("select u.key, u.id from {auth.users} u where u.instance = $1 and u.key = any($2::text[])"),
}
_NAMED_BY: Final = ("name", "transactionnum", "dunningnum", "subject", "serialnum", "chargenum")


def _name(resource: Resource) -> Statement:
    """The name of a row, as people know it."""
    columns = {column.name: column.sql.replace("@", "t") for column in resource.columns}
    if "lastname" in columns:
        said = f"concat_ws(' ', nullif({columns['firstname']}, ''), nullif({columns['lastname']}, ''))"
    else:
        named = [f"nullif({columns[name]}, '')" for name in _NAMED_BY if name in columns]
        said = f"coalesce({', '.join(named)}, '')" if named else "''"
    return Statement(f"select {said} as name from {{{resource.table}}} t where t.instance = $1 and t.id = $2")


_TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    source: tuple(RESOURCES[entity].table.partition(".")[2] for entity in ENTITY_OF.values() if RESOURCES[entity].service == source)
    for source in SOURCES
}
_NAMES: Final[Mapping[str, Statement]] = {entity: _name(RESOURCES[entity]) for entity in ENTITY_OF.values()}


class Change(msgspec.Struct, frozen=True):
    """A row that may be followed was changed."""

    event: CloudEvent
    entity: str
    index: int
    action: str


class Monitor:
    def __init__(self, host: Host, note: CommandType) -> None:
        self._host = host
        self._note = note
        self._kept: dict[tuple[int, str], Heard] = {}
        self._hearing = Hearing(host, "monitor", SOURCES, self.place, self.heard)

    async def start(self) -> None:
        await self._hearing.start()

    async def place(self, instance: int, source: str) -> Heard:
        """How far this service has heard, by its own log."""
        heads = await self._host.log.heads()
        place: Heard = PLACE.initial
        for recorded in await self._host.log.read_stream(instance, PLACE.stream(source), heads.get(instance, 0)):
            place = evolve(place, recorded)
        self._kept[instance, source] = place
        return place

    async def heard(self, instance: int, source: str, life: str, events: Sequence[CloudEvent]) -> None:
        """Raises what reading and appending raise; then nothing behind the last note counts as heard."""
        changes = await self._changes(instance, source, events)
        followers = await self._followers(instance, changes)
        actors = await self._actors(instance, [change.event.actor for change in changes if (change.entity, change.index) in followers])
        for change in changes:
            following = followers.get((change.entity, change.index), ())
            actor, sender = actors.get(change.event.actor, (0, ""))
            happened = int(change.event.time.timestamp())
            earlier = [row for row in following if row["creator"] != actor and _before(row, change.event, of_crm=source == "crm")]
            seeing = tuple(dict.fromkeys([row["creator"] for row in earlier if await self._sees(instance, row, change)]))
            if seeing:
                text = await self._text(instance, change)
                await self._append(
                    instance,
                    Note(
                        source=source, position=change.event.position, at=happened, entity=change.entity, index=change.index,
                        text=text, sender=sender, followers=seeing, life=life,
                    ),
                )  # fmt: skip
        kept, last = self._kept.get((instance, source), Heard()), events[-1].position
        if kept.life != life or last - kept.position >= ADVANCE_AFTER:
            await self._append(instance, Note(source=source, position=last, life=life))

    async def _append(self, instance: int, note: Note) -> None:
        """The command's id comes from its cause: whoever notes the same event again does the same."""
        life = f" {note.life}" if note.life else ""
        id_ = uuid5(NAMESPACE, f"{instance} {note.source} {note.position}{life}")
        command = Command(id_, SystemClock().now(), system(instance, "crm"), note)
        await self._host.dispatcher.execute(self._note, command, timeout=APPEND_WITHIN_S)
        self._kept[instance, note.source] = Heard(note.position, note.life)

    async def _changes(self, instance: int, source: str, events: Sequence[CloudEvent]) -> list[Change]:
        found: list[tuple[CloudEvent, str, str]] = []
        for one in events:
            record, _, what = one.type.partition(".")
            if what == "changed" and record in ENTITY_OF:
                found.append((one, ENTITY_OF[record], one.stream[len(record) + 1 :]))
        if found:
            await self._until_shown(instance, source, found[-1][0].position)
        ids: dict[str, dict[str, int]] = {}
        for entity, statement in _OF_KEYS.items():
            keys = sorted({key for _, of, key in found if of == entity})
            rows = await self._host.tables.fetch(statement, instance, keys) if keys else ()
            ids[entity] = {row["key"]: row["id"] for row in rows}
        return [
            Change(one, entity, index, _action(one.data))
            for one, entity, key in found
            if (index := ids[entity].get(key) if entity in ids else int(key)) is not None
        ]

    async def _until_shown(self, instance: int, source: str, position: int) -> None:
        """Waits for the tables: whoever may not see a row since this very change is not told of it. Raises ``unavailable``."""
        for _ in range(SHOWN_LOOKS_MAX):
            if await self._host.tables.position_of(source, _TABLES[source], instance) >= position:
                return
            await asyncio.sleep(SHOWN_LOOK_S)
        raise unavailable("tables_not_ready")

    async def _followers(self, instance: int, changes: Sequence[Change]) -> Mapping[tuple[str, int], Sequence[Any]]:
        """By row. Of more rows than fit in one answer, one after the other."""
        wanted = list(dict.fromkeys((change.entity, change.index) for change in changes))
        if not wanted:
            return {}
        rows = await self._read_followers(instance, wanted)
        if len(rows) > FOLLOWERS_MAX and len(wanted) > 1:
            rows = [row for one in wanted for row in (await self._read_followers(instance, [one]))[:FOLLOWERS_MAX]]
        found: dict[tuple[str, int], list[Any]] = {}
        for row in rows:
            found.setdefault((row["entity"], row["index_"]), []).append(row)
        for one, following in found.items():
            if len(following) > FOLLOWERS_MAX:
                log.warning("more follow than are told", instance=instance, entity=one[0], index=one[1], told=FOLLOWERS_MAX)
        return {one: following[:FOLLOWERS_MAX] for one, following in found.items()}

    async def _read_followers(self, instance: int, wanted: Sequence[tuple[str, int]]) -> list[Any]:
        entities, ids = [entity for entity, _ in wanted], [id_ for _, id_ in wanted]
        return await self._host.tables.fetch(_FOLLOWERS, instance, entities, ids, FOLLOWERS_MAX + 1)

    async def _actors(self, instance: int, keys: Sequence[str]) -> Mapping[str, tuple[int, str]]:
        rows = await self._host.tables.fetch(_ACTORS, instance, sorted(set(keys))) if keys else ()
        return {row["key"]: (row["id"], (row["name"] or row["username"])[:NAME_MAX_CHARS]) for row in rows}

    async def _sees(self, instance: int, follower: Any, change: Change) -> bool:
        """Whether who follows the row may still see it."""
        roles: list[str] = msgspec.json.decode(follower["roles"] or "[]")
        rights = {right: writes for role in roles for right, writes in ROLES.get(role, {}).items()}
        access: Access = await access_of(self._host.tables, Principal(instance, follower["key"], permissions=rights))
        resource = RESOURCES[change.entity]
        if not access.may_read(resource.read):
            return False
        _, rights_to_row = await RowRights(self._host.tables, RESOURCES, access, instance).find(change.entity, change.index)
        return rights_to_row.sees

    async def _text(self, instance: int, change: Change) -> str:
        row = await self._host.tables.fetch_one(_NAMES[change.entity], instance, change.index)
        name = " ".join((row["name"] or "").split())[:NAME_MAX_CHARS] if row is not None else ""
        return f"{change.action} {change.entity} {change.index} {name}".rstrip()


def _before(follow: Any, changed: CloudEvent, *, of_crm: bool) -> bool:
    """Whether somebody followed already. Logs of two services have no order but time, and rows know that to the second."""
    if of_crm:
        return bool(follow["position"] < changed.position)
    return bool(follow["lastmodified"] <= int(changed.time.timestamp()))


def _action(data: msgspec.Raw) -> str:
    changed: dict[str, Any] = msgspec.json.decode(data)
    for field, names in ACTIONS.items():
        if changed.get(field) in names and not isinstance(changed.get(field), str):
            return names[changed[field]]
    return "MODIFY"
