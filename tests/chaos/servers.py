"""Servers that are several: a Postgres with a synchronous standby, and a cluster of three NATS."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final

import asyncpg

from libs.runtime import children
from libs.runtime.embedded import EmbeddedPostgres, nats_program
from tests.chaos.house import free_port

BACKUP_WITHIN_S: Final = 60.0
STREAMING_WITHIN_S: Final = 30.0
LOOK_EVERY_S: Final = 0.05
ACCOUNT: Final = "theke:theke"
NATS_NODES: Final = ("one", "two", "three")


class Pair:
    """A primary and a standby that has every commit before it is acknowledged. ``fail_over`` kills the one and promotes the other."""

    def __init__(self, directory: Path) -> None:
        self.primary = EmbeddedPostgres(directory / "primary")
        self.standby = EmbeddedPostgres(directory / "standby")

    @property
    def dsn(self) -> str:
        """Of whichever of the two is primary."""
        scheme, _, rest = self.primary.dsn.partition("://")
        account, _, place = rest.partition("@")
        host, _, name = place.partition("/")
        return f"{scheme}://{account}@{host},127.0.0.1:{self.standby.port}/{name}?target_session_attrs=primary"

    async def start(self) -> None:
        await self.primary.start()
        await self._copy()
        await self.standby.start()
        connection = await asyncpg.connect(self.primary.dsn)
        await connection.execute("alter system set synchronous_standby_names = '*'")
        await connection.execute("select pg_reload_conf()")
        async with asyncio.timeout(STREAMING_WITHIN_S):
            while await connection.fetchval("select sync_state from pg_stat_replication") != "sync":  # noqa: ASYNC110
                await asyncio.sleep(LOOK_EVERY_S)
        await connection.close()

    async def _copy(self) -> None:
        """The standby's data, as the account that both servers run as."""
        place = self.primary.place
        target = self.standby.directory
        target.mkdir(mode=0o700, parents=True)
        shutil.copy2(place.data / "password", target / "password")
        account = place.account
        if account:
            for path in (target, target / "password"):
                os.chown(path, account.uid, account.gid)
        copy = children.spawn(
            [str(place.programs / "pg_basebackup"), "-d", self.primary.dsn, "-D", str(target / "cluster"), "-R", "-X", "stream"],
            env={"PATH": os.defpath, "LC_ALL": "C"}, cwd=target, account=account,
        )  # fmt: skip
        try:
            assert await children.ended(copy, BACKUP_WITHIN_S), "pg_basebackup takes too long"
            assert copy.returncode == 0, f"pg_basebackup ended with {copy.returncode}"
        finally:
            children.kill(copy)

    async def fail_over(self) -> None:
        self.primary.kill()
        connection = await asyncpg.connect(self.standby.dsn)
        assert await connection.fetchval("select pg_promote()")
        await connection.close()

    async def stop(self) -> None:
        await self.standby.stop()
        await self.primary.stop()


class Cluster:
    """Three NATS servers that hold every stream thrice."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ports = [free_port() for _ in NATS_NODES]
        self._routes = [free_port() for _ in NATS_NODES]
        self._nodes: list[subprocess.Popen[bytes] | None] = [None for _ in NATS_NODES]

    @property
    def url(self) -> str:
        return ",".join(f"nats://{ACCOUNT}@127.0.0.1:{port}" for port in self._ports)

    async def start(self) -> None:
        for number in range(len(NATS_NODES)):
            self.start_node(number)
        await asyncio.gather(*(self._answers(number) for number in range(len(NATS_NODES))))

    def start_node(self, number: int) -> None:
        name = NATS_NODES[number]
        place = self._directory / name
        place.mkdir(parents=True, exist_ok=True)
        user, _, password = ACCOUNT.partition(":")
        peers = ", ".join(f'"nats://{ACCOUNT}@127.0.0.1:{port}"' for port in self._routes)
        allowed = f'authorization {{ user: "{user}", password: "{password}" }}'
        (place / "nats.conf").write_text(
            f'server_name: {name}\nlisten: "127.0.0.1:{self._ports[number]}"\nmax_payload: 1048576\n'
            f'jetstream {{ store_dir: "{place / "jetstream"}" }}\n{allowed}\n'
            f'cluster {{ name: theke, listen: "127.0.0.1:{self._routes[number]}", routes: [{peers}], {allowed} }}\n'
        )
        with (place / "server.log").open("ab") as output:
            self._nodes[number] = children.spawn(
                [str(nats_program()), "-c", str(place / "nats.conf")],
                env={"PATH": os.defpath}, cwd=place, output=output, death_signal=signal.SIGKILL,
            )  # fmt: skip

    def kill_node(self, number: int) -> None:
        node = self._nodes[number]
        assert node is not None
        children.kill(node)
        node.wait()

    def stop(self) -> None:
        for node in self._nodes:
            if node is not None and node.poll() is None:
                children.kill(node)
                node.wait()

    async def _answers(self, number: int) -> None:
        async with asyncio.timeout(STREAMING_WITHIN_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self._ports[number])
                except OSError:
                    await asyncio.sleep(LOOK_EVERY_S)
                else:
                    writer.close()
                    return
