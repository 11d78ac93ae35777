"""What the values of a record must be to each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

from libs.domain.errors import FieldError

FRACTION: Final = re.compile(r"([1-9]\d{0,2})/([1-9]\d{0,2})")
CLOCK: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


def check_option_template(values: Mapping[str, Any]) -> Iterator[FieldError]:
    low, high, options = values["min_choices"], values["max_choices"], values["options"]
    if high is not None and (low or 0) > high:
        yield FieldError("max_choices", "out_of_range", {"min": low, "max": 99})
    if (values["is_mandatory"] or low) and not options:
        yield FieldError("options", "required")
    for ix, option in enumerate(options or ()):
        if option.fraction is not None and not is_part(option.fraction):
            yield FieldError(f"options[{ix}].fraction", "not_a_fraction")


def is_part(text: str) -> bool:
    """``1/2``, ``2/3``: more than nothing, less than all."""
    found = FRACTION.fullmatch(text)
    return found is not None and Fraction(int(found[1]), int(found[2])) < 1


def check_price_rule(values: Mapping[str, Any]) -> Iterator[FieldError]:
    for one, other in (("article_key", "group_key"), ("change_amount", "change_percent")):
        if (values[one] is None) == (values[other] is None):
            yield FieldError(one, "either_this_or", {"other": other})
    begins, ends = values["time_from"], values["time_to"]
    for name, time in (("time_from", begins), ("time_to", ends)):
        if time is not None and not CLOCK.fullmatch(time):
            yield FieldError(name, "not_a_clock_time")
    if (begins is None) != (ends is None):
        yield FieldError("time_to" if ends is None else "time_from", "required")
    elif begins is not None and begins == ends:
        yield FieldError("time_to", "same_as_begin")
    if values["starts_on"] is not None and values["ends_on"] is not None and values["starts_on"] > values["ends_on"]:
        yield FieldError("ends_on", "before_begin")
