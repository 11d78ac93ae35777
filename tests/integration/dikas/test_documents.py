"""What the documents tell a newcomer to type, typed."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from decimal import Decimal
from hashlib import md5
from typing import Any

import msgspec
import pytest

from libs.cli.acting import operator_of
from libs.cli.applications import create
from libs.runtime.config import PROJECT
from libs.runtime.provision import create_instance
from services import demo
from tests.house import Theke

SHELL_WITHIN_S = 60.0
STARTS = ("make run", "theke status")  # what needs a machine of its own; other tests do it


def shell_of(document: str) -> str:
    """The shell blocks of a document, in order."""
    blocks = re.findall(r"```sh\n(.*?)```", (PROJECT / document).read_text(encoding="utf-8"), re.DOTALL)
    return "\n".join(block for block in blocks if not any(start in block for start in STARTS))


async def answers(script: str) -> list[Any]:
    """Every JSON object that a script prints."""
    shell = await asyncio.create_subprocess_exec(
        "bash", "-eu", "-c", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(SHELL_WITHIN_S):
        out, err = await shell.communicate()
    assert (shell.returncode, err) == (0, b""), out
    decoder = json.JSONDecoder(parse_float=Decimal)
    found, text = [], out.decode().lstrip()
    while text:
        answer, end = decoder.raw_decode(text)
        found.append(answer)
        text = text[end:].lstrip()
    return found


@pytest.fixture
async def url(theke: Theke) -> str:
    """A gateway of an inn with the demo data."""
    name = f"demo-{len(theke.gateways)}"
    await demo.load(await create_instance(theke.services, name))
    return (await theke.another_gateway(msgspec.structs.replace(theke.settings, instance=name))).address


@pytest.mark.skipif(shutil.which("curl") is None, reason="the lines need curl")
async def test_the_first_sale_of_the_readme_and_its_repeat(url: str) -> None:
    script = shell_of("README.md").replace("http://127.0.0.1:5015", url)
    first, again = await answers(f"{script}\n{script}")
    assert first == again
    assert (first["data"]["number"], first["data"]["gross"], first["data"]["change"]) == (1, Decimal("3.50"), Decimal("1.50"))


@pytest.mark.skipif(shutil.which("curl") is None, reason="the lines need curl")
async def test_the_tutorial_as_it_is_written(url: str) -> None:
    script = shell_of("docs/tutorial/first-evening.md").replace("http://127.0.0.1:5015", url).replace("| head -c 300", "")
    order, course, early, rest, void = await answers(script)
    assert all(answer["isSuccess"] for answer in (order, course, early, rest, void))
    assert [item["total"] for item in order["data"]["items"]] == [Decimal("7.00"), Decimal("38.80")]
    assert course["data"]["course"] == 2
    assert (early["data"]["gross"], early["data"]["tip"], early["data"]["change"]) == (Decimal("3.50"), Decimal("0.50"), Decimal("1.00"))
    assert [payment["amount"] for payment in rest["data"]["payments"]] == [Decimal("20.00"), Decimal("22.30")]
    assert void["data"]["voidedReceiptId"] == rest["data"]["id"]
    assert void["data"]["gross"] == -rest["data"]["gross"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the lines need curl")
async def test_a_shift_and_a_day_as_they_are_written(url: str) -> None:
    script = shell_of("docs/how-to/close-a-day.md").replace("http://127.0.0.1:5015", url)
    sale, x_report, shift, z_report = await answers(script)
    assert x_report["data"]["totals"]["gross"] == sale["data"]["gross"]
    assert (shift["data"]["expectedCash"], shift["data"]["difference"]) == (Decimal("157.00"), Decimal("0.00"))
    assert (z_report["data"]["number"], z_report["data"]["totals"]) == (1, x_report["data"]["totals"])


@pytest.mark.skipif(shutil.which("curl") is None, reason="the lines need curl")
async def test_selling_offline_as_it_is_written(url: str) -> None:
    first, again = await answers(shell_of("docs/how-to/sell-offline.md").replace("http://127.0.0.1:5015", url))
    assert [item["status"] for item in first["data"]["items"]] == ["done", "done", "refused"]
    assert again == first


@pytest.mark.skipif(shutil.which("curl") is None, reason="the lines need curl")
async def test_an_erp_client_as_it_is_written(theke: Theke, url: str) -> None:
    name = theke.gateways[-1]._settings.instance
    script = shell_of("docs/how-to/connect-an-erp-client.md").replace("http://127.0.0.1:5015/demo", f"{url}/{name}")
    shop = await create(theke.services, await operator_of(theke.services, name), "web-shop", name="Web shop")
    who, refreshed, worth, found, counted, account, joined, made, changed, gone, note, noted, *more = await answers(
        f"secret={shop.secret}\n{script}"
    )
    assert who["name"] == "admin"
    assert (refreshed["expires_in"], worth) == (3600, {"active": False})
    assert [row["no"] for row in found] == ["105", "106"]
    assert counted == {"count": 4}
    assert (made["itemnum"], made["sellingprice"]) == ("M-1", Decimal("12.50"))
    assert (changed["ID"], changed["sellingprice"]) == (made["ID"], Decimal("11.90"))
    assert gone == {"count": 0}
    assert (account["lastname"], joined) == ("Winter GmbH", [{"who": "Winter GmbH", "mail": "vera@example.org"}])
    assert (note["tags"], note["extdata"]) == (["summer", "2026"], {"table": "T7", "seats": 8})
    assert noted == [{"name": "Terrace", "extdata.table": "T7"}]
    menu, files, offer, refused = more
    assert menu["binfile"] == {"content": "RnJpc2NoIHZvbSBGYXNz"}
    assert files == [{"hash": f"\\x{md5(b'Frisch vom Fass').hexdigest()}", "size": 15}]
    assert [line["type"] for line in offer["items"]] == [1, 0]
    assert "'items[0].discount'" in refused["refused"]
