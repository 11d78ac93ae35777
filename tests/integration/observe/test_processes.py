"""A whole Theke as processes, watched from outside while parts of it stand still."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import asyncpg
import pytest

from libs.runtime.endpoints import TARGETS
from libs.runtime.installation import GATEWAY, SERVICES
from tests.chaos.house import House

WITHIN_S: Final = 30.0
TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(scope="module")
def built() -> Iterator[House]:
    house = House.on_new_ground(THEKE_LOG_LEVEL="debug")
    yield house
    house.demolish()


@pytest.fixture(scope="module")
async def house(built: House) -> House:
    await built.open()
    return built


@pytest.fixture
async def http(house: House) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WITHIN_S)) as session:
        yield session


async def asked(http: aiohttp.ClientSession, url: str) -> tuple[int, Any]:
    async with http.get(url) as answer:
        return answer.status, await answer.json(content_type=None)


async def until(http: aiohttp.ClientSession, url: str, status: int) -> Any:
    deadline = time.monotonic() + WITHIN_S
    while True:
        found = await asked(http, url)
        if found[0] == status:
            return found[1]
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.1)


@asynccontextmanager
async def stopped(house: House, name: str) -> AsyncIterator[None]:
    pid = await house.pid(name)
    house.signal(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        house.signal(pid, signal.SIGCONT)


async def test_every_process_of_theke_is_a_target_for_prometheus(house: House, http: aiohttp.ClientSession) -> None:
    text = (house.data / TARGETS).read_text()
    targets = {one["labels"]["process"]: one["targets"] for one in json.loads(text)}
    assert targets.keys() == {*SERVICES, GATEWAY}
    for process, (target,) in targets.items():
        assert target.startswith("127.0.0.1:")
        async with http.get(f"http://{target}/metrics") as answer:
            shown = await answer.text()
        assert f'theke_bus_connected{{service="{process}"}} 1.0' in shown
        assert "process_resident_memory_bytes" in shown
        assert (await asked(http, f"http://{target}/readyz"))[0] == 200
    for secret in (house.known.postgres_dsn, house.known.nats_url):
        assert secret.split(":")[2].partition("@")[0] not in text


async def test_every_process_is_in_postgres_as_itself(house: House) -> None:
    connection = await asyncpg.connect(house.known.postgres_dsn)
    rows = await connection.fetch("select usename, application_name from pg_stat_activity where application_name like 'theke %'")
    await connection.close()
    seen = {(row["application_name"].split()[1], row["usename"]) for row in rows}
    assert {(service, f"theke_{service}") for service in SERVICES} == {one for one in seen if one[0] in SERVICES}
    assert {user for _, user in seen} <= {f"theke_{name}" for name in (*SERVICES, GATEWAY)}
    assert house.known.one_role == ""


async def test_a_service_that_stands_still_is_named_and_nothing_else(house: House, http: aiohttp.ClientSession) -> None:
    await until(http, f"{house.url}/readyz", 200)
    async with stopped(house, "billing"):
        found = await until(http, f"{house.url}/readyz", 503)
        assert [wait["what"] for wait in found["waits"]] == ["billing"]
        assert found["waits"][0]["why"].startswith("does not answer")
        assert (await asked(http, f"{house.url}/healthz"))[0] == 200
    assert await until(http, f"{house.url}/readyz", 200) == {"ready": True, "waits": []}


async def test_without_nats_everything_lives_and_nothing_is_ready(house: House, http: aiohttp.ClientSession) -> None:
    pos = next(child.operations for child in house.known.children if child.name == "pos")
    await until(http, f"{pos}/readyz", 200)
    async with stopped(house, "nats"):
        assert (await until(http, f"{house.url}/readyz", 503))["ready"] is False
        found = await until(http, f"{pos}/readyz", 503)
        assert {"what": "nats", "why": "not connected"} in found["waits"]
        for place in (house.url, pos):
            assert (await asked(http, f"{place}/healthz"))[0] == 200
    await until(http, f"{house.url}/readyz", 200)
    await until(http, f"{pos}/readyz", 200)


async def test_one_request_is_found_under_its_trace_in_the_lines_of_gateway_and_service(house: House, http: aiohttp.ClientSession) -> None:
    async with http.post(f"{house.url}/api/v1/auth/login", json={"username": "admin", "password": "admin"}) as answer:
        token = (await answer.json())["data"]["accessToken"]
    headers = {"Authorization": f"Bearer {token}", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    async with http.get(f"{house.url}/api/v1/tables", headers=headers) as answer:
        assert (answer.status, answer.headers["Theke-Trace"]) == (200, TRACE)
        await answer.read()  # whoever leaves before the end is counted as gone

    def lines() -> dict[str, list[dict[str, Any]]]:
        said = [json.loads(line) for line in house.log_lines() if TRACE in line]
        return {service: [line for line in said if line["service"] == service] for service in ("gateway", "pos")}

    deadline = time.monotonic() + WITHIN_S
    while not all(lines().values()):
        assert time.monotonic() < deadline, lines()
        await asyncio.sleep(0.05)
    found = lines()
    assert {line["trace"] for of in found.values() for line in of} == {TRACE}
    assert [(line["event"], line["path"], line["status"]) for line in found["gateway"]] == [("request", "/api/v1/tables", 200)]
    assert "qry.pos" in found["pos"][0]["subject"]
