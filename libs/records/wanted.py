"""What somebody looks for, checked before it becomes a parameter: values out of texts, and the words of a search."""

from __future__ import annotations

import unicodedata
from decimal import Decimal, InvalidOperation
from typing import Final

from libs.domain.errors import FieldError
from libs.domain.records import INT32_MAX, UNPRINTABLE

SEARCH_MAX_CHARS: Final = 200
SEARCH_WORDS_MAX: Final = 10
NUMBER_MAX: Final = Decimal(10) ** 12
NUMBER_PLACES: Final = 12  # what is smaller than that equals no field, and 1e-999999 is never written out
INTEGER_MAX_CHARS: Final = 20


class Wrong(Exception):
    """A value that cannot be looked for; ``reason`` and ``params`` as in FieldError."""

    def __init__(self, reason: str, **params: str | int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.params = params


def fold(text: str) -> str:
    """A text as lists search and sort it: without case and accents, ä as a, ß as ss."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def search_patterns(search: str, faults: list[FieldError], path: str = "search") -> list[str]:
    """Patterns for folded text, one per word of the search; all of them must occur."""
    if len(search) > SEARCH_MAX_CHARS:
        faults.append(FieldError(path, "too_long", {"max": SEARCH_MAX_CHARS}))
        return []
    if UNPRINTABLE.search(search):
        faults.append(FieldError(path, "unprintable"))
        return []
    words = fold(search).split()
    if len(words) > SEARCH_WORDS_MAX:
        faults.append(FieldError(path, "too_many", {"max": SEARCH_WORDS_MAX}))
    return [like_part(word) for word in words[:SEARCH_WORDS_MAX]]


def like_part(text: str) -> str:
    """A pattern of LIKE for all that has this text in it."""
    return "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


def text_of(text: str) -> str:
    if UNPRINTABLE.search(text):
        raise Wrong("unprintable")
    return text


def integer_of(text: str, most: int = INT32_MAX) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise Wrong("expected_integer")
    if len(digits) > INTEGER_MAX_CHARS or not -most <= int(text) <= most:
        raise Wrong("out_of_range", min=-most, max=most)
    return int(text)


def decimal_of(text: str | int | Decimal) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise Wrong("expected_number") from None
    if not number.is_finite():
        raise Wrong("expected_number")
    if not -NUMBER_MAX <= number <= NUMBER_MAX:
        raise Wrong("out_of_range", min=str(-NUMBER_MAX), max=str(NUMBER_MAX))
    return round(number, NUMBER_PLACES)
