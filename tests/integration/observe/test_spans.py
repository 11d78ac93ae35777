"""Spans reach a collector: those that are followed, with their parents, and no others."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from libs.runtime.config import PROJECT, SettingInvalid, Settings
from libs.runtime.service import Host
from libs.runtime.spans import carried, open_spans, trace_in
from services.crm.service import SERVICE as CRM
from tests.house import Inn, Theke, Till, done

TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER: Final = "00f067aa0ba902b7"
WITHIN_S: Final = 20.0


class Collector:
    """A tiny receiver of OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        self._runner: web.AppRunner
        self.endpoint = ""

    async def open(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/traces", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.endpoint = f"http://{host}:{port}/v1/traces"

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        message = ExportTraceServiceRequest.FromString(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
        for of in message.resource_spans:
            service = next(one.value.string_value for one in of.resource.attributes if one.key == "service.name")
            for scope in of.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        {
                            "service": service,
                            "name": span.name,
                            "trace": span.trace_id.hex(),
                            "id": span.span_id.hex(),
                            "parent": span.parent_span_id.hex(),
                            "known": {one.key: one.value.int_value or one.value.string_value for one in span.attributes},
                        }
                    )
        return web.Response()

    async def of(self, trace: str, count: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(WITHIN_S):
            while len(found := [span for span in self.spans if span["trace"] == trace]) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return found


@pytest.fixture(scope="module")
async def collector() -> AsyncIterator[Collector]:
    one = Collector()
    await one.open()
    yield one
    await one.close()


@pytest.fixture(scope="module")
async def url(theke: Theke, collector: Collector) -> AsyncIterator[str]:
    """A gateway that follows nobody of its own accord, and a crm beside the house's that tells spans too."""
    settings = msgspec.structs.replace(theke.settings, otlp_endpoint=collector.endpoint, trace_sample=0.0)
    told, theke.hosts["crm"].spans = theke.hosts["crm"].spans, open_spans(settings, "crm")
    yield (await theke.another_gateway(settings)).address
    spans, theke.hosts["crm"].spans = theke.hosts["crm"].spans, told
    assert spans is not None
    await spans.stop()


async def test_a_request_that_is_followed_has_a_span_in_the_gateway_and_one_below_it_in_the_service(
    url: str, collector: Collector, shared_inn: Inn
) -> None:
    till = await shared_inn.till(url=url)
    assert collector.spans == []  # nobody followed the login
    bearer = {"Authorization": f"Bearer {till.token}", "traceparent": f"00-{TRACE}-{CALLER}-01"}
    path = f"/{shared_inn.name}/api/v1/notes"
    async with till.http.post(path, json={}, headers=bearer) as answer:
        assert (answer.status, answer.headers["Theke-Trace"]) == (200, TRACE)
    found = await collector.of(TRACE, 2)
    by_service = {span["service"]: span for span in found}
    gateway, crm = by_service["theke-gateway"], by_service["theke-crm"]
    assert (gateway["name"], gateway["parent"]) == ("POST zeyos", CALLER)
    assert gateway["known"] == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.path": f"/{shared_inn.name}/api/v1/notes",
    }
    assert crm["parent"] == gateway["id"]
    assert crm["name"].startswith("qry.crm.")
    assert crm["known"]["theke.outcome"] == "answered"

    bearer["traceparent"] = f"00-{TRACE[::-1]}-{CALLER}-00"
    async with till.http.post(path, json={}, headers=bearer) as answer:
        assert answer.headers["Theke-Trace"] == TRACE[::-1]
    bearer["traceparent"] = f"00-{TRACE[:-1]}0-{CALLER}-01"
    async with till.http.post(path, json={}, headers=bearer) as answer:
        assert answer.status == 200
    await collector.of(f"{TRACE[:-1]}0", 2)  # sent after the one that is not followed
    assert {span["trace"] for span in collector.spans} == {TRACE, f"{TRACE[:-1]}0"}


async def test_every_gateway_follows_the_same_share_of_all_traces(collector: Collector) -> None:
    spans = open_spans(Settings(otlp_endpoint=collector.endpoint, trace_sample=0.25), "gateway")
    assert spans is not None
    assert spans.follows("3fffffff" + "0" * 24)
    assert not spans.follows("40000000" + "0" * 24)
    await spans.stop()


async def test_a_collector_that_is_away_holds_nobody_up(theke: Theke, shared_inn: Inn) -> None:
    settings = msgspec.structs.replace(theke.settings, otlp_endpoint="http://127.0.0.1:9/v1/traces", trace_sample=1.0)
    gateway = await theke.another_gateway(settings)
    till = await shared_inn.till("Manager", url=gateway.address)
    for _ in range(5):
        done(await till.get("auth/me"))


async def test_nothing_of_it_is_loaded_where_nobody_is_told(till: Till) -> None:
    assert open_spans(Settings(), "pos") is None
    assert carried(TRACE) == TRACE
    assert trace_in(f"{TRACE}-{CALLER}") == TRACE
    code = "import sys, services.gateway.app, services.pos.service; sys.exit(any('opentelemetry' in name for name in sys.modules))"
    ran = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=PROJECT, stderr=subprocess.PIPE)
    assert await ran.wait() == 0


def test_without_the_extra_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingInvalid, match=r"theke\[otel\]"):
        Host(CRM, Settings(postgres_dsn="postgres://x@y/z", otlp_endpoint="http://127.0.0.1:9"))
