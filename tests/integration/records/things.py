"""Resources for tests of the query language, data and queries at random, and what they mean in plain Python: no SQL, none of the compiler.

A shop: things and makers have owners, parts belong to a thing and a maker, marks to either; who reads no makers sees none through a join.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cmp_to_key
from random import Random
from typing import Any, NamedTuple

from libs.domain.access import Access
from libs.domain.resources import Column, ColumnType, Join, Resource
from libs.records.wanted import fold

SCHEMA = """
create schema theke; create schema shop;
create table theke.revisions (service text, projection text, active int, generation int default 0, tables text[]);
insert into theke.revisions values ('shop', 'all', 1, 0, '{things,makers,parts,marks}');
create table shop.things_r1 (instance int, id int, name text, name_order text, price numeric, count int, since bigint, maker int,
  meta jsonb, note text, owneruser bigint, ownergroup bigint, extdata jsonb, tags jsonb, search_text text, primary key (instance, id));
create table shop.makers_r1 (instance int, id int, name text, size int, ownergroup bigint, extdata jsonb, primary key (instance, id));
create table shop.parts_r1 (instance int, id int, name text, thing int, maker int, primary key (instance, id));
create table shop.marks_r1 (instance int, id int, name text, thing int, maker int, primary key (instance, id));
"""
INTEGER, NUMBER, TEXT, TIME, JSON = (
    ColumnType.INTEGER, ColumnType.NUMBER, ColumnType.TEXT, ColumnType.TIME, ColumnType.JSON,
)  # fmt: skip
OF_THING = {
    "ID": INTEGER, "name": TEXT, "price": NUMBER, "count": INTEGER, "since": TIME, "maker": INTEGER, "meta": JSON, "note": JSON,
    "owneruser": INTEGER, "ownergroup": INTEGER,
}  # fmt: skip
OF_MAKER = {"ID": INTEGER, "name": TEXT, "size": INTEGER, "ownergroup": INTEGER}
OF_PART = {"ID": INTEGER, "name": TEXT, "thing": INTEGER, "maker": INTEGER}
TYPES: Mapping[str, Mapping[str, ColumnType]] = {"things": OF_THING, "makers": OF_MAKER, "parts": OF_PART, "marks": OF_PART}
JOINS = {"things": {"maker": "makers"}, "makers": {}, "parts": {"thing": "things", "maker": "makers"}}
JOINS["marks"] = JOINS["parts"]
PATTERNS = 8  # in a query
EXTENDED = ("extdata.x", "extdata.y", "extdata.n'o")  # the last is in no row
OWNERS = {"things": ("owneruser", "ownergroup"), "makers": ("ownergroup",), "parts": (), "marks": ()}
MAKERS_ARE_READ_BY = "makers"


def _columns(resource: str) -> tuple[Column, ...]:
    return tuple(
        Column(
            name=name, type=type_, sql=f"@.{name.lower()}", order="@.name_order" if (resource, name) == ("things", "name") else "",
            searched=(resource, name) == ("things", "name"), expandable=type_ is JSON, as_text=name == "note",
        )
        for name, type_ in TYPES[resource].items()
    )  # fmt: skip


def _resource(name: str, **more: Any) -> Resource:
    joins = {column: Join(resource=other, on=f"@.id = t.{column}") for column, other in JOINS[name].items()}
    return Resource(name=name, table=f"shop.{name}", type=name, columns=_columns(name), joins=joins, **more)


THINGS = _resource("things", search="@.search_text", owner_user="owneruser", owner_group="ownergroup", extdata=True, tags=True)
PARENTS = (("thing", "things"), ("maker", "makers"))
SHOP: Mapping[str, Resource] = {
    "things": THINGS,
    "makers": _resource("makers", owner_group="ownergroup", extdata=True, read=(MAKERS_ARE_READ_BY,)),
    "parts": _resource("parts", parents=PARENTS),
    "marks": _resource("marks", parents=PARENTS, any_parent=True),
}


def _paths(resource: str) -> dict[str, ColumnType]:
    extended = dict.fromkeys(EXTENDED, TEXT)
    found = {**TYPES[resource], **(extended if SHOP[resource].extdata else {})}
    for column, other in JOINS[resource].items():
        theirs = {**TYPES[other], **(extended if SHOP[other].extdata else {})}
        found |= {f"{column}.{name}": type_ for name, type_ in theirs.items()}
    return found


PATHS = {resource: _paths(resource) for resource in SHOP}

# --- data and queries at random -----------------------------------------------------------------------------------------------

Rows = Mapping[str, Sequence[Mapping[str, Any]]]  # of every resource, by column and with ``extdata`` and ``tags``


class Chance(Random):
    """Makes data and queries. The same seed makes the same."""

    patterns = 0  # in the query that is being made

    def nullable(self, value: Any) -> Any:
        return None if self.random() < 0.25 else value

    def word(self) -> str:
        return "".join(self.choices("abAB%_\\. ä'1", k=self.randrange(5)))

    def number(self) -> int:
        return self.randint(-3, 3)

    def price(self) -> Decimal:
        return Decimal(self.randint(-30, 30)) / 10

    def one(self) -> int:
        """An ID, mostly one that is there."""
        return self.randint(1, 4)

    def json(self) -> Any:
        return self.choice([[], [1], [1, 2], {}, {"a": 1}, {"a": 1, "b": "ä"}])

    def extdata(self) -> Any:
        values = [self.word(), self.number(), Decimal(self.randrange(-29, 30, 2)) / 10]
        return self.nullable({name: self.choice(values) for name in ("x", "y") if self.random() < 0.7})

    def rows(self) -> Rows:
        def many(most: int, one: Callable[[], dict[str, Any]]) -> list[dict[str, Any]]:
            return [{"ID": ix, **one()} for ix in range(1, self.randint(0, most) + 1)]

        return {
            "makers": many(4, lambda: {
                "name": self.nullable(self.word()), "size": self.nullable(self.number()), "ownergroup": self.nullable(self.one()),
                "extdata": self.extdata(),
            }),
            "things": many(8, lambda: {
                "name": self.nullable(self.word()), "price": self.nullable(self.price()), "count": self.nullable(self.number()),
                "since": self.number(), "maker": self.nullable(self.one()), "meta": self.nullable(self.json()),
                "note": self.nullable(json.dumps(self.json())), "owneruser": self.nullable(self.one()) if self.random() < 0.5 else None,
                "ownergroup": self.nullable(self.one()) if self.random() < 0.5 else None, "extdata": self.extdata(),
                "tags": self.nullable(self.sample(["a", "b", "ä"], k=self.randrange(3))),
            }),
            "parts": many(8, lambda: {"name": self.nullable(self.word()), "thing": self.nullable(self.one()), "maker": self.one()}),
            "marks": many(8, lambda: {
                "name": self.nullable(self.word()), "thing": self.nullable(self.one()), "maker": self.nullable(self.one()),
            }),
        }  # fmt: skip

    def access(self) -> Access:
        if self.random() < 0.25:
            return Access(admin=True)
        return Access(
            user=self.one(), nopublic=self.random() < 0.3, groups={group: False for group in (1, 2, 3) if self.random() < 0.5},
            permissions={MAKERS_ARE_READ_BY: False} if self.random() < 0.8 else {},
        )  # fmt: skip

    def query(self, resource: str) -> dict[str, Any]:
        self.patterns = 0
        asked: dict[str, Any] = {name: self.filter(resource, 3) for name in self.choice([("filter",), ("filters",), ("filter", "filters")])}
        paths = sorted(PATHS[resource])
        chosen = list(TYPES[resource])
        if self.random() < 0.7:
            chosen = self.sample(paths, k=self.randint(1, 4))
            asked["fields"] = chosen if self.random() < 0.5 else {f"as {path}": path for path in chosen}
        if distinct := self.random() < 0.25:
            asked["distinct"] = True
        sorted_by = [path for path in (chosen if distinct else paths) if PATHS[resource][path] is not JSON]
        asked["sort"] = [self.choice(["", "-", "+"]) + path for path in self.sample(sorted_by, k=min(len(sorted_by), self.randrange(4)))]
        if resource == "things" and self.random() < 0.25:
            asked["query"] = "".join(self.choices("aAbä%1 ", k=self.randrange(4)))
        if self.random() < 0.5:
            asked |= {"limit": self.randint(1, 5), "offset": self.randint(0, 4)}
        if self.random() < 0.15:
            asked["count"] = True
        if resource == "things":
            asked |= {extra: 1 for extra in ("extdata", "tags") if self.random() < 0.15}
        notes = [path for path in ("note", "thing.note") if path in PATHS[resource]]
        if notes and self.random() < 0.3:
            asked["expand"] = notes
        return asked

    def filter(self, resource: str, depth: int) -> Any:
        if depth and self.random() < 0.3:
            return self.group(resource, depth)
        asked = {path: self.test(PATHS[resource][path]) for path in self.sample(sorted(PATHS[resource]), k=self.randrange(3))}
        if depth and self.random() < 0.4:
            asked["1"] = self.group(resource, depth)
        return asked

    def group(self, resource: str, depth: int) -> list[Any]:
        word = self.choice(["AND", "OR", "NOT", "or"])
        return [word, *(self.filter(resource, depth - 1) for _ in range(self.randint(1, 3)))]

    def test(self, type_: ColumnType) -> Any:
        if type_ is JSON:
            return self.choice([None, {"=": None}, {"!=": None}])
        if self.random() < 0.3:
            return self.nullable(self.value(type_)) if self.random() < 0.6 else self.values(type_)
        return dict(self.operation(type_) for _ in range(self.randint(1, 2)))

    def operation(self, type_: ColumnType) -> tuple[str, Any]:
        kind = self.randrange(5 if self.patterns < PATTERNS else 3)
        self.patterns += kind > 2
        if kind == 0:
            return self.choice(["=", "!=", "<>"]), self.nullable(self.value(type_))
        if kind == 1:
            return self.choice(["<", "<=", ">", ">="]), self.value(type_)
        if kind == 2:
            return self.choice(["IN", "!IN", "in"]), self.values(type_)
        if kind == 3:
            return self.choice(["~", "~*", "!~", "!~*"]), self.choice(REGEXES)
        like = "".join(self.choices("abA%_1.", k=self.randrange(5))) if self.random() < 0.8 else self.choice(LIKES)
        return self.choice(["~~", "~~*", "!~~", "!~~*"]), like

    def value(self, type_: ColumnType) -> Any:
        number, price = self.number(), self.price()
        if type_ is TEXT:
            return self.choice([self.word(), self.word(), number])
        if type_ is INTEGER:
            return self.choice([number, str(number)])
        return self.choice([number, price, str(price)])

    def values(self, type_: ColumnType) -> list[Any]:
        return [self.nullable(self.value(type_)) for _ in range(self.randrange(5))]


REGEXES = ["a", "^a", "b$", "a.b", "[aB]+", "a|1", "^$", "^[^a]*$", "(a)(b)?"]
LIKES = ["\\%%", "a\\_", "\\\\%", "%\\a%"]

# --- what a query means -------------------------------------------------------------------------------------------------------


class Meaning(NamedTuple):
    """The rows of a shop as somebody sees them."""

    rows: Rows
    access: Access

    def answer(self, resource: str, asked: Mapping[str, Any]) -> Any:
        """The rows a query finds, or how many."""
        kept = [self.paths(resource, row) for row in self.rows[resource] if self.sees(resource, row)]
        types = PATHS[resource]
        kept = [row for row in kept if all(holds(asked[name], row, types) is True for name in ("filter", "filters") if name in asked)]
        kept = [row for row in kept if all(word in fold(row["name"] or "") for word in fold(asked.get("query", "")).split())]
        fields = asked.get("fields") or list(TYPES[resource])
        named = dict(fields) if isinstance(fields, Mapping) else {path: path for path in fields}
        named |= {extra: extra for extra in ("extdata", "tags") if asked.get(extra)}
        last = ["ID"]
        if asked.get("distinct"):
            kept = list({tuple(_key(row[path]) for path in named.values()): row for row in kept}.values())
            last = [*named.values(), *(f"={path}" for path in named.values())]
        if asked.get("count"):
            return len(kept)
        kept.sort(key=cmp_to_key(lambda one, other: _compared(one, other, [*asked.get("sort", ()), *last], folds=resource)))
        first = asked.get("offset", 0)
        shown = [{name: _shown(path, row[path], asked) for name, path in named.items()} for row in kept]
        return shown[first : first + asked.get("limit", 1000)]

    def sees(self, resource: str, row: Mapping[str, Any]) -> bool:
        if self.access.admin:
            return True
        owners = OWNERS[resource]
        owned = {column: row[column] for column in owners}
        public = all(owner is None for owner in owned.values()) and not self.access.nopublic
        mine = owned.get("owneruser") == self.access.user or owned.get("ownergroup") in self.access.groups
        if owners and not public and not mine:
            return False
        return all(self._above(resource, row[column], parent) for column, parent in SHOP[resource].parents)

    def _above(self, resource: str, id_: int | None, parent: str) -> bool:
        if id_ is None:
            return resource == "marks"
        return any(above["ID"] == id_ and self.sees(parent, above) for above in self.rows[parent])

    def paths(self, resource: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row with all that a query may name."""
        found = {name: row[name] for name in TYPES[resource]} | _extended(row)
        found |= {"extdata": row.get("extdata"), "tags": row.get("tags")}
        for column, other in JOINS[resource].items():
            theirs = next((one for one in self.rows[other] if one["ID"] == row[column] and self.sees(other, one)), None)
            if other == "makers" and not self.access.admin and MAKERS_ARE_READ_BY not in self.access.permissions:
                theirs = None
            values = dict.fromkeys([*TYPES[other], *EXTENDED]) if theirs is None else {**theirs, **_extended(theirs)}
            found |= {f"{column}.{name}": value for name, value in values.items()}
        return found


class Stored(str):
    """A value that a client keeps with a row: a text, and the number that it is if it was written as one."""

    number: Decimal | None = None


def _extended(row: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(EXTENDED)
    for name, value in (row.get("extdata") or {}).items():
        found[f"extdata.{name}"] = stored = Stored(value)
        stored.number = None if isinstance(value, str) else Decimal(value)
    return found


def _key(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict | list) else value


def _shown(path: str, value: Any, asked: Mapping[str, Any]) -> Any:
    if path.endswith("note") and path in asked.get("expand", ()) and value is not None:
        return json.loads(value)
    return str(value) if isinstance(value, Stored) else value


def _compared(one: Mapping[str, Any], other: Mapping[str, Any], keys: Sequence[str], *, folds: str) -> int:
    """Null is greater than everything. Names of things sort folded; ``=name`` is the name itself."""
    for key in keys:
        path = key.lstrip("+-=")
        left, right = _key(one[path]), _key(other[path])
        if path in (("name",) if folds == "things" else ("thing.name",)) and key[0] != "=":
            left, right = (fold(text) if text is not None else None for text in (left, right))
        if left == right:
            continue
        less = right is None or (left is not None and left < right)
        return -1 if less is not key.startswith("-") else 1
    return 0


def holds(asked: Any, row: Mapping[str, Any], types: Mapping[str, ColumnType]) -> bool | None:
    if isinstance(asked, list):
        found = [holds(operand, row, types) for operand in asked[1:]]
        word = asked[0].upper()
        return _any(found) if word == "OR" else _all(found) if word == "AND" else _not(_all(found))
    return _all([_entry(key, value, row, types) for key, value in asked.items()])


def _entry(key: str, value: Any, row: Mapping[str, Any], types: Mapping[str, ColumnType]) -> bool | None:
    if key.isdigit():
        return holds(value, row, types)
    tests = value if isinstance(value, dict) else {"IN": value} if isinstance(value, list) else {"=": value}
    return _all([_test(row[key], types[key], operator.upper(), operand) for operator, operand in tests.items()])


def _test(value: Any, type_: ColumnType, operator: str, operand: Any) -> bool | None:
    if operator == "=" and operand is None:
        return value is None
    if operator in ("!=", "<>") and operand is None:
        return value is not None
    if operator == "IN":
        return _any([_equal(value, one, type_) for one in operand])
    if operator == "!IN":
        return _all([_not(_equal(value, one, type_)) for one in operand])
    if value is None:
        return None
    if operator in ("=", "!=", "<>"):
        return _equal(value, operand, type_) is (operator == "=")
    if operator in COMPARE:
        if isinstance(value, Stored) and not isinstance(operand, str):
            return None if value.number is None else COMPARE[operator](value.number, operand)
        return COMPARE[operator](value, _typed(operand, type_))
    text = format(value.normalize() + 0, "f") if isinstance(value, Decimal) else str(value)
    found = (_like if "~~" in operator else _regex)(text, operand, ignore_case=operator.endswith("*"))
    return not found if operator.startswith("!") else found


COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _typed(value: Any, type_: ColumnType) -> Any:
    if type_ is TEXT:
        return str(value)
    return Decimal(value) if type_ is NUMBER else int(Decimal(value))


def _equal(one: Any, other: Any, type_: ColumnType) -> bool | None:
    if one is None or other is None:
        return None
    if isinstance(one, Stored) and one.number is not None and not isinstance(other, str):
        return bool(one.number == other)
    return bool(one == _typed(other, type_))


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
