"""A process that appends: ``python -m tests.integration.eventstore.writer DSN SCHEMA COUNT`` prints a line for every acknowledged slip."""

from __future__ import annotations

import asyncio
import json
import sys

from tests.integration.eventstore.boxes import Issue, Place, working

CLIENTS = 4


async def main(place: Place, count: int) -> None:
    async with working(place) as work:

        async def client(mine: int) -> None:
            for _ in range(mine):
                done = await work.do(Issue("till"))
                [slip] = done.recorded
                print(json.dumps({"id": str(slip.command), "position": slip.position, "number": slip.number}), flush=True)

        await asyncio.gather(*(client(count // CLIENTS) for _ in range(CLIENTS)))


if __name__ == "__main__":
    asyncio.run(main(Place(sys.argv[1], sys.argv[2]), int(sys.argv[3])))
