"""The ERP's records are declared as its document has them. What the document says stands in ``erp.json``; where a declaration says
something else, the tables here say why."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from libs.contracts.auth.tables import RECORD_TABLES as AUTH_TABLES
from libs.contracts.billing.records import TRANSACTION
from libs.contracts.billing.tables import RECORD_TABLES as BILLING_TABLES
from libs.contracts.crm.tables import RECORD_TABLES as CRM_TABLES
from libs.contracts.erp import RECORDS
from libs.contracts.inventory.items import ITEM, STORED
from libs.contracts.inventory.records import ARTICLE, PRICE_MAX, PRICE_PLACES, WEIGHT_MAX
from libs.contracts.inventory.tables import RECORD_TABLES as INVENTORY_TABLES
from libs.contracts.line_items import NAMES_BY_LANGUAGE, TAX_RATES, UNIT_MAX_CHARS, lines
from libs.domain import rules
from libs.domain.fields import ANYTHING, INT64_MAX, NUMBER_MAX, OBJECT
from libs.domain.records import INT32_MAX, JSON_MAX_BYTES, ROW_COLUMNS, Field, FieldType, OnDelete, RecordType, Shape, Unique
from libs.domain.rules import Rule, When

FACTS: Final = json.loads((Path(__file__).parent / "erp.json").read_text())
RESOURCES: Final[Mapping[str, Any]] = FACTS["resources"]
# what services keep anyway, and what every row has
SEEN_OTHERWISE: Final = ("applications", "users")
# items are kept as articles, but declared as everything else
DECLARED: Final[Mapping[str, RecordType]] = {**RECORDS, ITEM.resource: ITEM}
EVERY_ROW_HAS: Final = ("ID", "lastmodified")

BELONGS_TO = "the vendor's schema has the row go with the user who made it; the document is silent"
AT_THE_TILL = "what a till reckons with is bounded there"
# resource, field, what differs: (what is declared, why)
DEVIATIONS: Final[Mapping[tuple[str, str, str], tuple[Any, str]]] = {
    ("binfiles", "hash", "required"): (True, "Theke alone writes the row and always knows it"),
    ("binfiles", "hash", "default"): (None, "as above"),
    ("binfiles", "size", "required"): (True, "as above"),
    ("binfiles", "size", "default"): (None, "as above"),
    ("components", "amount", "low"): (0, "the vendor's schema refuses less; the document is silent"),
    ("follows", "creator", "on_delete"): (OnDelete.DELETE, BELONGS_TO),
    ("follows", "creator", "required"): (True, BELONGS_TO),
    ("items", "purchaseprice", "high"): (PRICE_MAX, AT_THE_TILL),
    ("items", "sellingprice", "high"): (PRICE_MAX, AT_THE_TILL),
    ("items", "weight", "high"): (WEIGHT_MAX, AT_THE_TILL),
    ("likes", "creator", "on_delete"): (OnDelete.DELETE, BELONGS_TO),
    ("likes", "creator", "required"): (True, BELONGS_TO),
    ("messagereads", "creator", "on_delete"): (OnDelete.DELETE, BELONGS_TO),
    ("messagereads", "creator", "required"): (True, BELONGS_TO),
    ("records", "flag", "choices"): ((0, 1, 2, 3, 4), "the document names 3 and leaves it out: rows have it, clients do not write it"),
    ("records", "flag", "names"): (
        {0: "REGULAR", 1: "ASSOCONLY", 2: "MINDLOGONLY", 3: "MONITOR", 4: "FEED"}, "the document allows 4 without a name"
    ),
    ("stocktransactions", "subtransactions", "refers"): ("", "a list is no reference: no row goes or changes with one of them"),
}  # fmt: skip
# resource: (parents, why)
OTHER_PARENTS: Final = {"entities2channels": (("channel",), "marked as such among its fields, though not among its operations")}
OTHER_WRITERS: Final = {"devices": "the document asks for the permission without writable, everywhere else with it: a slip"}
# resource: rules beside those of the document, all from the vendor's schema
MORE_RULES: Final[Mapping[str, set[str]]] = {
    "contacts2contacts": {"Distinct contact1"},  # not in the schema either, but nothing is linked to itself
    "contracts": {"Positive exchangerate", "OnlyWhen autobilling"},
    "coupons": {"RequiredWhen code"},
    "davservers": {"AtMostOne recipientgroup"},
    "feedservers": {"AtMostOne recipientgroup"},
    "mailservers": {"AtMostOne recipientgroup"},
    "messages": {"OnlyWhen senderror"},
    "transactions": {"Positive exchangerate", "Positive productionfactor", "ChoiceWhen status"}
    | {f"OnlyWhen {side}{part}" for side in ("billing", "shipping") for part in ("city", "country", "postalcode", "recipient", "region")}
    | {"OnlyWhen taxid"},
}
TYPES: Final = {
    ("string", None): FieldType.TEXT,
    ("integer", None): FieldType.INTEGER,
    ("integer", "int32"): FieldType.INTEGER,
    ("integer", "int64"): FieldType.LONG,
    ("number", "double"): FieldType.DECIMAL,
    ("number", "int32"): FieldType.INTEGER,  # minutes
    ("object", None): FieldType.JSON,
    ("json", None): FieldType.JSON,
    ("items-field", None): FieldType.JSON,
    ("meta-field", None): FieldType.JSON,
    ("binfile-field", None): FieldType.ID,
    ("string[]", None): FieldType.LIST,
    ("integer[]", None): FieldType.LIST,
}
GONE: Final = {"null": OnDelete.CLEAR, "delete": OnDelete.DELETE, "keep": OnDelete.KEEP}
WIDEST: Final = {FieldType.INTEGER: INT32_MAX, FieldType.LONG: INT64_MAX, FieldType.DECIMAL: NUMBER_MAX}
TEXTS: Final = ("json", "items-field", "meta-field")  # of the JSON fields, those that are a text unless they are expanded
TEXT_FORMATS: Final = ("email", "url")


def declared() -> Iterable[tuple[str, RecordType, Any]]:
    for resource, facts in RESOURCES.items():
        if resource not in SEEN_OTHERWISE:
            yield resource, DECLARED[resource], facts


def shown(facts: Any) -> dict[str, Any]:
    return {field["name"]: field for field in facts["fields"] if field["name"] not in EVERY_ROW_HAS}


def expected(fact: Any) -> dict[str, Any]:
    """A field of the document, in the words of a declaration."""
    format_ = None if fact.get("format") in TEXT_FORMATS else fact.get("format")
    type_ = TYPES[fact["type"], format_]
    refers = "ref" in fact or "ref_by" in fact
    type_ = FieldType.ID if refers and type_ is not FieldType.LIST else type_
    said: dict[str, Any] = {
        "type": type_,
        "required": fact.get("required", False),
        "default": None if fact.get("required") else fact.get("default"),
        "choices": tuple(fact["enum"]) if "enum" in fact else (),
        "refers": fact.get("ref", ""),
        "refers_by": fact.get("ref_by", ""),
        "on_create": fact.get("on_create", ""),
        "moment": type_ is FieldType.LONG,
        "file": fact["type"] == "binfile-field",
        "as_text": fact["type"] in TEXTS,
        "names": {int(number): name for number, name in fact.get("enum_names", {}).items()},
    }
    if type_ is FieldType.ID:
        said["on_delete"] = OnDelete.DELETE if "ref_by" in fact else GONE[fact.get("on_delete", "keep")]
    without = not (said["required"] or fact.get("nullable") or fact.get("on_create"))
    if without and said["default"] is None:  # neither is anything said of it: a text is empty, a number 0
        said["default"] = "" if type_ is FieldType.TEXT else 0
    if type_ in WIDEST and "enum" not in fact:
        said["low"] = fact.get("min", -WIDEST[type_])
        said["high"] = fact.get("max", WIDEST[type_])
    if "max_length" in fact:
        said["max_chars"] = fact["max_length"]
    return said


def actual(field: Field) -> dict[str, Any]:
    return {
        "type": field.type, "required": field.required, "default": field.default, "choices": field.choices, "refers": field.refers,
        "refers_by": field.refers_by, "on_create": field.on_create, "moment": field.moment, "file": field.file, "as_text": field.as_text,
        "names": dict(field.choice_names), "on_delete": field.on_delete, "low": field.low, "high": field.high, "max_chars": field.max_chars,
    }  # fmt: skip


def rule(fact: Any, fields: Mapping[str, Any]) -> Rule:
    """A rule of the document, in the words of a declaration."""

    def when() -> When:
        ((field, values),) = (fact.get("when") or fact["not"]).items()
        return When(field, tuple(values) if isinstance(values, list) else (values,), otherwise="not" in fact)

    match fact["rule"]:
        case "only_when":
            return rules.OnlyWhen(fact["field"], when(), blank=fields[fact["field"]].get("default"))
        case "required_when":
            return rules.RequiredWhen(fact["field"], when())
        case "value_when":
            return rules.ValueWhen(fact["field"], fact["value"], when())
        case "at_least_one":
            return rules.AtLeastOne(tuple(fact["fields"]))
        case "at_most_one":
            return rules.AtMostOne(tuple(fact["fields"]))
        case "exactly_one":
            return rules.ExactlyOne(tuple(fact["fields"]))
        case "together":
            return rules.Together(tuple(fact["fields"]))
        case "ordered":
            return rules.Ordered(*fact["fields"])
        case "distinct":
            return rules.Distinct(*fact["fields"])
        case "not_zero":
            return rules.NotZero(fact["field"])
        case "positive_when_set":
            return rules.PositiveWhenSet(fact["field"], fact["other"])
    raise AssertionError(fact)


def named(one: Any) -> str:
    field = getattr(one, "field", "") or getattr(one, "first", "") or one.fields[0]
    return f"{type(one).__name__} {field}"


def fields_of(one: Any) -> set[str]:
    single = {getattr(one, name, "") for name in ("field", "other", "first", "second")} - {""}
    when = getattr(one, "when", None)
    return single | set(getattr(one, "fields", ())) | ({when.field} if when else set())


def test_every_resource_is_declared() -> None:
    assert len(RESOURCES) == FACTS["counts"]["resources"] == 58
    assert {*DECLARED, *SEEN_OTHERWISE} == set(RESOURCES)
    assert all(record.resource == resource == record.table for resource, record, _ in declared() if record is not ITEM)
    assert len({record.name for record in RECORDS.values()}) == len(RECORDS) == 55


def test_every_field_is_declared_in_its_order() -> None:
    for resource, record, facts in declared():
        assert [field.name for field in record.fields if not field.hidden] == list(shown(facts)), resource
    stamped = {resource for resource, record, _ in declared() if record.stamped}
    assert stamped == {
        resource for resource, _, facts in declared() if any(field["name"] == "lastmodified" for field in facts["fields"])
    }  # fmt: skip
    everywhere = sum(len(facts["fields"]) for facts in RESOURCES.values())
    otherwise = sum(len(RESOURCES[resource]["fields"]) for resource in SEEN_OTHERWISE)
    here = sum(len(record.fields) + 1 + record.stamped - sum(field.hidden for field in record.fields) for record in DECLARED.values())
    assert (everywhere, otherwise, here) == (FACTS["counts"]["fields"], 21, 724)


@pytest.mark.parametrize("resource", DECLARED)
def test_fields_are_as_the_document_has_them(resource: str) -> None:
    known = {(field, what): value for (of, field, what), (value, _) in DEVIATIONS.items() if of == resource}
    differ: dict[tuple[str, str], Any] = {}
    for name, fact in shown(RESOURCES[resource]).items():
        told, found = expected(fact), actual(DECLARED[resource].field(name))
        differ |= {(name, what): found[what] for what, value in told.items() if found[what] != value}
        nullable = fact.get("nullable", False)
        assert DECLARED[resource].field(name).nullable == nullable, name
    assert differ == known


@pytest.mark.parametrize("resource", DECLARED)
def test_rules_are_as_the_document_has_them(resource: str) -> None:
    record, facts = DECLARED[resource], RESOURCES[resource]
    told = [rule(fact, shown(facts)) for fact in facts["rules"]]
    owners = [rules.ONE_OWNER] if {"ownergroup", "owneruser"} <= shown(facts).keys() else []
    assert [one for one in record.rules if one in told] == told
    more = [one for one in record.rules if one not in told]
    assert [one for one in more if one in owners] == owners
    assert {named(one) for one in more if one not in owners} == MORE_RULES.get(resource, set())
    for one in record.rules:
        assert fields_of(one) <= {"ID", *shown(facts)}


@pytest.mark.parametrize("resource", DECLARED)
def test_rights_are_as_the_document_has_them(resource: str) -> None:
    record, facts = DECLARED[resource], RESOURCES[resource]
    assert record.read == tuple(facts["read"]["any_of"])
    write = facts["write"]
    assert record.write == (None if write is None else tuple(write["any_of"]))
    assert record.creator_writes == bool(write and write.get("creator"))
    asks = bool(write and write["any_of"])
    assert (asks and not write["writable"]) == (resource in OTHER_WRITERS)
    needs = facts["depends_on"] or {}
    told = tuple(field["name"] for field in facts["fields"] if field.get("dependency"))
    assert record.parents == told
    assert record.any_parent == ("any_of" in needs)
    of_operations = tuple(sorted(needs.get("all_of") or needs.get("any_of") or ()))
    assert (record.parents == of_operations) == (resource not in OTHER_PARENTS)
    assert record.parents == OTHER_PARENTS.get(resource, (of_operations,))[0]
    assert (record.tags, record.extdata) == (facts["accepts_tags"], facts["accepts_extdata"])


@pytest.mark.parametrize("resource", DECLARED)
def test_what_is_unique_and_searched_is_as_the_document_has_it(resource: str) -> None:
    record, facts = DECLARED[resource], RESOURCES[resource]
    for field in facts["fields"]:
        if unique := field.get("unique"):
            assert Unique(fields=(field["name"],), fold=unique == "case_insensitive") in record.uniques
    assert sorted(field.name for field in record.fields if field.searchable) == facts["search"]
    for one in record.uniques:
        assert {*one.fields} <= shown(facts).keys()
        assert one.unless is None or one.unless.field in shown(facts)


@pytest.mark.parametrize("resource", DECLARED)
def test_a_declaration_holds_together(resource: str) -> None:
    record = DECLARED[resource]
    columns = record.columns
    assert len(set(columns)) == len(columns)
    for field in record.fields:
        assert not field.refers or field.refers in RESOURCES
        assert not field.refers_by or set(record.field(field.refers_by).choices) <= RESOURCES.keys()
        assert not field.choice_names or tuple(dict(field.choice_names)) == field.choices
        if field.default is not None:
            assert not field.choices or field.default in field.choices
            assert field.low is None or field.low <= field.default
            assert not (field.pattern and field.default) or re.fullmatch(field.pattern, field.default)
    empty = {field.name: field.default for field in record.fields}
    faults = {fault.path for one in record.rules for fault in one.broken(empty)}
    required = {field.name for field in record.fields if field.required}
    may_lack = {"accounts": {"firstname"}, "contacts": {"firstname"}, "coupons": {"code"}, "devices": {"chargenum"}}
    one_parent = {"files": {"comment"}, "participants": {"campaign"}}
    assert faults - required == may_lack.get(resource, set()) | one_parent.get(resource, set()), "defaults keep the rules"


def test_every_column_of_a_record_is_promised_by_its_owner() -> None:
    promised = {"auth": AUTH_TABLES, "billing": BILLING_TABLES, "crm": CRM_TABLES, "inventory": INVENTORY_TABLES}
    assert sum(map(len, promised.values())) == len(RECORDS)
    for record in RECORDS.values():
        hidden = {field.column for field in record.fields if field.secret}
        assert {*ROW_COLUMNS, *(field.column for field in record.kept)} - hidden == set(promised[record.service][record.table])
    everywhere = [(record.table, field) for record in RECORDS.values() for field in record.fields]
    assert [(table, field.name) for table, field in everywhere if field.secret] == [("links", "password")]
    assert [(table, field.name) for table, field in everywhere if field.hidden] == [("binfiles", "named_by"), ("binfiles", "sha256")]


PARTS: Final[Mapping[str, Any]] = FACTS["parts"]
SHAPES: Final[Mapping[str, Shape]] = {
    "items-field": lines("any").shape or ANYTHING,
    "meta-field": OBJECT,
    "object": OBJECT,
}
# JSON of which the document says less than its own examples, or than the vendor's later schema: (shape, why)
OTHER_SHAPES: Final = {
    ("contracts", "autobilling"): (OBJECT, "no type in the document, an object later"),
    ("mailservers", "folders"): (OBJECT, "as above"),
    ("mailservers", "ticketing"): (OBJECT, "as above"),
    ("objects", "data"): (ANYTHING, "no type in the document, an object or a list later"),
    ("coupons", "foreigntaxrates"): (TAX_RATES, "percent by country"),
    ("items", "foreigntaxrates"): (TAX_RATES, "percent by country"),
    ("weblets", "langaliases"): (NAMES_BY_LANGUAGE, "texts by language"),
}
PART_TYPES: Final = {
    "string": FieldType.TEXT,
    "boolean": FieldType.BOOLEAN,
    "number": FieldType.DECIMAL,
    "integer": FieldType.INTEGER,
    "string[]": FieldType.LIST,
    "object[]": FieldType.JSON,
}


def part(fact: Any) -> dict[str, Any]:
    """A part of the document, in the words of a declaration."""
    type_ = FieldType.LONG if fact.get("format") == "int64" else PART_TYPES[fact["type"]]
    widest = WIDEST.get(type_)
    return {
        "name": fact["name"],
        "type": type_,
        "default": fact.get("default"),
        "names": {int(number): name for number, name in fact.get("enum_names", {}).items()},
        "doc": fact.get("ref", ""),
        "bounds": None if widest is None or "enum" in fact else (fact.get("min", -widest), fact.get("max", widest)),
        "fields": [part(inner) for inner in fact["fields"]] if "fields" in fact else None,
    }


def declared_part(field: Field) -> dict[str, Any]:
    widest = WIDEST.get(field.type)
    assert field.shape is None or field.shape.listed
    low, high = -widest if field.low is None and widest else field.low, field.high or widest
    return {
        "name": field.name,
        "type": field.type,
        "default": field.default,
        "names": dict(field.choice_names),
        "doc": field.doc,
        "bounds": None if widest is None or field.choices else (low, high),
        "fields": [declared_part(inner) for inner in field.shape.fields] if field.shape is not None else None,
    }


def test_line_items_are_as_the_document_has_them() -> None:
    shape, facts = SHAPES["items-field"], PARTS["items-list"]["items"]
    assert shape.listed
    assert facts["all_of"] == [{"part": "items-common"}]
    assert shape.by == facts["one_of"]["field"]
    told = {"items-common": shape.fields} | {facts["one_of"][str(which)]: fields for which, fields in shape.variants}
    assert len(told) == 4
    for name, fields in told.items():
        assert [declared_part(field) for field in fields] == [part(fact) for fact in PARTS[name]["fields"]], name
    units = [fact for fact in PARTS["items-product"]["fields"] if "max_length" in fact]
    assert [(fact["name"], fact["max_length"]) for fact in units] == [("unit", UNIT_MAX_CHARS)]


def test_columns_of_json_have_the_shape_that_the_document_tells() -> None:
    others = dict(OTHER_SHAPES)
    for resource, record, facts in declared():
        for name, fact in shown(facts).items():
            field = record.field(name)
            if field.type is FieldType.JSON:
                assert field.shape is not None
                expected_, _ = others.pop((resource, name), (SHAPES.get(fact["type"]), ""))
                assert msgspec.structs.replace(field.shape, max_bytes=JSON_MAX_BYTES) == expected_, (resource, name)
    assert not others


def test_the_deviations_are_of_fields_that_are_there() -> None:
    for resource, field, _ in DEVIATIONS:
        assert DECLARED[resource].field(field)
    assert {*OTHER_PARENTS, *OTHER_WRITERS, *MORE_RULES} <= RECORDS.keys()


def test_what_an_item_may_be_an_article_can_be() -> None:
    """Otherwise a write of the ERP would be refused in the words of the till."""
    for field in ITEM.fields:
        stored = ARTICLE.field(STORED.get(field.name, field.name))
        if field.name in ("taxrate", "visibility", "creationdate", "creator"):
            continue
        assert stored.type is field.type, field.name
        assert (stored.choices, stored.max_chars >= field.max_chars) == (field.choices, True), field.name
        if field.low is not None:
            assert (stored.low or 0) <= field.low, field.name
            assert (stored.high or 0) >= (field.high or 0), field.name
        if field.type is FieldType.DECIMAL:
            assert field.places <= stored.places == PRICE_PLACES


FURTHER: Final = {
    (0, 5): range(5, 9),
    (1, 6): range(9, 17),
    (2, 7): range(13, 17),
    (3, 4, 8, 9): range(17, 22),
    (10, 11): range(22, 24),
}


@pytest.mark.parametrize(("type_", "further"), [(type_, further) for types, further in FURTHER.items() for type_ in types])
def test_a_transaction_has_the_states_of_its_type(type_: int, further: range) -> None:
    def refused(status: int) -> bool:
        values = {"type": type_, "status": status, "currency": "EUR", "item": 1, "productionfactor": 1, "exchangerate": 1}
        return any(fault.path == "status" for one in TRANSACTION.rules for fault in one.broken(values))

    assert [status for status in range(24) if not refused(status)] == [*range(5), *further]


@pytest.mark.parametrize(
    ("type_", "field", "value", "reason"),
    [
        (10, "account", 3, "not_with"),
        (10, "item", None, "required_with"),
        (10, "productionfactor", None, "required_with"),
        (10, "productionfactor", 0, "positive"),
        (10, "shippingcity", "Köln", "not_with"),
        (10, "taxid", "DE1", "not_with"),
        (0, "item", 3, "not_with"),
        (0, "productionfactor", 3, "not_with"),
        (0, "exchangerate", 0, "positive"),
    ],
)
def test_production_and_trade_do_not_mix(type_: int, field: str, value: Any, reason: str) -> None:
    made = {"type": type_, "status": 0, "exchangerate": 1, **({"item": 7, "productionfactor": 2} if type_ == 10 else {})}
    assert [fault for one in TRANSACTION.rules for fault in one.broken(made)] == []
    found = {(fault.path, fault.reason) for one in TRANSACTION.rules for fault in one.broken({**made, field: value})}
    assert found == {(field, reason)}
