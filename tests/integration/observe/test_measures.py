"""What a house with a sale in it shows to whoever watches it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from libs.runtime import measures
from libs.runtime.measures import BEAT_EVERY_S, FAMILIES, STANDSTILL_S, WAKING_S, Exposition, Pulse, ServiceMeasures
from libs.runtime.operations import LIVE_WITHIN_S, Health
from tests.house import Inn, Theke, Till, item

WITHIN_S = 10.0
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, key
            found[key] = sample.value
    return found


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


@pytest.fixture(scope="module")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def shown(http: aiohttp.ClientSession, address: str) -> Samples:
    async with http.get(f"{address}/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        return samples(await answer.text())


async def until_shown(http: aiohttp.ClientSession, address: str, name: str, wanted: float, **labels: str) -> None:
    async with asyncio.timeout(WITHIN_S):
        while value(await shown(http, address), name, **labels) != wanted:  # noqa: ASYNC110 - it can only be asked for
            await asyncio.sleep(0.05)


async def test_a_sale_is_seen_in_every_part_it_passes(theke: Theke, till: Till, shared_inn: Inn, http: aiohttp.ClientSession) -> None:
    pos, gateway = theke.hosts["pos"], theke.gateways[0]
    before, asked = await shown(http, pos.operations.address), await shown(http, gateway.operations.address)
    await till.sell(item(shared_inn.menu["Cola"]))
    after, answered = await shown(http, pos.operations.address), await shown(http, gateway.operations.address)

    def grew(name: str, **labels: str) -> float:
        return value(after, name, service="pos", **labels) - value(before, name, service="pos", **labels)

    assert grew("theke_append_outcomes_total", outcome="appended") == 1
    assert grew("theke_append_seconds_count") == 1
    assert grew("theke_append_lock_wait_seconds_count") == 1
    assert grew("theke_append_batch_commands_sum") == 1
    assert grew("theke_wait_seconds_count") == 1
    assert grew("theke_projection_apply_seconds_count") >= 1
    assert grew("theke_log_events") >= 1
    assert 0 < grew("theke_append_seconds_sum") < 5
    heads = await pos.log.heads()
    first = min(heads)  # only the first instances are told apart
    assert value(after, "theke_log_head_position", service="pos", instance=f"i{first}") == heads[first]
    assert value(after, "theke_projection_lag_events", service="pos", projection="receipts") == 0
    for name, labels in (("theke_http_requests_total", {"status": "2xx"}), ("theke_http_seconds_count", {})):
        assert value(answered, name, dialect="dikas", **labels) - value(asked, name, dialect="dikas", **labels) == 1
    await until_shown(http, pos.operations.address, "theke_relay_lag_events", 0, service="pos")
    assert value(after, "theke_bus_connected", service="pos") == 1
    assert value(after, "theke_relay_leader", service="pos") == value(after, "theke_projector_leader", service="pos") == 1


async def test_refusals_and_repeats_are_counted_as_what_they_are(
    theke: Theke, till: Till, shared_inn: Inn, http: aiohttp.ClientSession
) -> None:
    address = theke.hosts["pos"].operations.address
    before = await shown(http, address)
    sold = {"items": [item(shared_inn.menu["Cola"])], "payments": [{"type": 0}]}
    for _ in range(2):
        assert (await till.post("payments/direct-sale", sold, key="observed twice")).status == 201
    after = await shown(http, address)
    grown = {
        outcome: value(after, "theke_append_outcomes_total", service="pos", outcome=outcome)
        - value(before, "theke_append_outcomes_total", service="pos", outcome=outcome)
        for outcome in ("appended", "duplicate", "moved", "taken", "misuse", "closed")
    }
    assert grown["appended"] == 1
    assert sum(grown.values()) <= 2  # the repeat may be met before it comes to an append


async def test_every_metric_that_is_declared_is_shown(theke: Theke, http: aiohttp.ClientSession) -> None:
    pos = theke.hosts["pos"]
    async with asyncio.timeout(WITHIN_S):
        while "theke_postgres_dead_rows" not in (families := {name for name, _ in await shown(http, pos.operations.address)}):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    gateway = {name for name, _ in await shown(http, theke.gateways[0].operations.address)}
    only_while_rebuilding = {"theke_rebuild_folded_events"}
    assert FAMILIES.keys() - only_while_rebuilding <= families | gateway
    declared = {name for collector in REGISTRY._collector_to_names for name in REGISTRY._collector_to_names[collector]}
    counted = {name for name in declared if name.startswith("theke_") and not name.endswith("_created")}
    assert counted <= {f"{name}{end}" for name in families | gateway for end in ("", "_total")} | {
        name.removesuffix(end) for name in families | gateway for end in ("_total", "_count", "_sum", "_bucket")
    }


def heads_of(count: int) -> Any:
    projector = SimpleNamespace(heads=lambda: dict.fromkeys(range(1, count + 1), 7))
    return SimpleNamespace(projector=projector, batcher=SimpleNamespace(queued=0), service=SimpleNamespace(name="pos"))


def test_a_thousand_instances_make_no_thousand_series() -> None:
    shown_families = list(ServiceMeasures(heads_of(1_000))._log())
    by_name = {family.name: family.samples for family in shown_families}
    assert len(by_name["theke_log_head_position"]) == measures.INSTANCES_SHOWN_MAX
    assert [sample.value for sample in by_name["theke_log_events"]] == [7_000]


async def asked(health: Any) -> tuple[int, bytes]:
    answer = await health(None)
    return answer.status, answer.body


async def test_alive_means_that_the_loop_turned_lately() -> None:
    async def ready() -> list[Any]:
        return []

    pulse = Pulse()
    health = Health(pulse, ready)
    assert (await asked(health.healthz))[0] == 200
    pulse._beat -= LIVE_WITHIN_S + 1  # as if the timer had not come since
    status, body = await asked(health.healthz)
    assert status == 503
    assert b'"alive":false' in body
    assert pulse.worst_s() > LIVE_WITHIN_S


def test_what_is_read_after_a_standstill_may_have_lain_there(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    pulse = Pulse()

    def beat_after(seconds: float) -> bool:
        nonlocal now
        now += seconds
        pulse._note(now)
        return pulse.woke_lately

    assert not any(beat_after(BEAT_EVERY_S) for _ in range(3))
    now += 3.0  # it was frozen, and reads before its timer comes
    assert pulse.woke_lately
    assert beat_after(0.0)
    assert beat_after(BEAT_EVERY_S), "it is still at the heap that it found"
    assert not beat_after(BEAT_EVERY_S), f"{WAKING_S} s later it has read what came meanwhile"
    assert not beat_after(BEAT_EVERY_S + STANDSTILL_S / 2), "a little late is not a standstill"


async def test_readiness_is_asked_for_once_however_many_want_to_know() -> None:
    looks = 0

    async def look() -> list[Any]:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0)
        return []

    health = Health(Pulse(), look)
    answers = await asyncio.gather(*(asked(health.readyz) for _ in range(50)))
    assert {status for status, _ in answers} == {200}
    assert looks == 1


async def test_gateway_and_services_say_that_they_are_alive_and_ready(theke: Theke, http: aiohttp.ClientSession) -> None:
    places: Iterable[str] = (
        theke.url,
        theke.gateways[0].operations.address,
        *(host.operations.address for host in theke.hosts.values()),
    )
    for place in places:
        async with http.get(f"{place}/healthz") as answer:
            assert (answer.status, (await answer.json())["alive"]) == (200, True), place
        async with http.get(f"{place}/readyz") as answer:
            assert (answer.status, await answer.json()) == (200, {"ready": True, "waits": []}), place


async def test_measures_are_not_for_the_public(theke: Theke, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{theke.url}/metrics") as answer:
        assert answer.status == 404
    for host in theke.hosts.values():
        assert host.operations.address.startswith("http://127.0.0.1:")


def test_one_exposition_does_not_show_another_ones_gauges() -> None:
    own = Exposition(_Fixed(1.0))
    other = Exposition(_Fixed(2.0))
    assert b'theke_loop_late_seconds{service="x"} 1.0' in own.text()
    assert b'theke_loop_late_seconds{service="x"} 2.0' in other.text()


class _Fixed:
    def __init__(self, late: float) -> None:
        self._late = late

    def collect(self) -> Iterable[Any]:
        yield measures._one("theke_loop_late_seconds", "x", self._late)

    def describe(self) -> Iterable[Any]:
        return []
