"""Auth is killed in the middle of deliveries, again and again: every event arrives, in order, and at most the one under way comes twice."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from libs.contracts.auth.commands import CreateInstance, Instance
from libs.contracts.auth.events import INSTALLATION
from libs.contracts.auth.webhooks import CreateWebhook, Webhook, WebhookSecret
from libs.domain.principal import Principal, system
from libs.domain.records import RecordView
from libs.records.engine import Create
from libs.runtime.asking import Services, connected
from libs.runtime.config import PROJECT
from libs.runtime.log_reading import LogRequest
from tests.conftest import Databases
from tests.integration.auth.conftest import own_bus
from tests.receiver import Receiver, receiving

EVENTS = 24
KILLS_AT = (3, 4)  # deliveries: the event has arrived, and nobody has heard that it was taken
READY_WITHIN_S = 60.0


@asynccontextmanager
async def running(databases: Databases, nats_url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.auth.process", databases.log, databases.read, nats_url, cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            async for line in process.stdout:
                if line == b"ready\n":
                    break
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Scene:
    """A house with users, whose webhook is created while nobody takes anything yet."""

    def __init__(self, services: Services, receiver: Receiver) -> None:
        self.services = services
        self.receiver = receiver
        self.process: asyncio.subprocess.Process | None = None
        self.made: WebhookSecret
        self.who: Principal
        receiver.answer = self.answer

    def answer(self, _: Any) -> int:
        if self.process is None:
            return 503
        if len(self.receiver.accepted) + 1 in KILLS_AT:
            self.process.kill()
        return 200

    async def set(self) -> None:
        operator = system(INSTALLATION, "test")
        instance, _ = await self.services.command("auth", "instance.create", CreateInstance(name="inn"), Instance, principal=operator)
        self.who = system(instance.id, "test")
        for number in range(EVENTS):
            user = Create(values={"username": f"user-{number}", "roles": ("Waiter",)})
            await self.services.command("auth", "user.create", user, RecordView, principal=self.who)
        wanted = CreateWebhook(url=self.receiver.url, services=("auth",), types=("user.created",), after={"auth": 0})
        self.made, _ = await self.services.command("auth", "webhook.create", wanted, WebhookSecret, principal=self.who)

    async def play(self, process: asyncio.subprocess.Process) -> bool:
        """Until everything has arrived, or the process is gone: which of the two."""
        self.process = process
        arrived = asyncio.create_task(self.receiver.until(lambda: len(set(self.receiver.ids)) == EVENTS))
        gone = asyncio.create_task(process.wait())
        await asyncio.wait((arrived, gone), return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if arrived.done():
            await arrived
            return True
        arrived.cancel()
        return False

    async def check(self) -> None:
        expected: list[str] = []
        async for piece in self.services.log("auth", LogRequest(self.who.instance, 0, 1_000, types=("user.created",))):
            expected += [str(event.id) for event in piece]
        ids = self.receiver.ids
        assert list(dict.fromkeys(ids)) == expected, "none is missing, none came before its time"
        assert len(ids) - len(expected) == len(KILLS_AT), "only what was under way when it was killed came twice"
        assert all(one.is_signed_with(self.made.secret) for one in self.receiver.taken)
        shown = await self.services.query("auth", "webhook.list", {}, list[Webhook], principal=self.who)
        assert [(one.key, one.active, one.ended) for one in shown] == [(self.made.webhook.key, True, "")]


async def test_killed_in_the_middle_of_deliveries(databases: Databases, session_directory: Path) -> None:
    async with own_bus(session_directory) as url, receiving() as receiver:
        connection, services = await connected(url, "test")
        scene = Scene(services, receiver)
        async with running(databases, url) as process:
            await scene.set()
            assert not await scene.play(process)
        for last in (False, True):
            async with running(databases, url) as process:
                assert await scene.play(process) is last
                if last:
                    await scene.check()
        await connection.close()
