"""What can befall a house. Each fault ends with everything running again, or on its way back."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Final

import asyncpg

from tests.chaos.house import House
from tests.chaos.tills import STAFF, Counter, Till

PROCESSES: Final = ("pos", "gateway", "auth", "inventory", "crm", "billing", "nats", "postgres")
FREEZABLE: Final = ("pos", "gateway", "auth", "nats")  # a frozen postmaster would only refuse newcomers
FROZEN_S: Final = (0.2, 4.0)
APART_S: Final = (0.0, 0.3)
CONNECT_WITHIN_S: Final = 5.0

Fault = Callable[[House, random.Random], Awaitable[str]]
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


async def kill_one(house: House, dice: random.Random) -> str:
    name = dice.choice(PROCESSES)
    await house.returned(name, await house.kill(name))
    return f"kill {name}"


async def freeze_one(house: House, dice: random.Random) -> str:
    name = dice.choice(FREEZABLE)
    await frozen(house, name, dice.uniform(*FROZEN_S))
    return f"freeze {name}"


async def lose_stream(house: House, _: random.Random) -> str:
    await house.returned("nats", await house.lose_stream_volume())
    return "lose the volume of nats"


async def end_sessions(house: House, dice: random.Random) -> str:
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


async def two_at_once(house: House, dice: random.Random) -> str:
    """Two different processes, a moment apart: the second may fall while the first is coming back."""
    first, second = dice.sample(PROCESSES, 2)
    before_first = await house.kill(first)
    await asyncio.sleep(dice.uniform(*APART_S))
    before_second = await house.kill(second)
    await house.returned(first, before_first)
    await house.returned(second, before_second)
    return f"kill {first} and {second}"


async def cut_power(house: House, _: random.Random) -> str:
    await house.power_cut()
    await house.open()
    return "kill everything, start again"


async def restart(house: House, _: random.Random) -> str:
    await house.close()
    await house.open()
    return "stop, start again"


FAULTS: Final[dict[Fault, int]] = {
    kill_one: 10,
    freeze_one: 5,
    two_at_once: 4,
    end_sessions: 3,
    lose_stream: 2,
    cut_power: 1,
    restart: 1,
}
"""How often each is drawn, in parts."""
