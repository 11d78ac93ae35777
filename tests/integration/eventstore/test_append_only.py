"""What is in the log stays as it is: changes are refused, and one made by force is noticed and named."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from libs.eventstore.chain import digest, first_altered, leaf
from tests.integration.eventstore.boxes import Fill, Issue, Place, Rename, Work


@pytest.fixture
async def filled(work: Work) -> Work:
    """Five commits of 1, 5, 3, 1 and 1 events, with numbers, claims and words beyond ASCII."""
    await work.do(Fill("a"))
    await asyncio.gather(*(work.do(Fill(f"{number} Stück Käse", note="Grüße 🧀")) for number in range(5)))
    await work.do(Issue("Kasse 1", 3))
    await work.do(Rename("a", "Änne"))
    await work.do(Fill("a"))
    return work


async def rows_of(connection: asyncpg.Connection) -> tuple[list[Any], list[Any]]:
    rows = await connection.fetch("select * from events where instance = 1 order by position")
    return rows, await connection.fetch("select * from commits where instance = 1 order by last_position")


@pytest.mark.parametrize(
    "statement",
    [
        "update events set data = '{}' where position = 1",
        "delete from events where position = 11",
        "truncate events",
        "truncate events, commits cascade",
        "update commits set digest = ''",
        "delete from commits",
        "truncate commits",
    ],
)
async def test_changes_are_refused(place: Place, filled: Work, statement: str) -> None:
    connection = await place.connect()
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await connection.execute(statement)
    assert await connection.fetchval("select count(*) from events") == 11
    await connection.close()


async def test_the_chain_computed_outside_equals_the_one_stored(place: Place, filled: Work) -> None:
    connection = await place.connect()
    rows, commits = await rows_of(connection)
    await connection.close()
    assert [commit["last_position"] - commit["first_position"] + 1 for commit in commits] == [1, 5, 3, 1, 1]
    assert [leaf(row) for row in rows] == [row["leaf"] for row in rows]
    previous = b""
    for commit in commits:
        previous = digest(previous, [row["leaf"] for row in rows[commit["first_position"] - 1 : commit["last_position"]]])
        assert previous == commit["digest"]
    assert first_altered(rows, commits) is None
    assert first_altered([], []) is None


async def test_each_instance_has_a_chain_of_its_own(place: Place, work: Work) -> None:
    """Also when both are in one commit."""
    await asyncio.gather(*(work.do(Fill("a"), instance=instance) for instance in (1, 2) for _ in range(3)))
    connection = await place.connect()
    for instance in (1, 2):
        rows = await connection.fetch("select * from events where instance = $1 order by position", instance)
        commits = await connection.fetch("select * from commits where instance = $1 order by last_position", instance)
        assert first_altered(rows, commits) is None
        assert len(rows) == 3
    await connection.close()


@pytest.mark.parametrize(
    ("position", "change"),
    [
        (1, "data = set_bit(data, 9, 1 - get_bit(data, 9))"),
        (4, "data = data || ' '"),
        (7, "number = 8"),
        (8, "series = 'slip.Kasse 2'"),
        (9, "meta = set_byte(meta, 3, 65)"),
        (5, "at = at + interval '1 microsecond'"),
        (10, "stream = 'box-b', version = 1"),
        (11, "id = gen_random_uuid()"),
        (6, "type = 'box.emptied'"),
        (6, "schema_version = 2"),
        (6, "leaf = sha256(leaf)"),
        (3, "position = 1000"),
    ],
)
async def test_a_bit_flipped_by_force_is_noticed_and_named(place: Place, filled: Work, position: int, change: str) -> None:
    connection = await place.connect()
    await connection.execute("alter table events disable trigger events_are_final")
    await connection.execute(f"update events set {change} where position = {position}")
    assert first_altered(*await rows_of(connection)) == position
    await connection.close()


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("delete from events where position = 4", 4),
        ("delete from events where position >= 10", 10),
        ("delete from events", 1),
        ("insert into events select instance, 12, stream, 12, gen_random_uuid(), type, schema_version, null, null, data, meta, at, leaf "
         "from events where position = 11", 12),
        ("delete from commits where last_position = 11", 11),
        ("update commits set digest = sha256(digest) where last_position = 6", 2),
        ("delete from commits where last_position = 6", 2),
    ],
)  # fmt: skip
async def test_rows_taken_out_or_put_in_by_force_are_noticed(place: Place, filled: Work, statement: str, named: int) -> None:
    connection = await place.connect()
    await connection.execute("alter table events disable trigger user")
    await connection.execute("alter table commits disable trigger user")
    await connection.execute(statement)
    assert first_altered(*await rows_of(connection)) == named
    await connection.close()


async def test_a_row_altered_together_with_its_leaf_is_noticed_in_its_commit(place: Place, filled: Work) -> None:
    connection = await place.connect()
    rows, commits = await rows_of(connection)
    forged = dict(rows[7]) | {"number": 99}
    forged["leaf"] = leaf(forged)
    await connection.close()
    assert first_altered([*rows[:7], forged, *rows[8:]], commits) == 7
