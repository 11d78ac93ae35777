"""Items: articles, written as the ERP writes its rows, by who may write there. The till's own commands stay beside these; what both write
are the events of articles.

Commands ``item.create``, ``item.change`` and ``item.delete``, with the bodies and answers of every record of the ERP.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from libs.contracts.inventory.items import CHOSEN_ID_MIN, ITEM, STORED, TODAY
from libs.contracts.inventory.records import ARTICLE, ARTICLE_GROUP, MODEL
from libs.contracts.resources import RESOURCES
from libs.domain.access import Access, Rights
from libs.domain.decider import Claim, Command, CommandType, Decision, Lookup, States, StreamRef
from libs.domain.errors import DomainError, FieldError, Kind, conflict, invalid, not_found, unavailable
from libs.domain.etags import etag
from libs.domain.events import Event, Recorded
from libs.domain.fields import INT64_MAX
from libs.domain.ids import key_of
from libs.domain.records import INT32_MAX, FieldType
from libs.projections.tables import Statement
from libs.records import engine
from libs.records.access import RowRights, access_of
from libs.records.numbered import Change, Create, Delete, Dropped, Family, Written, filled, merged
from libs.records.state import RecordState
from libs.records.validate import accept
from services.inventory.records import ARTICLES, GROUPS

GROUP: Final = "ERP"  # the article group of items that were created here
GROUPS_MAX: Final = 50  # of that name, deleted one after the other
GROUP_KEYS: Final = tuple(f"{ARTICLE_GROUP.prefix}_erp{number}" for number in range(1, GROUPS_MAX + 1))
ARCHIVED, DELETED = 1, 2
PARTLY: Final = ("tags", "+tags", "-tags", "extdata")  # fields of which a write may name a part
ROW: Final = ("id", "key", "creator", "tax_class", "ownergroup")
CHOSEN: Final = f"{ARTICLE.name}.ID"
_CREATE, _CHANGE, _DELETE = ARTICLES.commands()
_CLASS_OF_RATE: Final = Statement(
    "select c.tax_class from (select distinct on (r.tax_class) r.tax_class, r.rate from {inventory.tax_rates} r "
    f"where r.instance = $1 and r.valid_from <= {TODAY} order by r.tax_class, r.valid_from desc) c "
    "where c.rate = $2 order by c.tax_class = $3 desc, c.tax_class limit 1"
)


class CreateItem(Create, frozen=True, kw_only=True):
    """``group``: the article group it goes to, ``made`` if that is there already; ``model``: the key of the article it refers to."""

    group: str = ""
    made: bool = False
    model: str = ""


class ChangeItem(Change, frozen=True, kw_only=True):
    """``key``: of the article; ``model``: of the one it refers to."""

    key: str = ""
    model: str = ""


class DeleteItem(Delete, frozen=True, kw_only=True):
    key: str = ""


class Facts(msgspec.Struct, frozen=True):
    """``missing``: fields that refer to what is not there, or to what the caller does not see; ``tax_class``: that of the rate that is
    wanted, the article's own if it has that rate; ``creator``: the ID of who made it; ``in_use``: the till refers to it."""

    access: Access
    missing: tuple[str, ...] = ()
    tax_class: int | None = None
    creator: int | None = None
    in_use: bool = False


def _stream(key: str) -> str:
    return ARTICLES.aggregate.stream(key)


class Items:
    """``family``: of inventory, for what goes with an item."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def commands(self) -> tuple[CommandType, ...]:
        return (
            CommandType("item.create", CreateItem, _create_streams, _create, _created, "", _create_facts, _placed),
            CommandType("item.change", ChangeItem, _change_streams, _change, _changed, "", _change_facts, _found),
            CommandType("item.delete", DeleteItem, self._delete_streams, self._delete, self._dropped, "", _delete_facts, self._followed),
        )

    async def _followed(self, command: Command[DeleteItem], lookup: Lookup) -> Command[DeleteItem]:
        command = await _found(command, lookup)
        along = await self._family.along(lookup, command.instance, ITEM.resource, (command.body.id,))
        return await self._family.heard(_filled_in(command, along=along), lookup, self._family.pending(along))

    def _delete_streams(self, command: Command[DeleteItem]) -> tuple[StreamRef, ...]:
        own = _own(command.body.key)
        more = (*self._family.refs(command.body.along), *self._family.also(command.body.also))
        return (*own, *(ref for ref in more if ref.name != own[0].name))

    def _delete(self, states: States, command: Command[DeleteItem], facts: Facts) -> Decision:
        key = command.body.key
        _writable(states, command, facts)
        if facts.in_use:
            raise conflict("row_in_use")
        deleted = _DELETE.decide(states, _as(command, engine.Delete(key=key)), False)
        along = self._family.taken_along(states, [one for one in command.body.along if one.key != key])
        given_up = ARTICLES.claims(states[_stream(key)].values, _stream(key))
        decided = Decision(
            {**deleted.writes, **along.writes}, take=along.take, give_up=(*given_up, *_chosen(command.body.id, key), *along.give_up)
        )
        return self._family.follow(states, decided, self._family.written(states, command.body.along), {}, command.at)

    def _dropped(self, _: States, command: Command[DeleteItem], recorded: Sequence[Recorded]) -> Dropped:
        return self._family.dropped(recorded, (ITEM.resource, command.body.id), command.body.along)


# --- what only query tables know ----------------------------------------------------------------------------------------------


async def _placed(command: Command[CreateItem], lookup: Lookup) -> Command[CreateItem]:
    """New items go to a group of their own. Its key is known beforehand, so two who need it first make one; when somebody deleted it, the
    next key is taken."""
    there = await lookup.rows("inventory.article_groups", command.instance, GROUP_KEYS, ("key",))
    gone = {} if there else await lookup.rows("inventory.article_groups_gone", command.instance, GROUP_KEYS, ("key",))
    group = next((key for key in GROUP_KEYS if key in there or (not there and key not in gone)), "")
    if not group:
        raise conflict("too_many_records", max=GROUPS_MAX)
    return _filled_in(command, group=group, made=bool(there), model=await _model(command, lookup))


async def _found(command: Command[Any], lookup: Lookup) -> Command[Any]:
    """With the article's key, also of one that is gone: whoever repeats a write then still gets its answer."""
    id_ = command.body.id
    for table in ("inventory.articles", "inventory.articles_gone") if 0 < id_ <= INT32_MAX else ():
        rows = await lookup.rows(table, command.instance, [str(id_)], ("id", "key"), "id")
        if str(id_) in rows:
            model = {"model": await _model(command, lookup)} if isinstance(command.body, ChangeItem) else {}
            return _filled_in(command, key=rows[str(id_)][0]["key"], **model)
    raise not_found("row_not_found", id=str(id_)[:20])


async def _model(command: Command[CreateItem] | Command[ChangeItem], lookup: Lookup) -> str:
    id_ = command.body.values.get("model")
    if not isinstance(id_, int) or not 0 < id_ <= INT32_MAX:
        return ""
    rows = await lookup.rows("inventory.articles", command.instance, [str(id_)], ("id", "key"), "id")
    return str(rows[str(id_)][0]["key"]) if str(id_) in rows else ""


def _filled_in(command: Command[Any], **fields: Any) -> Command[Any]:
    return msgspec.structs.replace(command, body=msgspec.structs.replace(command.body, **fields))


async def _create_facts(command: Command[CreateItem], lookup: Lookup) -> Facts:
    access = await access_of(lookup, command.principal)
    _require_module(access, write=True)
    values = command.body.values
    await _require_free(command, lookup)
    missing = await _missing(command, values, lookup, access)
    return Facts(access, missing, await _tax_class(command, values.get("taxrate"), -1, lookup))


async def _change_facts(command: Command[ChangeItem], lookup: Lookup) -> Facts:
    access = await access_of(lookup, command.principal)
    _require_module(access, write=False)
    row = await _row(command, lookup)
    if row is None:
        return Facts(access)  # the stream knows whether it is there
    values = command.body.values
    users = await lookup.rows("auth.users", command.instance, [row["creator"]], ("key", "id")) if "creator" in values else {}
    creator = users[row["creator"]][0]["id"] if row["creator"] in users else None
    missing = await _missing(command, values, lookup, access)
    class_ = await _tax_class(command, values["taxrate"], row["tax_class"], lookup) if "taxrate" in values else None
    return Facts(access, missing, class_, creator)


async def _delete_facts(command: Command[DeleteItem], lookup: Lookup) -> Facts:
    access = await access_of(lookup, command.principal)
    _require_module(access, write=False)
    assert _DELETE.facts is not None
    return Facts(access, in_use=await _DELETE.facts(_as(command, engine.Delete(key=command.body.key)), lookup))


async def _row(command: Command[ChangeItem], lookup: Lookup) -> Any | None:
    id_ = str(command.body.id)
    rows = await lookup.rows("inventory.articles", command.instance, [id_], ROW, "id")
    return rows[id_][0] if id_ in rows else None


async def _missing(command: Command[Any], values: Mapping[str, Any], lookup: Lookup, access: Access) -> tuple[str, ...]:
    rights = RowRights(lookup, RESOURCES, access, command.instance)
    missing = []
    for field in ITEM.fields:
        id_ = values.get(field.name)
        if field.type is FieldType.ID and isinstance(id_, int) and 0 < id_ <= INT64_MAX:
            row, allowed = await rights.find(field.refers, id_)
            if row is None or not allowed.sees:
                missing.append(field.name)
    return tuple(missing)


async def _tax_class(command: Command[Any], rate: Any, own: int, lookup: Lookup) -> int | None:
    """None if none has this rate today. No rate is a rate of 0."""
    try:
        wanted = Decimal(0) if rate is None else Decimal(rate)
    except (InvalidOperation, TypeError, ValueError):
        return None
    rows = await lookup.fetch(_CLASS_OF_RATE, command.instance, wanted, own) if wanted.is_finite() else []
    return int(rows[0]["tax_class"]) if rows else None


async def _require_free(command: Command[CreateItem], lookup: Lookup) -> None:
    """An ID that a client chose is one that Theke never gives out."""
    id_ = command.body.id
    if id_ is None:
        return
    if 0 < id_ <= INT32_MAX and await lookup.rows("inventory.articles", command.instance, [str(id_)], ("id",), "id"):
        raise conflict("id_present")
    if not CHOSEN_ID_MIN <= id_ <= INT32_MAX:
        raise invalid(FieldError("ID", "out_of_range", {"min": CHOSEN_ID_MIN, "max": INT32_MAX}))


# --- streams ------------------------------------------------------------------------------------------------------------------


def _own(key: str) -> tuple[StreamRef, ...]:
    return (StreamRef(ARTICLES.aggregate, key),)


def _model_ref(model: str, own: str = "") -> tuple[StreamRef, ...]:
    return (StreamRef(ARTICLES.aggregate, model, reads=True),) if model and model != own else ()


def _create_streams(command: Command[CreateItem]) -> tuple[StreamRef, ...]:
    body = command.body
    own = StreamRef(ARTICLES.aggregate, key_of(ARTICLE.prefix, command.id), new=True)
    group = (StreamRef(GROUPS.aggregate, body.group, reads=body.made),) if body.group else ()
    return (own, *group, *_model_ref(body.model))


def _change_streams(command: Command[ChangeItem]) -> tuple[StreamRef, ...]:
    return (*_own(command.body.key), *_model_ref(command.body.model, command.body.key))


# --- deciding -----------------------------------------------------------------------------------------------------------------


def _create(states: States, command: Command[CreateItem], facts: Facts) -> Decision:
    body = command.body
    accepted = accept(ITEM, merged(ITEM, {}, filled(ITEM, body.values, create=True)), create=True, also=_also(body.values, facts))
    _require_row(states, {**{field.name: field.default for field in ITEM.fields}, **accepted}, body.model, facts)
    values = {
        **_of_article({"sellingprice": Decimal(0), **accepted}), "tax_class": facts.tax_class, "group_key": body.group,
        "chosen_id": body.id,
    }  # fmt: skip
    group = GROUPS.aggregate.stream(body.group)
    there = states[group].exists
    if body.made and not there:
        raise unavailable("tables_not_ready")  # it went this moment
    known = {**states, group: states[group] if there else RecordState(key=body.group, version=1)}
    decided = _CREATE.decide(known, _as(command, engine.Create(values=values)), ())
    chosen = _chosen(body.id or 0, key_of(ARTICLE.prefix, command.id))
    first: Mapping[str, Sequence[Event]] = {} if there else {group: [GROUPS.events.created(name=GROUP)]}
    return Decision({**decided.writes, **first}, take=(*decided.take, *chosen))


def _chosen(id_: int, key: str) -> tuple[Claim, ...]:
    """Two who choose the same ID do not both get it."""
    return (Claim(CHOSEN, str(id_), _stream(key)),) if id_ >= CHOSEN_ID_MIN else ()


def _change(states: States, command: Command[ChangeItem], facts: Facts) -> Decision:
    state = _writable(states, command, facts)
    before = _of_item(state, facts)
    body = command.body
    named = {name: value for name, value in filled(ITEM, body.values).items() if name in PARTLY or value != before.get(name, ...)}
    given = accept(ITEM, merged(ITEM, state.values, named), create=False, also=_also(named, facts))
    changed = {name: value for name, value in given.items() if value != before.get(name, ...)}
    faults = [FieldError(name, "fixed") for name in changed if ITEM.field(name).fixed]
    if not facts.access.admin:
        faults += [FieldError(name, "only_read") for name in ("creator", "creationdate") if name in changed]
    if faults:
        raise invalid(*faults)
    _require_row(states, {**before, **changed}, body.model, facts, own=body.key)
    values = _of_article(changed)
    if "taxrate" in changed:
        values["tax_class"] = facts.tax_class
    return _CHANGE.decide(states, _as(command, engine.Change(key=body.key, values=values)), ())


def _also(values: Mapping[str, Any], facts: Facts) -> tuple[FieldError, ...]:
    """What look-ups found at fault."""
    faults = [FieldError(name, "no_such_row", {"id": str(values[name])}) for name in facts.missing if name in values]
    if "taxrate" in values and facts.tax_class is None:
        faults.append(FieldError("taxrate", "not_known", {"value": str(values["taxrate"])[:50]}))
    return tuple(faults)


def _require_module(access: Access, *, write: bool) -> None:
    wanted = ITEM.write or ()
    if not (access.may_write(wanted) if write else access.may_read(ITEM.read)):
        raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": ", ".join(wanted)})


def _writable(states: States, command: Command[ChangeItem] | Command[DeleteItem], facts: Facts) -> RecordState:
    """What is not seen is not there; what is only seen may not be written."""
    state: RecordState = states[_stream(command.body.key)]
    rights = _rights(facts.access, state.values)
    if not state.exists or not rights.sees:
        raise not_found("row_not_found", id=str(command.body.id))
    _require_module(facts.access, write=True)
    if not rights.writes:
        raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": "ownergroup"})
    if_match = command.body.if_match
    if if_match and etag(command.instance, ARTICLE.name, state.id, state.version) not in if_match:
        raise DomainError(Kind.PRECONDITION_FAILED, "version_mismatch", {"version": state.version})
    return state


def _rights(access: Access, values: Mapping[str, Any]) -> Rights:
    return access.rights(None, values.get("ownergroup"))


def _require_row(states: States, row: Mapping[str, Any], model: str, facts: Facts, *, own: str = "") -> None:
    """The caller's own right to the row afterwards comes before everything else."""
    rights = _rights(facts.access, row)
    if not rights.sees:
        raise DomainError(Kind.GONE, "row_gone", {"id": str(row.get("ID", ""))})
    if not rights.writes:
        raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": "ownergroup"})
    faults: list[FieldError] = [fault for rule in ITEM.rules for fault in rule.broken(row)]
    if model and not faults:
        target: RecordState = states[_stream(model)]
        if not target.exists:
            faults.append(FieldError("model", "no_such_row", {"id": str(row.get("model"))}))
        elif model == own or target.values["type"] != MODEL:
            faults.append(FieldError("model", "not_a_model"))
    if faults:
        raise invalid(*faults)


def _of_item(state: RecordState, facts: Facts) -> dict[str, Any]:
    """An article's values under the names of the item; its tax rate is not among them."""
    values = state.values
    assert state.created_at is not None
    item = {name: values.get(STORED.get(name, name)) for name in _names() if name != "taxrate"}
    item |= {name: "" for name, value in item.items() if value is None and ITEM.field(name).type is FieldType.TEXT}
    item |= {name: Decimal(0) for name, value in item.items() if value is None and ITEM.field(name).type is FieldType.DECIMAL}
    return {
        **item,
        "ID": state.id,
        "creationdate": values["given_date"] if values["given_date"] is not None else int(state.created_at.timestamp()),
        "creator": values["given_creator"] or facts.creator,
        "visibility": 0 if values["is_active"] else DELETED if values["discarded"] else ARCHIVED,
    }


def _of_article(item: Mapping[str, Any]) -> dict[str, Any]:
    """What an article keeps of it: no text is none. The tax class is not among it."""
    values: dict[str, Any] = {}
    for name, value in item.items():
        if name == "visibility":
            values |= {"is_active": value == 0, "discarded": value == DELETED}
        elif name != "taxrate":
            none = ITEM.field(name).type is FieldType.TEXT and not value
            values[STORED.get(name, name)] = None if none else value
    return values


def _names() -> Iterable[str]:
    return (field.name for field in ITEM.kept)


def _as(command: Command[Any], body: Any) -> Command[Any]:
    return msgspec.structs.replace(command, body=body)


# --- answers ------------------------------------------------------------------------------------------------------------------


def _created(states: States, command: Command[CreateItem], _: Sequence[Recorded]) -> Written:
    return _written(states[_stream(key_of(ARTICLE.prefix, command.id))])


def _changed(states: States, command: Command[ChangeItem], _: Sequence[Recorded]) -> Written:
    return _written(states[_stream(command.body.key)])


def _written(state: RecordState) -> Written:
    """Its row is read from the tables: it shows a tax rate, which is not in the article's stream."""
    return Written(state.id, state.version, b"")
