"""What a sale over the counter costs, and what is refused."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from libs.contracts.pos.commands import Item, Sell, VoidReceipt
from libs.contracts.pos.events import LineOption, PaymentTaken, ReceiptIssued, ReceiptLine, TaxAmount
from libs.domain.errors import Kind
from libs.domain.ids import key_of
from services.pos.tabs import line_keys
from tests.unit.given import NOON, STAFF, given
from tests.unit.pos.inn import CARD, CASH, FACTS, SELL, VOID, card, cash, d, free, item, option, sell


def test_two_colas_and_a_soup_for_cash() -> None:
    outcome = sell(item("cola", 2), item("soup"), payments=(cash(2000),))
    command = outcome.command.id
    outcome.then(
        ReceiptIssued(
            receipt=key_of("bon", command),
            register="1",
            currency="EUR",
            lines=(
                ReceiptLine(
                    id=line_keys(command, 0)(0),
                    name="Cola 0,3l",
                    quantity=d(2),
                    unit_price=d("3.5"),
                    total=700,
                    tax_class=0,
                    tax_rate=d(19),
                    article="art_cola",
                    group="artgrp_drinks",
                ),
                ReceiptLine(
                    id=line_keys(command, 0)(1),
                    name="Tagessuppe",
                    quantity=d(1),
                    unit_price=d("5.9"),
                    total=590,
                    tax_class=1,
                    tax_rate=d(7),
                    article="art_soup",
                ),
            ),
            taxes=(TaxAmount(rate=d(19), net=588, tax=112, gross=700), TaxAmount(rate=d(7), net=551, tax=39, gross=590)),
            gross=1290,
            net=1139,
            tax=151,
            payments=(PaymentTaken(type=CASH, amount=2000),),
            change=710,
            staff=STAFF,
            business_day=date(2026, 3, 5),
            at=NOON,
        )
    )


def test_the_answer_is_the_receipt_with_the_number_the_log_gave() -> None:
    first = sell(item("cola"))
    second = sell(item("soup"), payments=(card(),), at=first, register="bar")
    third = sell(item("soup"), payments=(card(),), at=second, customer="cus_7", tip=10)
    assert [sale.reply.number for sale in (first, second, third)] == [1, 1, 2], "every register counts for itself"
    reply = third.reply
    assert (reply.id, reply.register, reply.date, reply.business_day) == (
        key_of("bon", third.command.id),
        "1",
        NOON,
        date(2026, 3, 5),
    )
    assert (reply.customer, reply.table, reply.staff, reply.currency) == ("cus_7", None, STAFF, "EUR")
    assert (reply.gross, reply.tip, reply.change) == (590, 10, 0)
    assert reply.payments == (PaymentTaken(type=CARD, amount=600),)
    assert (reply.is_voided, reply.void_receipt, reply.voided_receipt) == (False, None, None)


def test_tax_is_rounded_once_per_rate_and_not_per_line() -> None:
    lines = [item("penny") for _ in range(3)]  # one by one each cent would hold no tax at all
    assert sell(*lines).reply.taxes == (TaxAmount(rate=d(19), net=3, tax=0, gross=3),)
    assert sell(*lines, *lines).reply.taxes == (TaxAmount(rate=d(19), net=5, tax=1, gross=6),)


def test_a_voucher_bears_no_tax() -> None:
    assert sell(item("voucher")).reply.taxes == (TaxAmount(rate=d(0), net=2500, tax=0, gross=2500),)


def test_options_go_into_the_unit_price() -> None:
    line = sell(item("burger", 2, options=(option("cheese", 2), option("onions")))).reply.lines[0]
    assert line.unit_price == d("11.3")
    assert line.total == 2260
    assert line.options == (
        LineOption(option="opt_cheese", name="Extra Käse", surcharge=d("1.20"), quantity=2),
        LineOption(option="opt_onions", name="ohne Zwiebeln", surcharge=d(0)),
    )


def test_an_overridden_price_keeps_the_surcharges() -> None:
    line = sell(item("burger", price=d("7.00"), options=(option("cheese"),))).reply.lines[0]
    assert (line.unit_price, line.total) == (d("8.2"), 820)


def test_a_free_article_needs_no_article() -> None:
    line = sell(free("Kuchen vom Buffet", "2.75", 2, tax_class=1)).reply.lines[0]
    assert (line.article, line.name, line.total, line.tax_class, line.tax_rate) == (None, "Kuchen vom Buffet", 550, 1, d(7))


@pytest.mark.parametrize(
    ("article", "quantity", "more", "discount", "total"),
    [
        ("cola", 2, {"discount_percent": d(10)}, 70, 630),
        ("cola", 2, {"discount_percent": d(100)}, 700, 0),
        ("cola", 2, {"discount_percent": d(0)}, 0, 700),
        ("five", 1, {"discount_percent": d(50)}, 3, 2),  # half a cent goes to the guest
        ("cola", 1, {"discount_percent": d("12.5")}, 44, 306),
        ("cola", 2, {"discount_amount": 150}, 150, 550),
        ("cola", 2, {"discount_amount": 700}, 700, 0),
        ("five", "0.5", {}, 0, 3),  # half portions: half a cent is rounded up
        ("wine", "0.333", {}, 0, 333),
        ("five", "0.001", {}, 0, 0),
    ],
)
def test_discounts_and_portions(article: str, quantity: str | int, more: dict[str, object], discount: int, total: int) -> None:
    line = sell(item(article, quantity, **more)).reply.lines[0]
    assert (line.discount, line.total) == (discount, total)


def test_a_sale_that_costs_nothing_needs_no_payment() -> None:
    reply = sell(item("cola", discount_percent=d(100)), payments=()).reply
    assert (reply.gross, reply.net, reply.tax, reply.payments, reply.change) == (0, 0, 0, (), 0)
    assert reply.taxes == (TaxAmount(rate=d(19), net=0, tax=0, gross=0),)
    assert sell(item("cola", discount_percent=d(100)), payments=(cash(),)).reply.payments == ()


@pytest.mark.parametrize(("written", "kept"), [("2.50", "2.5"), ("1E+3", "1000"), ("1.000", "1"), ("9999", "9999")])
def test_quantities_are_kept_in_plain_notation(written: str, kept: str) -> None:
    assert str(sell(item("cola", written)).reply.lines[0].quantity) == kept


def refused(*items: Item, **more: object) -> tuple[Kind, list[str]]:
    error = sell(*items, **more).error  # type: ignore[arg-type]
    assert error is not None
    return error.kind, [f"{field.path}: {field.reason}" for field in error.fields]


@pytest.mark.parametrize(
    ("wrong", "paths"),
    [
        (item("cola", 0), ["quantity: out_of_range"]),
        (item("cola", -1), ["quantity: out_of_range"]),
        (item("cola", "0.0001"), ["quantity: out_of_range"]),
        (item("cola", "1.0001"), ["quantity: too_many_places"]),
        (item("cola", "9999.001"), ["quantity: out_of_range"]),
        (item("cola", "NaN"), ["quantity: out_of_range"]),
        (item("cola", "Infinity"), ["quantity: out_of_range"]),
        (item("cola", "1E+999999"), ["quantity: out_of_range"]),
        (item("cola", "1E-999999"), ["quantity: out_of_range"]),
        (item("cola", price=d("-0.01")), ["price: out_of_range"]),
        (item("cola", price=d("0.0000001")), ["price: too_many_places"]),
        (item("cola", price=d("1000000.01")), ["price: out_of_range"]),
        (item("cola", discount_percent=d("100.01")), ["discount_percent: out_of_range"]),
        (item("cola", discount_percent=d(-1)), ["discount_percent: out_of_range"]),
        (item("cola", discount_percent=d("0.001")), ["discount_percent: too_many_places"]),
        (item("cola", discount_amount=351), ["discount_amount: out_of_range"]),
        (item("cola", discount_amount=-1), ["discount_amount: out_of_range"]),
        (item("cola", discount_amount=1, discount_percent=d(1)), ["discount_amount: either_percent_or_amount"]),
        (item("cola", name="Fanta", tax_class=1), ["name: not_with_article", "tax_class: not_with_article"]),
        (item("cola", course=0), ["course: out_of_range"]),
        (item("cola", course=21), ["course: out_of_range"]),
        (item("cola", seat=0), ["seat: out_of_range"]),
        (item("cola", note="x" * 201), ["note: too_long"]),
        (item("cola", note="nul\x00"), ["note: unprintable"]),
        (item("cola", options=(option("cheese"),)), ["options[0].option: option_not_offered"]),
        (item("burger", options=(option("cheese"), option("cheese"))), ["options[1].option: repeated"]),
        (item("burger", options=(option("cheese", 0),)), ["options[0].quantity: out_of_range"]),
        (item("burger", options=(option("cheese", 100),)), ["options[0].quantity: out_of_range"]),
        (item("burger", options=(option("cheese"),) * 21), ["options: too_many"]),
        (item("burger", options=(option("meat"),)), ["options: price_below_zero"]),
        (item("cola", 9999, price=d(1_000_000)), ["quantity: amount_too_large"]),
        (item("cola", 9999, price=d("10001.01")), ["quantity: amount_too_large"]),
        (free("", "1.00"), ["name: required"]),
        (free("x" * 101, "1.00"), ["name: too_long"]),
        (free("a\x07b", "1.00"), ["name: unprintable"]),
        (free("Kuchen", "1.00", tax_class=3), ["tax_class: tax_class_unknown"]),
        (free("Kuchen", "1.00", tax_class=-1), ["tax_class: out_of_range", "tax_class: tax_class_unknown"]),
        (free("Kuchen", "1.00", options=(option("cheese"),)), ["options[0].option: option_not_offered"]),
        (Item(quantity=d(1)), ["name: required", "price: required", "tax_class: required"]),
    ],
)
def test_a_wrong_item_is_named_with_its_field(wrong: Item, paths: list[str]) -> None:
    assert refused(item("soup"), wrong) == (Kind.INVALID, [f"items[1].{path}" for path in paths])


def test_every_fault_is_named_at_once() -> None:
    kind, fields = refused(
        item("cola", 0, note="x" * 300), item("soup", discount_amount=600), item("nothing"), tip=-1, payments=(cash(0), card(-5))
    )
    assert kind is Kind.INVALID
    assert fields == [
        "tip: out_of_range",
        "payments[0].amount: out_of_range",
        "payments[1].amount: out_of_range",
        "items[0].quantity: out_of_range",
        "items[0].note: too_long",
        "items[1].discount_amount: out_of_range",
    ]


def test_there_must_be_something_to_sell_but_not_without_end() -> None:
    assert refused() == (Kind.INVALID, ["items: empty"])
    assert refused(*[item("cola")] * 501) == (Kind.INVALID, ["items: too_many"])
    assert sell(*[item("cola")] * 500).reply.gross == 500 * 350


def test_unknown_articles_are_not_found() -> None:
    outcome = sell(item("cola"), item("gone"), item("old"), item("lost"))
    outcome.refused(Kind.NOT_FOUND, "article_not_found", "items[1].article", "items[3].article")
    assert outcome.error is not None
    assert outcome.error.params == {"id": "art_gone"}


def test_an_inactive_article_is_not_sold() -> None:
    sell(item("cola"), item("old")).refused(Kind.CONFLICT, "article_inactive", "items[1].article")


def test_an_article_whose_tax_class_has_no_rate_is_not_sold() -> None:
    sell(item("strange")).refused(Kind.CONFLICT, "tax_class_without_rate", "items[0].article")


def test_a_register_and_a_customer_are_keys() -> None:
    assert refused(item("cola"), register="a.b >", customer="") == (
        Kind.INVALID,
        ["customer: not_a_key", "register: not_a_key"],
    )


def test_rates_are_data_and_may_change() -> None:
    facts = type(FACTS)(articles=FACTS.articles, rates={0: d(16), 1: Decimal("5.5")}, tables={})
    outcome = given().when(SELL, Sell(items=(item("cola"), item("soup")), payments=(cash(),)), facts=facts)
    assert [(tax.rate, tax.net, tax.tax) for tax in outcome.reply.taxes] == [(d(16), 302, 48), (d("5.5"), 559, 31)]


def test_a_repeat_is_answered_alike_after_the_receipt_was_voided() -> None:
    sale = sell(item("cola"))
    sale.when(VOID, VoidReceipt(receipt=sale.reply.id), facts=FACTS)
    assert sale.repeated() == sale.reply
