"""Examples of the published document. ``{article}`` and the like stand for things: the document shows a sound id for each, and the test
that executes every example puts in that of a thing which it has just made, as ``THINGS`` says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid5

import msgspec

from libs.domain.ids import NAMESPACE, key_of


class Example(msgspec.Struct, frozen=True):
    """A body as it is sent. ``name`` is unique among those of its route."""

    name: str
    summary: str
    body: Any


def _key(prefix: str, name: str) -> str:
    return key_of(prefix, uuid5(NAMESPACE, name))


THINGS: Final[Mapping[str, Any]] = {
    "accessToken": "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ1c3IifQ.c2lnbmF0dXJl",  # as a token looks; none
    "article": _key("art", "Schnitzel"),  # with an option
    "articleGroup": _key("artgrp", "Speisen"),
    "barcode": "4006381333931",
    "card": "04A2B91C5D6E80",
    "customer": _key("cus", "Gast"),
    "dirtyTable": _key("tbl", "3"),  # waits for somebody who clears it
    "emptyArticleGroup": _key("artgrp", "leer"),
    "freeTable": _key("tbl", "1"),
    "line": _key("line", "Schnitzel"),  # an item that is open at the table
    "number": 1,  # of the receipt
    "option": "klein",
    "otherTable": _key("tbl", "4"),  # also taken
    "optionTemplate": _key("opttpl", "Beilage"),
    "picturedArticle": _key("art", "Eisbecher"),
    "pin": "2580",
    "plu": "4711",
    "priceRule": _key("prule", "Happy Hour"),
    "mailableReceipt": _key("rcp", "2"),  # of a house that has a mail server
    "receipt": _key("rcp", "1"),
    "receiptItem": _key("rline", "1"),
    "refreshToken": "c2FtcGxlLXJlZnJlc2gtdG9rZW4",
    "shift": _key("shift", "1"),  # open
    "staff": _key("usr", "Ada"),
    "staffNumber": 7,
    "table": _key("tbl", "2"),  # taken
    "tableGroup": _key("tblgrp", "Terrasse"),
    "emptyTableGroup": _key("tblgrp", "leer"),
    "webhook": _key("whk", "1"),
    "zReport": _key("z", "1"),
}

# whose id stands in a path: by its beginning, or for an endpoint of its own
PATH_THINGS: Final[Mapping[str, str]] = {
    "/api/v1/articles": "{article}",
    "/api/v1/article-groups": "{articleGroup}",
    "/api/v1/price-rules": "{priceRule}",
    "/api/v1/option-templates": "{optionTemplate}",
    "/api/v1/tables": "{table}",
    "/api/v1/table-groups": "{tableGroup}",
    "/api/v1/open-bons": "{line}",
    "/api/v1/open-bons/table": "{table}",
    "/api/v1/receipts": "{receipt}",
    "/api/v1/shifts": "{shift}",
    "/api/v1/day-close": "{zReport}",
    "/api/v1/staff": "{staff}",
    "/api/v1/webhooks": "{webhook}",
    "POST /api/v1/receipts/{id}/email": "{mailableReceipt}",
    "GET /api/v1/articles/{id}/image": "{picturedArticle}",
    "DELETE /api/v1/articles/{id}/image": "{picturedArticle}",
    "DELETE /api/v1/article-groups/{id}": "{emptyArticleGroup}",
    "DELETE /api/v1/table-groups/{id}": "{emptyTableGroup}",
    "DELETE /api/v1/tables/{id}": "{freeTable}",
    "POST /api/v1/tables/{id}/cleaned": "{dirtyTable}",
}


def path_thing(method: str, path: str) -> str | None:
    """The thing whose id stands in a path; of all beginnings that are known the longest."""
    if own := PATH_THINGS.get(f"{method} {path}"):
        return own
    known = [beginning for beginning in PATH_THINGS if path.startswith(f"{beginning}/{{")]
    return PATH_THINGS[max(known, key=len)] if known else None


def filled(value: Any, things: Mapping[str, Any]) -> Any:
    """The value with things in the places of their names. Raises LookupError for one that is not there."""
    if isinstance(value, dict):
        return {name: filled(one, things) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [filled(one, things) for one in value]
    if isinstance(value, str) and value[:1] == "{" and value[-1:] == "}":
        return things[value[1:-1]]
    return value


def sound(value: Any) -> Any:
    """As the document shows it."""
    return filled(value, THINGS)


def _one(summary: str, **body: Any) -> tuple[Example, ...]:
    return (Example("default", summary, body),)


EXAMPLES: Final[Mapping[str, tuple[Example, ...]]] = {
    # Auth
    "POST /api/v1/auth/login": _one("An employee with a password", username="admin", password="admin"),  # noqa: S106
    "POST /api/v1/auth/refresh": _one("The pair of tokens so far", accessToken="{accessToken}", refreshToken="{refreshToken}"),
    "POST /api/v1/auth/pin": _one("By staff number", staffNumber="{staffNumber}", pin="{pin}"),
    "POST /api/v1/auth/card": _one("The id that the reader says", cardId="{card}"),
    # Staff
    "POST /api/v1/staff": (
        Example(
            "waiter",
            "Somebody who takes orders and may also void their own receipts",
            {
                "username": "lena",
                "password": "two bottles of Riesling",
                "pin": "4837",
                "roles": ["Waiter"],
                "cashPointRights": ["voidOwn"],
                "firstName": "Lena",
                "lastName": "Huber",
                "startDate": "2026-03-01",
            },
        ),
    ),
    "PUT /api/v1/staff/{id}": _one("Another role; the card is lost", roles=["Bar"], cardId=None),
    "POST /api/v1/staff/switch": _one("With the PIN", staffNumber="{staffNumber}", pin="{pin}"),
    # Articles
    "POST /api/v1/articles": (
        Example("least", "What every article has", {"name": "Cola 0,3l", "price": 3.5, "taxClass": 0, "groupId": "{articleGroup}"}),
        Example(
            "options",
            "With a number, a barcode and options",
            {
                "name": "Flammkuchen",
                "price": 11.9,
                "taxClass": 1,
                "groupId": "{articleGroup}",
                "plu": "4711",
                "barcode": "4006381333931",
                "color": "#c0392b",
                "course": 2,
                "options": [{"id": "gross", "name": "groß", "price": 3}, {"id": "vegan", "name": "vegan"}],
            },
        ),
    ),
    "PUT /api/v1/articles/{id}": _one("A new price and no barcode; all else stays", price=18.5, barcode=None),
    "POST /api/v1/article-groups": _one("A group", name="Getränke", number=4711, color="#2980b9"),
    "PUT /api/v1/article-groups/{id}": _one("Another name", name="Warme Speisen"),
    "POST /api/v1/price-rules": _one(
        "Happy hour: a fifth less from five to seven, Monday to Friday",
        name="Happy Hour",
        groupId="{articleGroup}",
        weekdays=[1, 2, 3, 4, 5],
        timeFrom="17:00",
        timeTo="19:00",
        changePercent=-20,
    ),
    "PUT /api/v1/price-rules/{id}": _one("Not today", isActive=False),
    # OptionTemplates
    "POST /api/v1/option-templates": _one(
        "A side dish has to be chosen",
        name="Beilage",
        isMandatory=True,
        minChoices=1,
        maxChoices=1,
        options=[{"id": "pommes", "name": "Pommes"}, {"id": "salat", "name": "Salat", "price": 1.5}],
    ),
    "PUT /api/v1/option-templates/{id}": _one("Up to two", maxChoices=2),
    # Tables
    "POST /api/v1/tables": _one("A table on the terrace", number=77, name="Tisch 77", seats=4, groupId="{tableGroup}", x=120, y=80),
    "PUT /api/v1/tables/{id}": _one("Two more seats", seats=6),
    "POST /api/v1/table-groups": _one("A part of the house", name="Terrasse", color="#27ae60"),
    "PUT /api/v1/table-groups/{id}": _one("Seats are chosen when ordering", seatSelection=True),
    "PUT /api/v1/tables/layout": _one(
        "Two tables change places", tables=[{"id": "{table}", "x": 10, "y": 20}, {"id": "{freeTable}", "x": 90}]
    ),
    "POST /api/v1/tables/{id}/gang": _one("The second course", course=2),
    "POST /api/v1/tables/{id}/move": _one("The guests sit down somewhere else", targetTableId="{freeTable}"),
    "POST /api/v1/tables/{id}/merge": _one("Two parties become one", tableIds=["{otherTable}"]),
    "POST /api/v1/tables/{id}/split": _one(
        "One portion goes to another table", items=[{"id": "{line}", "quantity": 1}], targetTableId="{freeTable}"
    ),
    "POST /api/v1/tables/{id}/transfer": _one("A colleague takes over", staffId="{staff}"),
    # OpenBons
    "POST /api/v1/open-bons": (
        Example(
            "order",
            "Two articles, one of them with an option, for two seats",
            {
                "tableId": "{table}",
                "items": [
                    {"articleId": "{article}", "quantity": 1, "seat": 1, "course": 2, "options": [{"optionId": "{option}"}]},
                    {"articleId": "{article}", "quantity": 2, "seat": 2, "note": "ohne Zitrone"},
                ],
            },
        ),
        Example(
            "free",
            "Something that is no article",
            {"tableId": "{table}", "items": [{"name": "Korkgeld", "price": 12, "taxClass": 0, "quantity": 1}]},
        ),
    ),
    "POST /api/v1/open-bons/batch": _one(
        "Orders for two tables, all of them or none",
        orders=[
            {"tableId": "{table}", "items": [{"articleId": "{article}", "quantity": 1}]},
            {"tableId": "{freeTable}", "items": [{"articleId": "{article}", "quantity": 2}]},
        ],
    ),
    "PUT /api/v1/open-bons/{id}": _one("One less, and why", quantity=1, reason="Guest changed their mind"),
    "POST /api/v1/open-bons/{id}/status": _one("The kitchen has begun", status="preparing"),
    "POST /api/v1/open-bons/{id}/move": _one("One portion to another table", targetTableId="{freeTable}", quantity=1),
    # Payments
    "POST /api/v1/payments/direct-sale": (
        Example(
            "cash",
            "Cash, with change",
            {"items": [{"articleId": "{article}", "quantity": 1}], "payments": [{"type": 0, "amount": 50}]},
        ),
        Example(
            "mixed",
            "Ten euros in cash, the rest by card, with a tip and a discount",
            {
                "items": [{"articleId": "{article}", "quantity": 2, "discountPercent": 10}],
                "payments": [{"type": 0, "amount": 10}, {"type": 1}],
                "tip": 2.5,
            },
        ),
    ),
    "POST /api/v1/payments/table": (
        Example("all", "Everything that is open at the table", {"tableId": "{table}", "payments": [{"type": 1}]}),
        Example(
            "part", "One portion of an item", {"tableId": "{table}", "items": [{"id": "{line}", "quantity": 1}], "payments": [{"type": 0}]}
        ),
    ),
    # Sync
    "POST /api/v1/sync": _one(
        "A sale and its void, recorded while the network was down",
        items=[
            {
                "id": "till-1-0001",
                "sequence": 1,
                "clientTime": "2026-03-01T19:30:00Z",
                "type": "sale",
                "body": {"items": [{"articleId": "{article}", "quantity": 1}], "payments": [{"type": 0}]},
            },
            {
                "id": "till-1-0002",
                "sequence": 2,
                "clientTime": "2026-03-01T19:31:00Z",
                "type": "void",
                "body": {"receiptId": "{receipt}"},
            },
        ],
    ),
    # Receipts
    "POST /api/v1/receipts/{id}/refund": (
        Example("line", "A part of one line, given back as it was paid", {"items": [{"id": "{receiptItem}", "quantity": 1}]}),
        Example("all", "All that is left, in cash", {"payments": [{"type": 0}]}),
    ),
    "POST /api/v1/receipts/{id}/email": _one("To a guest, in English", to="guest@example.org", language="en"),
    "POST /api/v1/receipts/{id}/hospitality": _one(
        "A business meal", occasion="Projektabschluss", guests=["Ada Lovelace, Rechner AG", "Grace Hopper, Lotse GmbH"], host="Lena Wirt"
    ),
    # Config
    "PUT /api/v1/config": (
        Example("day", "A business day that begins at six", {"operation": {"dayStarts": "06:00"}}),
        Example(
            "letterhead",
            "What receipts say of the house",
            {"letterhead": {"company": "Zur Theke GmbH", "street": "Am Markt 1", "postcode": "12345", "city": "Musterstadt"}},
        ),
        Example(
            "mail",
            "Receipts can be mailed",
            {"mail": {"host": "mail.example.org", "port": 587, "security": "starttls", "user": "theke", "sender": "kasse@example.org"}},
        ),
    ),
    # Webhooks
    "POST /api/v1/webhooks": (
        Example("least", "Everything that happens from now on", {"url": "https://shop.example/theke"}),
        Example(
            "receipts",
            "Receipts and Z reports, from the beginning",
            {
                "url": "https://books.example/theke?mandant=4711",
                "description": "Buchhaltung",
                "services": ["pos"],
                "types": ["receipt.issued", "z_report.issued"],
                "after": {"pos": 0},
            },
        ),
    ),
    "PUT /api/v1/webhooks/{id}": _one("Again, after it ended", isActive=True),
    "POST /api/v1/webhooks/{id}/replay": _one("All of the till's events once more", service="pos", after=0),
    # Shifts and DayClose
    "POST /api/v1/shifts": _one("A drawer with 150 euros", openingFloat=150),
    "POST /api/v1/shifts/{id}/settle": _one("What was counted", countedCash=148.5),
    "POST /api/v1/day-close": _one("Although tables are open", confirm=["openTables"]),
}
