"""What stands in columns of JSON: line items of transactions, tickets and contracts, and the smaller shapes.

A line is a snapshot of what was offered or sold. The IDs in it are numbers, no references: it outlives the rows that they name.
"""

from __future__ import annotations

from typing import Final

from libs.domain.fields import LINE_MAX_CHARS, TEXT_MAX_CHARS, choice, json, number, whole
from libs.domain.records import Field, FieldType, Shape

LINES_MAX: Final = 1_000
LINES_MAX_BYTES: Final = 200_000  # of a transaction
MORE_LINES_MAX_BYTES: Final = 100_000  # where a record has two lists of lines
UNIT_MAX_CHARS: Final = 3
NAMES_MAX: Final = 300  # countries, languages
SERIALS_MAX: Final = 1_000
COUNTRY_NAME: Final = "[A-Z]{2}"
LANGUAGE_NAME: Final = "[A-Za-z]{2,3}(?:[_-][A-Za-z0-9]{2,8})*"

LINE_TYPE: Final = {0: "PRODUCT", 1: "TEXT", 2: "COUPON"}
TEXT_VARIANT: Final = {0: "DESCRIPTION", 1: "ANNOTATION", 2: "SUBTITLE", 3: "TITLE", 4: "HEADLINE"}
ITEM_TYPE: Final = {
    0: "SIMPLE", 1: "SERIALS", 2: "CHARGES", 3: "SERIALSANDCHARGES", 4: "SET", 5: "CONTAINER", 6: "NOSTOCK", 7: "MODEL",
}  # fmt: skip


def _text(name: str, max_chars: int = LINE_MAX_CHARS) -> Field:
    return Field(name=name, type=FieldType.TEXT, max_chars=max_chars)


def _id(name: str, resource: str, *, big: bool = False) -> Field:
    """The ID of a row of ``resource``, as it was when the line was written."""
    return Field(
        name=name, type=FieldType.LONG if big else FieldType.INTEGER, doc=resource, low=-(2**63) + 1 if big else None,
        high=2**63 - 1 if big else None,
    )  # fmt: skip


def _yes(name: str) -> Field:
    return Field(name=name, type=FieldType.BOOLEAN)


def _texts(name: str) -> Field:
    return Field(name=name, type=FieldType.LIST, item=str, max_chars=LINE_MAX_CHARS, max_items=SERIALS_MAX)


COMMON: Final = (
    whole("original", default=None),
    json("references", shape=Shape(listed=True, max_items=LINES_MAX, fields=(whole("subindex"), _id("transaction", "transactions")))),
    whole("subindex"),
    choice("type", LINE_TYPE),
)
TAKEN_FROM: Final = Shape(
    listed=True, max_items=LINES_MAX,
    fields=(
        number("amount"),
        _text("chargenum"),
        _text("location"),
        _texts("serials"),
        _id("storage", "storages"),
        _id("transaction", "stocktransactions", big=True),
    ),
)  # fmt: skip
PRODUCT: Final = (
    number("amount"),
    number("amounttaken"),
    _text("barcode"),
    number("discount", low=-100, high=100),
    number("discount2", low=-100, high=100),
    _id("item", "items"),
    _text("itemnum"),
    choice("itemtype", ITEM_TYPE),
    _text("manufacturer"),
    _text("name"),
    number("purchaseprice"),
    number("rebate"),
    _id("reservation", "stocktransactions", big=True),
    number("sellingprice"),
    number("taxrate", low=0, high=100),
    json("transactions", shape=TAKEN_FROM),
    _text("unit", UNIT_MAX_CHARS),
    number("weight", low=0),
)
TEXT: Final = (
    _yes("taken"),
    _text("text", TEXT_MAX_CHARS),
    choice("variant", TEXT_VARIANT),
)
COUPON: Final = (
    _text("code"),
    _id("couponcode", "couponcodes", big=True),
    _text("name"),
    _id("reservation", "couponcodes", big=True),
    _yes("taken"),
    number("taxrate", low=0, high=100),
    number("value"),
)


def lines(name: str, max_bytes: int = MORE_LINES_MAX_BYTES) -> Field:
    """A column of line items."""
    shape = Shape(
        listed=True, fields=COMMON, by="type", variants=((0, PRODUCT), (1, TEXT), (2, COUPON)), max_items=LINES_MAX, max_bytes=max_bytes
    )  # fmt: skip
    return json(name, "line items", as_text=True, shape=shape)


TAX_RATES: Final = Shape(each=number("rate", low=0, high=100, default=None), names=COUNTRY_NAME, max_items=NAMES_MAX)
NAMES_BY_LANGUAGE: Final = Shape(each=_text("name"), names=LANGUAGE_NAME, max_items=NAMES_MAX)
