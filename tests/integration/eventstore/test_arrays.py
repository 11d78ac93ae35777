"""Arrays that are known by their type arrive as they did, and nothing else is taken for one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg
import pytest
from asyncpg.protocol import protocol

from libs.eventstore.arrays import ARRAYS, NAME
from libs.eventstore.connections import Connections


def test_the_driver_asks_for_the_types() -> None:
    """With a version that has another name, arrays are slow again: then see ``arrays``."""
    assert getattr(protocol, NAME) == ARRAYS


@pytest.mark.parametrize(
    ("type_", "given", "found"),
    [
        ("int", [1, None, 3], [1, None, 3]),
        ("int", (1, 2), [1, 2]),
        ("int", {5}, [5]),
        ("int", {7: "a"}.keys(), [7]),
        ("text", {7: "a"}.values(), ["a"]),
        ("int", [], []),
        ("int", [[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        ("text", ["ab", "", None, "{a,b}"], ["ab", "", None, "{a,b}"]),
        ("bytea", [b"\x00", b"abc"], [b"\x00", b"abc"]),
        ("uuid", [UUID(int=7)], [UUID(int=7)]),
        ("boolean", [True, None], [True, None]),
    ],
)
async def test_arrays_arrive_as_they_were(postgres_dsn: str, type_: str, given: Any, found: Any) -> None:
    connections = Connections(postgres_dsn, most=1, timeout=5.0)
    assert (await connections.fetch(f"select $1::{type_}[]", given))[0][0] == found
    connections.close()


@pytest.mark.parametrize("given", ["abc", b"abc", {"a": 1}, 7])
async def test_what_is_none_is_refused(postgres_dsn: str, given: Any) -> None:
    connections = Connections(postgres_dsn, most=1, timeout=5.0)
    with pytest.raises(asyncpg.DataError):
        await connections.fetch("select $1::text[]", given)
    connections.close()
