"""Who projects the tills' query tables: the one process of all replicas that holds the lock."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import asyncpg

from libs.runtime.databases import read_dsn
from tests.chaos.house import House

LEADER_WITHIN_S: Final = 15.0
LOOK_EVERY_S: Final = 0.05
LEADER: Final = """
select a.client_port from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.granted and a.application_name = 'theke pos projector'"""


async def leader(house: House, beside: Mapping[str, int] | None = None) -> str:
    """The process that projects pos, by its name, waiting until there is one. ``beside``: processes that are not the supervisor's."""
    deadline = time.monotonic() + LEADER_WITHIN_S
    tables = await asyncpg.connect(read_dsn(house.known.postgres_dsn))
    try:
        while time.monotonic() < deadline:
            for row in await tables.fetch(LEADER):
                names = [name for name in house.processes if name.partition("-")[0] == "pos"]
                for name, pid in {**{name: await house.pid(name) for name in names}, **(beside or {})}.items():
                    if row["client_port"] in _ports(pid):
                        return name
            await asyncio.sleep(LOOK_EVERY_S)
    finally:
        await tables.close()
    raise AssertionError(f"nobody projects pos within {LEADER_WITHIN_S:g} s\n{house.log_tail()}")


def _ports(pid: int) -> set[int]:
    """Local ports of a process's connections."""
    inodes = set()
    for entry in os.listdir(f"/proc/{pid}/fd"):
        try:
            inodes.add(os.readlink(f"/proc/{pid}/fd/{entry}"))
        except FileNotFoundError:
            continue
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if f"socket:[{row[9]}]" in inodes}
