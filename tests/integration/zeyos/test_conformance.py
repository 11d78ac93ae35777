"""The ERP's dialect against the facts of its document, resource by resource, over HTTP: every operation with every status it lists, every
field written and read, every bound and choice violated, every reference followed, every rule kept and broken."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from decimal import Decimal
from itertools import count
from typing import Any, Final

import pytest

from libs.contracts.inventory.items import CHOSEN_ID_MIN
from libs.domain.fields import ENTITIES
from libs.domain.records import Unique
from libs.domain.rules import (
    AtMostOne,
    Distinct,
    ExactlyOne,
    OnlyWhen,
    Rule,
    is_empty,
)
from tests.conformance.test_erp_declarations import FACTS
from tests.house import Theke
from tests.integration.dikas.erp import Reply
from tests.integration.zeyos.document import (
    A_MODEL,
    ALLOWED,
    ONLY_READ,
    RESOURCES,
    SET_BY_THEKE,
    WRITTEN,
    Ref,
    default,
    fields_of,
    is_as,
    is_fixed,
    named,
    place,
    plain,
    record_of,
    right,
    shown,
    value_of,
    wrong,
)
from tests.integration.zeyos.lots import GOES_WITH, as_form, variants
from tests.integration.zeyos.people import People, Person
from tests.integration.zeyos.rows import NEW, broken, completed, rules_of, writable
from tests.integration.zeyos.rule_cases import Case, cases
from tests.integration.zeyos.score import Score
from tests.integration.zeyos.stage import Stage, of_every_answer
from tests.integration.zeyos.unreachable import UNREACHABLE

_fresh = count()
ABSENT: Final = 2**31 - 5
STALE: Final = '"0123456789abcdef0123456789abcdef"'
EVERYBODY: Final = tuple(RESOURCES)


@pytest.fixture(scope="module")
async def score(request: pytest.FixtureRequest) -> Score:
    score = Score()

    class Summary:
        @staticmethod
        def pytest_terminal_summary(terminalreporter: Any) -> None:
            terminalreporter.section("the ERP's document")
            for line in score.lines(UNREACHABLE):
                terminalreporter.write_line(line)

    request.config.pluginmanager.register(Summary())
    return score


@pytest.fixture(scope="module")
async def stage(theke: Theke, score: Score) -> AsyncIterator[Stage]:
    inn = await theke.inn()
    people = People(inn)
    stage = Stage(inn, people, score)
    await stage.open()
    yield stage
    await people.close()
    await inn.close()


async def together(*asked: Awaitable[Any]) -> list[Any]:
    return list(await asyncio.gather(*asked))


# --- operations ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resource", EVERYBODY)
async def test_operations_answer_every_status_they_list(stage: Stage, resource: str) -> None:
    kinds = {operation["kind"]: operation["responses"] for operation in RESOURCES[resource]["operations"]}
    row = await stage.rows.make(resource)
    id_ = int(row["ID"])
    await together(
        _unauthenticated(stage, resource, kinds, id_),
        _read(stage, resource, kinds, id_),
        _forbidden(stage, resource, kinds, id_),
        *((_written(stage, resource, kinds),) if "create" in kinds else ()),
    )
    stage.finished("operations", resource)


async def _unauthenticated(stage: Stage, resource: str, kinds: Mapping[str, Any], id_: int) -> None:
    await together(*(stage.status(stage.admin, kind, resource, 401, id_, {}, token="") for kind in kinds))
    await stage.status(stage.admin, "list", resource, 401, id_, {}, token="0" * 40)


async def _read(stage: Stage, resource: str, kinds: Mapping[str, Any], id_: int) -> None:
    score, admin = stage.score, stage.admin
    listed = await stage.status(admin, "list", resource, 200, body={"filters": {"ID": id_}})
    rows = listed.json if listed.status == 200 else []
    if [row["ID"] for row in rows] != [id_]:
        score.fault(resource, "list 200", f"not the row: {rows}")
    counted = (await stage.ask(admin, "list", resource, body={"filter": {"ID": [id_, ABSENT]}, "count": True})).json
    if counted != {"count": 1}:
        score.fault(resource, "list 200", f"counted {counted}")
    slash = await admin.ask("POST", f"api/v1/{resource}/", form={"fields[]": "ID", "filters[ID]": str(id_)})
    if slash.status != 200 or slash.json != [{"ID": id_}]:
        score.fault(resource, "list 200", f"by form, with a slash: {slash}")
    if "get" not in kinds:
        return
    got = await stage.status(admin, "get", resource, 200, id_)
    if rows and got.json != rows[0]:
        score.fault(resource, "get 200", f"unlike its list: {got.json} {rows[0]}")
    if list(got.json) != list(fields_of(resource)):
        score.fault(resource, "get 200", f"other columns: {list(got.json)}")
    exists = await stage.status(admin, "exists", resource, 204, id_)
    if exists.headers.get("ETag") != got.tag:
        score.fault(resource, "exists 204", "another tag")
    for kind, tag in (("get", got.tag), ("exists", f"W/{got.tag}"), ("get", f'"a", {got.tag}'), ("exists", "*")):
        await stage.status(admin, kind, resource, 304, id_, headers={"If-None-Match": tag})
    for kind in ("get", "exists"):
        await stage.status(admin, kind, resource, 404, ABSENT)
        await stage.status(admin, kind, resource, kinds[kind][0], id_, headers={"If-None-Match": STALE})


async def _written(stage: Stage, resource: str, kinds: Mapping[str, Any]) -> None:
    """One row through its life."""
    score, admin, rows = stage.score, stage.admin, stage.rows
    values = await rows.wanted(resource)
    made = await stage.status(admin, "create", resource, 201, body=values)
    row = made.json
    id_, body = row["ID"], {name: row[name] for name in patchable(resource, values)}
    if made.headers.get("Content-Location") != f"/{stage.inn.name}/api/v1/{resource}/{id_}":
        score.fault(resource, "create 201", "no Content-Location")
    await stage.status(admin, "create", resource, 409, body={**await rows.wanted(resource), "ID": id_})
    got = await stage.ask(admin, "get", resource, id_)
    if (got.tag, got.json) != (made.tag, row):
        score.fault(resource, "create 201", f"shown otherwise afterwards: {got.json} {row}")
    same = await stage.status(admin, "update", resource, 200, id_, {**body, "ID": id_, "lastmodified": 5}, headers={"If-Match": made.tag})
    if (same.headers.get("ETag"), same.raw) != (made.tag, made.raw):
        score.fault(resource, "update 200", f"nothing changed, and yet: {same}")
    await stage.status(admin, "update", resource, 409, id_, {**body, "ID": id_ + 1})
    changed = await stage.status(
        admin, "update", resource, 200, id_, await a_change(stage, resource), headers={"If-Match": f"{STALE}, {made.tag}"}
    )
    if changed.headers.get("ETag") == made.tag:
        score.fault(resource, "update 200", f"the tag stays: {changed.json}")
    got = await stage.ask(admin, "get", resource, id_)
    if (got.tag, got.json) != (changed.headers.get("ETag"), changed.json):
        score.fault(resource, "update 200", "shown otherwise afterwards")
    for kind in ("update", "delete"):
        for tag in (made.tag, f"W/{got.tag}"):
            await stage.status(admin, kind, resource, 412, id_, body, headers={"If-Match": tag})
        await stage.status(admin, kind, resource, 404, ABSENT, body)
    await _gone(stage, resource, kinds, id_)
    await stage.status(admin, "delete", resource, 204, id_, headers={"If-Match": got.tag})
    for kind in ("get", "exists", "update", "delete"):
        await stage.status(admin, kind, resource, 404, id_, body)
    again = await stage.ask(admin, "create", resource, body={**await rows.wanted(resource), "ID": id_})
    if resource == "items":  # whose IDs are those of articles, which are never given twice
        again = await stage.ask(admin, "create", resource, body={**await rows.wanted(resource), "ID": CHOSEN_ID_MIN + 5})
    if again.status != 201 or again.tag in (made.tag, got.tag):
        score.fault(resource, "create 201", f"the ID of a row that was deleted: {again}")
    await _chosen_id(stage, resource)


async def _chosen_id(stage: Stage, resource: str) -> None:
    wanted = await stage.rows.wanted(resource)
    chosen = CHOSEN_ID_MIN + place(resource, "ID") + EVERYBODY.index(resource)
    made = await stage.ask(stage.admin, "create", resource, body={**wanted, "ID": chosen})
    if made.status != 201 or made.json["ID"] != chosen:
        stage.score.field(resource, "ID", "chosen by the client", holds=False, found=made)
    for id_ in (0, "x", 2**63, True):
        reply = await stage.ask(stage.admin, "create", resource, body={**wanted, "ID": id_})
        if reply.status != 400 or named(reply.text) != {"ID"}:
            stage.score.field(resource, "ID", "refused", holds=False, found=f"{id_} {reply}")


def patchable(resource: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if not is_fixed(resource, name)]


async def a_change(stage: Stage, resource: str) -> dict[str, Any]:
    """A field that can always change."""
    facts = fields_of(resource)
    for name in patchable(resource, facts):
        if plain(facts[name]) and not {name} & _in_rules(resource):
            return {name: right(facts[name], 1)}
    name = next(name for name in patchable(resource, facts) if facts[name].get("required") or name == "creator")
    return await stage.rows.resolved({name: right(facts[name], 1)})


def _in_rules(resource: str) -> set[str]:
    return {name for rule in rules_of(resource) for name in touched(rule)}


def touched(rule: Rule) -> set[str]:
    single = {getattr(rule, name, "") for name in ("field", "other", "first", "second")} - {""}
    when = getattr(rule, "when", None)
    return single | set(getattr(rule, "fields", ())) | ({when.field} if when else set())


async def _gone(stage: Stage, resource: str, kinds: Mapping[str, Any], id_: int) -> None:
    """410: what a row depends on is not there, or its writer would not see it afterwards."""
    depends = RESOURCES[resource]["depends_on"] or {}
    parents = [*depends.get("all_of", ()), *depends.get("any_of", ())]
    wanted = await stage.rows.wanted(resource)
    if not parents and resource == "entities2channels":
        parents = ["channel"]
    for parent in parents:
        others = {name: None for name in parents if name != parent and "any_of" in depends}
        lost = {**others, parent: ABSENT}
        if 410 in kinds["create"]:
            await stage.status(stage.admin, "create", resource, 410, body={**wanted, **lost})
        await stage.status(stage.admin, "update", resource, 410, id_, lost)
    if not parents and "ownergroup" in fields_of(resource):
        hidden = {"ownergroup": stage.foreign_group}
        if 410 in kinds["create"]:
            await stage.status(stage.writer, "create", resource, 410, body={**wanted, **hidden, **_own(stage, resource)})
        row = await _row_of(stage, stage.writer, resource)
        await stage.status(stage.writer, "update", resource, 410, row, hidden)


def _own(stage: Stage, resource: str) -> dict[str, Any]:
    return {"creator": stage.writer.id} if "creator" in fields_of(resource) else {}


async def _row_of(stage: Stage, who: Person, resource: str, **values: Any) -> int:
    """A row that somebody made."""
    reply = await stage.ask(who, "create", resource, body=await stage.rows.wanted(resource, **values))
    assert reply.status == 201, (resource, reply)
    return int(reply.json["ID"])


async def _forbidden(stage: Stage, resource: str, kinds: Mapping[str, Any], id_: int) -> None:
    facts = RESOURCES[resource]
    await stage.status(stage.writer, "list", resource, 403, body={"export": True})  # is for administrators
    if facts["read"]["any_of"]:
        await stage.status(stage.nobody, "list", resource, 403, body={})
        if "get" in kinds:
            await stage.status(stage.nobody, "get", resource, 403, id_)
            if (await stage.ask(stage.nobody, "exists", resource, id_)).status != 404:
                stage.score.fault(resource, "exists 404", "what one may not read is there")
    if "create" not in kinds:
        return
    wanted = await stage.rows.wanted(resource)
    if facts["write"]["any_of"]:
        change = await a_change(stage, resource)
        for who in (stage.nobody, stage.reader):
            await stage.status(who, "create", resource, 403, body=wanted)
            await stage.status(who, "update", resource, 403, id_, change)
            await stage.status(who, "delete", resource, 403, id_)
    if facts["write"].get("creator"):
        await stage.status(stage.writer, "create", resource, 403, body={**wanted, "creator": stage.reader.id})
        mine = int((await stage.rows.make(resource))["ID"])
        await stage.status(stage.writer, "update", resource, 403, mine, await a_change(stage, resource))
        await stage.status(stage.writer, "delete", resource, 403, mine)
    elif "ownergroup" in fields_of(resource):
        held = {"ownergroup": stage.read_group}
        await stage.status(stage.writer, "create", resource, 403, body={**wanted, **held})
        theirs = int((await stage.rows.make(resource, **held))["ID"])
        await stage.status(stage.writer, "update", resource, 403, theirs, await a_change(stage, resource))
        await stage.status(stage.writer, "delete", resource, 403, theirs)
    await _forbidden_above(stage, resource)


async def _forbidden_above(stage: Stage, resource: str) -> None:
    """A row whose parent is only read is only read itself."""
    record = record_of(resource)
    for name in record.parents if record is not None else ():
        parent = fields_of(resource)[name]["ref"]
        if "ownergroup" not in fields_of(parent):
            continue
        held = {name: (await stage.rows.make(parent, ownergroup=stage.read_group))["ID"]}
        others = {other: None for other in record.parents if other != name and record.any_parent} if record is not None else {}
        below = {**others, **held, **({"creator": stage.writer.id} if record is not None and record.creator_writes else {})}
        await stage.status(stage.writer, "create", resource, 403, body=await stage.rows.wanted(resource, **below))
        theirs = int((await stage.rows.make(resource, **below))["ID"])
        await stage.status(stage.writer, "update", resource, 403, theirs, await a_change(stage, resource))
        await stage.status(stage.writer, "delete", resource, 403, theirs)


# --- fields -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resource", WRITTEN)
async def test_fields_are_written_and_read(stage: Stage, resource: str) -> None:
    names = writable(resource)
    await together(
        _created(stage, resource, names),
        _changed(stage, resource, names),
        _absent(stage, resource),
        _missing(stage, resource, names),
    )
    stage.finished("fields", resource)


async def _created(stage: Stage, resource: str, names: list[str]) -> None:
    """By JSON and by form."""
    base = await stage.rows.wanted(resource)
    for lot in variants(resource, 0, names, base):
        for form in (False, True):
            values = await stage.rows.wanted(resource, **{**lot, **_new(resource, lot)})
            reply = await stage.rows.erp.ask("PUT", f"api/v1/{resource}", **({"form": as_form(values)} if form else {"body": values}))
            if reply.status != 201:
                for name in named(reply.text) & {*names} or {"create 201"}:
                    stage.score.fault(resource, name, f"created {'by form ' if form else ''}as {values.get(name)!r}: {reply.text}")
                continue
            compare(stage.score, resource, "by form" if form else "created", values, reply.json)
            if not form:
                await _reads_back(stage, resource, values, reply)


def _new(resource: str, lot: Mapping[str, Any]) -> dict[str, Any]:
    """What no two rows may have alike, in place of what others share."""
    record, facts = record_of(resource), fields_of(resource)
    unique = {name for one in (record.uniques if record is not None else ()) for name in one.fields} | {*NEW.get(resource, ())}
    fresh: dict[str, Any] = {}
    for name in unique & lot.keys() - {"creator"}:
        if "ref" in facts[name]:
            fresh[name] = Ref(facts[name]["ref"], 1000 + next(_fresh))
        elif "ref_by" in facts[name]:
            fresh[name] = Ref(str(lot.get(facts[name]["ref_by"], "accounts")), 1000 + next(_fresh))
        elif facts[name]["type"] == "string" and "enum" not in facts[name] and (resource, name) not in ALLOWED:
            fresh[name] = right(facts[name], 5)
    return fresh


async def _reads_back(stage: Stage, resource: str, values: Mapping[str, Any], reply: Reply) -> None:
    """By itself, in a list, expanded, and through its references."""
    score, row = stage.score, reply.json
    facts, id_ = fields_of(resource), row["ID"]
    expandable = RESOURCES[resource]["expandable"]
    joins = [name for name, fact in facts.items() if "ref" in fact and fact["type"] == "integer"]
    path = f"api/v1/{resource}/{id_}"
    got, listed, expanded, joined = await together(
        stage.admin.ask("GET", path),
        stage.admin.ask("POST", f"api/v1/{resource}", {"filters": {"ID": id_}}),
        stage.admin.ask("GET", f"{path}?expand={','.join(expandable)}"),
        stage.admin.ask("POST", f"api/v1/{resource}", {"fields": [f"{name}.ID" for name in joins] or ["ID"], "filters": {"ID": id_}}),
    )
    for name in facts:
        same = got.status == listed.status == 200 and row.get(name) == got.json.get(name) == listed.json[0].get(name) and name in row
        score.field(resource, name, "read", holds=same, found=f"{row.get(name, '(nothing)')!r}, {got.raw[:200]!r}, {listed.raw[:200]!r}")
        if name in expandable and name in values:
            cell = expanded.json.get(name) if expanded.status == 200 else expanded
            ok = is_as(cell, values[name])
            score.field(resource, name, "expanded", holds=ok, found=f"{cell!r} {values[name]!r}")
        if name in joins:
            there = joined.json[0].get(f"{name}.ID") if joined.status == 200 else joined
            score.field(resource, name, "followed", holds=there == row.get(name), found=f"{there!r} {row.get(name)!r}")


def compare(score: Score, resource: str, what: str, values: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if name in SET_BY_THEKE:
            continue
        fact = fields_of(resource)[name]
        found = row.get(name, "(nothing)")
        with contextlib.suppress(ValueError):
            found = shown(fact, found) if name in row else found
        score.field(
            resource,
            name,
            what,
            holds=is_as(found, value) or (fact["type"] == "binfile-field" and isinstance(found, int)),
            found=f"{value!r} → {found!r}",
        )


async def _changed(stage: Stage, resource: str, names: list[str]) -> None:
    """Other values, then null where there may be none."""
    facts, score = fields_of(resource), stage.score
    base = await stage.rows.wanted(resource)
    for lot in variants(resource, 1, patchable(resource, names), base):
        fixed = {name: value for name, value in lot.items() if is_fixed(resource, name)}
        row = await stage.rows.make(resource, **await stage.rows.resolved(fixed))
        id_ = row["ID"]
        lot = {**lot, **_new(resource, lot), **_emptied(resource, lot, row)}
        values = await stage.rows.resolved({name: value for name, value in lot.items() if name not in fixed})
        reply = await stage.ask(stage.admin, "update", resource, id_, values)
        if reply.status != 200:
            for name in named(reply.text) & {*names} or {"update 200"}:
                score.fault(resource, name, f"changed to {values.get(name)!r}: {reply.text}")
            continue
        compare(score, resource, "changed", values, reply.json)
        kept = {name: value for name, value in row.items() if name not in values and name != "lastmodified"}
        compare(score, resource, "left alone", {name: shown(facts[name], value) for name, value in kept.items()}, reply.json)
        compare(score, resource, "read after a change", values, (await stage.ask(stage.admin, "get", resource, id_)).json)
        none = {
            name: None
            for name in values
            if facts[name].get("nullable")
            and (resource, name) not in NEVER_NULL
            and not broken(resource, {**base, **row, **values, name: None})
        }
        if none and not broken(resource, {**base, **row, **values, **none}):
            emptied = await stage.ask(stage.admin, "update", resource, id_, none)
            compare(score, resource, "null", none, emptied.json if emptied.status == 200 else {"": emptied.text})


NEVER_NULL: Final = (("items", "creator"),)  # the till's log knows who made an article


def _emptied(resource: str, lot: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row has already and no longer may."""
    facts = fields_of(resource)
    exclusive = [rule.fields for rule in rules_of(resource) if isinstance(rule, AtMostOne | ExactlyOne)]
    others = {name for fields in exclusive if not lot.keys().isdisjoint(fields) for name in fields if name not in lot}
    return {name: "" if facts[name]["type"] == "string" else None for name in others if not is_empty(row.get(name))}


async def _absent(stage: Stage, resource: str) -> None:
    """Defaults, from rows of which only the least was said."""
    whole = await stage.rows.wanted(resource)
    await _defaults(stage, resource, whole)
    besides = {name for name in whole if not fields_of(resource)[name].get("required")}
    if besides:
        values = await stage.rows.wanted(resource, **INSTEAD.get(resource, {}))
        await _defaults(
            stage, resource, {name: value for name, value in values.items() if name not in besides - INSTEAD.get(resource, {}).keys()}
        )


# what else makes a row that is whole
INSTEAD: Final[Mapping[str, Mapping[str, Any]]] = {
    "accounts": {"firstname": "Ada"},
    "contacts": {"firstname": "Ada"},
    "coupons": {"type": 1},
    "devices": {"chargenum": "C-1"},
    "files": {"comment": Ref("comments", 0)},
    "participants": {"campaign": Ref("campaigns", 0)},
}


async def _defaults(stage: Stage, resource: str, values: Mapping[str, Any]) -> None:
    reply = await stage.rows.create(resource, values)
    assert reply.status == 201, reply
    row = reply.json
    for name, fact in fields_of(resource).items():
        if name in values or name in SET_BY_THEKE or (fact.get("required") is True and "on_create" not in fact):
            continue
        if fact.get("on_create") == "user":
            wanted: Any = stage.admin.id
        elif fact.get("on_create") == "now":
            wanted = row[name] if 0 <= row.get("lastmodified", row[name]) - row[name] <= 5 and row[name] > 1_700_000_000 else "now"
        else:
            wanted = default(fact)
        stage.score.field(resource, name, "absent", holds=row.get(name, "(nothing)") == wanted, found=f"{row.get(name)!r}, not {wanted!r}")


async def _missing(stage: Stage, resource: str, names: list[str]) -> None:
    """What is required is asked for, of a new row and when it is taken away; what is not known is refused."""
    facts = fields_of(resource)
    required = {name for name in names if facts[name].get("required") and "on_create" not in facts[name]}
    id_ = (await stage.rows.make(resource))["ID"]
    for kind, body in (
        ("create", {}),
        ("create", dict.fromkeys(required)),
        ("update", dict.fromkeys(name for name in required if not is_fixed(resource, name))),
    ):
        reply = await stage.ask(stage.admin, kind, resource, id_, body)
        for name in required if kind == "create" else body:
            stage.score.field(
                resource, name, "required", holds=reply.status == 400 and name in named(reply.text), found=f"{kind} {body}: {reply}"
            )
    whole = await stage.rows.wanted(resource)
    for name in ("nosuchfield", "id", ""):
        for kind, body in (("create", {**whole, name: 1}), ("update", {name: 1})):
            reply = await stage.ask(stage.admin, kind, resource, id_, body)
            if reply.status != 400 or (name.isalpha() and name[:50] not in reply.text):
                stage.score.fault(resource, f"{kind} 400", f"unknown field {name[:50]!r}: {reply}")


# --- what is refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resource", WRITTEN)
async def test_fields_refuse_what_they_cannot_be(stage: Stage, resource: str) -> None:
    """Bounds, choices, shapes and references to nothing; every field at fault is named, and no other."""
    facts, score = fields_of(resource), stage.score
    row = await stage.rows.make(resource)
    names = writable(resource)
    lots: dict[tuple[str, str], dict[str, Any]] = {}
    for name in names:
        for what, value in wrong(resource, facts[name]).items():
            if not is_fixed(resource, name):
                lots.setdefault((what, "update"), {})[name] = value
            lots.setdefault((what, "create"), {})[name] = value
    whole = await stage.rows.wanted(resource)
    asked = list(lots.items())
    replies = await together(
        *(
            stage.ask(stage.admin, kind, resource, row["ID"], {**(whole if kind == "create" else {}), **values})
            for (_, kind), values in asked
        )
    )
    for ((what, kind), values), reply in zip(asked, replies, strict=True):
        told = {path.partition("[")[0].partition(".")[0] for path in named(reply.text)} if reply.status == 400 else set()
        for name, value in values.items():
            score.field(
                resource, name, "refused", holds=name in told, found=f"{kind} {what} {value!r:.50}: {reply.status} {reply.raw[:200]!r}"
            )
        if told - values.keys():
            score.fault(resource, f"{kind} 400", f"{what}: {told - values.keys()} are at fault too")
    await _dangling(stage, resource, row["ID"], whole)
    await _choices(stage, resource, row["ID"])
    if (await stage.ask(stage.admin, "list", resource, body={"filters": {"ID": row["ID"]}, "count": True})).json != {"count": 1}:
        score.fault(resource, "update 400", "a row is lost by what was refused")
    stage.finished("refused", resource)


async def _dangling(stage: Stage, resource: str, id_: int, whole: Mapping[str, Any]) -> None:
    """References to nothing: 400 that names each. (Where a row depends on one it is 410, see the operations.)"""
    record, facts = record_of(resource), fields_of(resource)
    parents = record.parents if record is not None else ()
    lost: dict[str, Any] = {}
    for name in writable(resource):
        fact = facts[name]
        if ("ref" in fact or "ref_by" in fact) and fact["type"] == "integer" and name not in parents:
            lost |= {name: ABSENT, **({fact["ref_by"]: whole.get(fact["ref_by"]) or "accounts"} if "ref_by" in fact else {})}
    if not lost:
        return
    for kind, body in (("create", {**whole, **lost}), ("update", lost)):
        reply = await stage.ask(stage.admin, kind, resource, id_, body)
        told = named(reply.text) if reply.status == 400 else set()
        for name in [name for name in lost if lost[name] == ABSENT]:
            stage.score.field(resource, name, "refused", holds=name in told, found=f"{kind} of nothing: {reply.status} {reply.raw[:200]!r}")
        if told - {name for name in lost if lost[name] == ABSENT}:
            stage.score.fault(resource, f"{kind} 400", f"of nothing: {told}")


async def _choices(stage: Stage, resource: str, id_: int) -> None:
    """Every choice of every field is taken: those of several fields at once, as far as they go together."""
    facts, score = fields_of(resource), stage.score
    left = {
        (name, value)
        for name in writable(resource)
        if "enum" in facts[name] and facts[name]["type"] != "string"
        for value in facts[name]["enum"]
        if (resource, name, value) not in LEFT_TO_THEKE
    }
    row = (await stage.ask(stage.admin, "get", resource, id_)).json
    while left:
        lot: dict[str, Any] = {}
        for name, value in sorted(left):
            more = {name: value, **GOES_WITH.get((resource, name, value), {})}
            if lot.keys().isdisjoint(more) and not broken(resource, {**row, **lot, **more}):
                lot |= more
        assert lot, (resource, left)
        changeable = not any(is_fixed(resource, name) for name in lot)
        body = await stage.rows.resolved(lot) if changeable else await stage.rows.wanted(resource, **lot)
        reply = await stage.ask(stage.admin, "update" if changeable else "create", resource, id_, body)
        for name, value in lot.items():
            if (name, value) in left:
                holds = reply.status in (200, 201) and reply.json[name] == value
                score.field(resource, name, "chosen", holds=holds, found=f"{value}: {reply.status} {reply.raw[:200]!r}")
        row = reply.json if reply.status == 200 else row
        left -= set(lot.items())


LEFT_TO_THEKE: Final = (("records", "flag", 3),)


# --- rules --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resource", [name for name in EVERYBODY if rules_of(name)])
async def test_rules_hold(stage: Stage, resource: str) -> None:
    """Each is kept and broken, when a row is made and when it is changed."""
    whens: set[tuple[Any, bool]] = set()
    tried = []
    for rule in rules_of(resource):
        when = (getattr(rule, "when", None), isinstance(rule, OnlyWhen))
        tried += [(rule, case) for case in cases(resource, rule, every=when not in whens)]
        whens.add(when)
    assert {id(rule) for rule, _ in tried} == {id(rule) for rule in rules_of(resource) if getattr(rule, "other", "") != "ID"}
    await together(
        *(_rule(stage, resource, rule, case) for rule, case in tried), *(_itself(stage, resource, rule) for rule in rules_of(resource))
    )
    stage.finished("rules", resource)


async def _rule(stage: Stage, resource: str, rule: Rule, case: Case) -> None:
    score, thing = stage.score, f"{type(rule).__name__} {case.field or ', '.join(getattr(rule, 'fields', ()))}"
    involved = {case.field} if case.field else set(getattr(rule, "fields", ()))

    def judge(what: str, reply: Reply, *, kept: bool) -> None:
        if kept and reply.status >= 300:
            score.fault(resource, thing, f"{what} {case.kept}: {reply.status} {reply.raw[:200]!r}")
        if not kept and (reply.status != 400 or not involved & named(reply.text)):
            score.fault(resource, thing, f"{what} {case.broken}: {reply.status} {reply.raw[:200]!r}")

    made = await stage.rows.create(resource, await stage.rows.wanted(resource, **completed(resource, case.kept)))
    judge("made with", made, kept=True)
    refused = await stage.rows.create(resource, {**await stage.rows.wanted(resource), **await stage.rows.resolved(case.broken)})
    judge("made with", refused, kept=False)
    if made.status != 201 or resource not in WRITTEN:
        return
    id_ = made.json["ID"]
    changes = {name: value for name, value in (await stage.rows.resolved(case.broken)).items() if not is_fixed(resource, name)}
    if changes.keys() == case.broken.keys():
        judge("changed to", await stage.ask(stage.admin, "update", resource, id_, changes), kept=False)
    if (await stage.ask(stage.admin, "get", resource, id_)).json != made.json:
        score.fault(resource, thing, "what was refused changed the row")
    kept = {name: value for name, value in (await stage.rows.resolved(case.kept)).items() if not is_fixed(resource, name)}
    judge("changed to", await stage.ask(stage.admin, "update", resource, id_, kept), kept=True)


async def _itself(stage: Stage, resource: str, rule: Rule) -> None:
    if isinstance(rule, Distinct) and rule.other == "ID":
        id_ = (await stage.rows.make(resource))["ID"]
        reply = await stage.ask(stage.admin, "update", resource, id_, {rule.field: id_})
        if reply.status != 400 or named(reply.text) != {rule.field}:
            stage.score.fault(resource, f"Distinct {rule.field}", f"itself: {reply}")


# --- what is unique -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resource", [name for name in EVERYBODY if (record := record_of(name)) is not None and record.uniques])
async def test_what_is_unique_is_taken_once(stage: Stage, resource: str) -> None:
    record = record_of(resource)
    assert record is not None
    await together(*(_unique(stage, resource, one) for one in record.uniques))
    stage.finished("uniques", resource)


async def _unique(stage: Stage, resource: str, one: Unique) -> None:
    thing, facts, rows = f"unique {', '.join(one.fields)}", fields_of(resource), stage.rows
    given = {
        name: value_of(resource, name, 2)
        for name in one.fields
        if not facts[name].get("required") and name not in ("creator", "ownergroup", "owneruser", "chargenum")
    }
    held = await rows.make(resource, **await rows.resolved({name: value for name, value in given.items() if "enum" not in facts[name]}))
    same = {name: held[name] for name in one.fields if name != "creator"}

    async def expect(what: str, status: int, reply: Reply) -> Reply:
        if reply.status != status:
            stage.score.fault(resource, thing, f"{what}: {reply.status} {reply.raw[:200]!r}")
        return reply

    async def again(**values: Any) -> Reply:
        return await rows.create(resource, {**await rows.wanted(resource), **same, **values})

    await expect("twice", 409, await again())
    if resource in WRITTEN:
        other = await rows.make(resource)
        await expect(
            "changed to it",
            409,
            await stage.ask(
                stage.admin, "update", resource, other["ID"], {name: value for name, value in same.items() if not is_fixed(resource, name)}
            ),
        )
    texts = [name for name in one.fields if isinstance(held[name], str) and "enum" not in facts[name]]
    if one.fold:
        await expect("in capitals", 409, await again(**{name: held[name].upper() for name in texts}))
    elif texts and resource != "permissions":
        await expect("in capitals", 201, await again(**{name: held[name].upper() for name in texts}))
    if one.unordered:
        half = len(one.fields) // 2
        turned = dict(zip((*one.fields[half:], *one.fields[:half]), [held[name] for name in one.fields], strict=True))
        await expect("turned round", 409, await again(**turned))
    if one.unless is not None:
        free = await expect("where it does not count", 201, await again(**{one.unless.field: one.unless.values[0]}))
        if free.status == 201:
            await expect(
                "counts again",
                409,
                await stage.ask(stage.admin, "update", resource, free.json["ID"], {one.unless.field: held[one.unless.field]}),
            )
    await rows.delete(resource, held["ID"])
    await expect("after the other is gone", 201, await again())


# --- what becomes of references ---------------------------------------------------------------------------------------------


REFERRING: Final = tuple(
    (resource, name)
    for resource, facts in RESOURCES.items()
    for name, fact in fields_of(resource).items()
    if fact["type"] == "integer" and (fact.get("ref_by") or fact.get("on_delete") in ("null", "delete"))
)


@pytest.mark.parametrize(
    "target", [name for name in EVERYBODY if name in {*ENTITIES, *(fact.get("ref") for r, n in REFERRING if (fact := fields_of(r)[n]))}]
)
async def test_what_refers_to_a_row_goes_or_forgets(stage: Stage, target: str) -> None:
    """Within a service and across services, before the delete is answered."""
    gone = (await stage.rows.make(target, **(dict(A_MODEL) if target == "items" else {})))["ID"]
    referring = [(resource, name) for resource, name in REFERRING if _may_refer(resource, name, target)]
    made = await together(*(_referring(stage, resource, name, target, gone) for resource, name in referring))
    await stage.rows.delete(target, gone)
    left = await together(
        *(
            stage.ask(stage.admin, "list", resource, body={"filters": {"ID": id_}})
            for (resource, _), id_ in zip(referring, made, strict=True)
        )
    )
    for (resource, name), reply in zip(referring, left, strict=True):
        fact = fields_of(resource)[name]
        goes = "ref_by" in fact or fact["on_delete"] == "delete" or (record_of(resource) and name in record_of(resource).parents)
        rows = reply.json if reply.status == 200 else [{name: reply.raw}]
        holds = rows == [] if goes else len(rows) == 1 and rows[0][name] is None
        stage.score.field(resource, name, f"{target} is gone", holds=holds, found=f"{'still ' if rows else 'not '}there: {rows}")
    stage.finished("gone", target)


def _may_refer(resource: str, name: str, target: str) -> bool:
    fact = fields_of(resource)[name]
    if "ref_by" in fact:
        return target in fields_of(resource)[fact["ref_by"]]["enum"]
    return bool(fact["ref"] == target)


async def _referring(stage: Stage, resource: str, name: str, target: str, id_: int) -> int:
    fact = fields_of(resource)[name]
    values = completed(resource, {name: id_, **({fact["ref_by"]: target} if "ref_by" in fact else {})})
    if "index2" in values or "index1" in values:
        other = "index1" if name == "index2" else "index2"
        values |= {other.replace("index", "entity"): "notes", other: Ref("notes", 300 + next(_fresh) % 2)}
    if target == "users" and name == "creator":
        values |= {"creator": id_}
    return int((await stage.rows.make(resource, **values))["ID"])


# --- what clients put on a row ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resource", WRITTEN)
async def test_tags_and_extdata(stage: Stage, resource: str) -> None:
    facts = RESOURCES[resource]
    row = await stage.rows.make(resource)
    id_, path = row["ID"], f"api/v1/{resource}/{row['ID']}"

    async def write(**values: Any) -> Reply:
        return await stage.ask(stage.admin, "update", resource, id_, values)

    async def expect(thing: str, wanted: Any, reply: Reply) -> None:
        found = reply.json.get(thing) if reply.status == 200 else reply.text
        if reply.status != 200 or found != wanted:
            stage.score.fault(resource, thing, f"{wanted!r}, not {found!r}")

    shown_tags, shown_data = f"{path}?tags=1", f"{path}?extdata=1"
    if facts["accepts_tags"]:
        before: set[str] = set()
        made = await stage.rows.make(resource, tags=["red", "big", "red"])
        await expect("tags", ["red", "big"], await stage.admin.ask("GET", f"api/v1/{resource}/{made['ID']}?tags=1"))
        for values, wanted in (
            ({"tags": ["one", "two"]}, ["one", "two"]),
            ({"+tags": ["three", "one"]}, ["one", "two", "three"]),
            ({"-tags": ["two", "never"]}, ["one", "three"]),
            ({"+tags": ["x"], "-tags": ["one"]}, ["three", "x"]),
            ({"tags": []}, None),
        ):
            reply = await write(**values)
            if reply.status != 200 or reply.tag in before or "tags" in reply.json:
                stage.score.fault(resource, "tags", f"{values}: {reply}")
            before.add(reply.headers.get("ETag", ""))
            await expect("tags", wanted, await stage.admin.ask("GET", shown_tags))
        for bad in ("red", ["x" * 101, "a\nb"]):
            if (reply := await write(tags=bad)).status != 400 or named(reply.text) != {"tags"}:
                stage.score.fault(resource, "tags", f"{bad!r:.30}: {reply}")
    elif (await write(tags=["red"])).status != 400:
        stage.score.fault(resource, "tags", "are taken")
    if facts["accepts_extdata"]:
        made = await stage.rows.make(resource, extdata={"size": "XL"})
        await expect("extdata", {"size": "XL"}, await stage.admin.ask("GET", f"api/v1/{resource}/{made['ID']}?extdata=1"))
        for values, wanted in (
            ({"a": "1", "b": 2, "c d": Decimal("1.5"), "e": ""}, {"a": "1", "b": 2, "c d": Decimal("1.5"), "e": ""}),
            ({"b": 0, "ü": "x"}, {"a": "1", "b": 0, "c d": Decimal("1.5"), "e": "", "ü": "x"}),
            ({"c d": None, "e": None, "ü": None, "nosuch": None}, {"a": "1", "b": 0}),
        ):
            await write(extdata=values)
            await expect("extdata", wanted, await stage.admin.ask("GET", shown_data))
            listed = await stage.ask(
                stage.admin,
                "list",
                resource,
                body={
                    "fields": {"a": "extdata.a", "z": "extdata.zz"},
                    "extdata": 1,
                    "filters": {"ID": id_, "extdata.b": values.get("b", 0)},
                },
            )
            if listed.status != 200 or listed.json != [{"a": "1", "z": None, "extdata": wanted}]:
                stage.score.fault(resource, "extdata", f"in a list: {listed}")
        for bad in ([1], {"x" * 101: 1}, {"a": {"b": 1}}):
            if (reply := await write(extdata=bad)).status != 400 or not any(name.startswith("extdata") for name in named(reply.text)):
                stage.score.fault(resource, "extdata", f"{bad!r:.30}: {reply}")
    elif (await write(extdata={"a": 1})).status != 400:
        stage.score.fault(resource, "extdata", "is taken")
    ignored = await stage.admin.ask("GET", f"{path}?tags=0&extdata=0&positions=1&items=1")
    if ignored.status != 200 or {"tags", "extdata"} & ignored.json.keys():
        stage.score.fault(resource, "get 200", f"parameters: {ignored}")
    stage.finished("tags", resource)


# --- Theke's own --------------------------------------------------------------------------------------------------------------


# what is registered in other ways: the fields that can be chosen there
MADE_OTHERWISE: Final = {"users": ("email", "name"), "applications": ("activity", "identifier", "name", "vendor", "version")}


@pytest.mark.parametrize("resource", ONLY_READ)
async def test_rows_that_are_only_read(stage: Stage, resource: str) -> None:
    facts = fields_of(resource)
    names = MADE_OTHERWISE.get(resource) or [name for name in writable(resource) if (resource, name) != ("links", "password")]
    for lot in variants(resource, 0, names, {}) or [{}]:
        values = await stage.rows.wanted(resource, **{**lot, **_new(resource, lot)})
        made = await stage.rows.create(resource, values)
        assert made.status == 201, (resource, made)
        listed = await stage.ask(stage.admin, "list", resource, body={"filters": {"ID": made.json["ID"]}})
        row = listed.json[0]
        compare(stage.score, resource, "written", values, row)
        for name in facts:
            stage.score.field(resource, name, "read", holds=name in row, found=row)
    for method in ("PUT", "PATCH", "DELETE"):
        reply = await stage.admin.ask(method, f"api/v1/{resource}" if method == "PUT" else f"api/v1/{resource}/1", {})
        if reply.status not in (404, 405):
            stage.score.fault(resource, method, str(reply))
    stage.finished("read", resource)


# --- the sum ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["config", "settings"])
async def test_config_and_settings(stage: Stage, path: str) -> None:
    for token, status in ((None, 200), ("", 401)):
        reply = await stage.admin.ask("GET", f"api/v1/{path}", token=token)
        stage.score.status(path, "get", status, reply.status, reply.raw)
        for wrongs in of_every_answer("list", reply):
            stage.score.fault(path, f"get {status}", wrongs)
        if status == 200 and not isinstance(reply.json, dict):
            stage.score.fault(path, "get 200", reply.text)
    stage.finished("config", path)


def test_the_document_is_kept(stage: Stage, score: Score) -> None:
    """All of it, and nothing that cannot come about."""
    if not {*RESOURCES, "config", "settings"} <= {resource for _, resource in score.done} or len({test for test, _ in score.done}) < TESTS:
        pytest.skip("only some of the tests were run")
    fields, operations = score.passed_fields(), score.passed_operations(UNREACHABLE)
    every = [(resource, name) for resource in RESOURCES for name in fields_of(resource)]
    assert [(key, score.wanted(*key) - score.seen.get(key, set())) for key in every if key not in fields] == []
    assert [key for key in score.listed() if key not in operations] == []
    assert (len(operations), len(fields)) == (FACTS["counts"]["operations"], FACTS["counts"]["fields"]) == (318, 745)
    assert [key for key in UNREACHABLE if key[2] in score.statuses.get(key[:2], set())] == [], "these came about after all"


TESTS: Final = 9  # that note what they find
