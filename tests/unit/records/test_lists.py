"""What callers ask of lists becomes SQL made of declared names and parameters only, whatever they write."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.auth.records import USER
from libs.contracts.inventory.records import ARTICLE
from libs.domain.errors import DomainError
from libs.projections.listed import statement
from libs.records.lists import SYSTEM_ORDER, VALUES, Listing, can_filter, can_sort, compile_listing, ordered
from libs.records.wanted import fold

COLUMNS = (
    *(f"{field.name}_order" if ordered(field) else field.name for field in ARTICLE.fields if can_sort(field)),
    *SYSTEM_ORDER.values(),
)
ORDERS = {"t.id asc", *(f"t.{column} {direction} nulls last" for column in COLUMNS for direction in ("asc", "desc"))}
SAFE = re.compile(r"[a-z0-9_ .,$=<>@()\[\]:{}%]+|\?")


def refused(**asked: Any) -> dict[str, str]:
    with pytest.raises(DomainError) as refusal:
        compile_listing(ARTICLE, Listing(**asked))
    return {fault.path: fault.reason for fault in refusal.value.fields}


def test_nothing_asked_is_everything() -> None:
    assert compile_listing(ARTICLE, Listing()).where == "t.instance = $1"
    assert compile_listing(ARTICLE, Listing()).order == ()


def test_values_are_parameters_and_equal_shapes_are_one_statement() -> None:
    one, other = (compile_listing(ARTICLE, Listing(search="a_b", filters={"tax_class": "7", "name": name})) for name in ("x", "' or 1=1"))
    assert one.where == other.where == "t.instance = $1 and t.search_text like $2 and t.tax_class = $3 and t.name = $4"
    assert other.arguments == ("%a\\_b%", 7, "' or 1=1")
    texts = [f"select 1 from {{inventory.articles}} t where {compiled.where}" for compiled in (one, other)]
    assert statement(texts[0]) is statement(texts[1])


def test_text_sorts_as_people_do_and_equals_by_id() -> None:
    assert compile_listing(ARTICLE, Listing(sort=("-name", "price"))).order == (
        "t.name_order desc nulls last",
        "t.price asc nulls last",
        "t.id asc",
    )
    assert sorted(["Zander", "apfel", "Äpfel", "Öl", "Straße", "strasse"], key=fold) == [
        "apfel", "Äpfel", "Öl", "Straße", "strasse", "Zander",
    ]  # fmt: skip


def test_a_list_of_words_is_searched_for_one_of_them() -> None:
    compiled = compile_listing(USER, Listing(filters={"roles": "Waiter"}))
    assert compiled.where == "t.instance = $1 and t.roles @> jsonb_build_array($2::text)"


def test_every_parameter_at_fault_is_named() -> None:
    wrong = {"tax_class": "7.5", "price": "NaN", "is_active": "yes", "group_key": "a b", "name": "a\0", "created_from": "2026-01-01"}
    assert refused(filters=wrong, sort=("options",), page=0, page_size=5_000, search="x" * 300) == {
        "tax_class": "expected_integer",
        "price": "expected_number",
        "is_active": "expected_boolean",
        "group_key": "not_a_key",
        "name": "unprintable",
        "created_from": "not_a_time",
        "sort": "not_known",
        "page": "out_of_range",
        "page_size": "out_of_range",
        "search": "too_long",
    }
    assert refused(filters={"options": "x", "instance": "2", "t.name": "x"}) == dict.fromkeys(
        ("options", "instance", "t.name"), "unknown_field"
    )
    assert refused(sort=("name; drop table x",)) == {"sort": "not_known"}
    assert refused(search=" ".join("abcdefghijkl")) == {"search": "too_many"}
    assert refused(filters={"price": "1e999999"}) == {"price": "out_of_range"}


@given(
    search=st.text(max_size=30),
    names=st.lists(st.text(max_size=20) | st.sampled_from(["name", "price", "group_key", "created_to"]), max_size=4, unique=True),
    value=st.text(max_size=30) | st.sampled_from(["1", "true", "1e-999999", "2026-01-01T00:00:00Z", "artgrp_1"]),
    sort=st.lists(st.text(max_size=20) | st.sampled_from(["name", "-price"]), max_size=3),
)
@settings(max_examples=300, deadline=None)
def test_no_word_of_a_caller_gets_into_a_statement(search: str, names: list[str], value: str, sort: list[str]) -> None:
    try:
        compiled = compile_listing(ARTICLE, Listing(search=search, filters=dict.fromkeys(names, value), sort=tuple(sort)))
    except DomainError:
        return
    assert SAFE.fullmatch(compiled.where)
    assert set(compiled.order) <= ORDERS


def test_every_type_of_field_that_may_be_filtered_by_can_be() -> None:
    """Numbers of rows of the ERP had been forgotten: staff asked for by their contact was an internal error."""
    assert compile_listing(USER, Listing(filters={"contact": "7"})).arguments == (7,)
    assert {field.type for field in (*USER.fields, *ARTICLE.fields) if can_filter(field)} <= VALUES.keys()
