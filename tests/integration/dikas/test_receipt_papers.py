"""Receipts written out: what guests, tax offices and deducting hosts must be able to read on them."""

from __future__ import annotations

import io
from typing import Any

import pytest
from pypdf import PdfReader

from tests.house import Inn, Till, card, cash, done, free_item, item, refused

LETTERHEAD = {
    "company": "Gasthaus zum Schwan",
    "street": "Hauptstraße 1",
    "postcode": "80331",
    "city": "München",
    "taxNumber": "143/123/45678",
    "vatId": "DE123456789",
    "phone": "089 1234",
    "footer": ["Vielen Dank für Ihren Besuch!"],
}


@pytest.fixture
async def admin(inn: Inn) -> Till:
    till = await inn.till()
    done(await till.put("config", {"letterhead": LETTERHEAD}))
    return till


async def document(till: Till, path: str, type_: str, **headers: str) -> bytes:
    async with till.http.get(f"/api/v1/{path}", headers={"Authorization": f"Bearer {till.token}", **headers}) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.headers["Content-Type"] == type_
        return await answer.read()


async def text(till: Till, receipt: str, path: str = "text", **headers: str) -> str:
    return (await document(till, f"receipts/{receipt}/{path}", "text/plain; charset=utf-8", **headers)).decode()


def words(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)


def flat(text: str) -> str:
    return " ".join(text.split())


async def test_a_receipt_shows_what_the_law_asks_for(inn: Inn, admin: Till) -> None:
    await admin.order(
        inn.tables[1], item(inn.menu["Schnitzel"], options=[{"optionId": "salat"}]), item(inn.menu["Pils"], 2, discountPercent=10)
    )
    receipt = await admin.pay(inn.tables[1], card("10.00"), cash("30.00"), tip=2)
    shown = flat(await text(admin, receipt["id"]))
    for expected in (
        "Gasthaus zum Schwan", "Hauptstraße 1", "80331 München", "St.-Nr. 143/123/45678", "USt-IdNr. DE123456789", "Tel. 089 1234",
        "Beleg 1", "Kasse 1", "Tisch 1", "Es bediente Ada", "Schnitzel", "+ Salat statt Pommes (1,50)", "Rabatt -0,84",
        "Summe EUR 26,96", "Trinkgeld 2,00", "Karte 10,00", "Bar 30,00", "Rückgeld -11,04", "Ohne TSE-Signatur: keine TSE eingerichtet",
        "Vielen Dank für Ihren Besuch!",
    ):  # fmt: skip
        assert expected in shown, (expected, shown)
    for tax in receipt["taxes"]:
        figures = " ".join(f"{tax[name]:.2f}".replace(".", ",") for name in ("net", "tax", "gross"))
        assert f"{tax['rate']} % {figures}" in shown
    assert all(len(line) <= 42 for line in (await text(admin, receipt["id"])).splitlines())


async def test_in_english_for_guests_who_prefer_it(inn: Inn, admin: Till) -> None:
    receipt = await admin.sell(item(inn.menu["Cola"], 400))
    english = flat(await text(admin, receipt["id"], **{"Accept-Language": "en"}))
    assert "Total EUR 1,400.00" in english
    assert "Summe EUR 1.400,00" in flat(await text(admin, receipt["id"], **{"Accept-Language": "de"}))
    asked = await text(admin, receipt["id"], "text?language=en", **{"Accept-Language": "de"})
    assert flat(asked) == english
    refused(await admin.get(f"receipts/{receipt['id']}/text?language=fr"), 400, "language")


async def test_the_pdf_says_the_same_whatever_the_script(inn: Inn, admin: Till) -> None:
    names = ("Müßiggängerfrühstück mit Käse", "Żurek z jajkiem", "Борщ", "Σουβλάκι")
    receipt = await admin.sell(*(free_item(name, "1.50") for name in names))
    path = f"receipts/{receipt['id']}/pdf"
    pdf = await document(admin, path, "application/pdf")
    assert pdf == await document(admin, path, "application/pdf"), "the same receipt gives the same bytes"
    shown = flat(words(pdf))
    for expected in (*names, "80331 München", "Summe EUR 6,00"):
        assert expected in shown
    fonts = PdfReader(io.BytesIO(pdf)).pages[0]["/Resources"]["/Font"]  # type: ignore[index]
    embedded = [font.get_object() for font in fonts.values() if "DejaVu" in str(font.get_object()["/BaseFont"])]
    assert embedded
    assert all("/FontFile2" in font["/FontDescriptor"].get_object() for font in embedded)


async def test_a_long_receipt_is_written_out_whole(inn: Inn, admin: Till) -> None:
    receipt = await admin.sell(*(free_item(f"Posten {number:03d} " + "x" * 80, "1.00") for number in range(500)))
    shown = await text(admin, receipt["id"])
    assert all(f"Posten {number:03d}" in shown for number in range(500))
    assert "Posten 499" in words(await document(admin, f"receipts/{receipt['id']}/pdf", "application/pdf"))


async def test_voids_and_refunds_cannot_be_taken_for_sales(inn: Inn, admin: Till) -> None:
    sale, other = await admin.sell(item(inn.menu["Cola"], 2)), await admin.sell(item(inn.menu["Pils"], 2))
    void = await admin.void(sale["id"])
    refund = await admin.refund(other["id"], {"id": other["items"][0]["id"], "quantity": 1})
    assert "*** STORNO zu Beleg 1 ***" in await text(admin, void["id"])
    assert "Summe EUR -7,00" in flat(await text(admin, void["id"]))
    assert "*** STORNIERT durch Beleg 3 ***" in await text(admin, sale["id"])
    assert "*** ERSTATTUNG zu Beleg 2 ***" in await text(admin, refund["id"])
    assert "Davon erstattet 4,20" in flat(await text(admin, other["id"]))


async def test_copies_are_counted_and_marked(inn: Inn, admin: Till) -> None:
    receipt = await admin.sell(item(inn.menu["Cola"]))
    path = f"receipts/{receipt['id']}/print"
    first = done(await admin.post(path, key="print-1"), 201)
    assert (first["copy"], first["receiptId"]) == (1, receipt["id"])
    assert "*** KOPIE 1 ***" in first["text"]
    assert done(await admin.post(path, key="print-1"), 201) == first, "a repeat prints no other copy"
    assert "*** KOPIE 2 ***" in done(await admin.post(path), 201)["text"]
    assert "KOPIE" not in await text(admin, receipt["id"]), "the original is none"
    refused(await admin.post("receipts/bon_none/print"), 404)


MEAL = {"occasion": "Projektabschluss", "guests": ["Ada Lovelace", "Grace Hopper"], "host": "Konrad Zuse"}


async def test_a_business_meal_is_noted_and_written_out(inn: Inn, admin: Till) -> None:
    receipt = await admin.sell(item(inn.menu["Schnitzel"], 2), paid=(cash("40.00"),), tip=4.2)
    noted = done(await admin.post(f"receipts/{receipt['id']}/hospitality", MEAL))
    assert {name: noted[name] for name in MEAL} == MEAL
    for expected in (
        "BEWIRTUNGSBELEG", "§ 4 Abs. 5 Nr. 2 EStG", "Tag der Bewirtung", "Gasthaus zum Schwan, Hauptstraße 1, 80331", "Ada Lovelace",
        "Grace Hopper", "Projektabschluss", "Konrad Zuse", "35,80", "mit Trinkgeld 40,00", "Unterschrift",
    ):  # fmt: skip
        assert expected in flat(noted["text"]), expected
    assert await text(admin, receipt["id"], "hospitality/text") == noted["text"]
    assert "Grace Hopper" in words(await document(admin, f"receipts/{receipt['id']}/hospitality/pdf", "application/pdf"))


async def test_what_was_not_noted_is_filled_in_by_hand(inn: Inn, admin: Till) -> None:
    receipt = await admin.sell(item(inn.menu["Cola"]))
    form = await text(admin, receipt["id"], "hospitality/text")
    assert form.count("\n   " + "_" * 39) == 3


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"occasion": ""}, "occasion"), ({"occasion": "x" * 201}, "occasion"), ({"occasion": "a\nb"}, "occasion"),
        ({"guests": []}, "guests"),
        ({"guests": ["x"] * 51}, "guests"), ({"guests": ["a", " "]}, "guests[1]"), ({"host": "x" * 101}, "host"),
    ],
)  # fmt: skip
async def test_a_business_meal_that_proves_nothing_is_refused(shared_inn: Inn, till: Till, change: dict[str, Any], field: str) -> None:
    receipt = await till.sell(item(shared_inn.menu["Cola"]))
    refused(await till.post(f"receipts/{receipt['id']}/hospitality", {**MEAL, **change}), 400, f"Feld '{field}'")


async def test_nobody_deducts_what_was_taken_back(shared_inn: Inn, till: Till) -> None:
    receipt = await till.sell(item(shared_inn.menu["Cola"]))
    void = await till.void(receipt["id"])
    for id_ in (receipt["id"], void["id"]):
        refused(await till.post(f"receipts/{id_}/hospitality", MEAL), 409, "Kein Bewirtungsbeleg")


async def test_an_unsigned_receipt_says_why(shared_inn: Inn, till: Till) -> None:
    receipt = await till.sell(item(shared_inn.menu["Cola"]))
    tse = done(await till.get(f"receipts/{receipt['id']}/tse"))
    assert (tse["isSigned"], tse["reason"], tse["message"], tse["qrCode"]) == (False, "no_signing_unit", "keine TSE eingerichtet", None)
    assert receipt["isSigned"] is False


@pytest.mark.parametrize("path", ["text", "pdf", "tse", "hospitality/text", "hospitality/pdf"])
async def test_receipts_of_nobody_and_of_others_are_absent(inn: Inn, shared_inn: Inn, path: str) -> None:
    foreign = await (await shared_inn.till()).sell(item(shared_inn.menu["Cola"]))
    till = await inn.till()
    for id_ in (foreign["id"], "bon_none", "b o n"):
        refused(await till.get(f"receipts/{id_}/{path}"), 404)
    kitchen = await shared_inn.till("Kitchen")
    refused(await kitchen.get(f"receipts/{foreign['id']}/{path}"), 403)
