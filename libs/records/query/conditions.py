"""The conditions of a query: an object of fields, operators and groups as one SQL expression. Logic is SQL's own, with three values:
what compares with null is neither true nor false, and only what is true is found."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from libs.domain.errors import FieldError, invalid
from libs.domain.resources import Column, ColumnType
from libs.records.query.values import POSTGRES, value_of
from libs.records.wanted import Wrong, fold, like_part

CONDITIONS_MAX: Final = 200
GROUP_DEPTH_MAX: Final = 12
VALUES_MAX: Final = 10_000  # in all the lists of a query: as many rows as one has
VALUES_EASY: Final = 1_000
PATTERN_MAX_CHARS: Final = 200
PATTERNS_MAX: Final = 10  # of a query
PATH_SHOWN_CHARS: Final = 100

COMPARISONS: Final = {"=": "=", "!=": "<>", "<>": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
ORDERINGS: Final = frozenset({"<", "<=", ">", ">="})
MEMBERSHIPS: Final = frozenset({"IN", "!IN"})
REGEXES: Final = frozenset({"~", "~*", "!~", "!~*"})
LIKES: Final = frozenset({"~~", "~~*", "!~~", "!~~*"})
GROUPS: Final = frozenset({"AND", "OR", "NOT"})
LATIN_1: Final = "\xff"  # up to there, all that Postgres takes for the same letter is folded to the same
_TRIGRAM: Final = re.compile("[a-z0-9]{3}")
NUMBER: Final = Column(name="", type=ColumnType.NUMBER, sql="")


class Place(msgspec.Struct, frozen=True):
    """A column where a statement has it: ``sql`` is its value, ``order`` what it sorts by, ``path`` how a query calls it; ``number``: its
    value as a number, of a text that may be one; ``search``: a folded text that its own, folded, is part of, and that has an index."""

    column: Column
    sql: str
    order: str
    path: str = ""
    number: str = ""
    search: str = ""


class Pattern(msgspec.Struct, frozen=True):
    """A regular expression, and the path of the filter it stands in."""

    path: str
    text: str


class Conditions:
    """Collects parameters (``arguments``, from $2 on) and ``faults`` while it compiles. ``find`` gives the place of a path, None if there
    is none."""

    def __init__(self, find: Callable[[str], Place | None], faults: list[FieldError]) -> None:
        self._find = find
        self.faults = faults
        self.arguments: list[Any] = []
        self.patterns: list[Pattern] = []
        self.costly = False
        self._count = 0
        self._values = 0
        self._negated = 0

    def parameter(self, value: Any, type_: str) -> str:
        self.arguments.append(value)
        return f"${len(self.arguments) + 1}::{type_}"

    def compile(self, asked: Any, path: str, depth: int = 0) -> str:
        """``asked`` is an object or a group; nothing in it is true of every row."""
        if _is_group(asked):
            return self._group(asked, path, depth)
        if not isinstance(asked, Mapping):
            self.faults.append(FieldError(path, "expected_object"))
            return "false"
        parts = [self._entry(str(key), value, depth) for key, value in asked.items()]
        return " and ".join(parts) or "true"

    def _group(self, group: Sequence[Any], path: str, depth: int) -> str:
        if depth >= GROUP_DEPTH_MAX:
            raise invalid(FieldError(path, "nested_too_deep", {"max": GROUP_DEPTH_MAX}))
        self._counted(path)
        word = group[0].upper()
        self._negated += word == "NOT"
        parts = [f"({self.compile(operand, path, depth + 1)})" for operand in group[1:]]
        self._negated -= word == "NOT"
        joined = (" or " if word == "OR" else " and ").join(parts)
        return f"not ({joined})" if word == "NOT" else f"({joined})"

    def _counted(self, path: str) -> None:
        self._count += 1
        if self._count > CONDITIONS_MAX:
            raise invalid(FieldError(path, "too_many", {"max": CONDITIONS_MAX}))

    def _entry(self, key: str, value: Any, depth: int) -> str:
        if _is_group(value):
            return self._group(value, shown(key), depth)
        place = self._find(key)
        if place is None:
            self._counted(shown(key))
            self.faults.append(FieldError(shown(key), "unknown_field"))
            return "false"
        named = value if isinstance(value, Mapping) else {"IN" if isinstance(value, list | tuple) else "=": value}
        return " and ".join([self._condition(place, shown(key), str(operator), operand) for operator, operand in named.items()]) or "true"

    def _condition(self, place: Place, path: str, operator: str, operand: Any) -> str:
        self._counted(path)
        try:
            if operator in COMPARISONS:
                return self._comparison(place, operator, operand)
            if operator.upper() in MEMBERSHIPS:
                return self._membership(place, operator.upper(), operand)
            if operator in REGEXES or operator in LIKES:
                return self._match(place, path, operator, operand)
            raise Wrong("operator_unknown", operator=shown(operator))
        except Wrong as wrong:
            self.faults.append(FieldError(path, wrong.reason, wrong.params))
            return "false"

    def _comparison(self, place: Place, operator: str, operand: Any) -> str:
        if operand is None:
            if operator in ORDERINGS:
                raise Wrong("null_has_no_order", operator=operator)
            return f"{place.sql} is {'' if operator == '=' else 'not '}null"
        if place.column.type is ColumnType.JSON:
            raise Wrong("not_comparable")
        if place.number and _is_number(operand):
            compared = f"{place.number} {COMPARISONS[operator]} {self.parameter(value_of(NUMBER, operand), 'numeric')}"
            if operator in ORDERINGS:
                return compared
            return f"coalesce({compared}, {place.sql} {COMPARISONS[operator]} {self.parameter(str(operand), 'text')})"
        value = self.parameter(value_of(place.column, operand), POSTGRES[place.column.type])
        collated = ' collate "C"' if operator in ORDERINGS and place.column.type is ColumnType.TEXT else ""
        test = f"{place.sql}{collated} {COMPARISONS[operator]} {value}"
        return self._narrowed(place, test, [str(operand)]) if operator == "=" else test

    def _membership(self, place: Place, operator: str, operand: Any) -> str:
        if isinstance(operand, Mapping):  # a form's list
            operand = list(operand.values())
        if not isinstance(operand, list | tuple):
            raise Wrong("expected_list")
        if place.column.type is ColumnType.JSON:
            raise Wrong("not_comparable")
        self._values += len(operand)
        if self._values > VALUES_MAX:
            raise Wrong("too_many", max=VALUES_MAX)
        self.costly = self.costly or len(operand) > VALUES_EASY
        values = [None if one is None else value_of(place.column, one) for one in operand]
        test = f"{place.sql} = any({self.parameter(values, POSTGRES[place.column.type] + '[]')})"
        numbers = [value_of(NUMBER, one) for one in operand if _is_number(one)] if place.number else []
        if numbers:
            test = f"(case when {place.number} = any({self.parameter(numbers, 'numeric[]')}) then true else {test} end)"
        return f"not ({test})" if operator == "!IN" else test

    def _match(self, place: Place, path: str, operator: str, operand: Any) -> str:
        if operand is None:
            raise Wrong("null_has_no_order", operator=operator)
        if place.column.type is ColumnType.JSON or place.column.file:
            raise Wrong("not_comparable")
        pattern = value_of(Column(name="", type=ColumnType.TEXT, sql=""), operand)
        if len(pattern) > PATTERN_MAX_CHARS:
            raise Wrong("too_long", max=PATTERN_MAX_CHARS)
        self.costly = True
        self.patterns.append(Pattern(path, pattern if operator in REGEXES else ""))
        if len(self.patterns) > PATTERNS_MAX:
            raise Wrong("too_many_patterns", max=PATTERNS_MAX)
        if operator in LIKES and (len(pattern) - len(pattern.rstrip("\\"))) % 2:
            raise Wrong("bad_pattern")
        test = f"{_as_text(place)} {operator} {self.parameter(pattern, 'text')}"
        return self._narrowed(place, test, _literals(pattern)) if operator in ("~~", "~~*") else test

    def _narrowed(self, place: Place, test: str, parts: Sequence[str]) -> str:
        """A text that has these parts has them folded, too, and where that is indexed, few rows need the test. Not below a NOT: of a row
        without a text the test is null, and this false."""
        if not place.search or self._negated:
            return test
        words = [fold(part) for part in parts if part and max(part) <= LATIN_1]
        patterns = [like_part(word) for word in words if _TRIGRAM.search(word)]
        return " and ".join([test, *(f"{place.search} like {self.parameter(pattern, 'text')}" for pattern in patterns)])


def _literals(pattern: str) -> list[str]:
    """What stands between the wildcards of a LIKE."""
    parts, escaped = [""], False
    for character in pattern:
        if escaped or character not in "%_\\":
            parts[-1], escaped = parts[-1] + character, False
        elif character == "\\":
            escaped = True
        else:
            parts.append("")
    return parts


def shown(name: str) -> str:
    """A name out of a query, fit for a message."""
    return "".join(character if character.isprintable() else "?" for character in name[:PATH_SHOWN_CHARS])


def _is_group(value: Any) -> bool:
    """AND, OR or NOT with what it is about; a list of texts that begins with such a word is a list of texts."""
    if not isinstance(value, list | tuple) or len(value) < 2 or not isinstance(value[0], str):
        return False
    return value[0].upper() in GROUPS and all(isinstance(operand, Mapping | list | tuple) for operand in value[1:])


def _is_number(operand: Any) -> bool:
    return isinstance(operand, int | float | Decimal) and not isinstance(operand, bool)


def _as_text(place: Place) -> str:
    if place.column.type is ColumnType.TEXT:
        return place.sql
    return f"trim_scale({place.sql})::text" if place.column.type is ColumnType.NUMBER else f"({place.sql})::text"
