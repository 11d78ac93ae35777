"""``python -m tests.chaos.disk_full``, part of ``make soak``: the disk of the whole installation, log file included, fills up under load,
stays full for a while, and is emptied again. Whatever was acknowledged is there, and tills sell again without anybody's help. Needs root,
to mount a small disk."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.chaos.check import check
from tests.chaos.faults import prober
from tests.chaos.house import House
from tests.chaos.ledger import Ledger
from tests.chaos.tills import counter, load

SEED: Final = 20_261_124
DISK_MIB: Final = 700
TILLS: Final = 6
CALM_S: Final = 4.0
FULL_S: Final = 8.0
LEFT_BYTES: Final = 256 * 1024
PIECE: Final = b"\0" * (1024 * 1024)
CANNOT: Final = 77  # by custom: not done here


@contextmanager
def small_disk() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="theke-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=711", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)
        shutil.rmtree(place, ignore_errors=True)


def fill(place: Path) -> Path:
    """A file that leaves next to nothing."""
    ballast = place / "ballast"
    with ballast.open("ab", buffering=0) as file:
        while (free := shutil.disk_usage(place).free) > LEFT_BYTES:
            file.write(PIECE[: max(1, free - LEFT_BYTES)])
    return ballast


async def main() -> int:
    if os.geteuid() != 0:
        print("disk full: not done, mounting a small disk takes root", file=sys.stderr)
        return CANNOT
    with small_disk() as place:
        house, ledger = House(place, {}), Ledger()
        try:
            await house.open()
            async with counter(house.url, ledger) as tills, load(tills, "full", tills=TILLS, seed=SEED):
                await asyncio.sleep(CALM_S)
                before = len(ledger.receipts)
                ballast = fill(place)
                print(f"  full after {before} receipts: {shutil.disk_usage(place).free / 1024:.0f} KiB left", flush=True)
                await asyncio.sleep(FULL_S)
                during = len(ledger.receipts) - before
                ballast.unlink()
                since = time.monotonic()
                assert await prober(tills, "probe").sell() is not None, "no sale after the disk was emptied"
                print(f"  {during} receipts while it was full; next sale {time.monotonic() - since:.1f} s after it was emptied", flush=True)
                await asyncio.sleep(CALM_S)
            account = await check(house, ledger)
            print(f"  all {account.events} events, {account.receipts} receipts and {account.orders} orders accounted for", flush=True)
            await house.close()
        except AssertionError as failure:
            print(f"disk full: FAILED\n{failure}\n{house.log_tail()}", file=sys.stderr, flush=True)
            return 1
        finally:
            house.demolish()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
