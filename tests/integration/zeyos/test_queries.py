"""The query language as clients of the ERP speak it: decision by decision, and what administrators take away as CSV."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator
from io import StringIO
from typing import Any

import pytest

from libs.projections import tables
from libs.records.query import answers
from tests.house import Inn
from tests.integration.dikas.erp import Reply
from tests.integration.zeyos.office import Office

LANGUAGES = {"de": 'Konto; mit ; und "Zeichen"', "n": [1, 2]}


@pytest.fixture(scope="module")
async def office(shared_inn: Inn) -> AsyncIterator[Office]:
    office = Office(shared_inn)
    await office.open()
    yield office
    await office.close()


# --- export -------------------------------------------------------------------------------------------------------------------


def table(reply: Reply) -> list[list[str]]:
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/csv; charset=utf-8"), reply.raw
    text = reply.raw.decode()
    assert text.endswith("\r\n")
    return list(csv.reader(StringIO(text, newline=""), delimiter=";"))


async def test_an_export_is_a_csv_file_of_every_row(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "EXPORT_PIECE_ROWS", 2)
    monkeypatch.setattr(answers, "PIECE_MAX_BYTES", 50)
    fields = {"Name": "lastname", "0": "customernum", "Ort; klein": "contact.city", "Text": "description", "x": "extdata.colour"}
    reply = await office.reply(export=True, fields=fields, sort=["-lastname"], expand=["nonsense"])
    assert reply.headers["Content-Disposition"] == 'attachment; filename="accounts.csv"'
    assert b'"Quo""te; Ltd";' in reply.raw
    assert b'"Zeile eins\nZeile 3"' in reply.raw
    head, *rows = table(reply)
    assert head == ["Name", "customernum", "Ort; klein", "Text", "x"]
    listed = await office.rows(fields=fields, sort=["-lastname"])
    assert rows == [[row[name] for name in head] for row in listed]
    assert len(rows) == 4


async def test_an_export_of_whole_rows_shows_what_lists_show(office: Office) -> None:
    head, *rows = table(await office.reply(export="1", extdata=1, tags=1))
    listed = await office.rows(extdata=1, tags=1)
    assert head == list(listed[0])
    for cells, row in zip(rows, listed, strict=True):
        for name, cell in zip(head, cells, strict=True):
            value = row[name]
            if isinstance(value, dict | list):
                assert json.loads(cell) == value
            else:
                assert cell == ("" if value is None else str(value))


async def test_an_export_is_bounded_only_by_its_limit(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(table(await office.reply(export=True, fields=["ID"], limit=2, offset=1))) == 3
    monkeypatch.setattr("libs.records.query.compile.LIMIT", 1)
    monkeypatch.setattr("libs.records.query.compile.LIMIT_MAX", 1)
    assert len(table(await office.reply(export=True, fields=["ID"]))) == 5
    assert len(table(await office.reply(export=True, fields=["ID"], limit=3))) == 4
    assert table(await office.reply(export=True, fields=["ID"], filters={"ID": 0})) == [["ID"]]
    distinct = await office.reply(export=True, fields=["currency", "assigneduser"], distinct=True)
    assert table(distinct) == [["currency", "assigneduser"], ["EUR", ""]]


async def test_exports_are_for_administrators(office: Office) -> None:
    reply = await office.reply(by=office.clerk, export=True)
    assert (reply.status, reply.text) == (403, "Forbidden: Lacking access permission")
    counted = await office.reply(by=office.clerk, export=True, count=True)
    assert (counted.status, counted.json) == (200, {"count": 3})


async def test_what_is_wrong_with_an_export_is_told_before_it_begins(office: Office) -> None:
    assert await office.refused(export=True, fields=["nonsense"]) == "Bad Request: Invalid selection field: 'nonsense'"
    assert "lastname" in await office.refused(export=True, filters={"ID": 0, "lastname": {"~": "("}})


async def test_items_and_users_are_exported_too(office: Office) -> None:
    items = table(await office.reply("items", export=True, fields=["name", "sellingprice", "taxrate"], sort=["name"]))
    assert items[:2] == [["name", "sellingprice", "taxrate"], ["Cola", "3.50", "19"]]
    assert ["clerk"] in table(await office.reply("users", export=True, fields=["name"]))


# --- conditions ---------------------------------------------------------------------------------------------------------------

ALL = ["Ärger & Söhne", "Beta 100%", "beta_x", 'Quo"te; Ltd']
FIRST, SECOND, THIRD, FOURTH = ALL
TOLD_WITHIN_S = 20.0


async def test_filter_and_filters_hold_both(office: Office) -> None:
    assert await office.names(filter={"customernum": ["K-1", "K-2"]}, filters={"customernum": ["K-2", "K-3"]}) == [THIRD]


async def test_null_is_asked_for_by_equality_only(office: Office) -> None:
    assert await office.names(filters={"ownergroup": None}) == [SECOND, FOURTH]
    assert await office.names(filters={"ownergroup": {"=": None}}) == [SECOND, FOURTH]
    assert await office.names(filters={"ownergroup": {"!=": None}}) == [FIRST, THIRD]
    assert "ownergroup" in await office.refused(filters={"ownergroup": {"<": None}})


async def test_lists_of_values_follow_the_logic_of_nulls(office: Office) -> None:
    group = (await office.rows(fields=["ownergroup"], filters={"lastname": FIRST}))[0]["ownergroup"]
    assert await office.names(filters={"lastname": [FIRST, THIRD]}) == [FIRST, THIRD]
    assert await office.names(filters={"lastname": {"IN": []}}) == []
    assert await office.names(filters={"ownergroup": {"!IN": []}}) == ALL
    assert await office.names(filters={"ownergroup": {"!IN": [group]}}) == [THIRD]
    assert await office.names(filters={"ownergroup": {"!=": group}}) == [THIRD]
    assert await office.names(filters={"ownergroup": {"!IN": [group, None]}}) == []
    assert await office.names(filters={"ownergroup": {"IN": [group, None]}}) == [FIRST]


@pytest.mark.parametrize(
    ("resource", "asked", "named"),
    [
        ("accounts", {"fields": ["nonsense"]}, "nonsense"),
        ("accounts", {"fields": {"x": "contact.nonsense"}}, "contact.nonsense"),
        ("accounts", {"filters": {"nonsense": 1}}, "nonsense"),
        ("accounts", {"sort": ["-nonsense"]}, "nonsense"),
        ("accounts", {"expand": ["nonsense"]}, "nonsense"),
        ("accounts", {"expand": ["lastname"]}, "lastname"),
        ("accounts", {"fields": ["contact.account.name"]}, "contact.account.name"),
        ("accounts", {"fields": ["currency.name"]}, "currency.name"),
        ("accounts", {"fields": ["search_text"]}, "search_text"),
        ("accounts", {"fields": ["instance"]}, "instance"),
        ("transactions", {"filters": {"visibility": 0}}, "visibility"),
        ("addresses", {"fields": ["visibility"]}, "visibility"),
        ("addresses", {"fields": ["extdata.x"]}, "extdata.x"),
    ],
)
async def test_an_unknown_field_is_named(office: Office, resource: str, asked: Any, named: str) -> None:
    assert await office.refused(resource, **asked) == f"Bad Request: Invalid selection field: '{named}'"


async def test_groups_are_lists_that_begin_with_their_word(office: Office) -> None:
    either = ["or", {"lastname": FIRST}, {"1": ["AND", {"customernum": "K-2"}, {"lastname": {"~~": "beta%"}}]}]
    assert await office.names(filters=either) == [FIRST, THIRD]
    assert await office.names(filters={"whatever": either, "type": 1}) == [FIRST, THIRD]
    assert await office.names(filters=["NOT", {"lastname": FIRST}, {"type": 1}]) == ALL[1:]
    assert await office.names(filters=["NOT", {"lastname": FIRST}, {"type": 2}]) == ALL
    assert "2" in await office.refused(filters={"type": 1, "2": {"lastname": FIRST}})


async def test_joined_rows_are_one_step_away(office: Office) -> None:
    fields = ["contact.city", "contact.extdata.rank", "ownergroup.name", "creator.name", "assigneduser.name", "extdata.rank"]
    rows = await office.rows(fields=fields, sort=["contact.extdata.rank"])
    assert [row["contact.city"] for row in rows] == ["Ort 0", "Ort 1", "Ort 2", "Ort 3"]
    assert rows[0] == dict(zip(fields, ["Ort 0", "0", "Verkauf", None, None, "10"], strict=True))
    assert await office.names(filters={"contact.extdata.rank": {">": 1}}) == [THIRD, FOURTH]
    assert await office.names(filters={"extdata.colour": 7}) == [FIRST, THIRD]
    assert await office.names(filters={"extdata.colour": {"IN": [7, "x"]}}) == [FIRST, THIRD]
    assert await office.names(filters={"extdata.colour": "red"}) == [SECOND, FOURTH]


async def test_rows_and_joined_rows_that_one_may_not_see_are_not_there(office: Office) -> None:
    hidden = await office.rows("contacts", fields=["ID"], filters={"lastname": f"Kontakt {THIRD}"})
    await office.put("accounts", lastname="Zeiger", currency="EUR", contact=hidden[0]["ID"])
    try:
        seen = await office.rows(by=office.clerk, fields=["lastname", "contact.lastname", "contact"], sort=["lastname"])
        assert [row["lastname"] for row in seen] == [FIRST, SECOND, FOURTH, "Zeiger"]
        assert (seen[3]["contact.lastname"], seen[3]["contact"]) == (None, hidden[0]["ID"])
        assert (await office.rows(by=office.clerk, count=True)) == {"count": 4}
        assert await office.names(by=office.clerk, filters={"contact.lastname": {"~~": "Kontakt beta_x"}}) == []
        assert await office.names(by=office.clerk, query="Zeiger") == ["Zeiger"]
    finally:
        await office.drop("accounts", lastname="Zeiger")


async def test_values_are_taken_as_the_column_has_them(office: Office) -> None:
    ids = [office.ids[name] for name in ALL]
    assert await office.names(filters={"ID": str(ids[0])}) == [FIRST]
    assert await office.names(filters={"ID": {"IN": [str(ids[0]), ids[1]]}}) == ALL[:2]
    created = (await office.rows(fields=["creationdate"], filters={"ID": ids[0]}))[0]["creationdate"]
    assert FIRST in await office.names(filters={"creationdate": created + 0.75})
    for wrong in ("x", "", True, 1.5, {"a": 1}):
        assert "ID" in await office.refused(filters={"ID": {"=": wrong}})
    assert "IS" in await office.refused(filters={"ID": {"IS": 1}})


async def test_patterns_on_numbers_match_their_text_and_json_is_not_compared(office: Office) -> None:
    assert await office.names(filters={"type": {"~~": "1%"}}) == ALL
    assert await office.names(filters={"type": {"~": "^2"}}) == []
    for filters in ({"meta": "x"}, {"meta": {"~": "x"}}, {"meta": {"IN": ["x"]}}):
        assert "meta" in await office.refused("records", filters=filters)
    assert "binfile" in await office.refused("notes", filters={"binfile": {"~~": "1"}})
    assert await office.rows("notes", filters={"binfile": 1}) == []
    assert "meta" in await office.refused("records", sort=["meta"])


# --- order and pages ----------------------------------------------------------------------------------------------------------


async def test_rows_come_in_the_order_of_their_ids_and_so_do_equals(office: Office) -> None:
    assert await office.names() == ALL
    assert await office.names(sort=["type", "-ID"]) == ALL[::-1]
    assert await office.names(sort=["-type"]) == ALL
    assert await office.names(sort=["ownergroup"]) == [FIRST, THIRD, SECOND, FOURTH]
    assert await office.names(sort=["-ownergroup"]) == [SECOND, FOURTH, THIRD, FIRST]
    assert await office.names(sort=["+lastname"]) == [FIRST, SECOND, THIRD, FOURTH]
    assert await office.names(sort="-customernum") == ALL[::-1]


async def test_limits_are_checked_and_too_much_is_the_most(office: Office) -> None:
    assert await office.names(limit=2, offset="1") == ALL[1:3]
    assert await office.names(limit=1_000_000) == ALL
    assert await office.names(offset=2**63 - 1) == []
    for wrong in (0, -1, "x", 1.5, True, [1]):
        assert "limit" in await office.refused(limit=wrong)
    for wrong in (-1, "x", 2**63):
        assert "offset" in await office.refused(offset=wrong)


@pytest.mark.parametrize("yes", [True, 1, "1", "true"])
async def test_a_count_is_a_number_and_nothing_else(office: Office, yes: Any) -> None:
    reply = await office.reply(count=yes, fields=["nonsense"], sort=["nonsense"], limit=1, offset=3, expand=["nonsense"])
    assert reply.raw == b'{"count":4}'


async def test_distinct_rows_are_counted_and_sorted_by_what_they_show(office: Office) -> None:
    assert await office.rows(distinct=True, fields=["currency", "type"]) == [{"currency": "EUR", "type": 1}]
    assert await office.rows(distinct=1, count=1, fields=["currency"]) == {"count": 1}
    assert await office.rows(distinct=1, count=1, fields=["currency", "lastname"]) == {"count": 4}
    colours = await office.rows(distinct=True, fields={"c": "extdata.colour"}, sort=["-extdata.colour"])
    assert colours == [{"c": "red"}, {"c": "7"}]
    assert len(await office.rows(distinct=True, extdata=True, tags=True)) == 4
    assert "lastname" in await office.refused(distinct=True, fields=["currency"], sort=["lastname"])


# --- searching ----------------------------------------------------------------------------------------------------------------


async def test_a_search_finds_every_word_in_any_field_and_takes_nothing_for_a_pattern(office: Office) -> None:
    assert await office.names(query="arger") == [FIRST]
    assert await office.names(query="  SÖHNE   k-0 ") == [FIRST]
    assert await office.names(query="söhne k-1") == []
    assert await office.names(query="100%") == [SECOND]
    assert await office.names(query="a_x") == [THIRD]
    assert await office.names(query="") == await office.names(query="  ") == ALL
    assert await office.names(query="eins") == []
    assert "query" in await office.refused(query={"a": 1})
    assert "query" in await office.refused("likes", query="x")


async def test_rows_without_searched_fields_are_found_by_what_they_are_about(office: Office) -> None:
    await office.put("categories", entity="accounts", name="Stammkunde")
    assert [row["name"] for row in await office.rows("categories", query="stamm", fields=["name"])] == ["Stammkunde"]
    assert await office.rows("categories", query="accounts") == []


async def test_what_theke_notes_about_followed_rows_is_not_searched(office: Office) -> None:
    followed = office.ids[SECOND]
    await office.admin.ask("PUT", "api/v1/follows", {"entity": "accounts", "index": followed})
    await office.clerk.ask("PATCH", f"api/v1/accounts/{followed}", {"locked": 0, "description": "neu"})
    told = {"filters": {"flag": 3, "index": followed}}
    async with asyncio.timeout(TOLD_WITHIN_S):
        while True:
            rows = await office.rows("records", **told, fields=["text"])
            if rows:
                break
            await asyncio.sleep(0.05)
    assert SECOND in rows[0]["text"]
    await office.put("records", text=f"Anruf von {SECOND}", entity="accounts", index=followed)
    assert [row["flag"] for row in await office.rows("records", query=SECOND, fields=["flag"])] == [0]
    assert len(await office.rows("records", filters={"text": {"~~": f"%{SECOND}%"}})) == 2


# --- what rows show -----------------------------------------------------------------------------------------------------------


async def test_extdata_and_tags_are_shown_when_asked_for(office: Office) -> None:
    (row,) = await office.rows(filters={"lastname": FIRST}, extdata=1, tags="true")
    assert (row["extdata"], row["tags"]) == ({"rank": 10, "colour": "7"}, ["t0", "all"])
    (row,) = await office.rows(filters={"lastname": FIRST}, expand=["extdata"])
    assert "extdata" in row
    assert "tags" not in row
    (row,) = await office.rows("groups", filters={"name": "Verkauf"}, extdata=1, expand=["extdata"])
    assert "extdata" not in row
    bare = await office.put("accounts", lastname="Bar", currency="EUR")
    assert (await office.rows(filters={"ID": bare}, fields=["ID"], extdata=1, tags=1)) == [{"ID": bare, "extdata": None, "tags": None}]
    await office.drop("accounts", lastname="Bar")


async def test_json_is_its_text_until_it_is_expanded(office: Office) -> None:
    meta = {"price": [1, 2.5], "text": "ä"}
    id_ = await office.put("records", text="Notiz", meta=meta)
    wanted = {"filters": {"ID": id_}, "fields": {"m": "meta"}}
    (row,) = await office.rows("records", **wanted)
    assert isinstance(row["m"], str)
    assert json.loads(row["m"]) == meta
    for expand in ("meta", ["meta"], {"0": "meta"}):
        (row,) = await office.rows("records", **wanted, expand=expand)
        assert row["m"] == meta
    for query in ("expand=meta", "expand[]=meta", "expand=meta&expand=extdata", "expand=extdata,meta"):
        assert (await office.admin.ask("GET", f"api/v1/records/{id_}?{query}")).json["meta"] == meta
    unexpanded = (await office.admin.ask("GET", f"api/v1/records/{id_}?positions=1")).json
    assert json.loads(unexpanded["meta"]) == meta
    assert (await office.admin.ask("GET", f"api/v1/records/{id_}?expand=nonsense")).status == 400
    comment = await office.put("comments", record=id_, text="dazu")
    joined = {"filters": {"ID": comment}, "fields": ["record.meta"]}
    assert isinstance((await office.rows("comments", **joined))[0]["record.meta"], str)
    assert (await office.rows("comments", **joined, expand=["record.meta"])) == [{"record.meta": meta}]


async def test_arrays_and_objects_of_the_schema_are_shown_as_such(office: Office) -> None:
    names = {"de": "Fenster", "en": "window"}
    id_ = await office.put("weblets", identifier="fenster", name="Fenster", langaliases=names)
    for expand in ([], ["langaliases"]):
        assert await office.rows("weblets", filters={"ID": id_}, fields=["langaliases"], expand=expand) == [{"langaliases": names}]


async def test_rows_that_are_marked_as_deleted_are_shown(office: Office) -> None:
    await office.put("accounts", lastname="Alt", currency="EUR", visibility=2)
    assert await office.names(filters={"lastname": "Alt"}) == ["Alt"]
    assert await office.names(filters={"lastname": "Alt", "visibility": 0}) == []
    await office.drop("accounts", lastname="Alt")


# --- encodings ----------------------------------------------------------------------------------------------------------------


async def test_forms_are_read_as_php_reads_them(office: Office) -> None:
    encoded = "fields%5B%5D=lastname&filters%5Bcustomernum%5D%5B%3E%3D%5D=K-3&&limit=1"
    assert await office.form(encoded) == [{"lastname": FOURTH}]
    assert await office.form("fields[]=lastname&fields[]=ID&limit=1") == [{"lastname": FIRST, "ID": office.ids[FIRST]}]
    assert await office.form("fields[n]=lastname&filters[customernum][!=]=K-0&filters[type]=1&sort[]=-ID&limit=1") == [{"n": FOURTH}]
    either = "filters[1][0]=OR&filters[1][1][lastname][~~*]=%25SÖHNE&filters[1][2][customernum]=K-3"
    assert await office.form(f"fields[]=lastname&{either}") == [{"lastname": FIRST}, {"lastname": FOURTH}]
    assert await office.form('fields=["lastname"]&filters={"customernum":["K-1"]}&sort=-ID') == [{"lastname": SECOND}]
    assert await office.form("filters[ID][IN][]=0&count=1&filter=&filters[type][]=1") == {"count": 0}
    assert await office.form("fields=lastname&filters[customernum]=K-1&distinct=1") == [{"lastname": SECOND}]


async def test_the_query_string_counts_after_the_body(office: Office) -> None:
    ask = office.admin.ask
    reply = await ask("POST", "api/v1/accounts?limit=1&fields[]=ID&fields[]=lastname&weird[=1&x=%00", {"fields": ["lastname"]})
    assert reply.json == [{"lastname": FIRST}]
    reply = await ask("POST", "api/v1/accounts/?filters[customernum]=K-2&fields[]=lastname")
    assert reply.json == [{"lastname": THIRD}]
    assert (await ask("POST", "api/v1/accounts?count=1")).json == {"count": 4}
    assert (await ask("POST", "api/v1/accounts?limit=0")).status == 400


async def test_an_empty_body_asks_for_everything_and_broken_json_for_nothing(office: Office) -> None:
    for raw in (b"", b"{}", b"[]", b" ", b'{"filters":[],"fields":[],"sort":[],"positions":1}'):
        reply = await office.admin.ask("POST", "api/v1/accounts", raw=raw)
        assert (reply.status, len(reply.json)) == (200, 4)
        assert len(reply.json[0]) == 18
    for raw in (b'{"fields": {2: "x"}}', b'{"a": 1 "b": 2}', b"7", b'"x"', b"[1]", b"{", b"\xff"):
        reply = await office.admin.ask("POST", "api/v1/accounts", raw=raw)
        assert (reply.status, reply.text[:13]) == (400, "Bad Request: "), raw
