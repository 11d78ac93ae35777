"""The floor over HTTP: tables are moved, merged, split, handed over and shown their bill; items are changed, cancelled, moved and made."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any, Final

import pytest

from libs.contracts.auth.records import USER
from libs.contracts.inventory.records import ARTICLE
from libs.contracts.pos.records import TABLE, TABLE_GROUP
from tests.house import Answer, Inn, Till, cash, done, fields_named, item, refused

CLIENTS: Final = 32
D: Final = Decimal


async def state(till: Till, table: str) -> Any:
    return next(one for one in done(await till.get("tables/status")) if one["id"] == table)


async def staff(till: Till) -> str:
    return str(done(await till.get("auth/me"))["id"])


async def put(till: Till, line: str, **change: Any) -> Answer:
    return await till.put(f"open-bons/{line}", change)


async def cancel(till: Till, line: str, key: str | None = None, **params: str) -> Answer:
    return await till.delete(f"open-bons/{line}", params={"reason": "falsch bestellt", **params}, key=key)


async def progress(till: Till, line: str, status: str) -> Answer:
    return await till.post(f"open-bons/{line}/status", {"status": status})


async def total_open(till: Till, inn: Inn) -> Decimal:
    shown = [await till.open_items(table) for table in inn.tables.values()]
    return sum((line["openAmount"] for lines in shown for line in lines), D(0))


# --- tables -------------------------------------------------------------------------------------------------------------------


async def test_the_status_of_all_tables(inn: Inn) -> None:
    till = await inn.till("Waiter")
    me = await staff(till)
    assert [one["status"] for one in done(await till.get("tables/status"))] == [0, 0, 0]
    free = await state(till, inn.tables[1])
    assert (free["name"], free["number"], free["staffId"], free["occupiedSince"], free["serviceAge"]) == ("1", 1, None, None, None)
    await till.order(inn.tables[1], item(inn.menu["Cola"], 2, course=1), item(inn.menu["Schnitzel"], course=2))
    done(await till.post(f"tables/{inn.tables[1]}/gang", {"course": 2}))
    busy = await state(till, inn.tables[1])
    assert (busy["status"], busy["course"], busy["openItems"], busy["openAmount"], busy["staffId"]) == (1, 2, 2, D("24.90"), me)
    assert busy["occupiedSince"] is not None
    assert 0 <= busy["serviceAge"] < 60
    await till.pay(inn.tables[1])
    assert await state(till, inn.tables[1]) == free


async def test_positions_are_saved_all_or_none(inn: Inn) -> None:
    till = await inn.till()
    one, two = inn.tables[1], inn.tables[2]
    answer = await till.put("tables/layout", {"tables": [{"id": one, "x": 10, "y": -20, "rotation": 45}, {"id": two, "x": 7}]})
    assert done(answer) == {"tableIds": [one, two]}
    assert [(table["x"], table["y"], table["rotation"]) for table in done(await till.get("tables"))[:2]] == [(10, -20, 45), (7, None, 0)]
    wrong = await till.put("tables/layout", {"tables": [{"id": one, "x": 99}, {"id": two, "rotation": 91, "x": 200_000}]})
    assert fields_named(wrong) == {"tables[1].rotation", "tables[1].x"}
    refused(await till.put("tables/layout", {"tables": [{"id": one, "x": 99}, {"id": "tbl_none", "x": 1}]}), 404, "tbl_none")
    assert fields_named(await till.put("tables/layout", {"tables": [{"id": one, "x": 1}, {"id": one, "x": 2}]})) == {"tables[1].tableId"}
    assert fields_named(await till.put("tables/layout", {"tables": []})) == {"tables"}
    assert done(await till.get(f"tables/{one}"))["x"] == 10
    waiter = await inn.till("Waiter")
    refused(await waiter.put("tables/layout", {"tables": [{"id": one, "x": 5}]}), 403)


async def test_guests_move_with_everything_and_join_those_who_sit_there(inn: Inn) -> None:
    till = await inn.till("Waiter")
    one, two = inn.tables[1], inn.tables[2]
    order = await till.order(one, item(inn.menu["Cola"], 3, seat=2), item(inn.menu["Schnitzel"], course=2))
    ids = [line["id"] for line in order["items"]]
    await till.pay(one, items=[{"id": ids[0], "quantity": 1}])
    moved = done(await till.post(f"tables/{one}/move", {"targetTableId": two}, key="move-1"))
    assert [(table["id"], table["status"], table["openAmount"]) for table in moved["tables"]] == [(one, 0, D(0)), (two, 1, D("24.90"))]
    assert [(line["id"], line["previousId"], line["openQuantity"]) for line in moved["items"]] == [(ids[0], ids[0], 2), (ids[1], ids[1], 1)]
    await till.order(one, item(inn.menu["Pils"]))
    again = done(await till.post(f"tables/{one}/move", {"targetTableId": two}, key="move-2"))
    assert (again["tables"][1]["openItems"], again["tables"][1]["openAmount"]) == (3, D("29.10"))
    assert done(await till.post(f"tables/{one}/move", {"targetTableId": two}, key="move-1")) == moved
    assert [line["name"] for line in await till.open_items(two)] == ["Cola", "Schnitzel", "Pils"]
    assert (await till.pay(two))["gross"] == D("29.10")


async def test_moves_that_cannot_be(inn: Inn) -> None:
    till = await inn.till("Waiter")
    one, two, dirty = inn.tables[1], inn.tables[2], inn.tables[3]
    refused(await till.post(f"tables/{one}/move", {"targetTableId": two}), 409, "nicht besetzt")
    await till.order(one, item(inn.menu["Cola"]))
    await till.order(dirty, item(inn.menu["Cola"]))
    await till.pay(dirty)
    assert fields_named(await till.post(f"tables/{one}/move", {"targetTableId": one})) == {"targetTableId"}
    refused(await till.post(f"tables/{one}/move", {"targetTableId": dirty}), 409, "gereinigt")
    refused(await till.post(f"tables/{one}/move", {"targetTableId": "tbl_none"}), 404, "tbl_none")
    refused(await till.post("tables/tbl_none/move", {"targetTableId": two}), 404, "tbl_none")
    assert fields_named(await till.post(f"tables/{one}/move", {})) == {"targetTableId"}
    kitchen = await inn.till("Kitchen")
    refused(await kitchen.post(f"tables/{one}/move", {"targetTableId": two}), 403)
    assert (await till.table(one))["openItems"] == 1


async def test_tables_are_merged_all_or_none(inn: Inn) -> None:
    till = await inn.till("Waiter")
    one, two, three = inn.tables[1], inn.tables[2], inn.tables[3]
    await till.order(one, item(inn.menu["Cola"]))
    await till.order(two, item(inn.menu["Pils"]))
    refused(await till.post(f"tables/{one}/merge", {"tableIds": [two, three]}), 409, "nicht besetzt")
    assert fields_named(await till.post(f"tables/{one}/merge", {"tableIds": [two, two]})) == {"tableIds"}
    assert fields_named(await till.post(f"tables/{one}/merge", {"tableIds": [one]})) == {"tableIds[0]"}
    assert fields_named(await till.post(f"tables/{one}/merge", {"tableIds": []})) == {"tableIds"}
    await till.order(three, item(inn.menu["Salat"]))
    merged = done(await till.post(f"tables/{one}/merge", {"tableIds": [two, three]}))
    assert [(table["id"], table["status"]) for table in merged["tables"]] == [(two, 0), (three, 3), (one, 1)]
    assert [line["name"] for line in await till.open_items(one)] == ["Cola", "Pils", "Salat"]


async def test_parts_of_items_go_to_another_table_or_seat(inn: Inn) -> None:
    till = await inn.till("Waiter")
    one, two = inn.tables[1], inn.tables[2]
    order = await till.order(one, item(inn.menu["Cola"], 3, discountAmount=D("0.01")), item(inn.menu["Pils"]))
    cola, pils = (line["id"] for line in order["items"])
    split = done(await till.post(f"tables/{one}/split", {"items": [{"id": cola, "quantity": 1}], "targetTableId": two, "seat": 4}))
    [moved] = split["items"]
    assert moved["previousId"] == cola != moved["id"]
    assert (moved["quantity"], moved["seat"], moved["tableId"]) == (1, 4, two)
    left = {line["id"]: line for line in await till.open_items(one)}
    assert (left[cola]["openQuantity"], left[cola]["openAmount"] + moved["openAmount"]) == (2, D("10.49"))
    seated = done(await till.post(f"tables/{one}/split", {"items": [{"id": pils}], "seat": 2}))
    assert [(line["id"], line["seat"], line["tableId"]) for line in seated["items"]] == [(pils, 2, one)]
    assert fields_named(await till.post(f"tables/{one}/split", {"items": [{"id": pils}]})) == {"targetTableId"}
    refused(await till.post(f"tables/{one}/split", {"items": [{"id": cola, "quantity": 3}], "seat": 1}), 409, "nur 2 offen")
    refused(await till.post(f"tables/{one}/split", {"items": [{"id": moved["id"]}], "seat": 1}), 404)
    seat = await till.pay(one, seat=2)
    assert [line["name"] for line in seat["items"]] == ["Pils"]
    refused(await till.post("payments/table", {"tableId": one, "payments": [{"type": 0}], "seat": 2}), 409)
    assert fields_named(
        await till.post("payments/table", {"tableId": one, "payments": [{"type": 0}], "seat": 2, "items": [{"id": cola}]})
    ) == {"seat"}


async def test_another_waiter_takes_over(inn: Inn) -> None:
    till, other = await inn.till("Waiter", user="kim"), await inn.till("Waiter", user="toni")
    table = inn.tables[1]
    refused(await till.post(f"tables/{table}/transfer", {"staffId": await staff(other)}), 409)
    await till.order(table, item(inn.menu["Cola"]))
    assert (await state(till, table))["staffId"] == await staff(till)
    assert done(await other.post(f"tables/{table}/transfer", {"staffId": await staff(other)}))["openItems"] == 1
    assert (await state(till, table))["staffId"] == await staff(other)
    refused(await till.post(f"tables/{table}/transfer", {"staffId": "usr_none"}), 404, "usr_none")
    gone = await inn.add(USER, username="gone", is_active=False)
    refused(await till.post(f"tables/{table}/transfer", {"staffId": gone}), 409, "nicht aktiv")
    kitchen = await inn.till("Kitchen")
    refused(await kitchen.post(f"tables/{table}/transfer", {"staffId": await staff(other)}), 403)


async def test_an_interim_bill_is_no_receipt(inn: Inn) -> None:
    till = await inn.till("Waiter")
    table = inn.tables[1]
    refused(await till.post(f"tables/{table}/interim-bill"), 409)
    await till.order(table, item(inn.menu["Cola"], 2, seat=1, discountPercent=10), item(inn.menu["Schnitzel"], seat=2))
    answer = await till.post(f"tables/{table}/interim-bill", key="bill")
    bill = done(answer)
    assert (bill["gross"], bill["printed"], bill["isReceipt"], bill["net"] + bill["tax"]) == (D("24.20"), 1, False, D("24.20"))
    assert "number" not in bill
    assert [tax["rate"] for tax in bill["taxes"]] == [19, 7]
    text = bill["text"].splitlines()
    assert text[0].strip() == "ZWISCHENRECHNUNG"
    assert "Kein Beleg" in text[1]
    assert "2 x Cola".ljust(31) + "7,00".rjust(11) in text
    assert "  Rabatt".ljust(31) + "-0,70".rjust(11) in text
    assert "Offen EUR".ljust(31) + "24,20".rjust(11) in text
    assert all(len(line) <= 42 for line in text)
    assert done(await till.post(f"tables/{table}/interim-bill", key="bill")) == bill
    english = done(await till.post(f"tables/{table}/interim-bill", params={"seat": "2"}, headers={"Accept-Language": "en"}))
    assert (english["gross"], english["printed"], english["seat"]) == (D("17.90"), 2, 2)
    assert "Not a receipt" in english["text"]
    assert (await state(till, table))["interimBills"] == 2
    assert (await till.receipts()) == []
    assert fields_named(await till.post(f"tables/{table}/interim-bill", params={"seat": "0"})) == {"seat"}


async def test_the_code_on_a_table(inn: Inn, theke: Any) -> None:
    till = await inn.till()
    table = inn.tables[1]
    code = done(await till.get(f"tables/{table}/qr"))
    assert code["url"] == f"{theke.url}/order/{code['token']}"
    assert code == done(await till.get(f"tables/{table}/qr"))
    assert code["token"] != done(await till.get(f"tables/{inn.tables[2]}/qr"))["token"]
    for kind, begins in (("svg", b"<?xml"), ("png", b"\x89PNG")):
        headers = {"Authorization": f"Bearer {till.token}"}
        async with till.http.get(f"/api/v1/tables/{table}/qr", params={"format": kind}, headers=headers) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"].startswith("image/")
            assert (await answer.read()).startswith(begins)
    assert fields_named(await till.get(f"tables/{table}/qr", params={"format": "gif"})) == {"format"}
    assert fields_named(await till.get(f"tables/{table}/qr", headers={"Host": 'a"b'})) == {"Host"}
    refused(await till.get("tables/tbl_none/qr"), 404)
    neighbour = await (await theke.inn()).till()
    refused(await neighbour.get(f"tables/{table}/qr"), 404)
    await neighbour.close()


async def test_a_table_does_not_go_away_under_its_guests(inn: Inn) -> None:
    till = await inn.till()
    table = inn.tables[1]
    await till.order(table, item(inn.menu["Cola"]))
    refused(await till.delete(f"tables/{table}"), 409, "noch etwas offen")
    await till.pay(table)
    done(await till.delete(f"tables/{table}"))
    refused(await till.get(f"tables/{table}"), 404)


# --- items --------------------------------------------------------------------------------------------------------------------


async def test_open_items_are_found_by_table_group_seat_and_state(inn: Inn) -> None:
    till = await inn.till()
    terrace = await inn.add(TABLE_GROUP, name="Terrasse")
    outside = await inn.add(TABLE, number=40, group_key=terrace)
    await till.order(inn.tables[1], item(inn.menu["Cola"], seat=1), item(inn.menu["Pils"], course=2))
    await till.order(outside, item(inn.menu["Salat"], seat=1))

    async def found(**params: str) -> list[str]:
        return [line["name"] for line in done(await till.get("open-bons", params=params))]

    assert await found() == ["Cola", "Pils", "Salat"]
    assert await found(tableId=outside) == await found(groupId=terrace) == ["Salat"]
    assert await found(groupId=inn.group) == ["Cola", "Pils", "Salat"]
    assert await found(seat="1") == ["Cola", "Salat"]
    assert await found(state="held") == ["Pils"]
    assert await found(state="ordered") == ["Cola", "Salat"]
    assert await found(page="2", pageSize="2") == ["Salat"]
    assert await found(page="1", pageSize="2") == ["Cola", "Pils"]
    assert await found(page="3", pageSize="2") == await found(tableId="tbl_none") == []
    assert await found(**{"from": "2020-01-01T00:00:00Z"}) == ["Cola", "Pils", "Salat"]
    assert await found(**{"from": "2090-01-01T00:00:00Z"}) == []
    assert [line["name"] for line in done(await till.get(f"tables/{outside}/open-bons"))] == ["Salat"]
    for wrong in ({"state": "burnt"}, {"page": "0"}, {"pageSize": "1001"}, {"seat": "x"}, {"from": "yesterday"}):
        assert fields_named(await till.get("open-bons", params=wrong)) == set(wrong)


async def test_what_is_open_of_an_item_can_be_changed(inn: Inn) -> None:
    till = await inn.till("Waiter")
    order = await till.order(inn.tables[1], item(inn.menu["Schnitzel"], 2, discountPercent=10, options=[{"optionId": "salat"}]))
    line = order["items"][0]["id"]
    more = done(await put(till, line, quantity=3, note="ohne Ei", seat=4, course=1))
    assert (more["id"], more["unitPrice"], more["openQuantity"], more["openAmount"]) == (line, D("19.40"), 3, D("52.38"))
    assert (more["note"], more["seat"], more["course"]) == ("ohne Ei", 4, 1)
    assert done(await till.get(f"open-bons/{line}"))["openAmount"] == D("52.38")
    assert fields_named(await put(till, line, quantity=2)) == {"reason"}
    fewer = done(await put(till, line, quantity=2, reason="einer ging"))
    assert (fewer["openQuantity"], fewer["openAmount"]) == (2, D("34.92"))
    [gone] = done(await till.get("open-bons", params={"state": "cancelled"}))
    assert (gone["openQuantity"], gone["openAmount"], gone["cancelled"]["reason"]) == (1, D("17.46"), "einer ging")
    bare = done(await put(till, line, note=None, discountAmount=D("1.00"), discountPercent=None))
    assert (bare["note"], bare["discount"], bare["openAmount"]) == (None, D("1.00"), D("37.80"))
    await till.pay(inn.tables[1], items=[{"id": line, "quantity": 1}])
    done(await put(till, line, discountPercent=100))
    assert (await till.pay(inn.tables[1]))["gross"] == D(0)
    refused(await put(till, line, note="zu spät"), 404)
    line = (await till.order(inn.tables[1], item(inn.menu["Cola"])))["items"][0]["id"]
    for wrong in ({"quantity": 0}, {"seat": 0}, {"course": 21}, {"discountPercent": 101}, {"discountAmount": D("0.001")}):
        assert fields_named(await put(till, line, **wrong)) == set(wrong), wrong


async def test_a_cancelled_item_stays_on_record_for_the_kitchen(inn: Inn) -> None:
    till, kitchen = await inn.till("Waiter"), await inn.till("Kitchen")
    table = inn.tables[3]
    line = (await till.order(table, item(inn.menu["Schnitzel"], 3)))["items"][0]["id"]
    done(await progress(kitchen, line, "preparing"))
    assert fields_named(await till.delete(f"open-bons/{line}")) == {"reason"}
    assert fields_named(await cancel(till, line, quantity="much")) == {"quantity"}
    refused(await cancel(till, line, quantity="4"), 409)
    part = done(await cancel(till, line, key="one", quantity="1"))
    assert (part["quantity"], part["amount"], part["openQuantity"], part["openAmount"]) == (1, D("17.90"), 2, D("35.80"))
    assert part["cancelled"]["status"] == "preparing"
    rest = done(await cancel(till, line, key="rest"))
    assert (rest["quantity"], rest["openAmount"]) == (2, D(0))
    assert (await till.table(table))["status"] == 3
    seen = done(await kitchen.get("open-bons", params={"state": "cancelled"}))
    assert [(one["id"], one["status"], one["openQuantity"]) for one in seen] == [(line, "cancelled", 1), (line, "cancelled", 2)]
    assert {one["cancelled"]["staffId"] for one in seen} == {await staff(till)}
    assert done(await cancel(till, line, key="one", quantity="1")) == part, "a repeat is answered although the item is gone"
    assert done(await cancel(till, line, key="rest")) == rest
    refused(await cancel(till, line), 404)
    refused(await cancel(kitchen, line), 403)


async def test_the_kitchen_makes_what_was_called(inn: Inn) -> None:
    till, kitchen, bar = await inn.till("Waiter"), await inn.till("Kitchen"), await inn.till("Bar")
    table = inn.tables[1]
    dessert = {"name": "Eis", "price": "4.50", "tax_class": 1, "group_key": inn.group, "course": 3}
    order = await till.order(
        table,
        item(inn.menu["Pils"]),
        item(inn.menu["Schnitzel"], course=2),
        item(await inn.add(ARTICLE, **dessert)),
    )
    pils, meat, ice = (line["id"] for line in order["items"])
    assert [line["course"] for line in order["items"]] == [None, 2, 3]
    assert [line["status"] for line in await till.open_items(table)] == ["ordered", "held", "held"]
    refused(await progress(kitchen, meat, "preparing"), 409, "Gang 2")
    done(await till.post(f"tables/{table}/gang", {"course": 2}))
    assert [line["status"] for line in await till.open_items(table)] == ["ordered", "ordered", "held"]
    for status in ("preparing", "ready", "preparing", "ready", "served"):
        assert done(await progress(kitchen, meat, status))["status"] == status
    done(await progress(bar, pils, "served"))
    assert [line["status"] for line in await kitchen.open_items(table)] == ["served", "served", "held"]
    refused(await put(till, meat, quantity=2), 409, "schon")
    for wrong in ("held", "cancelled", "burnt", ""):
        assert fields_named(await progress(kitchen, pils, wrong)) == {"status"}
    moved = done(await till.post(f"tables/{table}/move", {"targetTableId": inn.tables[2]}))
    assert [line["status"] for line in moved["items"]] == ["served", "served", "held"]
    assert [line["status"] for line in await till.open_items(inn.tables[2])] == ["served", "served", "held"]
    done(await progress(kitchen, meat, "ready"))
    refused(await progress(kitchen, ice, "ready"), 409)
    refused(await kitchen.post("open-bons", {"tableId": table, "items": [item(inn.menu["Cola"])]}), 403)


async def test_an_item_moves_and_a_repeat_is_answered_alike(inn: Inn) -> None:
    till = await inn.till("Waiter")
    one, two = inn.tables[1], inn.tables[2]
    line = (await till.order(one, item(inn.menu["Cola"], 3)))["items"][0]["id"]
    part = done(await till.post(f"open-bons/{line}/move", {"targetTableId": two, "quantity": 1}, key="part"))
    whole = done(await till.post(f"open-bons/{line}/move", {"targetTableId": two, "seat": 3}, key="whole"))
    assert (part["previousId"], part["quantity"], whole["id"], whole["seat"]) == (line, 1, line, 3)
    assert (await till.table(one))["status"] == 0
    done(await put(till, line, note="mit Eis"))
    assert done(await till.post(f"open-bons/{line}/move", {"targetTableId": two, "quantity": 1}, key="part")) == part
    assert done(await till.post(f"open-bons/{line}/move", {"targetTableId": two, "seat": 3}, key="whole")) == whole
    refused(await till.post(f"open-bons/{line}/move", {"targetTableId": one}, key="whole"), 422)
    assert fields_named(await till.post(f"open-bons/{line}/move", {})) == {"targetTableId"}
    await till.pay(two)
    assert done(await till.post(f"open-bons/{line}/move", {"targetTableId": two, "seat": 3}, key="whole")) == whole
    refused(await till.post(f"open-bons/{line}/move", {"targetTableId": one}), 404)


@pytest.mark.parametrize("id_", ["obn_none", "x" * 65, "%00", "a b"])
async def test_an_item_that_is_not_there(till: Till, id_: str) -> None:
    for answer in (
        await till.get(f"open-bons/{id_}"),
        await put(till, id_, note="x"),
        await cancel(till, id_),
        await progress(till, id_, "ready"),
        await till.post(f"open-bons/{id_}/move", {"seat": 1}),
    ):
        refused(answer, 404)


async def test_another_houses_items_and_tables_are_not_there(inn: Inn, shared_inn: Inn, till: Till) -> None:
    own = await inn.till()
    line = (await own.order(inn.tables[1], item(inn.menu["Cola"])))["items"][0]["id"]
    for answer in (
        await till.get(f"open-bons/{line}"),
        await put(till, line, note="x"),
        await cancel(till, line),
        await progress(till, line, "ready"),
        await till.post(f"open-bons/{line}/move", {"seat": 1}),
        await till.post(f"tables/{inn.tables[1]}/move", {"targetTableId": shared_inn.tables[1]}),
        await till.put("tables/layout", {"tables": [{"id": inn.tables[1], "x": 1}]}),
        await till.post(f"tables/{inn.tables[1]}/interim-bill"),
    ):
        refused(answer, 404)
    assert done(await till.get("open-bons", params={"tableId": inn.tables[1]})) == []
    assert done(await own.get(f"open-bons/{line}"))["note"] is None


# --- many at once -------------------------------------------------------------------------------------------------------------


async def test_32_devices_at_one_table_lose_no_line(inn: Inn) -> None:
    till = await inn.till("Waiter")
    table = inn.tables[1]
    answers = await asyncio.gather(*(till.order(table, item(inn.menu["Cola"]), item(inn.menu["Pils"])) for _ in range(CLIENTS)))
    ordered = {line["id"] for order in answers for line in order["items"]}
    shown = await till.open_items(table)
    assert {line["id"] for line in shown} == ordered
    assert len(shown) == 2 * CLIENTS
    assert (await till.pay(table))["gross"] == CLIENTS * D("7.70")


async def test_32_clients_on_one_item_take_off_what_there_is(inn: Inn) -> None:
    """Each of them takes one of twenty: twenty get it, the others are told how little is left."""
    till = await inn.till("Waiter")
    line = (await till.order(inn.tables[1], item(inn.menu["Cola"], 20), item(inn.menu["Pils"])))["items"][0]["id"]
    answers = await asyncio.gather(*(cancel(till, line, quantity="1") for _ in range(CLIENTS)))
    assert [answer.status for answer in answers].count(200) == 20
    assert {answer.status for answer in answers} <= {200, 404, 409}
    assert sum(answer.data["amount"] for answer in answers if answer.status == 200) == D("70.00")
    assert [one["name"] for one in await till.open_items(inn.tables[1])] == ["Pils"]


async def test_32_clients_move_change_and_pay_one_item(inn: Inn) -> None:
    till = await inn.till("Waiter")
    one, two = inn.tables[1], inn.tables[2]
    line = (await till.order(one, item(inn.menu["Cola"], 32)))["items"][0]["id"]

    def act(number: int) -> Any:
        match number % 4:
            case 0:
                return till.post(f"open-bons/{line}/move", {"targetTableId": two if number % 8 else one, "quantity": 1})
            case 1:
                return till.post("payments/table", {"tableId": one, "payments": [{"type": 0}], "items": [{"id": line, "quantity": 1}]})
            case 2:
                return progress(till, line, "ready")
        return cancel(till, line, quantity="1")

    answers = await asyncio.gather(*(act(number) for number in range(CLIENTS)))
    assert {answer.status for answer in answers} <= {200, 201, 400, 404, 409}
    paid = sum(receipt["gross"] for receipt in await till.receipts())
    gone = sum(answer.data["amount"] for answer in answers[3::4] if answer.status == 200)
    assert paid + gone + await total_open(till, inn) == 32 * D("3.50")
    assert paid > 0
    assert gone > 0


async def test_tables_are_merged_while_others_order_and_pay(inn: Inn) -> None:
    till = await inn.till("Waiter")
    one, two = inn.tables[1], inn.tables[2]
    await till.order(one, item(inn.menu["Cola"]))
    await till.order(two, item(inn.menu["Cola"]))

    def act(number: int) -> Any:
        match number % 4:
            case 0:
                return till.post(f"tables/{one}/move", {"targetTableId": two})
            case 1:
                return till.post("open-bons", {"tableId": one, "items": [item(inn.menu["Cola"])]})
            case 2:
                return till.post("payments/table", {"tableId": two, "payments": [cash("500.00")]})
        return till.post(f"tables/{one}/merge", {"tableIds": [two]})

    answers = await asyncio.gather(*(act(number) for number in range(CLIENTS)))
    assert {answer.status for answer in answers} <= {200, 201, 409}
    assert all(answer.status == 201 for answer in answers[1::4]), "an order found no table"
    receipts = await till.receipts()
    assert [receipt["number"] for receipt in receipts] == list(range(1, len(receipts) + 1))
    billed = [line["id"] for receipt in receipts for line in receipt["items"]]
    still_open = [line["id"] for table in (one, two) for line in await till.open_items(table)]
    assert len(billed) + len(still_open) == len({*billed, *still_open}) == 2 + CLIENTS // 4
