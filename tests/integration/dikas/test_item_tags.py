"""Tags of open items: whoever read an item before something else happened at its table changes nothing by it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tests.house import Answer, Inn, Till, done, fields_named, item, refused

STALE = "Am Tisch inzwischen geändert"
EDITS: tuple[tuple[str, str, dict[str, Any] | None, Mapping[str, str]], ...] = (
    ("PUT", "", {"note": "ohne Ei"}, {}),
    ("POST", "/status", {"status": "preparing"}, {}),
    ("POST", "/move", {"seat": 3}, {}),
    ("POST", "/move", {"targetTableId": "{other}", "quantity": 1}, {}),
    ("DELETE", "", None, {"reason": "kalt"}),
)


async def edit(till: Till, inn: Inn, line: str, how: Any, tag: str | None = None) -> Answer:
    method, path, body, params = how
    body = body and {name: inn.tables[2] if value == "{other}" else value for name, value in body.items()}
    headers = {} if tag is None else {"If-Match": tag}
    return await till.ask(method, f"/api/v1/open-bons/{line}{path}", body, params=dict(params), headers=headers)


async def tag_of(till: Till, line: str) -> str:
    return str((await till.get(f"open-bons/{line}")).headers["ETag"])


async def ordered(till: Till, inn: Inn) -> str:
    line: str = (await till.order(inn.tables[1], item(inn.menu["Schnitzel"], 2)))["items"][0]["id"]
    return line


@pytest.mark.parametrize("how", EDITS, ids=str)
async def test_a_stale_tag_changes_nothing_and_a_fresh_one_is_taken(inn: Inn, how: Any) -> None:
    till = await inn.till()
    line = await ordered(till, inn)
    stale = await tag_of(till, line)
    done(await till.put(f"open-bons/{line}", {"note": "eilt"}))
    before = done(await till.get("open-bons"))
    refused(await edit(till, inn, line, how, stale), 412, STALE)
    refused(await edit(till, inn, line, how, f"W/{await tag_of(till, line)}"), 412, STALE)
    assert fields_named(await edit(till, inn, line, how, "nonsense")) == {"If-Match"}
    assert done(await till.get("open-bons")) == before
    answer = await edit(till, inn, line, how, f'"other", {await tag_of(till, line)}')
    done(answer)
    if how[0] != "DELETE":
        assert answer.headers["ETag"] == await tag_of(till, done(answer)["id"]), "the next edit can begin with it"


async def test_without_a_tag_or_with_any_an_edit_is_made(inn: Inn) -> None:
    till = await inn.till()
    line = await ordered(till, inn)
    done(await edit(till, inn, line, EDITS[0]))
    done(await edit(till, inn, line, EDITS[1], "*"))
    done(await edit(till, inn, line, EDITS[4]))
    refused(await edit(till, inn, line, EDITS[0], '"any"'), 404)


async def test_whatever_happens_at_the_table_is_another_tag(inn: Inn) -> None:
    """An item is shown as its table is: a course that is called lets it go, a move brings it elsewhere."""
    till = await inn.till()
    line = (await till.order(inn.tables[1], item(inn.menu["Salat"], 2, course=2)))["items"][0]["id"]
    seen = [await tag_of(till, line)]
    done(await till.post(f"tables/{inn.tables[1]}/gang", {"course": 2}))
    seen.append(await tag_of(till, line))
    await till.order(inn.tables[1], item(inn.menu["Cola"]))
    seen.append(await tag_of(till, line))
    done(await till.post(f"tables/{inn.tables[1]}/interim-bill"))
    seen.append(await tag_of(till, line))
    done(await till.post(f"tables/{inn.tables[1]}/move", {"targetTableId": inn.tables[2]}))
    seen.append(await tag_of(till, line))
    await till.pay(inn.tables[2], items=[{"id": line, "quantity": 1}])
    seen.append(await tag_of(till, line))
    assert len(set(seen)) == len(seen)
    for stale in seen[:-1]:
        refused(await edit(till, inn, line, EDITS[0], stale), 412, STALE)


async def test_what_a_client_has_already_is_not_sent_again(inn: Inn) -> None:
    till = await inn.till()
    line = await ordered(till, inn)
    tag = await tag_of(till, line)

    async def status(text: str) -> int:
        headers = {"Authorization": f"Bearer {till.token}", "If-None-Match": text}
        async with till.http.get(f"/api/v1/open-bons/{line}", headers=headers) as answer:
            assert (answer.status == 304) is ((await answer.read()) == b"")
            assert answer.headers["ETag"]
            return answer.status

    assert [await status(text) for text in (tag, f"W/{tag}", "*", '"x"')] == [304, 304, 304, 200]
    done(await edit(till, inn, line, EDITS[1]))
    assert await status(tag) == 200


async def test_two_at_once_with_one_tag_are_one_change(inn: Inn) -> None:
    till = await inn.till()
    line = await ordered(till, inn)
    tag = await tag_of(till, line)
    answers = await asyncio.gather(*(till.put(f"open-bons/{line}", {"note": f"Wunsch {ix}"}, headers={"If-Match": tag}) for ix in range(8)))
    assert sorted(answer.status for answer in answers) == [200] + [412] * 7


async def test_a_guarded_edit_may_be_repeated(inn: Inn) -> None:
    till = await inn.till()
    line = await ordered(till, inn)
    guard = {"If-Match": await tag_of(till, line)}
    first = await till.put(f"open-bons/{line}", {"seat": 4}, key="k", headers=guard)
    done(await till.put(f"open-bons/{line}", {"seat": 5}))
    again = await till.put(f"open-bons/{line}", {"seat": 4}, key="k", headers=guard)
    assert (done(again), again.headers["ETag"]) == (done(first), first.headers["ETag"])


async def test_the_same_place_in_another_house_has_another_tag(inn: Inn, shared_inn: Inn) -> None:
    tags = [await tag_of(till, await ordered(till, own)) for own in (inn, shared_inn) for till in (await own.till(),)]
    assert tags[0] != tags[1]
