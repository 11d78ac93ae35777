"""``python -m tests.chaos.clocks``, part of ``make soak``: clocks jump under load, of one process after the other and of all at once, by
minutes forwards and backwards. Whatever was acknowledged is there, nothing twice, and nobody is refused for longer than a jump takes.

The machine's own clock is left alone. What Theke's Python processes take for the time of day is moved: ``time.time``, ``time.time_ns``, and
the clock that commands are stamped with. Postgres and NATS keep the real time, as servers elsewhere would.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import setproctitle

from libs.domain.clock import SystemClock
from libs.runtime.config import PROJECT
from libs.runtime.forkserver import TITLE
from tests.chaos.check import check
from tests.chaos.faults import prober
from tests.chaos.house import House
from tests.chaos.ledger import Ledger
from tests.chaos.tills import counter, load

OFFSETS: Final = "CLOCK_OFFSETS"  # a directory: how many seconds which process is ahead
TAKEN: Final = ".taken"  # a file that says that a process's clock was moved
LOOK_EVERY_S: Final = 0.05
SEED: Final = 20_261_125
TILLS: Final = 6
CALM_S: Final = 2.0
JUMPED_S: Final = 3.0
JUMPS_S: Final = (240, -240, 1500, 2500)  # less than a token's life; backwards less than what a till's clock may be ahead
WHO: Final = ("pos", "auth", "inventory", "gateway", "")  # "": all of them
SOLD_AGAIN_WITHIN_S: Final = 5.0


def become_movable() -> None:
    """Makes this process's clock one that ``move`` moves; for its whole life."""
    offsets = Path(os.environ[OFFSETS])
    real, real_now, clock = time.time, SystemClock.now, time.monotonic
    known = [0.0, 0.0]  # when it was looked up, and what it was

    def offset() -> float:
        if clock() - known[0] > LOOK_EVERY_S:
            own = setproctitle.getproctitle().removeprefix(TITLE)  # which a process gets when it has been forked
            mine = _read(offsets / own) if "/" not in own else 0.0
            if mine:
                (offsets / f"{own}{TAKEN}").touch()
            known[:] = clock(), _read(offsets / "all") + mine
        return known[1]

    def now(self: SystemClock) -> datetime:
        return real_now(self) + timedelta(seconds=offset())

    time.time = lambda: real() + offset()
    time.time_ns = lambda: int((real() + offset()) * 1e9)
    patched: Callable[[SystemClock], datetime] = now
    SystemClock.now = patched  # type: ignore[method-assign]  # the fault that is played


def _read(path: Path) -> float:
    try:
        return float(path.read_text() or 0)
    except FileNotFoundError:
        return 0.0


def move(directory: Path, who: str, seconds: float) -> None:
    """From now on this process, or all, is so far ahead of the real time."""
    path = directory / (who or "all")
    path.with_suffix(".new").write_text(str(seconds))
    path.with_suffix(".new").replace(path)


async def main() -> int:
    house, ledger = House.on_new_ground(PYTHONPATH=f"{Path(__file__).parent / 'jumping'}:{PROJECT}"), Ledger()
    offsets = house.directory / "clocks"
    offsets.mkdir()
    house.change(**{OFFSETS: str(offsets)})
    dice = random.Random(SEED)
    try:
        await house.open()
        async with counter(house.url, ledger) as tills, load(tills, "clocks", tills=TILLS, seed=SEED):
            probe = prober(tills, "clocks")
            await asyncio.sleep(CALM_S)
            for who in WHO:
                for seconds in dice.sample(JUMPS_S, len(JUMPS_S)):
                    move(offsets, who, seconds)
                    since = time.monotonic()
                    assert await probe.sell() is not None
                    waited = time.monotonic() - since
                    print(f"  {who or 'all':<20} {seconds:>+6} s: next sale after {waited:.1f} s", flush=True)
                    assert waited <= SOLD_AGAIN_WITHIN_S, f"{waited:.1f} s"
                    await asyncio.sleep(JUMPED_S)
                move(offsets, who, 0)
                assert not who or (offsets / f"{who}{TAKEN}").exists(), f"the clock of {who} was never moved"
        account = await check(house, ledger)
        print(f"clocks: all {account.events} events accounted for, {account.receipts} receipts, {ledger.repeats} repeats")
        await house.close()
    finally:
        house.demolish()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
