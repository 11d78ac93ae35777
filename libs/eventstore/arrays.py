"""Arrays as parameters, told from other values by their type.

asyncpg asks of every value in an array whether it is an array itself, of two abstract classes from ``collections.abc``, which answer in
Python: of all that a service does, a twelfth. Here it asks for the types that this code has arrays in. The names are the driver's own;
where another version has none of them, all stays as it was.
"""

from __future__ import annotations

from typing import Final

from asyncpg.protocol import protocol

ARRAYS: Final[tuple[type, ...]] = (list, tuple, range, set, frozenset, type({}.keys()), type({}.values()))
NAME: Final = "IterableABC"


def know_arrays_by_type() -> None:
    """For all connections of the process."""
    if hasattr(protocol, NAME):
        setattr(protocol, NAME, ARRAYS)
