"""``make soak SEED=…``: faults drawn at random under load for minutes, then the check. The seed repeats the faults, not their moments."""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections import Counter as Tally
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.chaos.check import check
from tests.chaos.faults import FAULTS, LONG, Fault, prober
from tests.chaos.house import House
from tests.chaos.ledger import Ledger
from tests.chaos.tills import Counter, counter, load
from tests.chaos.wire import Wire

MINUTES: Final = 5.0
TILLS: Final = 8
PAUSE_S: Final = (0.05, 0.25)
CALM_S: Final = (0.5, 5.0)
SEED_BELOW: Final = 1_000_000


@dataclass
class Diary:
    """What happened: how often each fault, and the seconds from the end of each to the next sale."""

    faults: Tally[str] = field(default_factory=Tally)
    back_after_s: dict[str, list[float]] = field(default_factory=dict)

    def note(self, fault: str, seconds: float) -> None:
        self.faults[fault] += 1
        self.back_after_s.setdefault(fault, []).append(seconds)

    def lines(self) -> list[str]:
        return [
            f"  {fault:<34}{count:>4} ×   service again after {statistics.median(self.back_after_s[fault]):5.1f} s"
            f" (longest {max(self.back_after_s[fault]):.1f} s)"
            for fault, count in sorted(self.faults.items())
        ]


async def torment(house: House, tills: Counter, wire: Wire, dice: random.Random, ends: float, faults: Mapping[Fault, int]) -> Diary:
    """One fault after the other, with some calm between, until the time is over."""
    diary = Diary()
    probe = prober(tills, "probe")
    while time.monotonic() < ends:
        await asyncio.sleep(dice.uniform(*CALM_S))
        [fault] = dice.choices(list(faults), list(faults.values()))
        since = time.monotonic()
        what = await fault(house, dice, wire)
        assert await probe.sell() is not None, f"no sale after: {what}"
        diary.note(what, time.monotonic() - since)
    return diary


async def soak(seed: int, minutes: float, replicas: str, faults: Mapping[Fault, int]) -> bool:
    """True if everything was accounted for."""
    print(f"soak: seed {seed}, {minutes:g} minutes, {TILLS} tills, {replicas or 'one process of each'}", flush=True)
    dice = random.Random(seed)
    house, ledger = House.on_new_ground(THEKE_REPLICAS=replicas), Ledger()
    try:
        await house.open()
        async with (
            Wire(house.url) as wire,
            counter(wire.address, ledger) as tills,
            load(tills, "soak", tills=TILLS, seed=seed, pause_s=PAUSE_S),
        ):
            diary = await torment(house, tills, wire, dice, time.monotonic() + minutes * 60, faults)
        print(f"  {sum(diary.faults.values())} faults, {len(ledger.receipts)} receipts, {len(ledger.orders)} orders", flush=True)
        print(f"  {ledger.repeats} repeats, {ledger.behind} answers ahead of the tables, longest wait {ledger.longest_s:.1f} s", flush=True)
        print("\n".join(diary.lines()), flush=True)
        account = await check(house, ledger)
        print(f"  all {account.events} events, {account.receipts} receipts and {account.orders} orders accounted for", flush=True)
        print(f"  stopped within {await house.close():.1f} s", flush=True)
    except AssertionError as failure:
        kept = house.abandon()
        print(f"soak: FAILED with seed {seed}\n{failure}\n{house.log_tail()}", file=sys.stderr)
        print(f"soak: its state and what all processes said: {kept}", file=sys.stderr, flush=True)
        return False
    finally:
        house.demolish()
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("seed", nargs="?", type=int, help="repeats the faults of a run; without one, a new seed is drawn")
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--replicas", default="", help="as THEKE_REPLICAS: pos=2,gateway=2")
    parser.add_argument("--long", action="store_true", help="also what takes minutes")
    chosen = parser.parse_args()
    seed = random.randrange(SEED_BELOW) if chosen.seed is None else chosen.seed
    return 0 if asyncio.run(soak(seed, chosen.minutes, chosen.replicas, LONG if chosen.long else FAULTS)) else 1


if __name__ == "__main__":
    sys.exit(main())
