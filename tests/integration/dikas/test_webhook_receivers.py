"""The receivers of docs/how-to/receive-webhooks.md, run as they stand there: they take what Theke sends and nothing else."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from libs.runtime.config import PROJECT
from tests.house import Inn, done, item

HOW_TO = (PROJECT / "docs" / "how-to" / "receive-webhooks.md").read_text(encoding="utf-8")
SECRET = "whsec_" + "QUJD" * 8
WITHIN_S = 20.0
RUNS = {"python": (sys.executable, ".py"), "js": (shutil.which("node"), ".mjs")}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@asynccontextmanager
async def running(language: str, directory: Path) -> AsyncIterator[tuple[str, asyncio.StreamReader]]:
    """The address of the example in this language, and what it says."""
    program, ending = RUNS[language]
    if program is None:
        pytest.skip(f"no program here runs {language}")
    (source,) = re.findall(rf"^```{language}\n(.*?)^```", HOW_TO, re.MULTILINE | re.DOTALL)
    file = directory / f"receiver{ending}"
    file.write_text(source, encoding="utf-8")
    port = free_port()
    environment = {**os.environ, "WEBHOOK_SECRET": SECRET, "PORT": str(port)}
    process = await asyncio.create_subprocess_exec(
        program, str(file), env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(WITHIN_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                except OSError:
                    await asyncio.sleep(0.05)
        writer.close()
        yield f"http://127.0.0.1:{port}/", process.stdout
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("language", RUNS)
async def test_an_example_takes_what_is_signed_and_nothing_else(inn: Inn, tmp_path: Path, language: str) -> None:
    till = await inn.till()
    async with running(language, tmp_path) as (url, said), asyncio.timeout(WITHIN_S), aiohttp.ClientSession() as stranger:
        forged = {"webhook-id": "1", "webhook-timestamp": "1614265330", "webhook-signature": "v1,AAAA"}
        for headers in ({}, forged):
            async with stranger.post(url, data=b"{}", headers=headers) as answer:
                assert answer.status == 401
        body = {"url": url, "services": ["pos"], "types": ["receipt.issued"], "secret": SECRET}
        hook = done(await till.post("webhooks", body), 201)
        await till.sell(item(inn.menu["Cola"]))
        position, type_ = (await said.readline()).split()
        assert type_ == b"receipt.issued"
        done(await till.post(f"webhooks/{hook['id']}/secret"))  # the one that the example knows still signs
        await till.sell(item(inn.menu["Cola"]))
        following, _ = (await said.readline()).split()
        assert int(following) > int(position)
