"""What somebody might try with a query: each gets rows of their own or one clear line of text, nobody else waits for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from libs.records.query.conditions import CONDITIONS_MAX, GROUP_DEPTH_MAX, VALUES_MAX
from tests.house import Inn, Theke
from tests.integration.dikas.erp import Erp
from tests.integration.zeyos.office import Office

HOSTILE = (
    "'", '"', "';--", "x' or '1'='1", '"); drop table crm.accounts_r1; --', "$1", "$1::text", "{crm.accounts} t", "t.instance", "instance",
    "@.id", "(select 1)", "contact.lastname'", "contact.id) or (1=1", "extdata.x') or ('1'='1", "extdata.'||version()||'", "\\", "%",
    "_", "*", "crm.accounts_r1", "pg_sleep(9)", "a.b.c.d", ".", "..", "extdata.", "contact.", ".lastname", "AND", "ID--", "ID,lastname",
    "é" * 50, "\U0001f600", "__proto__", "creator.roles", "creator.search_text", "contact.search_text", "search_text", "version", "key",
    "position", "lastname_order",
)  # fmt: skip
ENDLESS = r"^(a*)(a*)(a*)(a*)\1\2\3\4$"
LONG = "a" * 1_001


@pytest.fixture(scope="module")
async def office(shared_inn: Inn) -> AsyncIterator[Office]:
    office = Office(shared_inn)
    await office.open()
    yield office
    await office.close()


def with_it(evil: str) -> Iterator[dict[str, Any]]:
    """Wherever a text may stand in a query."""
    yield {"fields": [evil]}
    yield {"fields": {evil: "ID"}}
    yield {"fields": {"ID": evil}}
    yield {"filters": {evil: 1}}
    yield {"filters": {evil: ["AND", {"ID": 1}]}}
    yield {"filters": {"lastname": evil}}
    yield {"filters": {"lastname": {evil: "x"}}}
    yield {"filters": {"lastname": {"IN": [evil]}}}
    yield {"filters": {"lastname": {"~~*": evil}}}
    yield {"filters": {"lastname": {"~": evil}}}
    yield {"filters": {"ID": evil}}
    yield {"filters": {"extdata." + evil: evil}}
    yield {"filters": {"contact.extdata." + evil: {"<": 1}}}
    yield {"fields": ["extdata." + evil], "sort": ["-extdata." + evil], "distinct": True}
    yield {"filters": [evil, {"ID": 1}]}
    yield {"sort": [evil]}
    yield {"sort": ["-" + evil]}
    yield {"query": evil}
    yield {"expand": [evil]}
    yield from ({name: evil} for name in ("limit", "offset", "count", "distinct", "export", "extdata", "tags", evil))


@pytest.mark.parametrize("first", range(0, len(HOSTILE), 10))
async def test_nothing_that_is_said_becomes_part_of_a_statement(office: Office, first: int) -> None:
    """The clerk sees three of four accounts, whatever is asked."""
    for evil in HOSTILE[first : first + 10]:
        asked = list(with_it(evil))
        replies = await asyncio.gather(*(office.reply(by=office.clerk, **one) for one in asked))
        for one, reply in zip(asked, replies, strict=True):
            assert reply.status in (200, 400), (one, reply.status, reply.raw)
            if reply.status == 400:
                assert reply.text.startswith("Bad Request: "), (one, reply.raw)
                assert len(reply.raw) < 1_000
            else:
                assert len(reply.json) <= 3, one
                assert "beta_x" not in reply.raw.decode(), one


async def test_columns_that_no_resource_has_cannot_be_named(office: Office) -> None:
    for path in ("instance", "version", "position", "search_text", "lastname_order", "contact.version", "creator.password", "creator.key",
                 "creator.roles", "creator.pin", "ownergroup.instance", "contact.creator.name"):  # fmt: skip
        for asked in ({"fields": [path]}, {"filters": {path: 1}}, {"sort": [path]}, {"expand": [path]}, {"fields": [path], "export": True}):
            assert await office.refused(**asked) == f"Bad Request: Invalid selection field: '{path}'"


async def test_long_lists_are_answered_and_longer_ones_refused(office: Office) -> None:
    own = office.ids["Beta 100%"]
    many = [own, *range(10**9, 10**9 + VALUES_MAX - 1)]
    assert await office.names(filters={"ID": {"IN": many}}) == ["Beta 100%"]
    assert await office.names(filters={"lastname": {"IN": list(map(str, many))}}) == []
    assert len(await office.names(filters={"ID": {"!IN": many}})) == 3
    for filters in ({"ID": [*many, 1]}, {"ID": {"IN": many}, "1": ["OR", {"ID": [1]}]}):
        assert await office.refused(filters=filters) == f"Bad Request: Field 'ID': may have {VALUES_MAX} entries at most"
    huge = await office.reply(filters={"ID": {"IN": [10**15] * 60_000}})
    assert (huge.status, huge.text[:26]) == (413, "Request Entity Too Large: ")


async def test_deep_groups_and_many_conditions_are_refused(office: Office) -> None:
    deep: Any = {"ID": 1}
    for _ in range(GROUP_DEPTH_MAX + 1):
        deep = ["AND", deep]
    assert "filters" in await office.refused(filters=deep)
    for depth in (33, 1_000, 50_000):
        raw = b'{"filters":' + b'["NOT",' * depth + b"{}" + b"]" * depth + b"}"
        reply = await office.admin.ask("POST", "api/v1/accounts", raw=raw)
        assert (reply.status, reply.text[:13]) == (400, "Bad Request: ")
    for form in (
        "filters" + "[1]" * 1_000 + "=x",
        "filters" + "[1]" * 100 + "=x",
        "filters" + "[" * 10_000 + "=x",
        "filters[[1]]=x",
        "filters[1=x",
    ):
        reply = await office.admin.ask(
            "POST", "api/v1/accounts", raw=form.encode(), headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
        assert (reply.status, reply.text[:13]) == (400, "Bad Request: "), form[:50]
    wide = ["OR", *({"ID": ix} for ix in range(CONDITIONS_MAX + 1))]
    assert await office.refused(filters=wide) == f"Bad Request: Field 'ID': may have {CONDITIONS_MAX} entries at most"


@pytest.mark.parametrize(
    "raw",
    [
        b'{"filters":{"lastname":"\\u0000"}}', b'{"query":"\\u0000"}', b'{"fields":{"\\u0000":"ID"}}', b'{"filters":{"extdata.\\u0000":1}}',
        b'{"filters":{"lastname":"\\ud800"}}', b'{"filters":{"ID":1e400}}', b'{"filters":{"ID":' + b"9" * 5_000 + b"}}", b'{"limit":1e3}',
        b'{"limit":NaN}', b'{"offset":' + b"9" * 100 + b"}", b'{"filters":{"creationdate":1e300}}', b'{"filters":{"ID":1},"filters":{}}',
        b'{"filters":{"lastname":{"~":"a{1,255}{1,255}{1,255}"}}}',
        b'{"sort":[[[[]]]]}',
        b'{"filters":{"lastname":{"~~":"a\\\\"}}}', b'{"fields":[null]}', b'{"fields":[{}]}',
        b'{"fields":{"a":["ID"]}}', b'{"expand":[[]]}',
        b'{"filters":{"extdata.x":{"=":1e999999}}}', b'{"filters":{"extdata.x":{"IN":[1e15]}}}', b'{"filters":{"ID":{"IN":{"a":{}}}}}',
    ],
)  # fmt: skip
async def test_values_beyond_all_bounds_are_refused(office: Office, raw: bytes) -> None:
    reply = await office.admin.ask("POST", "api/v1/accounts", raw=raw)
    assert (reply.status, reply.text[:13]) == (400, "Bad Request: "), reply.raw


async def test_what_one_may_not_see_shows_in_no_order_count_or_pattern(office: Office) -> None:
    """A visible account that refers to a hidden contact tells no more of it than its ID."""
    (hidden,) = await office.rows("contacts", fields=["ID"], filters={"lastname": "Kontakt beta_x"})
    shown = await office.put("accounts", lastname="Verweis", currency="EUR", contact=hidden["ID"])

    async def finds(**filters: Any) -> int:
        count: int = (await office.rows(by=office.clerk, filters={"ID": shown, **filters}, count=True))["count"]
        return count

    assert await finds() == 1
    for test in ({"~": "^K"}, {"!~": "^X"}, {"~~": "%"}, {"!=": "x"}, {">": ""}, {"!IN": []}, {"!=": None}):
        assert await finds(**{"contact.lastname": test}) == (1 if test == {"!IN": []} else 0)
        assert await finds(**{"1": ["NOT", {"contact.lastname": test}]}) == (1 if test == {"!=": None} else 0)
    assert await finds(**{"contact.extdata.rank": {"!=": None}}) == 0
    for asked in (
        {"fields": ["contact.lastname", "contact.extdata.rank", "contact.ID"]},
        {"fields": ["contact.lastname"], "distinct": True},
    ):
        (row,) = await office.rows(by=office.clerk, filters={"ID": shown}, **asked)
        assert set(row.values()) == {None}
    assert (await office.rows(by=office.clerk, filters={"ID": office.ids["beta_x"]})) == []
    assert (await office.clerk.ask("GET", f"api/v1/accounts/{office.ids['beta_x']}")).status == 404
    await office.drop("accounts", ID=shown)


async def test_another_house_is_not_there(office: Office, theke: Theke) -> None:
    other = await theke.inn()
    stranger = Erp(theke.url, other.name)
    await stranger.login()
    own = await stranger.ask("PUT", "api/v1/accounts", {"lastname": "Fremd", "currency": "EUR"})
    for asked in (
        {"filters": {"ID": {"IN": list(office.ids.values())}, "lastname": {"!=": "Fremd"}}},
        {"filters": {"1": ["OR", {"contact.lastname": {"~": "Kontakt"}}, {"ownergroup.name": "Verkauf"}, {"creator.name": "clerk"}]}},
        {"query": "beta"}, {"filters": {"extdata.rank": {"!=": None}}}, {"offset": 1}, {"filters": {"contact.ID": {"!=": None}}},
    ):  # fmt: skip
        reply = await stranger.ask("POST", "api/v1/accounts", asked)
        assert (reply.status, reply.json) == (200, []), asked
    assert (await stranger.ask("POST", "api/v1/accounts", {"count": 1})).json == {"count": 1}
    exported = await stranger.ask("POST", "api/v1/accounts", {"export": 1, "fields": ["lastname", "contact.lastname"]})
    assert exported.raw == b"lastname;contact.lastname\r\nFremd;\r\n"
    assert own.json["ID"] in (await stranger.ask("POST", "api/v1/accounts", {"fields": ["ID"]})).json[0].values()
    assert (await stranger.ask("POST", "api/v1/accounts", {}, instance=office.inn.name)).status == 401
    await stranger.close()
    await other.close()


async def test_patterns_without_end_are_stopped_and_others_do_not_wait(office: Office) -> None:
    victim = await office.put("accounts", lastname="Lang", currency="EUR", description=LONG)
    endless = {"filters": {"description": {"~": ENDLESS}}}
    attacks = [asyncio.create_task(office.reply(**endless)) for _ in range(6)]
    await asyncio.sleep(0.1)
    for _ in range(5):
        assert len(await office.names()) == 5
        assert (await office.admin.ask("GET", f"api/v1/accounts/{victim}")).status == 200
    assert sum(attack.done() for attack in attacks) < len(attacks)
    replies = await asyncio.gather(*attacks)
    assert {reply.status for reply in replies} <= {400, 503}
    assert any("2000" in reply.text for reply in replies if reply.status == 400)
    like = {"filters": {"description": {"~~": "%a" * 99 + "b"}}}
    assert (await office.reply(**like)).status in (200, 400)
    await office.drop("accounts", ID=victim)


async def test_hostile_rows_come_back_as_they_were_written(office: Office) -> None:
    for evil in ("'; drop table x; --", '=cmd|" /C calc"!A0', 'a;b"c', "{crm.accounts} $1 %s", "\U0001f600"):
        id_ = await office.put("accounts", lastname=evil, currency="EUR", extdata={evil: evil}, tags=[evil])
        wanted = {"filters": {"lastname": evil, f"extdata.{evil}": evil, "ID": id_}}
        (row,) = await office.rows(**wanted, fields=["lastname"], extdata=1, tags=1)
        assert row == {"lastname": evil, "extdata": {evil: evil}, "tags": [evil]}
        exported = await office.reply(**wanted, fields=["lastname"], export=1)
        quoted = '"' + evil.replace('"', '""') + '"' if {";", '"'} & set(evil) else evil
        assert exported.raw.decode() == f"lastname\r\n{quoted}\r\n"
        await office.drop("accounts", ID=id_)
    assert json.loads((await office.reply(count=1)).raw) == {"count": 4}
