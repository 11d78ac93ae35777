"""``python -m tests.chaos.failover``, part of ``make soak``: tills sell while a node of a NATS cluster dies, and comes back, another one
dies, and Postgres fails over to its synchronous standby. Afterwards everything is accounted for."""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import nats

from tests.chaos.check import check
from tests.chaos.faults import prober
from tests.chaos.house import House
from tests.chaos.ledger import Ledger
from tests.chaos.servers import NATS_NODES, Cluster, Pair
from tests.chaos.tills import counter, load

SEED: Final = 20_261_123
TILLS: Final = 6
CALM_S: Final = 4.0
COPIES: Final = len(NATS_NODES)


async def main() -> int:
    directory = Path(tempfile.mkdtemp(prefix="theke-failover-"))
    directory.chmod(0o711)
    pair, cluster = Pair(directory), Cluster(directory / "nats")
    house, ledger = None, Ledger()
    try:
        await asyncio.gather(pair.start(), cluster.start())
        house = House.on_new_ground(THEKE_POSTGRES_DSN=pair.dsn, THEKE_NATS_URL=cluster.url, THEKE_STREAM_REPLICAS=str(COPIES))
        await house.open()
        await _held_thrice(cluster)
        async with counter(house.url, ledger) as tills, load(tills, "failover", tills=TILLS, seed=SEED):
            probe = prober(tills, "probe")

            async def survived(what: str, fault: Callable[[], Awaitable[None] | None]) -> None:
                await asyncio.sleep(CALM_S)
                since = time.monotonic()
                if (work := fault()) is not None:
                    await work
                assert await probe.sell() is not None, f"no sale after: {what}"
                print(f"  {what:<44} next sale after {time.monotonic() - since:5.1f} s", flush=True)

            dice = random.Random(SEED)
            first, second = dice.sample(range(COPIES), 2)
            await survived(f"node {NATS_NODES[first]} of NATS dies", lambda: cluster.kill_node(first))
            await survived("it comes back", lambda: cluster.start_node(first))
            await survived(f"node {NATS_NODES[second]} of NATS dies", lambda: cluster.kill_node(second))
            await survived("it comes back", lambda: cluster.start_node(second))
            await survived("the primary dies, the standby is promoted", pair.fail_over)
            await asyncio.sleep(CALM_S)
        account = await check(house, ledger)
        print(f"  all {account.events} events, {account.receipts} receipts and {account.orders} orders accounted for", flush=True)
        await house.close()
    except AssertionError as failure:
        print(f"failover: FAILED\n{failure}\n{house.log_tail() if house else ''}", file=sys.stderr, flush=True)
        return 1
    finally:
        if house is not None:
            house.demolish()
        cluster.stop()
        await pair.stop()
        shutil.rmtree(directory, ignore_errors=True)
    return 0


async def _held_thrice(cluster: Cluster) -> None:
    bus = await nats.connect(cluster.url.split(","))
    streams = await bus.jetstream().streams_info()
    await bus.close()
    assert streams, "there are no streams"
    assert all(stream.config.num_replicas == COPIES for stream in streams), [stream.config for stream in streams]


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
