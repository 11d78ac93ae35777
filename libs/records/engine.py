"""Commands of a record: ``<name>.create``, ``<name>.change``, ``<name>.delete``.

References to records of the same service are streams that the command reads, so they cannot vanish between check and append. Unique
fields are claims. A delete is refused while other records refer to this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from libs.domain.decider import Claim, Command, CommandType, Decision, Lookup, States, StreamRef
from libs.domain.errors import DomainError, FieldError, Kind, conflict, invalid, not_found
from libs.domain.etags import etag
from libs.domain.events import Event, Recorded
from libs.domain.ids import key_of
from libs.domain.records import Field, FieldType, RecordEvents, RecordType, RecordView
from libs.eventstore.codec import upcaster
from libs.records.state import RecordState, aggregate
from libs.records.validate import KEY_MAX_CHARS, accept, is_key


class Create(msgspec.Struct, frozen=True, kw_only=True):
    """``key`` is chosen by Theke unless shipped data brings its own."""

    values: dict[str, Any]
    key: str | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Only the named fields change; null clears one. ``if_version``: refuse unless this is the record's version; ``if_match``: unless
    its tag is one of these."""

    key: str
    values: dict[str, Any]
    if_version: int | None = None
    if_match: tuple[str, ...] = ()


class Delete(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    if_version: int | None = None
    if_match: tuple[str, ...] = ()


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    id: int = 0


Check = Callable[[Mapping[str, Any]], Iterable[FieldError]]
TREE_DEPTH_MAX = 20


class Records:
    """A record type with everything that is made of it. ``siblings``: record types of the same service that it refers to; ``check``
    finds what is wrong with values that are right one by one."""

    def __init__(self, record: RecordType, events: RecordEvents, siblings: Sequence[Records] = (), check: Check | None = None) -> None:
        self.type = record
        self.events = events
        self._check = check
        self.aggregate = aggregate(record, events)
        for version in range(1, record.version):
            upcaster(events.created.TYPE, version)(_fields_were_added)
            upcaster(events.changed.TYPE, version)(_fields_were_added)
        self._targets: dict[str, Records] = {records.type.name: records for records in (*siblings, self)}
        self._referring: list[tuple[RecordType, Field]] = []
        for field in record.fields:
            if field.refers:
                self._targets[field.refers]._referring.append((record, field))

    def commands(self) -> tuple[CommandType, ...]:
        name, permission = self.type.name, self.type.permission
        return (
            CommandType(f"{name}.create", Create, self._create_streams, self._create, self._view, permission, self._unknown),
            CommandType(f"{name}.change", Change, self._change_streams, self._change, self._view, permission, self._unknown),
            CommandType(f"{name}.delete", Delete, self._own_stream, self._delete, self._deleted, permission, self._references),
        )

    def target(self, field: str) -> Records:
        """The record type that a field refers to."""
        return self._targets[self.type.field(field).refers]

    def _key(self, command: Command[Create]) -> str:
        return command.body.key or key_of(self.type.prefix, command.id)

    def _referred(self, values: dict[str, Any]) -> list[StreamRef]:
        """The streams of records that these values refer to."""
        refs = []
        for field in self.type.fields:
            for _, key in _references(field, values):
                if is_key(key):
                    refs.append(StreamRef(self._targets[field.refers].aggregate, key, reads=True))
        return refs

    def _create_streams(self, command: Command[Create]) -> tuple[StreamRef, ...]:
        own = StreamRef(self.aggregate, self._key(command), new=command.body.key is None)
        return _distinct(own, *self._referred(command.body.values))

    def _change_streams(self, command: Command[Change]) -> tuple[StreamRef, ...]:
        return _distinct(*self._own_stream(command), *self._referred(command.body.values))

    def _own_stream(self, command: Command[Change] | Command[Delete]) -> tuple[StreamRef, ...]:
        key = command.body.key
        if not is_key(key):
            raise not_found(f"{self.type.name}_not_found", id=key[:KEY_MAX_CHARS])
        return (StreamRef(self.aggregate, key),)

    async def _unknown(self, command: Command[Create] | Command[Change], lookup: Lookup) -> tuple[FieldError, ...]:
        """Fields whose value must occur in another table, and does not."""
        missing = []
        for field in self.type.fields:
            value = command.body.values.get(field.name) if field.known_in else None
            if isinstance(value, int | str):
                table, _, column = field.known_in.rpartition(".")
                if not await lookup.rows(table, command.instance, [str(value)], (column,), column):
                    missing.append(FieldError(field.name, "not_known", {"value": str(value)[:50]}))
            if field.refers == self.type.name:
                missing += await self._ring(command, field, lookup)
        if self.type.most and isinstance(command.body, Create):
            await self._require_room(command, lookup)
        return tuple(missing)

    async def _ring(self, command: Command[Create] | Command[Change], field: Field, lookup: Lookup) -> list[FieldError]:
        """A tree must stay one: no record may come to stand above itself, and none too deep."""
        above, table = command.body.values.get(field.name), f"{self.type.service}.{self.type.table}"
        for _ in range(TREE_DEPTH_MAX):
            if not isinstance(above, str) or not is_key(above):
                return []
            if above == command.body.key:
                return [FieldError(field.name, "own_ancestor")]
            found = await lookup.rows(table, command.instance, [above], ("key", field.name))
            above = found[above][0][field.name] if above in found else None
        return [FieldError(field.name, "tree_too_deep", {"max": TREE_DEPTH_MAX})]

    async def _require_room(self, command: Command[Any], lookup: Lookup) -> None:
        instance = command.instance
        there = await lookup.rows(f"{self.type.service}.{self.type.table}", instance, [str(instance)], ("key",), "instance")
        if len(there.get(str(instance), ())) >= self.type.most:
            raise conflict("too_many_records", max=self.type.most)

    def _create(self, states: States, command: Command[Create], unknown: tuple[FieldError, ...]) -> Decision:
        values = accept(self.type, command.body.values, create=True, also=unknown)
        stream = self.aggregate.stream(self._key(command))
        if states[stream].version > 0:
            raise conflict("already_exists", key=self._key(command))
        self._require_targets(states, values)
        self._require_sense({**{field.name: field.default for field in self.type.fields}, **values})
        event: Event = self.events.created(**{name: value for name, value in values.items() if value is not None})
        return Decision({stream: [event]}, take=self._claims(values, values))

    def _change(self, states: States, command: Command[Change], unknown: tuple[FieldError, ...]) -> Decision:
        stream, state = self._existing(states, command)
        values = accept(self.type, command.body.values, create=False, also=unknown)
        changed = {name: value for name, value in values.items() if value != state.values.get(name)}
        if not changed:
            return Decision({})
        self._require_targets(states, changed)
        self._require_sense({**state.values, **changed})
        before, after = self._claims(state.values, changed), self._claims(changed, changed)
        return Decision(  # a value that changed in case only stays claimed
            {stream: [self.events.changed(**changed)]},
            take=tuple(claim for claim in after if claim not in before),
            give_up=tuple(claim for claim in before if claim not in after),
        )

    def _delete(self, states: States, command: Command[Delete], referred: bool) -> Decision:
        stream, state = self._existing(states, command)
        if referred:
            raise conflict(f"{self.type.name}_in_use", id=command.body.key)
        return Decision({stream: [self.events.deleted()]}, give_up=self._claims(state.values, state.values))

    async def _references(self, command: Command[Delete], lookup: Lookup) -> bool:
        for record, field in self._referring:
            table, listed = f"{record.service}.{record.table}", field.type is FieldType.LIST
            if await lookup.referenced(table, field.name, command.instance, command.body.key, listed=listed):
                return True
        return False

    def _existing(self, states: States, command: Command[Change] | Command[Delete]) -> tuple[str, RecordState]:
        key, if_version, if_match = command.body.key, command.body.if_version, command.body.if_match
        stream = self.aggregate.stream(key)
        state: RecordState = states[stream]
        if not state.exists:
            raise not_found(f"{self.type.name}_not_found", id=key)
        stale = if_version is not None and if_version != state.version
        if stale or (if_match and etag(command.instance, self.type.name, state.id, state.version) not in if_match):
            raise DomainError(Kind.PRECONDITION_FAILED, "version_mismatch", {"version": state.version})
        return stream, state

    def _require_targets(self, states: States, values: dict[str, Any]) -> None:
        missing = []
        for field in self.type.fields:
            for path, key in _references(field, values):
                if not states[self._targets[field.refers].aggregate.stream(key)].exists:
                    missing.append(FieldError(path, f"{field.refers}_not_found", {"id": key}))
        if missing:
            raise invalid(*missing)

    def _require_sense(self, values: Mapping[str, Any]) -> None:
        faults = tuple(self._check(values)) if self._check is not None else ()
        if faults:
            raise invalid(*faults)

    def claims(self, values: dict[str, Any], stream: str) -> tuple[Claim, ...]:
        """All of a record, where other streams are written beside its own."""
        return tuple(msgspec.structs.replace(claim, stream=stream) for claim in self._claims(values, values))

    def _claims(self, values: dict[str, Any], named: dict[str, Any]) -> tuple[Claim, ...]:
        """The claims of ``values`` in those unique fields that ``named`` names."""
        return tuple(
            Claim(f"{self.type.name}.{field.name}", str(values[field.name]).casefold())
            for field in self.type.fields
            if field.unique and field.name in named and values.get(field.name) is not None
        )

    def _view(self, states: States, command: Command[Any], _: Sequence[Recorded]) -> RecordView:
        key = command.body.key if isinstance(command.body, Change) else self._key(command)
        view: RecordView = states[self.aggregate.stream(key)].view()
        if self.type.kept == self.type.fields:
            return view
        return msgspec.structs.replace(view, values={field.name: view.values[field.name] for field in self.type.fields})

    def _deleted(self, states: States, command: Command[Delete], _: Sequence[Recorded]) -> Deleted:
        key = command.body.key
        return Deleted(key=key, id=states[self.aggregate.stream(key)].id)


def _fields_were_added(event: dict[str, Any]) -> dict[str, Any]:
    """What an older version of a record's event does not name was not there to be named."""
    return event


def _references(field: Field, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The keys that a field's value refers to, each with its path."""
    value = values.get(field.name) if field.refers else None
    if isinstance(value, str):
        return [(field.name, value)]
    if isinstance(value, list | tuple):
        return [(f"{field.name}[{ix}]", key) for ix, key in enumerate(value[: field.max_items]) if isinstance(key, str)]
    return []


def _distinct(*refs: StreamRef) -> tuple[StreamRef, ...]:
    return tuple({ref.name: ref for ref in reversed(refs)}.values())[::-1]
