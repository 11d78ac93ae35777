"""The one lock of a log: what must not be taken under a wrong snapshot, and what happens when somebody does not let go of it."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from libs.eventstore import log as log_module
from libs.eventstore.log import Log, LogBusy
from libs.eventstore.statements import sql
from tests.integration.eventstore.boxes import Fill, Place, Work, assert_sound, everything, holding_the_lock, working

NOTHING: list[list[Any]] = [[] for _ in range(22)]


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
async def test_an_append_under_an_old_snapshot_is_refused(place: Place, isolation: str) -> None:
    connection = await place.connect()
    with pytest.raises(asyncpg.RaiseError, match="READ COMMITTED"):
        async with connection.transaction(isolation=isolation):
            await connection.fetch(sql("append_batch"), *NOTHING)
    assert await connection.fetch(sql("append_batch"), *NOTHING) == []
    await connection.close()


class Noting(Log):
    """Notes when an append found the lock held too long."""

    busy = 0

    async def append(self, arrays: Any) -> Any:
        try:
            return await super().append(arrays)
        except LogBusy:
            self.busy += 1
            self.found_busy.set()
            raise

    def __init__(self, dsn: str, schema: str) -> None:
        super().__init__(dsn, schema)
        self.found_busy = asyncio.Event()


async def test_a_holder_that_is_stuck_makes_the_log_busy_and_the_command_is_retried(place: Place) -> None:
    async with working(place, log=Noting) as work:
        assert isinstance(work.log, Noting)
        async with holding_the_lock(place):
            stuck = asyncio.create_task(work.do(Fill("a")))
            await asyncio.wait_for(work.log.found_busy.wait(), 10)
            assert not stuck.done()
        assert (await stuck).recorded[0].position == 1
        assert len(await assert_sound(work.log)) == 1


async def test_a_lock_of_one_instance_does_not_stop_another(place: Place, work: Work) -> None:
    async with holding_the_lock(place, instance=1):
        async with asyncio.timeout(10):
            await work.do(Fill("a"), instance=2)
    assert await everything(work.log) == []


async def test_a_holder_that_sleeps_in_its_transaction_is_thrown_out(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process stopped in mid-transaction would block all writers; its own connection settings end it."""
    monkeypatch.setattr(log_module, "IDLE_IN_TRANSACTION_TIMEOUT_MS", 100)
    async with working(place, start=False) as sleeper, working(place) as work:
        connection = sleeper.log._writer
        assert connection is not None
        await connection.execute("begin")
        await connection.execute("select pg_advisory_xact_lock(hashtext(current_schema()), 1)")
        await work.do(Fill("a"))
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            await connection.execute("commit")


async def test_every_connection_of_a_log_has_limits(place: Place, work: Work) -> None:
    assert work.log._writer is not None
    assert work.log._readers is not None
    for source in (work.log._writer, work.log._readers):
        for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
            assert (await source.fetch(f"show {setting}"))[0][0] not in {"0", ""}
