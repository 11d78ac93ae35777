"""The stream of a log is its exact copy: message i is row i, whatever dies and however many relays there are."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest
from nats.js.errors import BadRequestError

from libs.bus import limits, subjects
from libs.bus.connection import Connection
from libs.bus.relay import Guard, InstanceStatus, Relay, Rendered, State

Eventually = Callable[[Callable[[], bool]], Awaitable[None]]


class Logs:
    """Logs of one service in memory. ``unreadable`` instances raise, ``hidden`` positions are left out."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.rows: dict[int, list[Rendered]] = {}
        self.unreadable: set[int] = set()
        self.hidden: set[int] = set()

    def append(self, instance: int, count: int, *, life: str = "a", size: int = 200) -> None:
        rows = self.rows.setdefault(instance, [])
        for position in range(len(rows) + 1, len(rows) + count + 1):
            message_id = UUID(bytes=hashlib.sha256(f"{life}-{instance}-{position}".encode()).digest()[:16])
            make = subjects.internal if position % 3 else subjects.published
            subject = make(self.service, instance, "receipt", "issued" if position % 2 else "signed")
            body = json.dumps({"id": str(message_id), "position": position, "fill": "x" * size}).encode()
            rows.append(Rendered(position, subject, message_id, body))

    async def heads(self) -> Mapping[int, int]:
        return {instance: len(rows) for instance, rows in self.rows.items()}

    async def read(self, instance: int, after: int, limit: int) -> Sequence[Rendered]:
        await asyncio.sleep(0)
        if instance in self.unreadable:
            raise OSError("the log is away")
        return [row for row in self.rows[instance][after : after + limit] if row.position not in self.hidden]

    def render(self, rows: Sequence[Rendered]) -> Sequence[Rendered]:
        return rows


@asynccontextmanager
async def relaying(connection: Connection, logs: Logs, guard: Guard | None = None) -> AsyncIterator[Relay]:
    relay = Relay(connection, logs.service, logs, guard=guard)
    running = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def copied(relay: Relay, instance: int, head: int) -> bool:
    return relay.status().get(instance) == InstanceStatus(position=head, lag=0, state=State.COPYING)


def halted(relay: Relay, instance: int, state: State) -> bool:
    status = relay.status().get(instance)
    return status is not None and status.state is state


async def assert_exact_copy(connection: Connection, logs: Logs, instance: int) -> None:
    """Every message under its row's position, with its row's subject and bytes, and nothing beyond."""
    jetstream = connection.jetstream()
    stream, rows = subjects.log_stream(logs.service, instance), logs.rows[instance]
    state = (await jetstream.stream_info(stream)).state
    assert (state.messages, state.first_seq, state.last_seq) == (len(rows), 1 if rows else 0, len(rows))
    for row in rows:
        message = await jetstream.get_msg(stream, seq=row.position, direct=True)
        assert (message.seq, message.subject, message.data) == (row.position, row.subject, row.payload)


async def test_a_log_is_copied_and_followed(bus, eventually: Eventually) -> None:
    logs, connection = Logs(bus.service), await bus.connection()
    logs.append(17, 2300)
    logs.append(18, 3)
    async with relaying(connection, logs) as relay:
        await eventually(lambda: copied(relay, 17, 2300) and copied(relay, 18, 3))
        logs.append(17, 50)
        logs.append(19, 1)
        await eventually(lambda: copied(relay, 17, 2350) and copied(relay, 19, 1))
    for instance in (17, 18, 19):
        await assert_exact_copy(connection, logs, instance)


async def test_a_poke_is_enough(bus, eventually: Eventually, monkeypatch) -> None:
    monkeypatch.setattr(limits, "RELAY_SWEEP_EVERY_S", 3600.0)
    logs, connection = Logs(bus.service), await bus.connection()
    logs.append(1, 1)
    async with relaying(connection, logs) as relay:
        await eventually(lambda: copied(relay, 1, 1))
        for head in range(2, 50):
            logs.append(1, 1)
            relay.poke(1)
            await eventually(lambda head=head: copied(relay, 1, head))
    await assert_exact_copy(connection, logs, 1)


async def test_the_stream_is_declared_so_that_nothing_can_be_taken_out_of_it(bus, eventually: Eventually) -> None:
    logs, connection = Logs(bus.service), await bus.connection()
    logs.append(1, 1)
    stream = subjects.log_stream(bus.service, 1)
    jetstream = connection.jetstream()
    await jetstream.add_stream(name=stream, subjects=[f"evt.{bus.service}.i1.>"], max_age=60.0)
    async with relaying(connection, logs) as relay:
        await eventually(lambda: copied(relay, 1, 1))
    config = (await jetstream.stream_info(stream)).config
    assert config.subjects == [f"evt.{bus.service}.i1.>", f"int.{bus.service}.i1.>"]
    assert (config.deny_delete, config.deny_purge, config.allow_direct) == (True, True, True)
    assert config.max_age == 30 * 24 * 3600.0
    assert config.storage == "file"


async def test_an_empty_log_has_an_empty_stream(bus, eventually: Eventually) -> None:
    logs, connection = Logs(bus.service), await bus.connection()
    logs.append(1, 0)
    async with relaying(connection, logs) as relay:
        await eventually(lambda: copied(relay, 1, 0))
    await assert_exact_copy(connection, logs, 1)


async def test_windows_are_cut_by_bytes(bus, eventually: Eventually, monkeypatch) -> None:
    monkeypatch.setattr(limits, "RELAY_WINDOW_BYTES", 1_000_000)
    logs, connection = Logs(bus.service), await bus.connection()
    logs.append(1, 40, size=256 * 1024)
    async with relaying(connection, logs) as relay:
        await eventually(lambda: copied(relay, 1, 40))
        assert (relay.counts.windows, relay.counts.resyncs) == (14, 0)  # three of them fit
    await assert_exact_copy(connection, logs, 1)


async def test_a_log_that_cannot_be_read_holds_up_no_other(bus, eventually: Eventually) -> None:
    logs, connection = Logs(bus.service), await bus.connection()
    logs.append(1, 10)
    logs.append(2, 10)
    logs.unreadable.add(1)
    async with relaying(connection, logs) as relay:
        await eventually(lambda: copied(relay, 2, 10) and halted(relay, 1, State.FAILING))
        assert relay.status()[1].lag == 10
        logs.unreadable.clear()
        await eventually(lambda: copied(relay, 1, 10))
    await assert_exact_copy(connection, logs, 1)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_three_relays_and_random_crashes_leave_one_exact_copy(bus, eventually: Eventually, seed: int) -> None:
    chance = random.Random(seed)
    logs = Logs(bus.service)
    connections = [await bus.connection() for _ in range(3)]
    relays = [Relay(connection, bus.service, logs) for connection in connections]
    running = [asyncio.create_task(relay.run()) for relay in relays]
    for _ in range(120):
        logs.append(5, chance.randrange(30))
        for relay in relays:
            relay.poke(5)
        await asyncio.sleep(chance.random() * 0.01)
        if chance.random() < 0.3:
            victim = chance.randrange(3)
            running[victim].cancel()
            await asyncio.gather(running[victim], return_exceptions=True)
            relays[victim] = Relay(connections[victim], bus.service, logs)
            running[victim] = asyncio.create_task(relays[victim].run())
    head = len(logs.rows[5])
    await eventually(lambda: all(copied(relay, 5, head) for relay in relays))
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert sum(relay.counts.resyncs for relay in relays) > 0, "they never met"
    await assert_exact_copy(connections[0], logs, 5)


async def test_the_server_is_killed_in_the_middle(attacked, attacked_bus, eventually: Eventually) -> None:
    logs, connection = Logs(attacked_bus.service), await attacked_bus.connection()
    logs.append(1, 6000)
    async with relaying(connection, logs) as relay:
        for _ in range(3):
            before = relay.counts.published
            logs.append(1, 3000)
            await eventually(lambda before=before: relay.counts.published > before)
            attacked.kill()
            await asyncio.sleep(0.1)
            await attacked.start()
        await eventually(lambda: copied(relay, 1, 15_000))
    jetstream = connection.jetstream()
    state = (await jetstream.stream_info(subjects.log_stream(logs.service, 1))).state
    assert (state.messages, state.last_seq) == (15_000, 15_000)
    for row in logs.rows[1][::7]:
        message = await jetstream.get_msg(subjects.log_stream(logs.service, 1), seq=row.position, direct=True)
        assert (message.subject, message.data) == (row.subject, row.payload)


async def test_a_lost_volume_is_filled_again_with_the_same_numbers(attacked, attacked_bus, eventually: Eventually) -> None:
    logs, connection = Logs(attacked_bus.service), await attacked_bus.connection()
    logs.append(1, 1500)
    logs.append(2, 10)
    async with relaying(connection, logs) as relay:
        await eventually(lambda: copied(relay, 1, 1500) and copied(relay, 2, 10))
        attacked.kill()
        shutil.rmtree(attacked.store)
        await attacked.start()
        await eventually(lambda: relay.counts.published >= 2 * 1510)
        await eventually(lambda: copied(relay, 1, 1500) and copied(relay, 2, 10))
    await assert_exact_copy(connection, logs, 1)
    await assert_exact_copy(connection, logs, 2)


async def test_a_lost_tail_is_published_again(attacked, attacked_bus, eventually: Eventually, tmp_path) -> None:
    logs, connection = Logs(attacked_bus.service), await attacked_bus.connection()
    logs.append(1, 500)
    async with relaying(connection, logs) as relay:
        await eventually(lambda: copied(relay, 1, 500))
        await attacked.stop()
        shutil.copytree(attacked.store, tmp_path / "older")
        await attacked.start()
        logs.append(1, 700)
        await eventually(lambda: copied(relay, 1, 1200))
        attacked.kill()
        shutil.rmtree(attacked.store)
        shutil.copytree(tmp_path / "older", attacked.store)
        await attacked.start()
        await eventually(lambda: relay.counts.published >= 1200 + 700)
        await eventually(lambda: copied(relay, 1, 1200))
        assert relay.counts.published == 1200 + 700
    await assert_exact_copy(connection, logs, 1)


async def test_a_stream_that_was_deleted_comes_back_with_the_next_event(bus, eventually: Eventually) -> None:
    logs, connection = Logs(bus.service), await bus.connection()
    logs.append(1, 300)
    async with relaying(connection, logs) as relay:
        await eventually(lambda: copied(relay, 1, 300))
        await connection.jetstream().delete_stream(subjects.log_stream(bus.service, 1))
        logs.append(1, 1)
        await eventually(lambda: copied(relay, 1, 301))
    await assert_exact_copy(connection, logs, 1)


async def test_a_stream_ahead_of_its_log_is_left_alone_until_the_log_is_whole_again(bus, eventually: Eventually) -> None:
    logs, connection = Logs(bus.service), await bus.connection()
    logs.append(1, 100)
    whole = list(logs.rows[1])
    async with relaying(connection, logs) as relay:
        await eventually(lambda: copied(relay, 1, 100))
        logs.rows[1] = whole[:60]  # restored from an older dump
        await eventually(lambda: halted(relay, 1, State.AHEAD))
        assert relay.status()[1] == InstanceStatus(position=100, lag=0, state=State.AHEAD)
        logs.append(1, 10, life="b")
        relay.poke(1)
        await asyncio.sleep(3 * limits.RELAY_SWEEP_EVERY_S)
        assert halted(relay, 1, State.AHEAD)
        logs.rows[1] = list(whole)
        logs.append(1, 5)
        await eventually(lambda: copied(relay, 1, 105))
    await assert_exact_copy(connection, logs, 1)


@pytest.mark.parametrize("grown", [40, 60], ids=["as long as the stream", "longer than the stream"])
async def test_another_life_of_the_log_is_never_mixed_into_the_stream(bus, eventually: Eventually, grown: int) -> None:
    logs, connection = Logs(bus.service), await bus.connection()
    logs.append(1, 100)
    async with relaying(connection, logs) as relay:
        await eventually(lambda: copied(relay, 1, 100))
    first_life = list(logs.rows[1])
    del logs.rows[1][60:]
    logs.append(1, grown, life="b")
    async with relaying(connection, logs) as relay:
        await eventually(lambda: halted(relay, 1, State.DIVERGED))
        assert relay.counts.published == 0
    logs.rows[1] = first_life
    await assert_exact_copy(connection, logs, 1)


async def test_a_stream_that_was_replaced_behind_the_relays_back_is_left_alone(bus, eventually: Eventually) -> None:
    logs, connection = Logs(bus.service), await bus.connection()
    logs.append(1, 10)
    stream, jetstream = subjects.log_stream(bus.service, 1), connection.jetstream()
    async with relaying(connection, logs) as relay:
        await eventually(lambda: copied(relay, 1, 10))
        await jetstream.delete_stream(stream)
        await jetstream.add_stream(name=stream, subjects=list(subjects.log_stream_subjects(bus.service, 1)))
        await jetstream.publish(subjects.published(bus.service, 1, "receipt", "issued"), b"foreign")
        logs.append(1, 1)
        await eventually(lambda: halted(relay, 1, State.DIVERGED))
    assert (await jetstream.stream_info(stream)).state.messages == 1


async def test_a_log_that_misses_a_row_stops_its_copy_before_the_gap(bus, eventually: Eventually) -> None:
    logs, connection = Logs(bus.service), await bus.connection()
    logs.append(1, 10)
    logs.append(2, 10)
    async with relaying(connection, logs) as relay:
        await eventually(lambda: copied(relay, 1, 10) and copied(relay, 2, 10))
        logs.hidden.add(12)
        logs.append(1, 5)
        logs.append(2, 1)
        await eventually(lambda: halted(relay, 1, State.GAP) and copied(relay, 2, 11))
        assert relay.status()[1] == InstanceStatus(position=10, lag=5, state=State.GAP)
        logs.hidden.clear()
        await eventually(lambda: copied(relay, 1, 15))
    await assert_exact_copy(connection, logs, 1)


@pytest.mark.parametrize("missing", [1200, 2200])
async def test_what_is_read_ahead_of_a_gap_changes_nothing(bus, eventually: Eventually, missing: int) -> None:
    logs, connection = Logs(bus.service), await bus.connection()
    logs.append(1, 3500)
    logs.hidden.add(missing)
    async with relaying(connection, logs) as relay:
        await eventually(lambda: halted(relay, 1, State.GAP))
        before = missing // limits.RELAY_WINDOW_ROWS * limits.RELAY_WINDOW_ROWS  # whole windows; those before it are on their way
        await eventually(lambda: relay.status()[1].position == before)
        logs.hidden.clear()
        await eventually(lambda: copied(relay, 1, 3500))
    await assert_exact_copy(connection, logs, 1)


@pytest.mark.parametrize("lost", [0, 1, 2, 3])
async def test_windows_behind_one_that_was_lost_wait_until_it_is_sent_again(bus, eventually: Eventually, monkeypatch, lost: int) -> None:
    """Two are under way at once; nothing of the second may stand where the first belongs."""
    monkeypatch.setattr(limits, "RELAY_ACK_WITHIN_S", 0.3)
    monkeypatch.setattr(limits, "RELAY_WINDOW_ROWS", 100)
    logs, connection = Logs(bus.service), await bus.connection()
    logs.append(1, 450)
    async with relaying(connection, logs) as relay:
        send, sent = relay._send, []

        def losing(window: Sequence[Rendered], reply: str) -> None:
            sent.append(window[0].position)
            if len(sent) - 1 != lost:
                send(window, reply)

        monkeypatch.setattr(relay, "_send", losing)
        await eventually(lambda: copied(relay, 1, 450))
    assert len(set(sent)) < len(sent), "what was lost was sent again"
    assert relay.counts.resyncs
    await assert_exact_copy(connection, logs, 1)


class Unreliable(Logs):
    """Cannot be read behind its first row for the first few times."""

    failures = 5

    async def read(self, instance: int, after: int, limit: int) -> Sequence[Rendered]:
        if after > 1 and self.failures > 0:
            self.failures -= 1
            raise OSError("the log is away")
        return await super().read(instance, after, limit)


async def test_a_log_that_cannot_be_read_ahead_is_copied_later(bus, eventually: Eventually) -> None:
    logs, connection = Unreliable(bus.service), await bus.connection()
    logs.append(1, 3500)
    async with relaying(connection, logs) as relay:
        await eventually(lambda: logs.failures == 0 and copied(relay, 1, 3500))
    await assert_exact_copy(connection, logs, 1)


async def test_a_relay_without_a_bus_waits_and_says_so(attacked, attacked_bus, eventually: Eventually) -> None:
    logs, connection = Logs(attacked_bus.service), await attacked_bus.connection()
    logs.append(1, 10)
    async with relaying(connection, logs) as relay:
        await eventually(lambda: copied(relay, 1, 10))
        attacked.kill()
        logs.append(1, 10)
        await eventually(lambda: halted(relay, 1, State.FAILING))
        assert relay.status()[1] == InstanceStatus(position=10, lag=10, state=State.FAILING)
        await attacked.start()
        await eventually(lambda: copied(relay, 1, 20))
    await assert_exact_copy(connection, logs, 1)


class Slow:
    """A guard that takes until ``told`` over every log but one."""

    def __init__(self, quick: int) -> None:
        self.quick = quick
        self.told = asyncio.Event()

    async def is_purged(self, instance: int) -> bool:
        if instance != self.quick:
            await self.told.wait()
        return False

    async def life_to_begin(self, _: int) -> None:
        return None

    async def stand_still(self, _: int, why: str) -> None:
        raise AssertionError(why)

    async def go_on(self, _: int) -> None:
        """Nothing stood still."""


async def test_what_is_sold_goes_before_logs_that_only_have_to_be_looked_at(bus, eventually: Eventually) -> None:
    """When the bus was gone every stream has to be looked at again; once a sale waited until all the others had been."""
    logs, connection, guard = Logs(bus.service), await bus.connection(), Slow(quick=100)
    for instance in range(1, 101):
        logs.append(instance, 1)
    async with relaying(connection, logs, guard) as relay:
        await eventually(lambda: len(relay.status()) == 100)
        assert {status.state for status in relay.status().values()} == {State.STARTING}
        logs.append(100, 1)
        relay.poke(100)
        await eventually(lambda: copied(relay, 100, 2))
        assert {status.state for instance, status in relay.status().items() if instance != 100} == {State.STARTING}
        guard.told.set()
        await eventually(lambda: all(copied(relay, instance, 1) for instance in range(1, 100)))
    await assert_exact_copy(connection, logs, 100)


class Decided:
    """An operator's decision, and what the relay made of it."""

    def __init__(self, behind: int, lost: int) -> None:
        self.id, self.behind, self.lost = uuid4(), behind, lost
        self.stands: str | None = None
        self.left: Decided | None = None

    async def stand_still(self, _: int, why: str) -> None:
        self.stands = why

    async def go_on(self, _: int) -> None:
        self.stands = self.left = None

    async def life_to_begin(self, _: int) -> Decided | None:
        return self.left

    async def is_purged(self, _: int) -> bool:
        return False


async def test_a_new_life_has_the_numbers_of_its_rows_and_survives_a_crash_in_the_middle(bus, eventually: Eventually) -> None:
    """A new stream for used subjects is refused (10065), so the old one goes first; whoever dies then leaves the decision."""
    logs, connection, guard = Logs(bus.service), await bus.connection(), Decided(behind=60, lost=100)
    stream, jetstream = subjects.log_stream(bus.service, 1), connection.jetstream()
    logs.append(1, 100)
    async with relaying(connection, logs) as relay:
        await eventually(lambda: copied(relay, 1, 100))
    with pytest.raises(BadRequestError) as refused:
        await jetstream.add_stream(name=f"{stream}_again", subjects=list(subjects.log_stream_subjects(bus.service, 1)))
    assert refused.value.err_code == 10065
    del logs.rows[1][60:]
    logs.append(1, 5, life="b")
    async with relaying(connection, logs, guard) as relay:
        await eventually(lambda: halted(relay, 1, State.AHEAD) and guard.stands == "ahead")
        guard.left = guard
        await eventually(lambda: copied(relay, 1, 65) and guard.stands is None and guard.left is None)
    assert await numbers(connection, stream) == (61, 65)
    assert ((await jetstream.stream_info(stream)).config.metadata or {})["theke_life"] == guard.id.hex

    await jetstream.delete_stream(stream)  # as if whoever replaced it had died before the new one was there
    for _ in ("before", "and after, but before it said so"):
        guard.left = guard
        async with relaying(connection, logs, guard) as relay:
            await eventually(lambda relay=relay: copied(relay, 1, 65) and guard.left is None)
        assert await numbers(connection, stream) == (61, 65)

    config = (await jetstream.stream_info(stream)).config
    config.subjects = [f"evt.{bus.service}.i1.>"]
    await jetstream.update_stream(config)
    logs.append(1, 1, life="b")
    async with relaying(connection, logs) as relay:
        await eventually(lambda: copied(relay, 1, 66))
    assert ((await jetstream.stream_info(stream)).config.metadata or {})["theke_life"] == guard.id.hex, "declared anew, it keeps its life"


async def numbers(connection: Connection, stream: str) -> tuple[int, int]:
    state = (await connection.jetstream().stream_info(stream)).state
    return state.first_seq, state.last_seq
