"""Whatever a query says, the statement made of it has declared names and parameters only."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.erp import RECORDS
from libs.contracts.inventory.items import ITEMS, STORED
from libs.contracts.inventory.records import ARTICLE
from libs.contracts.resources import RESOURCES
from libs.domain.errors import DomainError
from libs.domain.resources import Resource
from libs.records.query.compile import FIELDS_MAX, SORT_MAX, compile_query
from libs.records.query.conditions import CONDITIONS_MAX, GROUP_DEPTH_MAX, PATTERNS_MAX, VALUES_MAX
from libs.records.wanted import fold, like_part

HOSTILE = "Xx'\";--$1 {inventory.articles} t"
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([HOSTILE, "AND", "ID", "name", "=", "IN"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["ID", "name", "=", "IN", "1", HOSTILE]), inner, max_size=3)
    ),
    max_leaves=12,
)
PARAMETERS = st.sampled_from(["fields", "filter", "filters", "sort", "limit", "offset", "count", "distinct", "query", "expand"])


def refused(**asked: Any) -> dict[str, str]:
    with pytest.raises(DomainError) as refusal:
        compile_query(ITEMS, asked)
    return {fault.path: fault.reason for fault in refusal.value.fields}


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(asked=st.dictionaries(PARAMETERS, ANYTHING, max_size=4))
def test_any_json_is_compiled_or_refused(asked: dict[str, Any]) -> None:
    try:
        compiled = compile_query(ITEMS, asked)
    except DomainError as refusal:
        if not refusal.fields:
            raise
        return
    assert "Xx" not in compiled.statement.text
    numbers = {int(number) for number in re.findall(r"\$(\d+)", compiled.statement.text)}
    assert numbers == set(range(1, len(compiled.arguments) + 2))


def test_values_are_parameters_and_equal_shapes_are_one_statement() -> None:
    one, other = (
        compile_query(ITEMS, {"filters": {"name": name, "ID": [ix]}, "limit": ix}) for ix, name in enumerate((HOSTILE, "Cola"), 1)
    )
    assert one.statement is other.statement
    assert one.arguments == (HOSTILE, like_part(fold(HOSTILE)), [1], 1, 0)


def test_aliases_name_rows_and_never_reach_the_statement() -> None:
    compiled = compile_query(ITEMS, {"fields": {HOSTILE: "name", "0": "ID"}})
    assert compiled.names == (HOSTILE, "ID")
    assert HOSTILE not in compiled.statement.text


@pytest.mark.parametrize(
    ("asked", "faults"),
    [
        ({"fields": ["ID"] * (FIELDS_MAX + 1)}, {"fields": "too_many"}),
        ({"sort": ["ID"] * (SORT_MAX + 1)}, {"sort": "too_many"}),
        ({"filters": {"ID": {"IN": [1] * (VALUES_MAX + 1)}}}, {"ID": "too_many"}),
        ({"filters": [["AND", *[{"ID": 1}] * (CONDITIONS_MAX + 1)]][0]}, {"ID": "too_many"}),
        ({"filters": {"1": ["AND", *[{"name": {"~": "a"}}] * (PATTERNS_MAX + 1)]}}, {"name": "too_many_patterns"}),
        ({"query": "a " * 11}, {"query": "too_many"}),
        ({"query": "a" * 300}, {"query": "too_long"}),
        ({"filters": {"name": "x" * 2_000}}, {"name": "too_long"}),
        ({"filters": {"name": "a\0"}}, {"name": "unprintable"}),
        ({"filters": {"sellingprice": "1,5", "ID": 1.5}}, {"sellingprice": "expected_number", "ID": "expected_integer"}),
        ({"filters": 7, "fields": 7, "sort": 7}, {"filters": "expected_object", "fields": "expected_list", "sort": "expected_list"}),
        ({"limit": -1, "offset": "x"}, {"limit": "out_of_range", "offset": "expected_integer"}),
    ],
)  # fmt: skip
def test_every_limit_and_type_is_checked(asked: dict[str, Any], faults: dict[str, str]) -> None:
    assert refused(**asked) == faults


def test_groups_nest_as_deep_as_they_may() -> None:
    deep: Any = {"ID": 1}
    for _ in range(GROUP_DEPTH_MAX):
        deep = ["NOT", deep]
    compile_query(ITEMS, {"filters": deep})
    assert refused(filters=["NOT", deep]) == {"filters": "nested_too_deep"}


def test_a_list_of_texts_that_begins_with_a_word_is_no_group() -> None:
    assert compile_query(ITEMS, {"filters": {"name": ["OR", "AND"]}}).arguments[0] == ["OR", "AND"]


def test_what_a_joined_row_makes_of_nothing_is_null() -> None:
    """An expression with a value of its own for null would show one where there is no row at all."""
    compiled = compile_query(ITEMS, {"fields": ["creator.name"], "sort": ["creator.name"]}, RESOURCES)
    assert "case when j_creator.instance is not null then coalesce(j_creator.username, '') end" in compiled.statement.text


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=lambda resource: resource.name)
def test_what_an_index_narrows_by_is_in_the_text_that_is_searched(resource: Resource) -> None:
    """Otherwise rows that a filter means would not be found."""
    narrowed = {column.name for column in resource.columns if column.searched}
    if resource.name == ITEMS.name:
        held = {field.name for field in ARTICLE.searched}
        assert {STORED.get(name, name) for name in narrowed} <= held
    elif narrowed:
        assert narrowed <= {field.name for field in RECORDS[resource.name].searched}
        assert RECORDS[resource.name].unsearched is None


def test_conditions_on_searched_texts_are_narrowed_unless_something_negates_them() -> None:
    def narrowed(filters: Any) -> list[str]:
        compiled = compile_query(RESOURCES["accounts"], {"filters": filters}, RESOURCES)
        return [one for one in compiled.arguments if isinstance(one, str) and one.startswith("%")]

    assert narrowed({"lastname": {"~~*": "M%ÜLLER_gmbh\\%x"}}) == ["%uller%", "%gmbh\\%x%"]
    assert narrowed({"lastname": "Österreich 7"}) == ["%osterreich 7%"]
    assert narrowed(["OR", {"lastname": "Meier"}, {"customernum": "K-100"}]) == ["%meier%", "%k-100%"]
    for unhelpful in ("ab", "ab%cd", "Łódź", "%", "日本語", "!!!!"):
        assert narrowed({"lastname": {"~~": unhelpful}}) in ([], [unhelpful])
    for other in ({"!=": "Meier"}, {"~": "Meier"}, {"!~~": "Meier"}, {">": "Meier"}):
        assert narrowed({"lastname": other}) == []
    assert narrowed({"description": "Meier"}) == []
    assert narrowed(["NOT", {"1": ["AND", {"lastname": "Meier"}]}]) == []
