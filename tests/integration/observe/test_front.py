"""What every request passes at the gateway: the pace of its client, and the headers of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import msgspec
import pytest

from services.gateway import limits
from tests.house import Inn, Theke, Till, done, refused

PER_SECOND = 2
BURST = PER_SECOND * limits.RATE_BURST_S
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": "Theke",
}


@pytest.fixture(scope="module")
async def slow_url(theke: Theke) -> str:
    """A gateway that grants each client BURST requests at once."""
    settings = msgspec.structs.replace(theke.settings, rate_limit=PER_SECOND)
    return (await theke.another_gateway(settings)).address


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def exhaust(till: Till) -> Any:
    """Asks until it is refused."""
    for _ in range(2 * BURST):
        answer = await till.get("auth/me")
        if answer.status == 429:
            return answer
    raise AssertionError("never refused")


async def test_a_client_that_runs_in_circles_is_told_when_to_go_on_and_nobody_else_is(
    slow_url: str, shared_inn: Inn, http: aiohttp.ClientSession
) -> None:
    mad = await shared_inn.till(url=slow_url)
    till = await shared_inn.till("Manager", url=slow_url)
    done(await mad.get("auth/me"))  # from here on its token is known, and it is a client of its own
    answer = await mad.get("auth/me")
    assert answer.headers["RateLimit-Policy"] == f'"client";q={BURST};w={limits.RATE_BURST_S}'
    assert answer.headers["RateLimit"].startswith('"client";r=')
    answer = await exhaust(mad)
    seconds = int(answer.headers["Retry-After"])
    assert 1 <= seconds <= limits.RATE_BURST_S
    assert answer.headers["RateLimit"] == f'"client";r=0;t={seconds}'
    assert len(answer.headers["Theke-Trace"]) == 32
    refused(answer, 429, "Zu viele Anfragen", f"Bitte {seconds} s warten")

    done(await till.get("auth/me"))
    async with http.get(f"{slow_url}/healthz") as health:
        assert health.status == 200
    for path, type_ in (("api/v1/tasks/1", "text/plain"), ("oauth2/v1/userinfo", "application/json")):
        headers = {"Authorization": f"Bearer {mad.token}"}
        async with http.get(f"{slow_url}/{shared_inn.name}/{path}", headers=headers) as answered:
            assert (answered.status, answered.content_type) == (429, type_)
            assert int(answered.headers["Retry-After"]) >= 1

    await asyncio.sleep(1 / PER_SECOND)  # it may go on, at the steady pace
    async with asyncio.timeout(10):
        while (await mad.get("auth/me")).status == 429:  # noqa: ASYNC110 - time goes by
            await asyncio.sleep(0.1)


async def test_whoever_makes_tokens_up_is_one_client_all_the_same(slow_url: str, http: aiohttp.ClientSession) -> None:
    statuses = []
    for number in range(2 * BURST):
        async with http.get(f"{slow_url}/api/v1/auth/me", headers={"Authorization": f"Bearer made-up-{number}"}) as answer:
            statuses.append(answer.status)
    assert statuses[-1] == 429
    assert set(statuses) <= {401, 429}


async def headers_of(http: aiohttp.ClientSession, method: str, url: str, **how: Any) -> Mapping[str, str]:
    async with http.request(method, url, **how) as answer:
        return answer.headers.copy()


async def test_every_answer_says_what_a_browser_may_do_with_it(theke: Theke, till: Till, inn: Inn, http: aiohttp.ClientSession) -> None:
    bearer = {"headers": {"Authorization": f"Bearer {till.token}"}}
    answers = [
        await headers_of(http, "GET", f"{theke.url}/api/v1/receipts", **bearer),
        await headers_of(http, "GET", f"{theke.url}/api/v1/receipts"),
        await headers_of(http, "PATCH", f"{theke.url}/api/v1/receipts"),
        await headers_of(http, "GET", f"{theke.url}/nowhere"),
        await headers_of(http, "POST", f"{theke.url}/{inn.name}/api/v1/tasks", json={}),
        await headers_of(http, "GET", f"{theke.url}/{inn.name}/oauth2/v1/authorize"),
        await headers_of(http, "GET", f"{theke.url}/swagger"),
        await headers_of(http, "GET", f"{theke.url}/swagger/v1/swagger.json"),
        await headers_of(http, "GET", f"{theke.url}/healthz"),
    ]
    for headers in answers:
        assert ALWAYS.items() <= headers.items(), headers
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "Strict-Transport-Security" not in headers  # it would lock a browser out of a house without TLS
        assert "RateLimit" not in headers  # nobody is held to anything here


async def test_what_is_no_http_is_refused_with_the_same_headers(theke: Theke) -> None:
    reader, writer = await asyncio.open_connection(*theke.url.removeprefix("http://").split(":"))
    writer.write(b"NONSENSE\r\n\r\n")
    answer = (await reader.read()).decode()
    writer.close()
    assert answer.startswith(("HTTP/1.0 400 ", "HTTP/1.1 400 "))
    for name, value in ALWAYS.items():
        assert f"{name}: {value}\r\n" in answer
    assert "aiohttp" not in answer
    assert "Python" not in answer
