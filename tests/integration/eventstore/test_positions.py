"""Positions are gapless and in commit order, whoever appends and whatever dies: a reader that remembers what it saw last misses nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

from libs.eventstore.log import Log
from tests.integration.eventstore.boxes import Fill, Issue, Place, Work, assert_sound, everything, working

WRITERS = 3
COMMANDS_EACH = 120
KILLS = 30


async def follow(log: Log, instance: int, until: int, reads: list[int]) -> None:
    """Polls as a projector does, with what was seen last as the only memory."""
    seen = 0
    while seen < until:
        events = await log.read(instance, seen, 50)
        assert [event.position for event in events] == list(range(seen + 1, seen + 1 + len(events)))
        reads += [event.position for event in events]
        seen = reads[-1] if reads else 0
        await asyncio.sleep(0)


async def test_a_reader_that_polls_never_steps_over_a_late_commit(place: Place) -> None:
    async with AsyncExitStack() as stack:
        writers = [await stack.enter_async_context(working(place)) for _ in range(WRITERS)]
        reader = (await stack.enter_async_context(working(place, start=False))).log
        reads: dict[int, list[int]] = {1: [], 2: []}
        followers = [asyncio.create_task(follow(reader, instance, WRITERS * COMMANDS_EACH, reads[instance])) for instance in reads]
        commands = [
            writer.do(Fill(f"{instance}-{number % 7}"), instance=instance)
            for writer in writers
            for number in range(COMMANDS_EACH)
            for instance in reads
        ]
        await asyncio.gather(*commands)
        async with asyncio.timeout(20):
            await asyncio.gather(*followers)
        for instance, positions in reads.items():
            assert positions == list(range(1, WRITERS * COMMANDS_EACH + 1))
            assert len(await assert_sound(reader, instance)) == WRITERS * COMMANDS_EACH
        assert await reader.heads() == dict.fromkeys(reads, WRITERS * COMMANDS_EACH)


async def write_until_acknowledged(work: Work, ids: list[UUID], register: str) -> None:
    await asyncio.gather(*(work.do(Issue(register), id=id_) for id_ in ids))


async def test_backends_killed_while_appending_lose_nothing_and_double_nothing(place: Place) -> None:
    """Every command is acknowledged in the end; exactly the acknowledged ones are stored, each once."""
    async with AsyncExitStack() as stack:
        writers = [await stack.enter_async_context(working(place)) for _ in range(WRITERS)]
        ids = [[uuid4() for _ in range(COMMANDS_EACH)] for _ in writers]
        kills = 0

        async def kill_backends() -> None:
            nonlocal kills
            connection = await place.connect()
            for _ in range(KILLS):
                kills += await connection.fetchval(
                    "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity where application_name = $1 "
                    "order by state = 'active' desc, random() limit 2) victims",
                    f"theke {place.schema} log",
                )
                await asyncio.sleep(0.05)
            await connection.close()

        async def one_by_one(work: Work, own: list[UUID]) -> None:
            for start in range(0, len(own), 10):
                await write_until_acknowledged(work, own[start : start + 10], "a")

        killer = asyncio.create_task(kill_backends())
        await asyncio.gather(*(one_by_one(work, own) for work, own in zip(writers, ids, strict=True)))
        await killer
        events = await assert_sound(writers[0].log)
        assert kills > 0
        assert sorted(str(event.command) for event in events) == sorted(str(id_) for own in ids for id_ in own)


async def test_processes_one_of_them_killed_share_a_log_without_a_gap(place: Place, work: Work) -> None:
    """Real processes; one dies by kill -9 in mid-flight. What any of them acknowledged is stored, once, where it said."""
    programs = [
        await asyncio.create_subprocess_exec(*_writer(place), stdout=PIPE, env={**os.environ, "PYTHONPATH": os.getcwd()}) for _ in range(2)
    ]
    try:
        victim, survivor = programs
        assert victim.stdout is not None
        assert survivor.stdout is not None
        first = [await victim.stdout.readline() for _ in range(20)]
        victim.send_signal(signal.SIGKILL)
        acknowledged = first + (await victim.stdout.read()).splitlines()
        acknowledged += (await asyncio.wait_for(survivor.stdout.read(), 30)).splitlines()
        assert await survivor.wait() == 0
        assert await victim.wait() == -signal.SIGKILL
    finally:
        for program in programs:
            if program.returncode is None:
                program.kill()
    events = {event.position: event for event in await assert_sound(work.log)}
    answers = [json.loads(line) for line in acknowledged if line.endswith((b"}", b"}\n"))]
    assert len(answers) > COMMANDS_EACH
    for answer in answers:
        assert str(events[answer["position"]].command) == answer["id"]
        assert events[answer["position"]].number == answer["number"]
    commands = [event.command for event in events.values()]
    assert len(set(commands)) == len(commands)


def _writer(place: Place) -> list[str]:
    return [sys.executable, "-m", "tests.integration.eventstore.writer", place.dsn, place.schema, str(COMMANDS_EACH)]


async def test_a_process_that_starts_later_goes_on_where_the_log_ends(place: Place) -> None:
    async with working(place) as first:
        await first.do(Fill("b"))
    async with working(place) as second:
        done = await second.do(Fill("b"))
        assert (done.recorded[0].position, done.recorded[0].version) == (2, 2)
        assert len(await everything(second.log)) == 2
