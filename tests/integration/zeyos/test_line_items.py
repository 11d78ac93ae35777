"""Columns of JSON over HTTP: written as text or as they are, digit by digit what was written, wrong ones named by their paths."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from tests.house import Inn
from tests.integration.zeyos.desk import Desk

LINES: list[dict[str, Any]] = [
    {"type": 1, "text": "Ihre Bestellung", "variant": 3},
    {"name": "Pils", "item": 5, "amount": Decimal("2.50"), "sellingprice": Decimal("4.20"), "taxrate": 19, "tariffcode": "2203",
     "transactions": [{"storage": 1, "serials": ["A1", "A2"]}]},
    {"type": 2, "code": "SOMMER", "value": 5},
]  # fmt: skip


@pytest.fixture(scope="module")
async def erp(shared_inn: Inn) -> AsyncIterator[Desk]:
    client = Desk(shared_inn.theke.url, shared_inn.name)
    await client.login()
    yield client
    await client.close()


def shown(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


async def both(erp: Desk, resource: str, id_: int, column: str) -> tuple[Any, Any]:
    """The column as it is, and expanded."""
    plain = await erp.row(resource, id_)
    reply = await erp.ask("GET", f"api/v1/{resource}/{id_}?expand={column}")
    assert reply.status == 200, reply
    return plain[column], reply.json[column]


async def test_line_items_are_a_text_unless_they_are_expanded(erp: Desk) -> None:
    made = await erp.create("transactions", transactionnum="L-1", currency="EUR", items=LINES)
    assert isinstance(made["items"], str)
    plain, whole = await both(erp, "transactions", made["ID"], "items")
    assert plain == made["items"]
    assert shown(plain) == whole
    for written, line in zip(LINES, whole, strict=True):
        assert {name: line[name] for name in written if name != "transactions"} == {
            name: value for name, value in written.items() if name != "transactions"
        }
    assert "2.50" in plain
    assert (whole[0]["subindex"], whole[1]["discount"], whole[1]["transactions"][0]["amount"], whole[2]["taxrate"]) == (0, 0, 0, 0)
    rows = await erp.rows("transactions", filters={"ID": made["ID"]}, fields={"lines": "items"}, expand=["items"])
    assert rows == [{"lines": whole}]


async def test_text_list_and_form_say_the_same(erp: Desk) -> None:
    as_list = await erp.create("transactions", transactionnum="L-2", currency="EUR", items=LINES)
    as_text = await erp.create("transactions", transactionnum="L-3", currency="EUR", items=json.dumps(LINES, default=float))
    assert shown(as_list["items"]) == shown(as_text["items"])
    form = {"transactionnum": "L-4", "currency": "EUR", "items[0][name]": "Pils", "items[0][amount]": "2.5", "items[0][item]": "5",
            "items[1][type]": "1", "items[1][taken]": "1"}  # fmt: skip
    reply = await erp.ask("PUT", "api/v1/transactions", form=form)
    assert reply.status == 201, reply
    one, two = shown(reply.json["items"])
    assert (one["name"], one["amount"], one["item"], two["type"], two["taken"]) == ("Pils", Decimal("2.5"), 5, 1, True)
    whole = await erp.ask("PUT", "api/v1/transactions", form={"transactionnum": "L-5", "currency": "EUR", "items": '[{"amount": 1}]'})
    assert shown(whole.json["items"])[0]["amount"] == 1
    for nothing in (None, ""):
        assert (await erp.change("transactions", as_list["ID"], items=nothing))["items"] is None


async def test_every_column_of_lines_takes_them(erp: Desk) -> None:
    contract = await erp.create("contracts", name="C", currency="EUR", datefrom=0, billingitems=LINES, procurementitems=LINES[:1])
    ticket = await erp.create("tickets", name="T", billingitems=LINES, procurementitems="[]")
    for row in (contract, ticket):
        assert len(shown(row["billingitems"])) == 3
    assert shown(ticket["procurementitems"]) == []


async def test_faults_are_named_by_their_paths(erp: Desk) -> None:
    lines = [{}, {"type": 5}, {"discount": 101, "transactions": [{"serials": [[]]}]}]
    for written in (lines, json.dumps(lines)):
        text = await erp.create("transactions", 400, transactionnum="L-6", currency="EUR", items=written)
        for path in ("'items[1].type'", "'items[2].discount'", "'items[2].transactions[0].serials[0]'"):
            assert path in text
    for wrong in ("[{", "5", "nonsense", '[{"a": 1, "a": 2}]', "[" * 5_000, 5, True, {"a": 1}):
        assert "'items'" in await erp.create("transactions", 400, transactionnum="L-7", currency="EUR", items=wrong)
    ticket = await erp.create("tickets", name="T")
    assert "'billingitems[0].unit'" in await erp.change("tickets", ticket["ID"], 400, billingitems=[{"unit": "Stück"}])
    assert (await erp.row("tickets", ticket["ID"]))["billingitems"] is None


async def test_other_json_is_shown_as_the_document_has_it(erp: Desk) -> None:
    rates = {"AT": 20, "DE": Decimal("19.5")}
    coupon = await erp.create("coupons", name="C", code="RATES", foreigntaxrates=rates)
    assert coupon["foreigntaxrates"] == rates
    assert await both(erp, "coupons", coupon["ID"], "foreigntaxrates") == (rates, rates)
    assert "'foreigntaxrates.XX1'" in await erp.create("coupons", 400, name="C", code="R2", foreigntaxrates={"XX1": 5})
    meta = {"url": "http://127.0.0.1/", "n": [Decimal("1.10"), 123456789012345678901234567890, None, {"ä": "ö"}]}
    record = await erp.create("records", text="x", meta=meta)
    plain, whole = await both(erp, "records", record["ID"], "meta")
    assert (shown(plain), whole) == (meta, meta)
    assert "1.10" in plain
    assert "'meta'" in await erp.create("records", 400, text="x", meta=[1])
    for data in ([1, {"a": "b"}], {"a": [Decimal("0.1")]}):
        made = await erp.create("objects", name="o", entity="e", data=data)
        assert (await both(erp, "objects", made["ID"], "data"))[1] == data
    assert "'data'" in await erp.create("objects", 400, name="o", entity="e", data="7")
    server = await erp.create("mailservers", name="m", folders={"INBOX": {"mailbox": 0}}, ticketing='{"priority": 2}')
    assert (shown(server["folders"]), shown(server["ticketing"])) == ({"INBOX": {"mailbox": 0}}, {"priority": 2})


async def test_lists_of_single_values(erp: Desk) -> None:
    for written in (["a.pdf", "b.pdf"], '["a.pdf", "b.pdf"]'):
        message = await erp.create("messages", subject="m", attachments=written)
        assert await both(erp, "messages", message["ID"], "attachments") == (["a.pdf", "b.pdf"], ["a.pdf", "b.pdf"])
    assert "'attachments[1]'" in await erp.create("messages", 400, subject="m", attachments=["a", "b\0"])
    assert "'attachments[1]'" in await erp.create("messages", 400, subject="m", attachments=["a", "b" * 2_000])
    assert "'attachments'" in await erp.create("messages", 400, subject="m", attachments=5)
    item = await erp.create("items", name="Gerät", type=1)  # with serial numbers
    base = {"item": item["ID"], "amount": 1}
    moved = await erp.create("stocktransactions", **base, serials=["S1"], subtransactions="[1, 9223372036854775807]")
    assert (moved["serials"], moved["subtransactions"]) == (["S1"], [1, 2**63 - 1])
    for wrong in ([1, 2**63], ["x"], [None], [1.5]):
        assert "'subtransactions" in await erp.create("stocktransactions", 400, **base, subtransactions=wrong)


async def test_a_row_with_every_fault_answers_again_afterwards(erp: Desk) -> None:
    """What a database could not take is refused before, so tables never stand still."""
    for wrong in ("\0", "\ud800", "a\x01"):
        raw = json.dumps({"transactionnum": "L-8", "currency": "EUR", "items": [{"name": wrong, "x": {wrong: wrong}}]}).encode()
        assert (await erp.ask("PUT", "api/v1/transactions", raw=raw)).status == 400
    raw = json.dumps({"name": "o", "entity": "e", "data": {"a\0": "\0"}}).encode()
    assert (await erp.ask("PUT", "api/v1/objects", raw=raw)).status == 400
    made = await erp.create("transactions", transactionnum="L-9", currency="EUR", items=[{"name": "ok"}])
    assert (await erp.row("transactions", made["ID"]))["ID"] == made["ID"]
