"""The shell lines that Theke prints after its start, run as they are by a shell and curl."""

from __future__ import annotations

import asyncio
import json
import shutil
from decimal import Decimal

import msgspec
import pytest

from libs.cli.welcome import first_sale
from tests.house import Inn

SHELL_WITHIN_S = 30.0


@pytest.mark.skipif(shutil.which("curl") is None, reason="the lines need curl")
async def test_the_first_sale_works_as_printed(inn: Inn) -> None:
    gateway = await inn.theke.another_gateway(msgspec.structs.replace(inn.theke.settings, instance=inn.name))
    _, _, script = first_sale(gateway.address).partition("\n\n")
    assert script.startswith("URL=")
    shell = await asyncio.create_subprocess_exec(
        "bash", "-eu", "-c", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(SHELL_WITHIN_S):
        out, err = await shell.communicate()
    assert (shell.returncode, err) == (0, b"")
    answer = json.loads(out, parse_float=Decimal)
    assert answer["isSuccess"] is True, answer
    till = await inn.till()
    assert await till.receipts() == [answer["data"]]
    assert (answer["data"]["number"], answer["data"]["gross"]) == (1, Decimal("3.50"))
