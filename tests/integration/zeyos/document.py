"""What the ERP's document says of fields, as values to try: right ones, and wrong ones of every kind."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from typing import Any, Final

from libs.contracts.erp import RECORDS, SEEN
from libs.domain.fields import INT64_MAX, LINE_MAX_CHARS, NUMBER_MAX
from libs.domain.records import INT32_MAX, RecordType
from tests.conformance.test_erp_declarations import FACTS

RESOURCES: Final[Mapping[str, Any]] = FACTS["resources"]
WRITTEN: Final = tuple(name for name, facts in RESOURCES.items() if facts["write"] is not None)
ONLY_READ: Final = tuple(name for name in RESOURCES if name not in WRITTEN)
SET_BY_THEKE: Final = ("ID", "lastmodified")
A_DAY_S: Final = 86_400
EPOCH: Final = 1_700_000_000
MANY_LINES: Final = (
    "description", "address", "billingaddress", "shippingaddress", "text", "senderror",
)  # fmt: skip
# what else a field takes, where the document leaves more open
ALLOWED: Final = {
    ("couponcodes", "flag"): (1, 0),
    ("items", "taxrate"): (7, 19),
    ("permissions", "identifier"): ("tasks", "notes"),
    ("transactions", "status"): (1, 4),
}
A_MODEL: Final = (("type", 7),)  # what an item has to be for others to be variants of it
NUMBERED: Final = (("type", 3),)  # and for its stock to have charge and serial numbers
# what texts must look like, by the name of the field: right ones, a wrong one
SHAPED: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "currency": (("EUR", "CHF", "USD"), "eur"),
    "country": (("DE", "AT", "CH"), "DEU"),
    "billingcountry": (("DE", "AT", "CH"), "de"),
    "shippingcountry": (("AT", "CH", "DE"), "D1"),
    "color": (("FF0000", "0AF", "00FF7F"), "red"),
    "mimetype": (("image/png", "text/plain", "text/csv"), "png"),
}
LINE_ITEMS: Final = (
    {"type": 0, "name": "Cup", "amount": 2, "sellingprice": Decimal("12.50"), "taxrate": 19},
    {"type": 1, "text": "with thanks", "variant": 1},
    {"type": 2, "name": "Spring", "code": "SP", "value": 5},
)
JSON_TYPES: Final = ("items-field", "json", "meta-field", "object")
TEXTS_OF_JSON: Final = ("items-field", "json", "meta-field")  # shown as a text unless they are expanded
_numbers = count(1)


@dataclass(frozen=True)
class Ref:
    """The ID of a row of a resource that the tests share; another one for another ``n``. ``having``: values that it must have."""

    resource: str
    n: int
    having: tuple[tuple[str, Any], ...] = ()


def fields_of(resource: str) -> dict[str, Any]:
    return {field["name"]: field for field in RESOURCES[resource]["fields"]}


def record_of(resource: str) -> RecordType | None:
    return RECORDS.get(resource) or SEEN.get(resource)


def is_fixed(resource: str, name: str) -> bool:
    record = record_of(resource)
    return record is not None and name in {field.name for field in record.fields} and record.field(name).fixed


def place(resource: str, name: str) -> int:
    return list(fields_of(resource)).index(name)


def value_of(resource: str, name: str, n: int) -> Any:
    """A value that the field takes, another one for another ``n``."""
    if (resource, name) in ALLOWED:
        return ALLOWED[resource, name][n % 2]
    return right(fields_of(resource)[name], n, place(resource, name))


def right(fact: Any, n: int, place: int = 0) -> Any:
    """A value that the field takes; for another ``n`` another one as far as there are. ``place``: of the field among those of its
    resource, so that times come in the order of their names."""
    kind, name = fact["type"], fact["name"]
    if "enum" in fact:
        return fact["enum"][(7 * n + 1) % len(fact["enum"])]
    if kind == "binfile-field":
        return {"content": b64encode(f"file {next(_numbers)}".encode()).decode()}
    if "ref" in fact and kind != "integer[]":
        return Ref(fact["ref"], n, A_MODEL if name == "model" else ())
    if kind in JSON_TYPES:
        return _json(fact, n)
    if kind == "string[]":
        return [f"{name} {next(_numbers)}", f"second {next(_numbers)}"]
    if kind == "integer[]":
        return [n + 1, n + 2]
    if kind == "string":
        return _text(fact, n)
    low, high = fact.get("min", -1000), fact.get("max", 10**9)
    if kind == "number" and fact.get("format") == "double":
        return max(Decimal(low), min(Decimal(high), Decimal(f"{7 + n}.25")))
    if fact.get("format") == "int64":
        return EPOCH + A_DAY_S * place + n
    return max(low, min(high, 11 + n))


def _json(fact: Any, n: int) -> Any:
    if fact["type"] == "items-field":
        return [LINE_ITEMS[0], LINE_ITEMS[1 + n % 2]]
    if fact["name"] == "foreigntaxrates":
        return {"AT": Decimal(20), "CH": Decimal("8.1") + n}
    if fact["name"] == "langaliases":
        return {"de": "Übersicht", "en-GB": f"overview {n}"}
    return {"name": f"value {n}", "deep": [1, Decimal("2.50"), None, {"yes": True}]}


def _text(fact: Any, n: int) -> str:
    name, number = fact["name"], next(_numbers)
    if name in SHAPED:
        return SHAPED[name][0][n % len(SHAPED[name][0])]
    if name == "identifier":
        return f"app.part-{number}"
    if fact.get("format") == "email":
        return f"who{number}@example.org"
    if fact.get("format") == "url":
        return f"https://example.org/{number}?a=b&c=%20"
    if name in MANY_LINES:
        return f'{name} {number}\nsecond line, ‘quoted’ "twice"'
    most = fact.get("max_length", LINE_MAX_CHARS)
    return f"{name} {number} äß'"[-most:] if most >= 20 else f"u{number}"[-most:]


def default(fact: Any) -> Any:
    """What a row shows if nothing was said of the field. None also for what depends on the moment: those are looked at elsewhere."""
    if fact.get("default") is not None:
        return fact["default"]
    if fact.get("nullable") or fact.get("required") or fact.get("on_create"):
        return None
    return "" if fact["type"] == "string" else 0


def shown(fact: Any, value: Any, *, expanded: bool = False) -> Any:
    """A value as an answer has it: parsed, as a test's client parses it."""
    if value is not None and fact["type"] in TEXTS_OF_JSON and not expanded:
        return json.loads(value, parse_float=Decimal)
    return value


def is_as(found: Any, value: Any) -> bool:
    """Whether what was found is the value, in objects besides what is documented to be there too."""
    if isinstance(value, Mapping) and isinstance(found, Mapping):
        return all(name in found and is_as(found[name], one) for name, one in value.items())
    if isinstance(value, list) and isinstance(found, list):
        return len(found) == len(value) and all(map(is_as, found, value))
    return bool(found == value)


def wrong(resource: str, fact: Any) -> dict[str, Any]:
    """What the field refuses, by what is wrong with it."""
    kind, format_ = fact["type"], fact.get("format")
    found: dict[str, Any] = {}
    if "enum" in fact:
        found["no such choice"] = "such" if kind == "string" else 99
    elif kind == "string":
        found["no text"] = {"a": 1}
        record = record_of(resource)
        assert record is not None
        found["too long"] = "x" * (record.field(fact["name"]).max_chars + 1)
        if fact["name"] in SHAPED:
            found["malformed"] = SHAPED[fact["name"]][1]
        elif fact["name"] not in MANY_LINES:
            found["two lines"] = "a\nb"
        found["unprintable"] = "a\x07b"
    elif kind in JSON_TYPES:
        found["no object"] = "just words"
        found["a number"] = 12
    elif kind == "binfile-field":
        found["a file's number"] = 12
    elif kind in ("string[]", "integer[]"):
        found["no list"] = "just words"
        found["no numbers" if kind == "integer[]" else "no texts"] = [{"a": 1}]
    else:
        found["no number"] = "twelve"
        found["a list"] = [1]
        most = NUMBER_MAX if format_ == "double" else INT32_MAX if kind == "number" or format_ != "int64" else INT64_MAX
        refers = "ref" in fact or "ref_by" in fact
        least, most = (1, INT64_MAX) if refers else (fact.get("min", -most), fact.get("max", most))
        found[
            "beyond 64 bits, below"
            if least < -INT32_MAX and format_ != "double"
            else "beyond numbers, below"
            if least == -NUMBER_MAX
            else "too little"
        ] = least - 1
        found["beyond 64 bits" if most > INT32_MAX and format_ != "double" else "beyond numbers" if most == NUMBER_MAX else "too much"] = (
            most + 1
        )
        if format_ != "double" and "on_create" not in fact and format_ != "int64":
            found["half of it"] = Decimal("1.5")
    return found


def plain(fact: Any) -> bool:
    """Whether the field takes any line of text."""
    return fact["type"] == "string" and fact["name"] not in (*SHAPED, "identifier", "entity", "chargenum") and "enum" not in fact


def named(text: str) -> set[str]:
    """The fields that a refusal names: ``Bad Request: Field 'name': …; Field 'currency': …``."""
    return {part.split("'")[1] for part in text.split(";") if part.count("'") > 1}
