"""Every write is safe to repeat under its Idempotency-Key: one effect, the same answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.house import Inn, Till, cash, done, fields_named, item, refused


async def numbers(till: Till) -> list[int]:
    return [receipt["number"] for receipt in await till.receipts()]


async def test_one_sale_from_eight_at_once(inn: Inn) -> None:
    till = await inn.till()
    body = {"items": [item(inn.menu["Cola"], 2)], "payments": [cash("10.00")]}
    answers = await asyncio.gather(*(till.post("payments/direct-sale", body, key="sale-1") for _ in range(8)))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.raw for answer in answers}) == 1
    assert await numbers(till) == [1]


async def test_eight_repeats_through_two_gateways(inn: Inn) -> None:
    other = await inn.theke.another_gateway()
    tills = [await inn.till(), await inn.till(url=other.address)]
    body = {"items": [item(inn.menu["Cola"])], "payments": [cash("3.50")]}
    answers = await asyncio.gather(*(tills[ix % 2].post("payments/direct-sale", body, key="sale-1") for ix in range(8)))
    assert len({answer.raw for answer in answers}) == 1
    assert await numbers(tills[0]) == [1]


async def test_a_repeat_is_answered_as_it_was_whatever_happened_since(inn: Inn) -> None:
    """The answer tells the receipt as issued, although it was voided and its article renamed and dearer."""
    till = await inn.till()
    cola = inn.menu["Cola"]
    body = {"items": [item(cola)], "payments": [cash("3.50")]}
    first = await till.post("payments/direct-sale", body, key="sale-1")
    await till.void(first.data["id"])
    done(await till.put(f"articles/{cola}", {"name": "Cola light", "price": 9}))
    again = await till.post("payments/direct-sale", body, key="sale-1")
    assert (again.status, again.raw) == (201, first.raw)
    assert done(await till.get(f"receipts/{first.data['id']}"))["isVoided"] is True


async def test_the_same_key_with_another_body_is_refused_and_changes_nothing(inn: Inn) -> None:
    till = await inn.till()
    await till.sell(item(inn.menu["Cola"]), key="sale-1")
    answer = await till.post("payments/direct-sale", {"items": [item(inn.menu["Cola"], 2)], "payments": [{"type": 0}]}, key="sale-1")
    refused(answer, 422, "Idempotency-Key bereits verwendet", "Derselbe Idempotency-Key kam mit anderem Inhalt; nichts wurde geändert")
    assert await numbers(till) == [1]


async def test_a_body_that_only_looks_different_is_the_same(inn: Inn) -> None:
    till = await inn.till()
    cola = inn.menu["Cola"]
    one = await till.post("payments/direct-sale", {"items": [item(cola)], "payments": [cash("3.50")]}, key="sale-1")
    raw = b'{"payments":[{"amount":3.5,"type":0}],\n "items":[{"quantity":1,"articleId":"%s"}], "unknown": true}' % cola.encode()
    other = await till.post("payments/direct-sale", raw=raw, key="sale-1")
    assert (other.status, other.raw) == (201, one.raw)


async def test_a_key_belongs_to_its_route_and_its_user(inn: Inn) -> None:
    till, waiter = await inn.till(), await inn.till("Waiter")
    table = inn.tables[1]
    await till.sell(item(inn.menu["Cola"]), key="k")
    await waiter.sell(item(inn.menu["Pils"]), key="k")
    await till.order(table, item(inn.menu["Cola"]), key="k")
    await till.pay(table, key="k")
    done(await till.post("tables", {"number": 50}, key="k"), 201)
    done(await till.post("table-groups", {"name": "Garten"}, key="k"), 201)
    assert await numbers(till) == [1, 2, 3]


async def test_a_key_belongs_to_its_instance(inn: Inn, shared_inn: Inn) -> None:
    here, there = await inn.till(), await shared_inn.till()
    one = await here.sell(item(inn.menu["Cola"]), key="k-instance")
    two = await there.sell(item(shared_inn.menu["Cola"]), key="k-instance")
    assert one["id"] != two["id"]


async def test_a_key_belongs_to_the_thing_in_the_path(inn: Inn) -> None:
    till = await inn.till()
    one, two = await till.sell(item(inn.menu["Cola"])), await till.sell(item(inn.menu["Cola"]))
    voids = [done(await till.post(f"receipts/{receipt['id']}/void", key="k"), 201) for receipt in (one, two)]
    assert [void["voidedReceiptId"] for void in voids] == [one["id"], two["id"]]
    again = done(await till.post(f"receipts/{one['id']}/void", key="k"), 201)
    assert again == voids[0]


@pytest.mark.parametrize("write", ["article", "change", "table", "order", "batch", "delete", "gang", "cleaned", "void"])
async def test_every_write_can_be_repeated(inn: Inn, write: str) -> None:
    """The same answer, and the log took one command."""
    till = await inn.till()
    cola, table = inn.menu["Cola"], inn.tables[3]
    method, path, body, status = await prepared(write, inn, till, cola, table)
    first = await till.ask(method, path, body, key="once")
    assert first.status == status, first.body
    heads = await log_heads(inn)
    again = await till.ask(method, path, body, key="once")
    assert (again.status, again.raw) == (status, first.raw)
    assert await log_heads(inn) == heads


async def prepared(write: str, inn: Inn, till: Till, cola: str, table: str) -> tuple[str, str, Any, int]:
    order = {"tableId": table, "items": [item(cola, course=1)]}
    if write == "article":
        return "POST", "articles", {"name": "Neu", "price": 1, "taxClass": 0, "groupId": inn.group}, 201
    if write == "change":
        return "PUT", f"articles/{cola}", {"price": 4}, 200
    if write == "table":
        return "POST", "tables", {"number": 99}, 201
    if write == "order":
        return "POST", "open-bons", order, 201
    if write == "batch":
        return "POST", "open-bons/batch", {"orders": [order, order]}, 201
    if write == "delete":
        return "DELETE", f"articles/{cola}", None, 200
    if write == "gang":
        await till.order(table, item(cola, course=1))
        return "POST", f"tables/{table}/gang", {"course": 1}, 200
    if write == "cleaned":
        await till.order(table, item(cola))
        await till.pay(table)
        return "POST", f"tables/{table}/cleaned", None, 200
    receipt = await till.sell(item(cola))
    return "POST", f"receipts/{receipt['id']}/void", None, 201


async def log_heads(inn: Inn) -> list[int]:
    return [(await host.log.heads()).get(inn.instance, 0) for host in inn.theke.hosts.values()]


async def test_a_refusal_can_be_repeated_and_later_succeed(inn: Inn) -> None:
    """A refused command has left nothing behind: when the reason is gone, the same key works."""
    till = await inn.till()
    table = inn.tables[3]
    await till.order(table, item(inn.menu["Cola"]))
    await till.pay(table)
    body = {"tableId": table, "items": [item(inn.menu["Cola"])]}
    refused(await till.post("open-bons", body, key="later"), 409, "Tisch muss erst gereinigt werden")
    done(await till.post(f"tables/{table}/cleaned"))
    done(await till.post("open-bons", body, key="later"), 201)


async def test_keys_of_any_printable_text(inn: Inn) -> None:
    till = await inn.till()
    for ix, key in enumerate(("x", "x" * 200, "Küche 1 / Bon 7", "a b", "{}'\";--"), start=1):
        await till.sell(item(inn.menu["Cola"]), key=key)
        await till.sell(item(inn.menu["Cola"]), key=key)
        assert await numbers(till) == list(range(1, ix + 1))
    body = {"items": [item(inn.menu["Cola"])], "payments": [{"type": 0}]}
    assert fields_named(await till.post("payments/direct-sale", body, key="x" * 201)) == {"Idempotency-Key"}


async def test_login_takes_no_key(shared_inn: Inn) -> None:
    """Two people with one key must never share a session."""
    stranger = shared_inn.stranger()
    body, headers = {"username": "admin", "password": "admin"}, {"Theke-Instance": shared_inn.name}
    one = done(await stranger.post("auth/login", body, key="k", headers=headers))
    two = done(await stranger.post("auth/login", body, key="k", headers=headers))
    assert one["refreshToken"] != two["refreshToken"]


async def test_without_a_key_every_request_is_a_new_sale(inn: Inn) -> None:
    till = await inn.till()
    for _ in range(2):
        await till.sell(item(inn.menu["Cola"]))
    assert await numbers(till) == [1, 2]
