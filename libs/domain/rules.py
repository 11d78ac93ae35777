"""Rules between the fields of one record, as data: what must hold whenever a record is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from libs.domain.errors import FieldError

Values = Mapping[str, Any]


def is_empty(value: Any) -> bool:
    """Nothing is said: null, or a text without letters."""
    return value is None or value == ""


class When(msgspec.Struct, frozen=True):
    """A field has one of some values; with ``otherwise`` none of them. Null may be among them."""

    field: str
    values: tuple[Any, ...]
    otherwise: bool = False

    def holds(self, values: Values) -> bool:
        return (values.get(self.field) in self.values) is not self.otherwise


class Rule(msgspec.Struct, frozen=True, tag=True):
    """``broken(values)`` gives the faults of a record; ``ID`` is among its values."""

    def broken(self, values: Values) -> Iterable[FieldError]:
        raise NotImplementedError  # every kind of rule has its own; a struct cannot be an abstract class


class OnlyWhen(Rule, frozen=True):
    """The field has a value, other than its ``blank`` one, only if ``when`` holds."""

    field: str
    when: When
    blank: Any = None

    def broken(self, values: Values) -> Iterable[FieldError]:
        value = values.get(self.field)
        if not is_empty(value) and value != self.blank and not self.when.holds(values):
            yield FieldError(self.field, "not_with", {"other": self.when.field})


class RequiredWhen(Rule, frozen=True):
    field: str
    when: When

    def broken(self, values: Values) -> Iterable[FieldError]:
        if is_empty(values.get(self.field)) and self.when.holds(values):
            yield FieldError(self.field, "required_with", {"other": self.when.field})


class ValueWhen(Rule, frozen=True):
    """The field has this value if ``when`` holds."""

    field: str
    value: Any
    when: When

    def broken(self, values: Values) -> Iterable[FieldError]:
        if values.get(self.field) != self.value and self.when.holds(values):
            yield FieldError(self.field, "must_be", {"value": str(self.value), "other": self.when.field})


class ChoiceWhen(Rule, frozen=True):
    """The field has one of these values if ``when`` holds."""

    field: str
    choices: tuple[int, ...]
    when: When

    def broken(self, values: Values) -> Iterable[FieldError]:
        if values.get(self.field) not in self.choices and self.when.holds(values):
            yield FieldError(self.field, "not_allowed", {"allowed": ", ".join(map(str, self.choices))})


class AtLeastOne(Rule, frozen=True):
    fields: tuple[str, ...]

    def broken(self, values: Values) -> Iterable[FieldError]:
        if all(is_empty(values.get(field)) for field in self.fields):
            yield FieldError(self.fields[0], "one_required", {"fields": ", ".join(self.fields)})


class AtMostOne(Rule, frozen=True):
    fields: tuple[str, ...]

    def broken(self, values: Values) -> Iterable[FieldError]:
        given = [field for field in self.fields if not is_empty(values.get(field))]
        if len(given) > 1:
            yield FieldError(given[1], "only_one", {"fields": ", ".join(self.fields)})


class ExactlyOne(Rule, frozen=True):
    fields: tuple[str, ...]

    def broken(self, values: Values) -> Iterable[FieldError]:
        yield from AtLeastOne(self.fields).broken(values)
        yield from AtMostOne(self.fields).broken(values)


class Together(Rule, frozen=True):
    """All of the fields have a value, or none."""

    fields: tuple[str, ...]

    def broken(self, values: Values) -> Iterable[FieldError]:
        missing = [field for field in self.fields if is_empty(values.get(field))]
        if missing and len(missing) < len(self.fields):
            yield FieldError(missing[0], "only_together", {"fields": ", ".join(self.fields)})


class Ordered(Rule, frozen=True):
    """The first is not greater than the second, if both have a value."""

    first: str
    second: str

    def broken(self, values: Values) -> Iterable[FieldError]:
        first, second = values.get(self.first), values.get(self.second)
        if first is not None and second is not None and first > second:
            yield FieldError(self.second, "before", {"other": self.first})


class Distinct(Rule, frozen=True):
    """Two fields do not have the same value."""

    field: str
    other: str

    def broken(self, values: Values) -> Iterable[FieldError]:
        value = values.get(self.field)
        if not is_empty(value) and value == values.get(self.other):
            yield FieldError(self.field, "same_as", {"other": self.other})


class NotZero(Rule, frozen=True):
    field: str

    def broken(self, values: Values) -> Iterable[FieldError]:
        if values.get(self.field) == 0:
            yield FieldError(self.field, "zero")


class PositiveWhenSet(Rule, frozen=True):
    """The field is greater than zero if the other one has a value."""

    field: str
    other: str

    def broken(self, values: Values) -> Iterable[FieldError]:
        value = values.get(self.field)
        if values.get(self.other) is not None and (value is None or value <= 0):
            yield FieldError(self.field, "not_positive", {"other": self.other})


class Positive(Rule, frozen=True):
    """The field is greater than zero, if it has a value."""

    field: str

    def broken(self, values: Values) -> Iterable[FieldError]:
        value = values.get(self.field)
        if value is not None and value <= 0:
            yield FieldError(self.field, "positive")


# private to a user, shared within a group, or public: what has both columns has at most one of them
ONE_OWNER: Final = AtMostOne(("ownergroup", "owneruser"))
