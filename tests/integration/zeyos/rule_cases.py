"""For every rule between the fields of a row: values that keep it, and values that break it."""

from __future__ import annotations

from itertools import count
from typing import Any

from libs.domain.rules import (
    AtLeastOne,
    AtMostOne,
    ChoiceWhen,
    Distinct,
    ExactlyOne,
    NotZero,
    OnlyWhen,
    Ordered,
    Positive,
    PositiveWhenSet,
    RequiredWhen,
    Rule,
    Together,
    ValueWhen,
    When,
)
from tests.integration.zeyos.document import Ref, fields_of, value_of

_fresh = count()


class Case:
    """Values with which a rule holds, and values with which it does not, and the field that is then named."""

    def __init__(self, kept: dict[str, Any], broken: dict[str, Any], field: str) -> None:
        self.kept, self.broken, self.field = kept, broken, field


def cases(resource: str, rule: Rule, *, every: bool = True) -> list[Case]:
    """``every``: with each value that decides, not only one."""
    facts = fields_of(resource)

    def some(name: str, n: int = 0) -> Any:
        if "ref_by" in facts[name]:
            return Ref("tickets", n)
        return "tickets" if name == "entity" else value_of(resource, name, n)

    def none(name: str) -> Any:
        return "" if facts[name]["type"] == "string" and "enum" not in facts[name] else None

    def met(when: When, *, holds: bool) -> dict[str, Any]:
        named = [value for value in when.values if value is not None]
        if holds is when.otherwise:  # a value that is not among them
            others = [value for value in facts[when.field].get("enum", ()) if value not in when.values]
            return {when.field: others[0] if others else some(when.field)}
        return {when.field: named[0] if named else None}

    def least(when: When, *, holds: bool) -> list[dict[str, Any]]:
        """Every value that decides, where there are several."""
        chosen = [value for value in facts[when.field].get("enum", ()) if (value in when.values) is (holds is not when.otherwise)]
        return [{when.field: value} for value in chosen] or [met(when, holds=holds)]

    if isinstance(rule, OnlyWhen):
        good, bad = least(rule.when, holds=True), least(rule.when, holds=False)
        times = max(len(good), len(bad)) if every else 1

        def one() -> dict[str, Any]:
            return {rule.field: some(rule.field, 200 + next(_fresh)) if "ref" in facts[rule.field] else some(rule.field)}

        return [Case({**good[ix % len(good)], **one()}, {**bad[ix % len(bad)], **one()}, rule.field) for ix in range(times)]
    if isinstance(rule, RequiredWhen):
        return [
            Case({**one, rule.field: some(rule.field)}, {**one, rule.field: none(rule.field)}, rule.field)
            for one in least(rule.when, holds=True)
        ]
    if isinstance(rule, ValueWhen):
        other = next(value for value in (*facts[rule.field].get("enum", ()), 50) if value != rule.value)
        one = met(rule.when, holds=True)
        return [Case({**one, rule.field: rule.value}, {**one, rule.field: other}, rule.field)]
    if isinstance(rule, ChoiceWhen):
        refused = next(value for value in reversed(facts[rule.field]["enum"]) if value not in rule.choices)
        return [
            Case({**one, rule.field: rule.choices[-1]}, {**one, rule.field: refused}, rule.field) for one in least(rule.when, holds=True)
        ]
    if isinstance(rule, Distinct):
        if rule.other == "ID":
            return []
        return [
            Case(
                {rule.field: some(rule.field, 0), rule.other: some(rule.other, 1)},
                {name: some(rule.field, 0) for name in (rule.field, rule.other)},
                rule.field,
            )
        ]
    if isinstance(rule, Ordered):
        both = {rule.first: some(rule.first), rule.second: some(rule.second)}
        return [Case({**both, rule.second: both[rule.first]}, {**both, rule.second: both[rule.first] - 1}, rule.second)]
    if isinstance(rule, PositiveWhenSet):
        return [Case({rule.other: some(rule.other, 90), rule.field: 1}, {rule.other: some(rule.other, 91), rule.field: -1}, rule.field)]
    if isinstance(rule, Positive | NotZero):
        more = {"type": 10, "item": Ref("items", 0)} if rule.field == "productionfactor" else {}
        return [Case({**more, rule.field: 1}, {**more, rule.field: 0}, rule.field)]
    return _cases_of_several(rule, some, none)


def _cases_of_several(rule: Rule, some: Any, none: Any) -> list[Case]:
    assert isinstance(rule, AtLeastOne | AtMostOne | ExactlyOne | Together), rule
    fields = rule.fields
    empty = {name: none(name) for name in fields}

    def only(*names: str) -> dict[str, Any]:
        return {**empty, **{name: some(name) for name in names}}

    found = []
    if isinstance(rule, AtMostOne | ExactlyOne):
        found += [Case(only(name), only(name, other), "") for name in fields for other in fields if name != other]
    if isinstance(rule, AtLeastOne | ExactlyOne):
        found += [Case(only(name), empty, "") for name in fields]
    if isinstance(rule, Together):
        found += [Case(only(*fields) if ix else empty, only(name), "") for ix, name in enumerate(fields)]
    return found
