"""States are kept within bounds, and a stream at rest is loaded from behind its rest; neither ever changes a decision."""

from __future__ import annotations

import asyncio
from typing import Any

from libs.eventstore.states import StateCache
from tests.integration.eventstore.boxes import Appends, Box, Empty, Fill, Move, Place, Work, working


async def test_states_thrown_out_for_want_of_room_change_no_decision(place: Place) -> None:
    """Room for hardly one state, and batches that need a hundred: each command still decides on what is in the log."""
    async with working(place, cache=StateCache(max_bytes=500)) as work:
        appends = Appends(work.log)
        for turn in range(1, 4):
            answers = await asyncio.gather(*(work.answer(Fill(f"b{number}", most=turn)) for number in range(100)))
            assert answers == [Box(turn, turn)] * 100
        assert sum(appends.sizes) == 300, "nothing was decided on an empty state and tried again"
        assert len(work.batcher._cache) <= 1
        moved = await asyncio.gather(*(work.answer(Move(f"b{number}", "heap")) for number in range(10)))
        assert [total for _, total in moved] == [3 * count for count in range(1, 11)]


async def test_what_comes_and_goes_at_a_stream_does_not_fill_the_cache(place: Place) -> None:
    async with working(place, cache=StateCache(max_bytes=4_000)) as work:
        await work.do(Fill("kept"))
        for _ in range(30):
            await work.do(Fill("busy", note="x" * 200))
            await work.do(Empty("busy"))
        assert work.batcher._cache.get(1, "box-kept") is not None


async def test_what_is_known_from_before_the_connection_was_lost_decides_nothing(place: Place) -> None:
    """A server that was restored from an older dump, and grew to the same version again, by somebody else's doing."""
    async with working(place) as idle, working(place) as busy:
        await idle.do(Fill("a", 3))
        operator = await place.connect()
        tables = ("events", "commits", "commands", "streams", "series", "claims")
        await operator.execute("set session_replication_role = replica")
        await operator.execute("; ".join(f"delete from {table}" for table in tables))
        await busy.do(Fill("a", 5))
        await operator.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and application_name = $1 "
            "and datname = current_database()",
            f"theke {place.schema} log",
        )
        await operator.close()
        assert await idle.answer(Fill("a", 1)) == Box(6, 2)


class Loads:
    """Notes how many events each load of a log brought."""

    def __init__(self, work: Work) -> None:
        self.events: list[int] = []
        self._load = work.log.load
        work.log.load = self._spy  # type: ignore[method-assign]

    async def _spy(self, wanted: Any) -> Any:
        loaded = await self._load(wanted)
        self.events += [len(stream.events) for stream in loaded]
        return loaded


async def test_a_stream_at_rest_is_loaded_from_behind_its_rest(place: Place, work: Work) -> None:
    for _ in range(5):
        await work.do(Fill("a", 3))
        await work.do(Empty("a"))
    async with working(place) as other:
        loads = Loads(other)
        assert await other.answer(Fill("a", 4)) == Box(4, 1)
    async with working(place) as third:
        loads = Loads(third)
        assert await third.answer(Fill("a", 1)) == Box(5, 2)
        assert loads.events == [1]


async def test_a_cached_state_does_not_outlive_a_rest_that_another_process_made(place: Place, work: Work) -> None:
    """The other process emptied the box, so nothing is loaded behind the rest: the box is empty, not as it was last seen here."""
    await work.do(Fill("a", 5))
    async with working(place) as other:
        await other.do(Empty("a"))
        assert await work.answer(Fill("a", 5, most=5)) == Box(5, 1)
        await other.do(Empty("a"))
        await other.do(Fill("a", 2))
        assert await work.answer(Fill("a", 3, most=5)) == Box(5, 2)


async def test_two_processes_taking_turns_at_a_stream_see_each_other(place: Place) -> None:
    async with working(place) as one, working(place) as other:
        for turn in range(1, 11):
            work = one if turn % 2 else other
            assert (await work.answer(Fill("a", most=turn))).amount == turn
