"""ERP records: their key is their ID, they refer to rows of any service, their rows have owners.

Commands ``<name>.create``, ``.change`` and ``.delete``. What a delete takes with it is written in the same append as far as this service
owns it; other services are told to ``forget``. A family is all ERP records of one service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar

import msgspec

from libs.domain.access import Access, Rights
from libs.domain.decider import Claim, Command, CommandType, Decision, Lookup, Referrer, States, StreamRef
from libs.domain.errors import DomainError, FieldError, Kind, conflict, invalid, not_found, unavailable
from libs.domain.etags import etag
from libs.domain.events import Event, Recorded
from libs.domain.fields import INT64_MAX
from libs.domain.records import TAGS, Field, FieldType, OnDelete, RecordEvents, RecordType, Unique
from libs.domain.resources import LAST_MODIFIED, OWNER_GROUP, OWNER_USER, Resource
from libs.records.access import RowRights, access_of
from libs.records.effects import Also, Effect, Pending, Write, needed
from libs.records.rendering import row_of
from libs.records.state import RecordState, aggregate, named_values
from libs.records.validate import accept

B = TypeVar("B")

DRAWS_MAX: Final = 100  # IDs that are already taken, one after the other
TAKEN_ALONG_MAX: Final = 500  # records that one append deletes or changes besides the one it is about
GENERATIONS_MAX: Final = 8
CLAIM_MAX_CHARS: Final = 200
ADDED_TAGS, REMOVED_TAGS = "+tags", "-tags"


class FileMade(msgspec.Struct, frozen=True, kw_only=True):
    """A file whose content is kept already, under ``sha256``: ``hash`` and ``size`` as its row of ``binfiles`` shows them. ``id``: of
    that row, drawn when the command is completed."""

    hash: str
    size: int
    sha256: str
    id: int = 0


class Create(msgspec.Struct, frozen=True, kw_only=True):
    """``id``: one that the client chose; without it the next one is drawn. ``files``: new ones, by field; each becomes a row of
    ``binfiles`` in the same append. ``also``: streams that effects need, looked up."""

    values: dict[str, Any]
    id: int | None = None
    drawn: bool = False
    files: dict[str, FileMade] = msgspec.field(default_factory=dict)
    also: tuple[Also, ...] = ()


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Only the named fields change. ``if_match``: refuse unless the row's tag is one of these. ``files`` as in Create."""

    id: int
    values: dict[str, Any]
    if_match: tuple[str, ...] = ()
    files: dict[str, FileMade] = msgspec.field(default_factory=dict)
    also: tuple[Also, ...] = ()


class Along(msgspec.Struct, frozen=True):
    """A record that a delete takes with it; with ``clears`` it only loses these references. ``key``: of one that has another than its
    ID."""

    record: str
    id: int
    clears: tuple[str, ...] = ()
    key: str = ""


class Delete(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    if_match: tuple[str, ...] = ()
    along: tuple[Along, ...] = ()
    also: tuple[Also, ...] = ()


class Forget(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a resource, of whatever service, that are not there any more: what refers to them here goes, or loses the reference."""

    resource: str
    ids: tuple[int, ...]
    along: tuple[Along, ...] = ()
    also: tuple[Also, ...] = ()


class Written(msgspec.Struct, frozen=True):
    """A record after a write: ``row`` is JSON."""

    id: int
    version: int
    row: bytes


class Dropped(msgspec.Struct, frozen=True):
    """What was deleted: (resource, ID), the one that was asked for first."""

    rows: tuple[tuple[str, int], ...]


class Known(msgspec.Struct, frozen=True):
    """What look-ups say about a write: ``row``: what the row's owners and the rows above it allowed before, ``above``: what those above
    it would allow afterwards; ``missing``: fields that refer to what is not there, or to what the caller does not see; ``effects``: what
    each effect found, by its name."""

    access: Access
    above_before: Rights = Rights()
    above: Rights = Rights()
    missing: tuple[str, ...] = ()
    effects: Mapping[str, Any] = msgspec.field(default_factory=dict)


Check = Callable[[Mapping[str, Any]], Iterable[FieldError]]


class Numbered:
    """One type of ERP record with everything that is made of it. ``check`` finds what is wrong beyond its rules."""

    def __init__(self, record: RecordType, events: RecordEvents, resource: Resource, check: Check | None = None) -> None:
        self.type = record
        self.events = events
        self.resource = resource
        self.aggregate = aggregate(record, events)
        self._check = check
        self._family: Family

    def join(self, family: Family) -> None:
        self._family = family

    def commands(self) -> tuple[CommandType, ...]:
        name = self.type.name
        return (
            CommandType(
                f"{name}.create", Create, self._create_streams, self._create, self._created, "", self._create_facts, self._numbered
            ),
            CommandType(f"{name}.change", Change, self._change_streams, self._change, self._changed, "", self._change_facts, self._heard),
            CommandType(
                f"{name}.delete", Delete, self._delete_streams, self._delete, self._dropped, "", self._change_facts, self._followed
            ),
        )

    # what a command reads

    async def _numbered(self, command: Command[Create], lookup: Lookup) -> Command[Create]:
        """With an ID: drawn ones may have been chosen by somebody before."""
        if command.body.id is None:
            id_ = await self._drawn(command.instance, lookup)
            command = msgspec.structs.replace(command, body=msgspec.structs.replace(command.body, id=id_, drawn=True))
        command = await self._filed(command, lookup)
        return await self._family.heard(command, lookup, self._making(command))

    async def _drawn(self, instance: int, lookup: Lookup) -> int:
        for _ in range(DRAWS_MAX):
            id_ = await lookup.draw(self.type.name, instance)
            if not await lookup.rows(self.resource.table, instance, [str(id_)], ("id",), "id"):
                return id_
        raise unavailable("ids_taken")

    async def _filed(self, command: Command[Any], lookup: Lookup) -> Command[Any]:
        """With an ID for each new file, of which a repeat need know nothing: what it answers is the record's. Only what is made here and
        now is filed: nobody takes the ID of a file from elsewhere."""
        ours = {field.name for field in self.type.fields if field.file}
        files: dict[str, FileMade] = {}
        for name, file in command.body.files.items():
            if name not in ours:
                raise invalid(FieldError(name, "unknown_field"))
            files[name] = msgspec.structs.replace(file, id=await self._family.files._drawn(command.instance, lookup))
        if taken := [FieldError(name, "expected_file") for name in sorted(ours) if command.body.values.get(name) is not None]:
            raise invalid(*taken)
        return msgspec.structs.replace(command, body=msgspec.structs.replace(command.body, files=files)) if files else command

    async def _followed(self, command: Command[Delete], lookup: Lookup) -> Command[Delete]:
        along = await self._family.along(lookup, command.instance, self.type.resource, (_known_id(command.body.id),))
        command = msgspec.structs.replace(command, body=msgspec.structs.replace(command.body, along=along))
        return await self._family.heard(command, lookup, self._going(command))

    async def _heard(self, command: Command[Change], lookup: Lookup) -> Command[Change]:
        command = await self._filed(command, lookup)
        return await self._family.heard(command, lookup, self._changing(command))

    def _making(self, command: Command[Create]) -> tuple[Pending, ...]:
        assert command.body.id is not None
        return (Pending(self.type.name, _own_id(command.body.id), command.body.values, new=True),)

    def _changing(self, command: Command[Change]) -> tuple[Pending, ...]:
        return (Pending(self.type.name, _known_id(command.body.id), command.body.values),)

    def _going(self, command: Command[Delete]) -> tuple[Pending, ...]:
        return (Pending(self.type.name, _known_id(command.body.id), None), *self._family.pending(command.body.along))

    def ref(self, id_: int, *, reads: bool = False) -> StreamRef:
        return StreamRef(self.aggregate, str(id_), reads=reads)

    def _referred(self, values: Mapping[str, Any]) -> list[StreamRef]:
        """The streams of records of this family that these values refer to: they cannot vanish between check and append."""
        found = []
        for _, resource, id_ in self._references(values, values):
            target = self._family.by_resource.get(resource)
            if target is not None and isinstance(id_, int) and 0 < id_ <= INT64_MAX:
                found.append(target.ref(id_, reads=True))
        return found

    def _create_streams(self, command: Command[Create]) -> tuple[StreamRef, ...]:
        own = [] if command.body.id is None else [self.ref(_own_id(command.body.id))]  # none: a repeat, answered from its events
        return _distinct([*own, *self._referred(command.body.values), *self._also(command.body)])

    def _change_streams(self, command: Command[Change]) -> tuple[StreamRef, ...]:
        return _distinct([self.ref(_known_id(command.body.id)), *self._referred(command.body.values), *self._also(command.body)])

    def _also(self, body: Create | Change) -> list[StreamRef]:
        """The rows of new files, and what effects need."""
        return [*(self._family.files.ref(file.id) for file in body.files.values()), *self._family.also(body.also)]

    def _delete_streams(self, command: Command[Delete]) -> tuple[StreamRef, ...]:
        refs = [self.ref(_known_id(command.body.id)), *self._family.refs(command.body.along), *self._family.also(command.body.also)]
        return _distinct(refs)

    async def _create_facts(self, command: Command[Create], lookup: Lookup) -> Known:
        access = await access_of(lookup, command.principal)
        self._require_module(access)
        rights = RowRights(lookup, self._family.resources, access, command.instance)
        values = {field.name: command.body.values.get(field.name) for field in self.type.fields}
        above, missing = await self._above(rights, values), await self._missing(rights, command.body.values, values)
        return Known(access, Rights(), above, missing, await self._family.effect_facts(lookup, command.instance, self._making(command)))

    async def _change_facts(self, command: Command[Change] | Command[Delete], lookup: Lookup) -> Known:
        access = await access_of(lookup, command.principal)
        self._require_module(access, reads=True)
        named = [field.name for field in self.type.fields if field.name in self.type.parents or field.name in self._naming]
        id_ = _known_id(command.body.id)
        columns = ("id", *(self.type.field(name).column for name in named))
        found = await lookup.rows(self.resource.table, command.instance, [str(id_)], columns, "id")
        if str(id_) not in found:
            return Known(access)  # the stream knows whether it is there
        row = {name: found[str(id_)][0][self.type.field(name).column] for name in named}
        rights = RowRights(lookup, self._family.resources, access, command.instance)
        before = await self._above(rights, row)
        if isinstance(command.body, Delete):
            going = self._going(command)
            return Known(access, before, before, effects=await self._family.effect_facts(lookup, command.instance, going))
        values = command.body.values
        after = {**row, **values}
        above = await self._above(rights, after) if any(name in values for name in self.type.parents) else before
        missing = await self._missing(rights, values, after)
        changing = self._changing(command)
        return Known(access, before, above, missing, await self._family.effect_facts(lookup, command.instance, changing))

    @property
    def _naming(self) -> frozenset[str]:
        """The fields that name what other fields refer to."""
        return frozenset(field.refers_by for field in self.type.fields if field.refers_by)

    async def _above(self, rights: RowRights, values: Mapping[str, Any]) -> Rights:
        row = {self.type.field(name).column: _id_or_none(values.get(name)) for name in self.type.parents}
        return await rights.above(self.resource, row)

    def _references(self, values: Mapping[str, Any], row: Mapping[str, Any]) -> Iterable[tuple[Field, str, Any]]:
        """The references that ``values`` name, with the resource each is to; ``row``: where the name of that may stand."""
        for field in self.type.fields:
            if field.type is FieldType.ID and not field.file and values.get(field.name) is not None:
                resource = field.refers or row.get(field.refers_by)
                if isinstance(resource, str) and resource in self._family.resources:
                    yield field, resource, values[field.name]

    async def _missing(self, rights: RowRights, values: Mapping[str, Any], row: Mapping[str, Any]) -> tuple[str, ...]:
        named = {name: value for name, value in values.items() if value is not None}
        renamed = [field.name for field in self.type.fields if field.refers_by in values and field.name not in named]
        named |= {name: row[name] for name in renamed if row.get(name) is not None}
        missing = []
        for field, resource, id_ in self._references(named, row):
            if isinstance(id_, int) and 0 < id_ <= INT64_MAX:
                found, allowed = await rights.find(resource, id_)
                if found is None or not allowed.sees:
                    missing.append(field.name)
        return tuple(missing)

    # deciding

    def _require_module(self, access: Access, *, reads: bool = False) -> None:
        if reads and not access.may_read(self.type.read):
            raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": ", ".join(self.type.read)})
        if not reads and not self._may_write(access):
            raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": ", ".join(self.type.write or ("-",))})

    def _may_write(self, access: Access) -> bool:
        if self.type.write is None:
            return access.admin and access.user == 0  # only Theke itself
        return access.may_write(self.type.write)

    def _create(self, states: States, command: Command[Create], known: Known) -> Decision:
        assert command.body.id is not None
        stream = self.aggregate.stream(str(command.body.id))
        if states[stream].exists:
            raise unavailable("ids_taken") if command.body.drawn else conflict("id_present")
        access = known.access
        values = {**self._on_create(command, access), **filled(self.type, command.body.values, create=True), **_file_ids(command.body)}
        accepted = accept(self.type, merged(self.type, {}, values), create=True)
        row = {**{field.name: field.default for field in self.type.kept}, **accepted, "ID": command.body.id}
        self._require_creator(access, row)
        self._require_row(states, row, command.body.values, known)
        named = {name: value for name, value in accepted.items() if value != self.type.field(name).default}
        filed = self._family.filed(states, self.type, command.body)
        decided = Decision({**filed, stream: [self.events.created(**named)]}, take=self.claims(row))
        write = Write(self.type.name, command.body.id, None, row)
        return self._family.follow(states, decided, [write], known.effects, command.at)

    def _on_create(self, command: Command[Create], access: Access) -> dict[str, Any]:
        fillings = {"now": int(command.at.timestamp()), "user": access.user or None}
        return {field.name: fillings[field.on_create] for field in self.type.fields if field.on_create}

    def _require_creator(self, access: Access, row: Mapping[str, Any]) -> None:
        if self.type.creator_writes and not access.admin and row.get("creator") != access.user:
            raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": "creator"})

    def _change(self, states: States, command: Command[Change], known: Known) -> Decision:
        stream, state = self._writable(states, command, known)
        given = {**filled(self.type, command.body.values), **_file_ids(command.body)}
        values = accept(self.type, merged(self.type, state.values, given), create=False)
        changed = {name: value for name, value in values.items() if value != state.values.get(name)}
        if not changed:
            return Decision({})
        faults = [FieldError(name, "fixed") for name in changed if self.type.field(name).fixed]
        if not known.access.admin:
            faults += [FieldError(name, "only_read") for name in ("creator", "creationdate") if name in changed]
        if faults:
            raise invalid(*faults)
        row = {**state.values, **changed, "ID": command.body.id}
        self._require_row(states, row, changed, known)
        before, after = self.claims({**state.values, "ID": state.id}), self.claims(row)
        decided = Decision(
            {**self._family.filed(states, self.type, command.body), stream: [self.events.changed(**changed)]},
            take=tuple(claim for claim in after if claim not in before),
            give_up=tuple(claim for claim in before if claim not in after),
        )
        write = Write(self.type.name, state.id, {**state.values, "ID": state.id}, row)
        return self._family.follow(states, decided, [write], known.effects, command.at)

    def _delete(self, states: States, command: Command[Delete], known: Known) -> Decision:
        stream, state = self._writable(states, command, known)
        along = self._family.taken_along(states, command.body.along)
        before = {**state.values, "ID": state.id}
        decided = Decision(
            {**along.writes, stream: [self.events.deleted()]}, take=along.take, give_up=(*along.give_up, *self.claims(before))
        )
        writes = [Write(self.type.name, state.id, before, None), *self._family.written(states, command.body.along)]
        return self._family.follow(states, decided, writes, known.effects, command.at)

    def _writable(self, states: States, command: Command[Change] | Command[Delete], known: Known) -> tuple[str, RecordState]:
        """What is not seen is not there; what is only seen may not be written."""
        stream = self.aggregate.stream(str(command.body.id))
        state: RecordState = states[stream]
        rights = self._rights(known.access, state.values).and_(known.above_before)
        if not state.exists or not rights.sees:
            raise not_found("row_not_found", id=str(command.body.id))
        self._require_module(known.access)
        if not rights.writes:
            raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": OWNER_GROUP})
        self._require_creator(known.access, state.values)
        if_match = command.body.if_match
        if if_match and etag(command.instance, self.type.name, state.id, state.version) not in if_match:
            raise DomainError(Kind.PRECONDITION_FAILED, "version_mismatch", {"version": state.version})
        return stream, state

    def _rights(self, access: Access, values: Mapping[str, Any]) -> Rights:
        if not self.resource.owner_user and not self.resource.owner_group:
            return Rights()
        return access.rights(values.get(OWNER_USER), values.get(OWNER_GROUP))

    def _require_row(self, states: States, row: Mapping[str, Any], named: Mapping[str, Any], known: Known) -> None:
        """Rows that this one depends on, and the caller's own right to it afterwards, come before everything else."""
        gone = [name for name in self.type.parents if name in known.missing or self._vanished(states, name, row)]
        if gone or not known.above.sees:
            raise DomainError(Kind.GONE, "parent_gone", {"field": (gone or list(self.type.parents))[0]})
        rights = self._rights(known.access, row)
        if not rights.sees:
            raise DomainError(Kind.GONE, "row_gone", {"id": str(row["ID"])})
        if not rights.writes or not known.above.writes:
            raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": OWNER_GROUP})
        faults = [FieldError(name, "no_such_row", {"id": str(row.get(name))}) for name in known.missing if self._newly(name, named)]
        faults += [
            FieldError(field.name, "no_such_row", {"id": str(id_)})
            for field, _, id_ in self._references(named, row)
            if field.name not in known.missing and self._vanished(states, field.name, row)
        ]
        if not faults:
            for rule in self.type.rules:
                faults += rule.broken(row)
            faults += self._check(row) if self._check is not None else ()
        if faults:
            raise invalid(*faults)

    def _newly(self, name: str, named: Mapping[str, Any]) -> bool:
        """Whether a write makes this reference; one that it only repeats may be to what its writer does not see."""
        return name in named or self.type.field(name).refers_by in named

    def _vanished(self, states: States, name: str, row: Mapping[str, Any]) -> bool:
        """Whether a record of this family that a field refers to was deleted meanwhile."""
        for _, resource, id_ in self._references({name: row.get(name)}, row):
            target = self._family.by_resource.get(resource)
            state = states.get(target.aggregate.stream(str(id_))) if target is not None else None
            if state is not None and id_ != row["ID"] and not state.exists:
                return True
        return False

    def claims(self, values: Mapping[str, Any]) -> tuple[Claim, ...]:
        """``values`` with the ``ID``."""
        stream = self.aggregate.stream(str(values["ID"]))
        return tuple(claim for unique in self.type.uniques if (claim := _claim(self.type, unique, values, stream)) is not None)

    # answering

    def _created(self, _: States, command: Command[Create], recorded: Sequence[Recorded]) -> Written:
        state = self.aggregate.initial
        for event in recorded:
            if isinstance(event.data, self.events.created):
                state = self.aggregate.evolve(state, event)
        return self._shown(state)

    def _changed(self, states: States, command: Command[Change], _: Sequence[Recorded]) -> Written:
        return self._shown(states[self.aggregate.stream(str(command.body.id))])

    def _shown(self, state: RecordState) -> Written:
        assert state.changed_at is not None
        blank = {field.name: field.default for field in self.type.fields}  # what is never kept is shown as that
        shown = {**blank, **state.values, "ID": state.id, LAST_MODIFIED: int(state.changed_at.timestamp())}
        return Written(state.id, state.version, row_of(self.resource, shown))

    def _dropped(self, _: States, command: Command[Delete], recorded: Sequence[Recorded]) -> Dropped:
        return self._family.dropped(recorded, (self.type.resource, command.body.id), command.body.along)

    # as others see it

    def along_ref(self, along: Along) -> StreamRef:
        return self.ref(along.id)

    def clear(self, states: States, along: Along) -> Decision:
        """Loses references, or goes."""
        stream = self.aggregate.stream(str(along.id))
        state: RecordState = states[stream]
        if not state.exists:
            return Decision({})
        before = self.claims({**state.values, "ID": state.id})
        if not along.clears:
            return Decision({stream: [self.events.deleted()]}, give_up=before)
        cleared = {name: None for name in along.clears if state.values.get(name) is not None}
        if not cleared:
            return Decision({})
        after = self.claims({**state.values, **cleared, "ID": state.id})
        event: Event = self.events.changed(**cleared)
        return Decision(
            {stream: [event]},
            take=tuple(claim for claim in after if claim not in before),
            give_up=tuple(claim for claim in before if claim not in after),
        )

    def amend(self, states: States, decided: Decision, write: Write | None, id_: int, values: Mapping[str, Any]) -> Decision:
        """The decision with more of a record changed; ``write``: what it writes there so far. A record that goes, or has gone, stays as
        it is."""
        stream = self.aggregate.stream(str(id_))
        kept: RecordState = needed(states, stream)
        row = write.after if write is not None else {**kept.values, "ID": id_} if kept.exists else None
        changed = {name: value for name, value in values.items() if row is not None and row.get(name) != value}
        if row is None or not changed:
            return decided
        written = list(decided.writes.get(stream, ()))
        if written and isinstance(written[-1], self.events.created | self.events.changed):
            written[-1] = type(written[-1])(**{**named_values(written[-1]), **changed})
        else:
            written.append(self.events.changed(**changed))
        before, after = set(self.claims(row)), set(self.claims({**row, **changed}))
        took, gave = set(decided.take), set(decided.give_up)
        take, give_up = after - before, before - after
        return Decision(
            {**decided.writes, stream: written},
            take=tuple(sorted((took - give_up) | (take - gave))),
            give_up=tuple(sorted((gave - take) | (give_up - took))),
        )


class Referring(Protocol):
    """A type of record that refers to rows of the ERP."""

    type: RecordType

    def along_ref(self, along: Along) -> StreamRef: ...

    def clear(self, states: States, along: Along) -> Decision: ...


class Seen(Referring, Protocol):
    """Records of the till that the ERP sees under another name: their key is not their ID."""

    async def keyed(self, lookup: Lookup, instance: int, along: Sequence[Along]) -> Sequence[Along]:
        """These with their keys, and what has to go with those that go."""
        ...


class Family:
    """All ERP records of a service, and ``others`` of it that the ERP sees. ``resources``: those of every service, by name; ``effects``:
    what else follows from writes."""

    def __init__(
        self,
        service: str,
        members: Sequence[Numbered],
        resources: Mapping[str, Resource],
        others: Mapping[str, Seen] = MappingProxyType({}),
        effects: Sequence[Effect] = (),
    ) -> None:
        self.service = service
        self.members = tuple(members)
        self.others = others
        self.resources = resources
        self.by_resource: Mapping[str, Numbered] = {member.type.resource: member for member in members}
        self._by_name: Mapping[str, Referring] = {**{member.type.name: member for member in members}, **others}
        self._changeable = {member.type.name: member for member in members}
        self._effects = tuple(effects)
        self._referring: dict[str, tuple[Sequence[tuple[Referring, Field]], tuple[Referrer, ...]]] = {}
        self._aggregates = {member.type.name: member.aggregate for member in members}
        self._aggregates |= {tally.name: tally for effect in effects for tally in effect.tallies}
        for member in members:
            member.join(self)

    @property
    def files(self) -> Numbered:
        """The rows of files. Raises KeyError in a service that keeps none."""
        return self.by_resource["binfiles"]

    def filed(self, states: States, record: RecordType, body: Create | Change) -> dict[str, Sequence[Event]]:
        """What makes the rows of new files of a record."""
        writes: dict[str, Sequence[Event]] = {}
        for file in body.files.values():
            stream = self.files.aggregate.stream(str(file.id))
            if states[stream].exists:
                raise unavailable("ids_taken")
            made: Event = self.files.events.created(hash=file.hash, size=file.size, sha256=file.sha256, named_by=record.resource)
            writes[stream] = [made]
        return writes

    def commands(self) -> tuple[CommandType, ...]:
        forget = CommandType(
            "erp.forget", Forget, self._forget_streams, self._forget, self._forgotten, FORGETS, self._forget_facts, self._followed
        )
        return (*(command for member in self.members for command in member.commands()), forget)

    def referring(self, resource: str) -> Iterable[tuple[Referring, Field]]:
        """The fields that may refer to a resource; those that keep a reference to nothing do not count."""
        for member in (*self.members, *self.others.values()):
            for field in member.type.fields:
                if field.type is FieldType.ID and field.on_delete is not OnDelete.KEEP and (field.refers == resource or field.refers_by):
                    yield member, field

    async def along(self, lookup: Lookup, instance: int, resource: str, ids: Sequence[int]) -> tuple[Along, ...]:
        """What goes or changes with these rows, and with those that go with them."""
        found: dict[tuple[str, int], Along] = {}
        going = {(resource, id_) for id_ in ids}
        fresh: dict[str, Sequence[int]] = {resource: ids}
        for _ in range(GENERATIONS_MAX):
            next_: dict[str, list[int]] = {}
            for gone, gone_ids in fresh.items():
                fields, columns = self.referrers(gone)
                rows = await lookup.referrers(columns, instance, gone_ids, TAKEN_ALONG_MAX + 1, named=gone)
                for (member, field), referring in zip(fields, rows, strict=True):
                    for id_ in referring:
                        key = (member.type.resource, id_)
                        if key in going:
                            continue
                        if field.on_delete is OnDelete.DELETE:
                            going.add(key)
                            found[key] = Along(member.type.name, id_)
                            next_.setdefault(member.type.resource, []).append(id_)
                        else:
                            clears = found[key].clears if key in found else ()
                            found[key] = Along(member.type.name, id_, (*clears, field.name))
            if len(found) > TAKEN_ALONG_MAX:
                raise conflict("too_much_refers", max=TAKEN_ALONG_MAX)
            fresh = {name: tuple(more) for name, more in next_.items()}
            if not fresh:
                break
        return await self._keyed(lookup, instance, found.values())

    async def _keyed(self, lookup: Lookup, instance: int, found: Iterable[Along]) -> tuple[Along, ...]:
        by_name: dict[str, list[Along]] = {}
        for along in found:
            by_name.setdefault(along.record, []).append(along)
        whole: list[Along] = []
        for name, alongs in by_name.items():
            other = self.others.get(name)
            whole += alongs if other is None else await other.keyed(lookup, instance, alongs)
        return tuple(whole)

    def referrers(self, resource: str) -> tuple[Sequence[tuple[Referring, Field]], tuple[Referrer, ...]]:
        """The fields that may refer to a resource, and where they are kept."""
        known = self._referring.get(resource)
        if known is None:
            fields = tuple(self.referring(resource))
            known = self._referring[resource] = fields, tuple(_kept_in(member.type, field) for member, field in fields)
        return known

    def refs(self, along: Iterable[Along]) -> list[StreamRef]:
        return [self._by_name[one.record].along_ref(one) for one in along]

    def taken_along(self, states: States, along: Iterable[Along]) -> Decision:
        writes: dict[str, Sequence[Event]] = {}
        take: list[Claim] = []
        give_up: list[Claim] = []
        for one in along:
            decided = self._by_name[one.record].clear(states, one)
            writes |= decided.writes
            take += decided.take
            give_up += decided.give_up
        return Decision(writes, take=tuple(take), give_up=tuple(give_up))

    # effects

    def effects_on(self, record: str) -> tuple[Effect, ...]:
        return tuple(effect for effect in self._effects if record in effect.hears)

    def pending(self, along: Iterable[Along]) -> tuple[Pending, ...]:
        return tuple(Pending(one.record, one.id, dict.fromkeys(one.clears) if one.clears else None) for one in along)

    def _hearing(self, pending: Sequence[Pending]) -> Iterator[tuple[Effect, list[Pending]]]:
        for effect in self._effects:
            heard = [one for one in pending if one.record in effect.hears]
            if heard:
                yield effect, heard

    async def heard(self, command: Command[B], lookup: Lookup, pending: Sequence[Pending]) -> Command[B]:
        """The command with the streams that effects of these writes need."""
        also: list[Also] = []
        for effect, heard in self._hearing(pending):
            also += await effect.streams(lookup, command.instance, heard)
        if not also:
            return command
        body: Any = command.body
        return msgspec.structs.replace(command, body=msgspec.structs.replace(body, also=tuple(dict.fromkeys(also))))

    def also(self, also: Iterable[Also]) -> list[StreamRef]:
        return [StreamRef(self._aggregates[one.aggregate], one.key, reads=one.reads) for one in also]

    async def effect_facts(self, lookup: Lookup, instance: int, pending: Sequence[Pending]) -> Mapping[str, Any]:
        return {effect.name: await effect.facts(lookup, instance, heard) for effect, heard in self._hearing(pending)}

    def written(self, states: States, along: Iterable[Along]) -> list[Write]:
        """What a delete takes along, as effects hear of it."""
        found = []
        for one in along:
            if not self.effects_on(one.record):
                continue
            state: RecordState = states[f"{one.record}-{one.id}"]
            if state.exists:
                before = {**state.values, "ID": state.id}
                found.append(Write(one.record, state.id, before, {**before, **dict.fromkeys(one.clears)} if one.clears else None))
        return found

    def follow(self, states: States, decided: Decision, writes: Sequence[Write], facts: Mapping[str, Any], at: datetime) -> Decision:
        """The decision with what follows from its writes."""
        by_row = {(write.record, write.id): write for write in writes}
        for effect in self._effects:
            heard = [write for write in writes if write.record in effect.hears]
            if not heard:
                continue
            follows = effect.decide(states, heard, facts.get(effect.name), at)
            for (record, id_), values in follows.changes.items():
                decided = self._changeable[record].amend(states, decided, by_row.get((record, id_)), id_, values)
            decided = msgspec.structs.replace(decided, writes={**decided.writes, **follows.events})
        return decided

    def dropped(self, recorded: Sequence[Recorded], first: tuple[str, int] | None = None, along: Iterable[Along] = ()) -> Dropped:
        """``along``: what was to go; others that the ERP sees are known by it alone."""
        rows = [first] if first is not None else []
        rows += [
            (self.others[one.record].type.resource, one.id) for one in along if one.record in self.others and one.id and not one.clears
        ]
        members = {member.type.name: member for member in self.members}
        for event in recorded:
            name, _, id_ = event.stream.rpartition("-")
            member = members.get(name)
            if member is not None and isinstance(event.data, member.events.deleted) and (member.type.resource, int(id_)) not in rows:
                rows.append((member.type.resource, int(id_)))
        return Dropped(tuple(rows))

    # what other services' deletes ask for

    async def _followed(self, command: Command[Forget], lookup: Lookup) -> Command[Forget]:
        along = await self.along(lookup, command.instance, command.body.resource, command.body.ids)
        command = msgspec.structs.replace(command, body=msgspec.structs.replace(command.body, along=along))
        return await self.heard(command, lookup, self.pending(along))

    def _forget_streams(self, command: Command[Forget]) -> tuple[StreamRef, ...]:
        return _distinct([*self.refs(command.body.along), *self.also(command.body.also)])

    async def _forget_facts(self, command: Command[Forget], lookup: Lookup) -> Mapping[str, Any]:
        return await self.effect_facts(lookup, command.instance, self.pending(command.body.along))

    def _forget(self, states: States, command: Command[Forget], facts: Mapping[str, Any] | None) -> Decision:
        decided = self.taken_along(states, command.body.along)
        return self.follow(states, decided, self.written(states, command.body.along), facts or {}, command.at)

    def _forgotten(self, _: States, command: Command[Forget], recorded: Sequence[Recorded]) -> Dropped:
        return self.dropped(recorded, along=command.body.along)


def _kept_in(record: RecordType, field: Field) -> Referrer:
    by = record.field(field.refers_by).column if field.refers_by else ""
    return Referrer(f"{record.service}.{record.table}", field.column, by)


def _file_ids(body: Create | Change) -> dict[str, int]:
    return {name: file.id for name, file in body.files.items()}


FORGETS: Final = "erp.forget"  # nobody has this right: only Theke itself asks


def merged(record: RecordType, before: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Tags and extension data as they are after a write that may name only what it adds or removes."""
    whole = dict(values)
    added, removed = whole.pop(ADDED_TAGS, None), whole.pop(REMOVED_TAGS, None)
    if record.tags and ("tags" in whole or added is not None or removed is not None):
        tags = list(_words("tags", whole["tags"]) if whole.get("tags") is not None else before.get("tags") or ())
        if "tags" in whole and whole["tags"] is None:
            tags = []
        gone = set(_words(REMOVED_TAGS, removed))
        tags = [tag for tag in dict.fromkeys([*tags, *_words(ADDED_TAGS, added)]) if tag not in gone]
        whole["tags"] = tags or None
    if record.extdata and whole.get("extdata") is not None:
        whole["extdata"] = _extended(before.get("extdata"), whole["extdata"])
    return whole


def filled(record: RecordType, values: Mapping[str, Any], *, create: bool = False) -> dict[str, Any]:
    """A time that is null where there must be one is as if it had not been named: the present of a new row, what it was of another. So is
    the creator of a new row."""
    now = {field.name for field in record.fields if field.on_create and (create or not (field.nullable or field.required))}
    return {name: value for name, value in values.items() if value is not None or name not in now}


def _claim(record: RecordType, unique: Unique, values: Mapping[str, Any], stream: str) -> Claim | None:
    if unique.unless is not None and unique.unless.holds(values):
        return None
    parts = [values.get(name) for name in unique.fields]
    if not unique.nulls and any(part is None for part in parts):
        return None
    if not unique.blank and any(part == "" for part in parts):
        return None
    texts = [None if part is None else str(part).casefold() if unique.fold else str(part) for part in parts]
    if unique.unordered:
        half = len(texts) // 2
        texts = [text for pair in sorted([texts[:half], texts[half:]], key=str) for text in pair]
    value = texts[0] if len(texts) == 1 and texts[0] is not None else msgspec.json.encode(texts).decode()
    if len(value) > CLAIM_MAX_CHARS:
        value = sha256(value.encode()).hexdigest()
    return Claim(f"{unique.shared or record.name}.{', '.join(unique.fields)}", value, stream)


def _words(name: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
        raise invalid(FieldError(name, "expected_list"))
    words = tuple(word.strip() for word in value)
    if len(words) > TAGS.max_items:
        raise invalid(FieldError(name, "too_many", {"max": TAGS.max_items}))
    for word in words:
        if not word or len(word) > TAG_MAX_CHARS or not word.isprintable():
            raise invalid(FieldError(name, "malformed", {"detail": f"1–{TAG_MAX_CHARS} characters"}))
    return words


TAG_MAX_CHARS: Final = 100
EXTDATA_NAME_MAX_CHARS: Final = 100
EXTDATA_MAX: Final = 500  # names on one row
_objects: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_read: Final = msgspec.json.Decoder(float_hook=Decimal)
_plain: Final = msgspec.json.Encoder(decimal_format="number")


def _extended(before: str | None, given: Any) -> str | None:
    """Null removes a name; those that are not mentioned stay. ``given`` may be the text of an object."""
    if isinstance(given, str):
        try:
            given = _read.decode(given)
        except msgspec.DecodeError:
            given = None
    if not isinstance(given, Mapping):
        raise invalid(FieldError("extdata", "expected_object"))
    kept: dict[str, Any] = dict(_objects.decode(before)) if before else {}
    for name, value in given.items():
        if not isinstance(name, str) or not 0 < len(name) <= EXTDATA_NAME_MAX_CHARS or not name.isprintable():
            raise invalid(FieldError("extdata", "bad_alias", {"max": EXTDATA_NAME_MAX_CHARS}))
        if isinstance(value, Mapping | list | tuple):
            raise invalid(FieldError(f"extdata.{name}", "expected_text"))
        if value is None:
            kept.pop(name, None)
        else:
            kept[name] = value
    if len(kept) > EXTDATA_MAX:
        raise invalid(FieldError("extdata", "too_many", {"max": EXTDATA_MAX}))
    return _plain.encode(kept).decode() if kept else None


def _own_id(id_: int) -> int:
    if not 0 < id_ <= INT64_MAX:
        raise invalid(FieldError("ID", "out_of_range", {"min": 1, "max": INT64_MAX}))
    return id_


def _known_id(id_: int) -> int:
    if not 0 < id_ <= INT64_MAX:
        raise not_found("row_not_found", id=str(id_)[:20])
    return id_


def _id_or_none(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 < value <= INT64_MAX else None


def _distinct(refs: Iterable[StreamRef]) -> tuple[StreamRef, ...]:
    """A stream that is both read and written is written."""
    found: dict[str, StreamRef] = {}
    for ref in refs:
        if ref.name not in found or found[ref.name].reads:
            found[ref.name] = ref
    return tuple(found.values())
