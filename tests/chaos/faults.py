"""What can befall a house. Each fault ends with everything running again, or on its way back."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Final

import asyncpg

from tests.chaos.house import House, theke
from tests.chaos.tills import STAFF, Counter, Till
from tests.chaos.wire import Wire

PROCESSES: Final = ("pos", "gateway", "auth", "inventory", "crm", "billing", "nats", "postgres")
FREEZABLE: Final = ("pos", "gateway", "auth", "nats")  # a frozen postmaster would only refuse newcomers
FROZEN_S: Final = (0.2, 4.0)
AWAY_S: Final = (1.0, 8.0)  # NATS; the tills wait longer than that
AWAY_LONG_S: Final = (60.0, 75.0)  # by ``--long``
TAIL_S: Final = (0.5, 3.0)
STUTTER_S: Final = 3.0
STOPPED_S: Final = (0.05, 0.6)
BETWEEN_STOPS_S: Final = 0.15
CUTS: Final = 20
CUT_PAUSE_S: Final = (0.02, 0.15)
CUT_SHARE: Final = 0.4
APART_S: Final = (0.0, 0.3)
CONNECT_WITHIN_S: Final = 5.0

Fault = Callable[[House, random.Random, Wire], Awaitable[str]]
"""Does it, and says what it did."""


async def killed(house: House, name: str, probe: Till) -> float:
    """kill -9, then wait until the supervisor has it back and a new sale is answered. The seconds from the one to the other."""
    since = time.monotonic()
    before = await house.kill(name)
    await house.returned(name, before)
    assert await probe.sell() is not None, f"no sale after {name} was killed"
    return time.monotonic() - since


async def frozen(house: House, name: str, seconds: float) -> None:
    """SIGSTOP, SIGCONT: the process lives, but nobody is at home."""
    pid = await house.pid(name)
    house.signal(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        house.signal(pid, signal.SIGCONT)


def prober(counter: Counter, name: str) -> Till:
    """A patient till that only asks whether there is service."""
    return Till(counter, STAFF[0], name, random.Random(name))


# --- drawn at random by the soak ----------------------------------------------------------------------------------------------


async def kill_one(house: House, dice: random.Random, _: Wire) -> str:
    name = dice.choice(house.processes)
    await house.returned(name, await house.kill(name))
    return f"kill {name}"


async def kill_fork_server(house: House, dice: random.Random, wire: Wire) -> str:
    """It dies, or hangs, and then something has to be started."""
    pid = house.fork_server()
    if pid is None:
        return "no fork server to kill"
    fault = dice.choice(("kill", "freeze"))
    house.signal(pid, signal.SIGKILL if fault == "kill" else signal.SIGSTOP)
    return f"{fault} the fork server, {await kill_one(house, dice, wire)}"


async def freeze_one(house: House, dice: random.Random, _: Wire) -> str:
    name = dice.choice(FREEZABLE)
    await frozen(house, name, dice.uniform(*FROZEN_S))
    return f"freeze {name}"


async def lose_stream(house: House, _: random.Random, __: Wire) -> str:
    await house.returned("nats", await house.lose_stream_volume())
    return "lose the volume of nats"


async def lose_tail(house: House, dice: random.Random, _: Wire) -> str:
    """What JetStream had acknowledged for a while is gone, as after a loss of power that it had not synced for."""
    copy = await house.copy_streams()
    await asyncio.sleep(dice.uniform(*TAIL_S))
    await house.returned("nats", await house.lose_stream_tail(copy))
    return "lose the tail of nats"


async def nats_away(house: House, dice: random.Random, _: Wire) -> str:
    async with house.nats_is_dead() as before:
        await asyncio.sleep(dice.uniform(*AWAY_S))
    await house.returned("nats", before)
    return "nats away for seconds"


async def nats_long_away(house: House, dice: random.Random, _: Wire) -> str:
    async with house.nats_is_dead() as before:
        await asyncio.sleep(dice.uniform(*AWAY_LONG_S))
    await house.returned("nats", before)
    return "nats away for over a minute"


async def stutter(house: House, dice: random.Random, _: Wire) -> str:
    """Postgres stops and goes on, stops and goes on, as it looks from outside when its disk is slow."""
    await house.pid("postgres")
    ends = time.monotonic() + STUTTER_S
    while time.monotonic() < ends:
        stopped = house.backends()
        for pid in stopped:
            house.signal_backend(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(dice.uniform(*STOPPED_S))
        finally:
            for pid in stopped:
                house.signal_backend(pid, signal.SIGCONT)
        await asyncio.sleep(BETWEEN_STOPS_S)
    return "postgres stutters"


async def cut_wires(house: House, dice: random.Random, wire: Wire) -> str:
    """Connections between tills and gateway are reset, in the middle of questions and answers."""
    for _ in range(CUTS):
        await asyncio.sleep(dice.uniform(*CUT_PAUSE_S))
        wire.cut(dice, CUT_SHARE)
    return "reset connections of tills"


async def restart_one_by_one(house: House, _: random.Random, __: Wire) -> str:
    """What ``theke restart`` does."""
    await asyncio.to_thread(theke, house, "restart")
    return "restart one after the other"


async def end_sessions(house: House, dice: random.Random, _: Wire) -> str:
    """Every database session of one service ends, as an administrator or a firewall would do it."""
    service = dice.choice(("pos", "auth", "inventory"))
    await house.pid("postgres")
    try:
        connection = await asyncpg.connect(house.known.postgres_dsn, timeout=CONNECT_WITHIN_S)
    except (OSError, asyncpg.PostgresError, TimeoutError):
        return "no sessions to end"
    try:
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name like $1", f"theke {service} %"
        )
    finally:
        await connection.close(timeout=CONNECT_WITHIN_S)
    return f"end sessions of {service}"


async def two_at_once(house: House, dice: random.Random, _: Wire) -> str:
    """Two different processes, a moment apart: the second may fall while the first is coming back."""
    first, second = dice.sample(house.processes, 2)
    before_first = await house.kill(first)
    await asyncio.sleep(dice.uniform(*APART_S))
    before_second = await house.kill(second)
    await house.returned(first, before_first)
    await house.returned(second, before_second)
    return f"kill {first} and {second}"


async def cut_power(house: House, _: random.Random, __: Wire) -> str:
    await house.power_cut()
    await house.open()
    return "kill everything, start again"


async def restart(house: House, _: random.Random, __: Wire) -> str:
    await house.close()
    await house.open()
    return "stop, start again"


FAULTS: Final[dict[Fault, int]] = {
    kill_one: 10,
    kill_fork_server: 2,
    freeze_one: 5,
    two_at_once: 4,
    end_sessions: 3,
    lose_stream: 2,
    lose_tail: 2,
    nats_away: 2,
    stutter: 2,
    cut_wires: 3,
    restart_one_by_one: 1,
    cut_power: 1,
    restart: 1,
}
"""How often each is drawn, in parts."""

LONG: Final[dict[Fault, int]] = {**FAULTS, nats_long_away: 1}
