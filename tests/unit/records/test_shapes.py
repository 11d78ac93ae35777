"""JSON against its shape: what fits is kept as it was written, with the defaults of the document; what does not is named by its path."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.billing.records import CONTRACT, COUPON, TRANSACTION
from libs.contracts.crm.apps import WEBLET
from libs.contracts.crm.mail import MESSAGE
from libs.contracts.crm.notes import CUSTOM_OBJECT
from libs.contracts.inventory.stock import STOCK_TRANSACTION
from libs.contracts.line_items import COMMON, LINES_MAX, PRODUCT, TEXT
from libs.contracts.line_items import COUPON as COUPON_LINE
from libs.domain.errors import DomainError
from libs.domain.records import JSON_DEPTH_MAX, JSON_MAX_BYTES, Field, FieldType, RecordType
from libs.records.validate import accept

WRITTEN = msgspec.json.Encoder(decimal_format="number")
READ = msgspec.json.Decoder(float_hook=Decimal)


def kept(record: RecordType, name: str, value: Any) -> Any:
    """As it is shown: what was kept, read again."""
    text = accept(record, {name: value}, create=False)[name]
    assert isinstance(text, str)
    return READ.decode(text)


def faults(record: RecordType, name: str, value: Any) -> list[tuple[str, str]]:
    with pytest.raises(DomainError) as refusal:
        accept(record, {name: value}, create=False)
    return [(fault.path, fault.reason) for fault in refusal.value.fields]


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


# --- lines ------------------------------------------------------------------------------------------------------------------------


def test_a_line_is_kept_as_it_was_written_with_the_defaults_behind() -> None:
    line = {"name": "Pils", "amount": Decimal("2.50"), "item": 7, "classcode": "x", "transactions": [{"storage": 1}]}
    (found,) = kept(TRANSACTION, "items", [line])
    assert list(found)[:5] == list(line)
    assert found["amount"].as_tuple() == Decimal("2.50").as_tuple()
    assert found["transactions"] == [{"storage": 1, "amount": 0}]
    defaults = {field.name: field.default for field in (*COMMON, *PRODUCT) if field.default is not None and field.name not in line}
    assert {name: value for name, value in found.items() if name not in line} == defaults
    assert "barcode" not in found


@pytest.mark.parametrize(("type_", "fields"), [(0, PRODUCT), (1, TEXT), (2, COUPON_LINE)])
def test_the_type_of_a_line_says_what_it_has(type_: int, fields: tuple[Field, ...]) -> None:
    (found,) = kept(TRANSACTION, "items", [{"type": type_}])
    assert set(found) == {field.name for field in (*COMMON, *fields) if field.default is not None}


def test_a_text_is_as_good_as_the_list() -> None:
    lines = [{"type": 1, "text": "Danke\n", "taken": True}, {"type": 2, "code": "X", "value": Decimal("5.00")}]
    assert kept(CONTRACT, "billingitems", WRITTEN.encode(lines).decode()) == kept(CONTRACT, "billingitems", lines)


def test_what_says_the_same_in_another_form_is_taken() -> None:
    lines = [{"type": "0", "amount": "2.50", "item": "7", "itemnum": 4711}, {"type": 1, "taken": 1, "variant": Decimal(2)}]
    (one, two) = kept(TRANSACTION, "items", lines)
    assert (one["type"], one["amount"], one["item"], one["itemnum"]) == (0, Decimal("2.50"), 7, "4711")
    assert (two["taken"], two["variant"]) == (True, 2)


def test_null_is_nothing_said() -> None:
    (found,) = kept(TRANSACTION, "items", [{"item": None, "amount": None, "transactions": None}])
    assert (found["item"], found["amount"], found["transactions"]) == (None, 0, None)


WRONG: list[tuple[Any, list[tuple[str, str]]]] = [
    ({}, [("items", "expected_list")]),
    ([1, {}, None], [("items[0]", "expected_object"), ("items[2]", "expected_object")]),
    ([{}, {}, {"discount": 101}], [("items[2].discount", "out_of_range")]),
    ([{"discount2": Decimal("-100.01")}], [("items[0].discount2", "out_of_range")]),
    ([{"taxrate": -1}, {"type": 2, "taxrate": 101}], [("items[0].taxrate", "out_of_range"), ("items[1].taxrate", "out_of_range")]),
    ([{"weight": -1}], [("items[0].weight", "out_of_range")]),
    ([{"unit": "Stck"}], [("items[0].unit", "too_long")]),
    ([{"type": 3}], [("items[0].type", "not_allowed")]),
    ([{"type": True}], [("items[0].type", "expected_integer")]),
    ([{"itemtype": 8}], [("items[0].itemtype", "not_allowed")]),
    ([{"type": 1, "variant": 5}], [("items[0].variant", "not_allowed")]),
    ([{"type": 1, "taken": 2}], [("items[0].taken", "expected_boolean")]),
    ([{"type": 1, "text": [1]}], [("items[0].text", "expected_text")]),
    ([{"amount": "two"}], [("items[0].amount", "expected_number")]),
    ([{"amount": "1_000"}], [("items[0].amount", "expected_number")]),
    ([{"amount": "nan"}], [("items[0].amount", "expected_number")]),
    ([{"amount": Decimal("1e400")}], [("items[0].amount", "out_of_range")]),
    ([{"amount": "1" * 50}], [("items[0].amount", "expected_number")]),
    ([{"item": 2**31}], [("items[0].item", "out_of_range")]),
    ([{"item": Decimal("1e999999999")}], [("items[0].item", "out_of_range")]),
    ([{"item": Decimal("1.5")}], [("items[0].item", "expected_integer")]),
    ([{"reservation": 2**63}], [("items[0].reservation", "out_of_range")]),
    ([{"subindex": []}], [("items[0].subindex", "expected_integer")]),
    ([{"name": "a\0"}], [("items[0].name", "unprintable")]),
    ([{"references": {"transaction": 1}}], [("items[0].references", "expected_list")]),
    ([{"references": [{"transaction": "x"}]}], [("items[0].references[0].transaction", "expected_integer")]),
    ([{"transactions": [{"serials": ["a", None]}]}], [("items[0].transactions[0].serials[1]", "expected_text")]),
    ([{"transactions": [{}, {"amount": []}]}], [("items[0].transactions[1].amount", "expected_number")]),
    ("[{", [("items", "expected_json")]),
    ("5", [("items", "expected_json")]),
    ("[" * 100_000, [("items", "expected_json")]),
    ([{}] * (LINES_MAX + 1), [("items", "too_many")]),
    ([{"x": deep(JSON_DEPTH_MAX)}], [("items", "too_deep")]),
    ([{"x": "y" * 200_000}], [("items", "too_long")]),
]


@pytest.mark.parametrize(("lines", "named"), WRONG, ids=[str(named)[:60] for _, named in WRONG])
def test_every_fault_is_named_by_its_path(lines: Any, named: list[tuple[str, str]]) -> None:
    assert faults(TRANSACTION, "items", lines) == named


def test_faults_of_a_list_are_named_together_and_bounded() -> None:
    found = faults(TRANSACTION, "items", [{"amount": "x", "discount": 500, "unit": "long"}] * 2)
    assert len(found) == 6
    assert len(faults(TRANSACTION, "items", [{"amount": "x"}] * 500)) == 100


def test_what_is_deep_enough_fits() -> None:
    assert kept(TRANSACTION, "items", [{"x": deep(JSON_DEPTH_MAX - 2)}])[0]["x"] == deep(JSON_DEPTH_MAX - 2)


# --- other shapes -----------------------------------------------------------------------------------------------------------------


def test_an_object_is_no_list_and_either_is_both() -> None:
    assert kept(CONTRACT, "autobilling", {"type": 3, "tag": "x"}) == {"type": 3, "tag": "x"}
    assert kept(CONTRACT, "autobilling", []) == {}  # how PHP writes an empty object
    assert faults(CONTRACT, "autobilling", [1]) == [("autobilling", "expected_object")]
    for value in ({"a": [1, {"b": None}]}, [1, "x", None]):
        assert kept(CUSTOM_OBJECT, "data", value) == value
    assert faults(CUSTOM_OBJECT, "data", "5") == [("data", "expected_json")]
    assert faults(CUSTOM_OBJECT, "data", ["x" * JSON_MAX_BYTES]) == [("data", "too_long")]


def test_tax_rates_by_country_and_names_by_language() -> None:
    assert kept(COUPON, "foreigntaxrates", {"AT": 20, "DE": Decimal("19.0"), "FR": "5.5"}) == {"AT": 20, "DE": 19, "FR": Decimal("5.5")}
    assert faults(COUPON, "foreigntaxrates", {"at": 20, "DE": 101}) == [
        ("foreigntaxrates.at", "malformed"), ("foreigntaxrates.DE", "out_of_range"),
    ]  # fmt: skip
    assert kept(WEBLET, "langaliases", {"de_DE": "Neu", "en": "New"}) == {"de_DE": "Neu", "en": "New"}
    assert faults(WEBLET, "langaliases", {"de_DE": ["Neu"], "x": "y"}) == [
        ("langaliases.de_DE", "expected_text"), ("langaliases.x", "malformed"),
    ]  # fmt: skip


def test_lists_of_single_values_are_bounded_item_by_item() -> None:
    assert accept(MESSAGE, {"attachments": ["a.pdf", "b.pdf"]}, create=False)["attachments"] == ("a.pdf", "b.pdf")
    assert faults(MESSAGE, "attachments", ["a", "b\0"]) == [("attachments[1]", "unprintable")]
    assert faults(MESSAGE, "attachments", ["a", "b" * 1_001]) == [("attachments[1]", "too_long")]
    assert faults(MESSAGE, "attachments", ["a"] * 1_001) == [("attachments", "too_many")]
    assert faults(MESSAGE, "attachments", [1]) == [("attachments[0]", "invalid_item")]
    assert faults(STOCK_TRANSACTION, "subtransactions", [1, 2**63]) == [("subtransactions[1]", "out_of_range")]


# --- whatever comes ---------------------------------------------------------------------------------------------------------------

LEAVES = {
    FieldType.TEXT: st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=3),
    FieldType.BOOLEAN: st.booleans(),
    FieldType.DECIMAL: st.decimals(0, 100, places=2),
    FieldType.INTEGER: st.integers(0, 2**31 - 1),
    FieldType.LONG: st.integers(-(2**63) + 1, 2**63 - 1),
    FieldType.LIST: st.lists(st.text("abc", max_size=3), max_size=3),
}


def right(field: Field) -> st.SearchStrategy[Any]:
    if field.shape is not None:
        return st.lists(named(field.shape.fields), max_size=2)
    return st.sampled_from(field.choices) if field.choices else LEAVES[field.type]


def named(fields: tuple[Field, ...]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional={field.name: right(field) for field in fields})


def line(which: int, fields: tuple[Field, ...]) -> st.SearchStrategy[Any]:
    return named((*(field for field in COMMON if field.name != "type"), *fields)).map(lambda found: {**found, "type": which})


@given(st.lists(st.one_of(line(0, PRODUCT), line(1, TEXT), line(2, COUPON_LINE)), max_size=5))
def test_right_lines_are_shown_as_they_were_written(lines: list[dict[str, Any]]) -> None:
    found = kept(TRANSACTION, "items", lines)
    assert len(found) == len(lines)
    for given_line, shown in zip(lines, found, strict=True):
        assert {name: value for name, value in shown.items() if name in given_line and name not in ("references", "transactions")} == {
            name: value for name, value in given_line.items() if name not in ("references", "transactions")
        }
    assert kept(TRANSACTION, "items", found) == found, "what was shown is kept unchanged"


NAMES = st.sampled_from(["type", "amount", "references", "transactions", "serials", "name", "taken", "x"])
ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.decimals(allow_nan=False, allow_infinity=False), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)


@given(ANY)
def test_anything_is_kept_or_named(value: Any) -> None:
    for record, name in ((TRANSACTION, "items"), (COUPON, "foreigntaxrates"), (CUSTOM_OBJECT, "data")):
        faulty, accepted = tried(record, name, value)
        assert all(path == name or path.startswith((f"{name}[", f"{name}.")) for path in faulty)
        if accepted is not None:
            assert tried(record, name, accepted) == ([], accepted)


def tried(record: RecordType, name: str, value: Any) -> tuple[list[str], Any]:
    """What is at fault, or what is kept."""
    try:
        return [], accept(record, {name: value}, create=False)[name]
    except DomainError as refusal:
        return [fault.path for fault in refusal.fields] or ["nothing named"], None
