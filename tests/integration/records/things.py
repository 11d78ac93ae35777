"""A resource for tests of the query language, queries at random, and what they mean in plain Python: no SQL, no code of the compiler."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cmp_to_key
from typing import Any

from hypothesis import strategies as st

from libs.domain.resources import Column, ColumnType, Join, Resource
from libs.records.wanted import fold

SCHEMA = """
create schema theke; create schema shop;
create table theke.revisions (service text, projection text, active int, tables text[]);
insert into theke.revisions values ('shop', 'all', 1, '{things,makers}');
create table shop.things_r1 (instance int, id int, name text, price numeric, count int, since bigint, maker int, search_text text,
  primary key (instance, id));
create table shop.makers_r1 (instance int, id int, name text, size int, primary key (instance, id));
"""
TYPES = {
    "ID": ColumnType.INTEGER,
    "name": ColumnType.TEXT,
    "price": ColumnType.NUMBER,
    "count": ColumnType.INTEGER,
    "since": ColumnType.TIME,
    "maker": ColumnType.INTEGER,
}
OF_MAKER = {"ID": ColumnType.INTEGER, "name": ColumnType.TEXT, "size": ColumnType.INTEGER}


def _columns(types: Mapping[str, ColumnType]) -> tuple[Column, ...]:
    return tuple(Column(name=name, type=type_, sql=f"@.{name.lower()}") for name, type_ in types.items())


THINGS = Resource(
    name="things",
    table="shop.things",
    type="thing",
    columns=_columns(TYPES),
    joins={"maker": Join(resource="makers", on="@.id = t.maker")},
    search="@.search_text",
)
MAKERS_OF_THINGS = Resource(name="makers", table="shop.makers", type="maker", columns=_columns(OF_MAKER))
SHOP = {resource.name: resource for resource in (THINGS, MAKERS_OF_THINGS)}
PATHS = {**TYPES, **{f"maker.{name}": type_ for name, type_ in OF_MAKER.items()}}

# --- rows and queries at random -----------------------------------------------------------------------------------------------

WORDS = st.text(alphabet="abAB%_\\. ä'1", max_size=4)
NUMBERS = st.integers(-3, 3)
PRICES = st.decimals(-3, 3, places=1)


def nullable(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values | values | values


MAKERS = st.lists(st.fixed_dictionaries({"name": nullable(WORDS), "size": nullable(NUMBERS)}), max_size=3)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "name": nullable(WORDS),
            "price": nullable(PRICES),
            "count": nullable(NUMBERS),
            "since": NUMBERS,
            "maker": nullable(st.integers(1, 4)),
        }
    ),
    max_size=8,
)
REGEXES = st.sampled_from(["a", "^a", "b$", "a.b", "[aB]+", "a|1", "^$", "^[^a]*$", "(a)(b)?"])
VALUES: Mapping[ColumnType, st.SearchStrategy[Any]] = {
    ColumnType.INTEGER: NUMBERS | NUMBERS.map(str),
    ColumnType.TIME: NUMBERS | PRICES,
    ColumnType.NUMBER: PRICES | PRICES.map(str) | NUMBERS,
    ColumnType.TEXT: WORDS | NUMBERS,
}
LIKE = st.text(alphabet="abA%_1.", max_size=4) | st.sampled_from(["\\%%", "a\\_", "\\\\%", "%\\a%"])


def _operators(path: str) -> st.SearchStrategy[Any]:
    value = VALUES[PATHS[path]]
    listed = st.lists(nullable(value), max_size=4)
    one = st.one_of(
        st.tuples(st.sampled_from(["=", "!=", "<>"]), nullable(value)),
        st.tuples(st.sampled_from(["<", "<=", ">", ">="]), value),
        st.tuples(st.sampled_from(["IN", "!IN"]), listed),
        st.tuples(st.sampled_from(["~", "~*", "!~", "!~*"]), REGEXES),
        st.tuples(st.sampled_from(["~~", "~~*", "!~~", "!~~*"]), LIKE),
    )
    return nullable(value) | listed | st.lists(one, min_size=1, max_size=2).map(dict)


def _fields_filter() -> st.SearchStrategy[Any]:
    pair = st.sampled_from(sorted(PATHS)).flatmap(lambda path: st.tuples(st.just(path), _operators(path)))
    return st.lists(pair, max_size=3).map(dict)


def _with_groups(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    group = st.tuples(st.sampled_from(["AND", "OR", "NOT", "or"]), inner, inner).map(list) | st.tuples(st.just("NOT"), inner).map(list)
    return group | st.tuples(_fields_filter(), group, group).map(lambda found: {**found[0], "1": found[1], "2": found[2]})


FILTERS = st.recursive(_fields_filter(), _with_groups, max_leaves=5)
SOME_PATHS = st.lists(st.sampled_from(sorted(PATHS)), min_size=1, max_size=4, unique=True)


@st.composite
def queries(draw: Callable[[st.SearchStrategy[Any]], Any]) -> dict[str, Any]:
    asked: dict[str, Any] = {draw(st.sampled_from(["filter", "filters"])): draw(FILTERS)}
    fields = draw(st.none() | SOME_PATHS | SOME_PATHS.map(lambda paths: {f"as {path}": path for path in paths}))
    if fields is not None:
        asked["fields"] = fields
    chosen = sorted(PATHS) if fields is None else list(fields.values() if isinstance(fields, dict) else fields)
    if draw(st.integers(0, 3)) == 0:
        asked["distinct"] = True
        chosen = sorted(TYPES) if fields is None else chosen
    asked["sort"] = [draw(st.sampled_from(["", "-", "+"])) + path for path in draw(st.lists(st.sampled_from(chosen), max_size=3))]
    if draw(st.integers(0, 3)) == 0:
        asked["query"] = draw(st.text(alphabet="aAbä%1 ", max_size=3))
    if draw(st.booleans()):
        asked |= {"limit": draw(st.integers(1, 5)), "offset": draw(st.integers(0, 4))}
    if draw(st.integers(0, 5)) == 0:
        asked["count"] = True
    return asked


# --- what a query means -------------------------------------------------------------------------------------------------------


def rows_of(things: Sequence[Mapping[str, Any]], makers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every thing with all its paths; ids count from 1."""
    known = {ix: {"ID": ix, **maker} for ix, maker in enumerate(makers, 1)}
    found = []
    for ix, thing in enumerate(things, 1):
        maker = known.get(thing["maker"] or 0, dict.fromkeys(OF_MAKER))
        found.append({"ID": ix, **thing, **{f"maker.{name}": value for name, value in maker.items()}})
    return found


def answer(asked: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Any:
    """The rows a query finds, or how many."""
    kept = [row for row in rows if all(holds(asked[name], row) is True for name in ("filter", "filters") if name in asked)]
    kept = [row for row in kept if all(word in fold(row["name"] or "") for word in fold(asked.get("query", "")).split())]
    fields = asked.get("fields") or list(TYPES)
    named = fields if isinstance(fields, Mapping) else {path: path for path in fields}
    last = ["ID"]
    if asked.get("distinct"):
        kept = list({tuple(row[path] for path in named.values()): row for row in kept}.values())
        last = list(named.values())
    if asked.get("count"):
        return len(kept)
    kept.sort(key=cmp_to_key(lambda one, other: _compared(one, other, [*asked.get("sort", ()), *last])))
    first = asked.get("offset", 0)
    return [{name: row[path] for name, path in named.items()} for row in kept][first : first + asked.get("limit", 1000)]


def _compared(one: Mapping[str, Any], other: Mapping[str, Any], keys: Sequence[str]) -> int:
    """Null is greater than everything."""
    for key in keys:
        path = key.lstrip("+-")
        left, right = one[path], other[path]
        if left == right:
            continue
        less = right is None or (left is not None and left < right)
        return -1 if less is not key.startswith("-") else 1
    return 0


def holds(asked: Any, row: Mapping[str, Any]) -> bool | None:
    if isinstance(asked, list):
        found = [holds(operand, row) for operand in asked[1:]]
        word = asked[0].upper()
        return _any(found) if word == "OR" else _all(found) if word == "AND" else _not(_all(found))
    return _all([_entry(key, value, row) for key, value in asked.items()])


def _entry(key: str, value: Any, row: Mapping[str, Any]) -> bool | None:
    if key.isdigit():
        return holds(value, row)
    tests = value if isinstance(value, dict) else {"IN": value} if isinstance(value, list) else {"=": value}
    return _all([_test(row[key], PATHS[key], operator, operand) for operator, operand in tests.items()])


def _test(value: Any, type_: ColumnType, operator: str, operand: Any) -> bool | None:
    if operator == "=" and operand is None:
        return value is None
    if operator in ("!=", "<>") and operand is None:
        return value is not None
    if operator == "IN":
        return _any([_equal(value, _typed(one, type_)) for one in operand])
    if operator == "!IN":
        return _all([_not(_equal(value, _typed(one, type_))) for one in operand])
    if value is None:
        return None
    if operator in COMPARE:
        return COMPARE[operator](value, _typed(operand, type_))
    text = format(value.normalize() + 0, "f") if isinstance(value, Decimal) else str(value)
    found = (_like if "~~" in operator else _regex)(text, operand, ignore_case=operator.endswith("*"))
    return not found if operator.startswith("!") else found


COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _typed(value: Any, type_: ColumnType) -> Any:
    if value is None:
        return None
    if type_ is ColumnType.TEXT:
        return str(value)
    return Decimal(value) if type_ is ColumnType.NUMBER else int(value)


def _equal(one: Any, other: Any) -> bool | None:
    return None if one is None or other is None else one == other


def _regex(text: str, pattern: str, *, ignore_case: bool) -> bool:
    return re.search(pattern, text, re.IGNORECASE if ignore_case else 0) is not None


def _like(text: str, pattern: str, *, ignore_case: bool) -> bool:
    made, escaped = "", False
    for character in pattern:
        if escaped or character not in "%_\\":
            made, escaped = made + re.escape(character), False
        elif character == "\\":
            escaped = True
        else:
            made += ".*" if character == "%" else "."
    return re.fullmatch(made, text, re.IGNORECASE if ignore_case else 0) is not None


def _all(found: Sequence[bool | None]) -> bool | None:
    return False if False in found else None if None in found else True


def _any(found: Sequence[bool | None]) -> bool | None:
    return True if True in found else None if None in found else False


def _not(found: bool | None) -> bool | None:
    return None if found is None else not found
