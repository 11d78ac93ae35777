"""What an instance published, over HTTP: whole, in order, from any place, for those who may, and nothing of anybody else."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from libs.bus import subjects
from libs.contracts.auth.rights import DOWNSTREAM
from libs.contracts.pos.records import TABLE
from libs.domain.errors import DomainError
from libs.domain.principal import Principal
from libs.projections.skips import ProjectionSkipped, Skip, Skipped
from libs.runtime.asking import Services
from libs.runtime.log_reading import LogRequest
from libs.runtime.published import published_types
from services.gateway import limits
from services.gateway.dikas import events
from services.gateway.dikas.events import BATCH, Waiting
from tests.contract import fits
from tests.house import Answer, Inn, Theke, Till, checked, fields_named, item, refused

SOON_S = 10.0


@dataclass(frozen=True)
class Batch:
    events: list[dict[str, Any]]
    next_after: int
    head: int
    link: str

    @property
    def positions(self) -> list[int]:
        return [event["position"] for event in self.events]

    @property
    def types(self) -> set[str]:
        return {event["type"] for event in self.events}


async def batch(till: Till, token: str | None = None, **params: Any) -> Batch:
    headers = {"Authorization": f"Bearer {till.token if token is None else token}"}
    async with till.http.get("/api/v1/events", params={"service": "pos", **params}, headers=headers) as answer:
        fits("GET", "/api/v1/events", answer.status, answer.headers, None)
        assert answer.status == 200, await answer.text()
        assert answer.content_type == BATCH
        link = answer.headers["Link"]
        assert link.endswith('; rel="next"')
        found = json.loads(await answer.read())
        return Batch(found, int(answer.headers["Theke-Next-After"]), int(answer.headers["Theke-Log-Head"]), link[1:].partition(">")[0])


async def refusal(till: Till, **params: Any) -> Answer:
    headers = {"Authorization": f"Bearer {till.token}", "Accept-Language": "en"}
    async with till.http.get("/api/v1/events", params=params, headers=headers) as answer:
        fits("GET", "/api/v1/events", answer.status, answer.headers, None)
        return checked(answer.status, answer.headers, await answer.read())


async def logged(inn: Inn, service: str = "pos") -> list[dict[str, Any]]:
    """The whole log, as Theke itself reads it."""
    found: list[dict[str, Any]] = []
    async for piece in inn.theke.services.log(service, LogRequest(inn.instance, 0, 100_000)):
        found += [{"position": event.position, "type": event.type, "id": str(event.id)} for event in piece]
    return found


async def skip(inn: Inn) -> int:
    """Writes an event that is nobody's business into the log of pos."""
    body = Skip(projection="tables", revision=100 + len(await logged(inn)), position=1)
    principal = inn.provisioning.principal
    answer, _ = await inn.theke.services.command("pos", "projection.skip", body, Skipped, principal=principal)
    return answer.position


@pytest.fixture(scope="module")
async def evening(shared_inn: Inn, till: Till) -> Inn:
    """Something happened, and in the middle of it something that stays inside."""
    await till.sell(item(shared_inn.menu["Cola"], 2))
    await skip(shared_inn)
    await till.sell(item(shared_inn.menu["Pils"]))
    return shared_inn


async def test_everything_that_was_published_comes_in_order(evening: Inn, till: Till) -> None:
    log = await logged(evening)
    whole = await batch(till, limit=limits.EVENTS_MAX)
    assert [event["id"] for event in whole.events] == [one["id"] for one in log if one["type"] != ProjectionSkipped.TYPE]
    assert whole.next_after == whole.head == len(log)
    sold = next(event for event in whole.events if event["type"] == "receipt.issued")
    assert (sold["specversion"], sold["instance"], sold["data"]["gross"]) == ("1.0", f"i{evening.instance}", 700)


async def test_pieces_put_together_are_the_whole(evening: Inn, till: Till) -> None:
    whole = await batch(till, limit=limits.EVENTS_MAX)
    found: list[int] = []
    after = 0
    while True:
        piece = await batch(till, after=after, limit=3)
        assert len(piece.events) <= 3
        found += piece.positions
        assert piece.next_after > after or not piece.events
        if piece.next_after == after:
            break
        after = piece.next_after
    assert found == whole.positions
    assert after == whole.head


async def test_the_link_asks_on(evening: Inn, till: Till) -> None:
    first = await batch(till, limit=2, types="table.created,receipt.issued")
    assert first.link == f"/api/v1/events?service=pos&types=table.created,receipt.issued&limit=2&after={first.next_after}"
    async with till.http.get(first.link, headers={"Authorization": f"Bearer {till.token}"}) as answer:
        assert [one["type"] for one in json.loads(await answer.read())] == ["table.created", "receipt.issued"]


async def test_some_types_alone_and_the_place_goes_on_all_the_same(evening: Inn, till: Till) -> None:
    receipts = await batch(till, types="receipt.issued")
    assert receipts.types == {"receipt.issued"}
    assert len(receipts.events) == 2
    assert receipts.next_after == receipts.head
    none = await batch(till, types="z_report.issued")
    assert (none.events, none.next_after) == ([], none.head)


@pytest.mark.parametrize("service", events.SERVICES)
async def test_nothing_internal_is_ever_shown(evening: Inn, till: Till, service: str) -> None:
    types = {one["type"] for one in await logged(evening, service)}
    shown = await batch(till, service=service, limit=limits.EVENTS_MAX)
    assert shown.types == types & published_types(service)
    assert (ProjectionSkipped.TYPE in types) is (service == "pos")
    answer = await refusal(till, service=service, types=f"projection.skipped,{min(published_types(service))}")
    assert fields_named(answer) == {"types"}


async def test_a_batch_is_bounded_in_bytes_and_one_event_always_fits(evening: Inn, till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EVENTS_MAX_BYTES", 1)
    first = await batch(till, limit=10)
    assert len(first.events) == 1
    assert first.next_after == first.positions[0] < first.head
    second = await batch(till, after=first.next_after, limit=10)
    assert second.positions[0] > first.positions[0]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "service"),
        ({"service": "kitchen"}, "service"),
        ({"service": "pos", "after": "-1"}, "after"),
        ({"service": "pos", "after": "1e3"}, "after"),
        ({"service": "pos", "limit": "0"}, "limit"),
        ({"service": "pos", "limit": str(limits.EVENTS_MAX + 1)}, "limit"),
        ({"service": "pos", "wait": str(limits.EVENTS_WAIT_MAX_S + 1)}, "wait"),
        ({"service": "pos", "types": "user.created"}, "types"),
        ({"service": "pos", "types": ",".join(sorted(published_types("crm"))[: limits.EVENT_TYPES_MAX + 1])}, "types"),
    ],
)
async def test_what_cannot_be_asked(till: Till, params: dict[str, str], field: str) -> None:
    assert fields_named(await refusal(till, **params)) == {field}


async def test_a_position_behind_the_end_is_no_place(evening: Inn, till: Till) -> None:
    end = (await batch(till)).head
    assert (await batch(till, after=end)).events == []
    refused(await refusal(till, service="pos", after=str(end + 1)), 410, f"The log ends at {end}; nothing comes after {end + 1}")


# --- waiting ------------------------------------------------------------------------------------------------------------------


async def waiting_clients(count: int) -> None:
    while True:
        if Waiting.now == count:
            return
        await asyncio.sleep(0.01)


async def test_who_waits_gets_the_next_event_at_once(inn: Inn) -> None:
    till = await inn.till()
    end = (await batch(till)).head
    waiting = asyncio.create_task(batch(till, after=end, wait=limits.EVENTS_WAIT_MAX_S, types="receipt.issued"))
    async with asyncio.timeout(SOON_S):
        await waiting_clients(1)
        await skip(inn)  # wakes nobody
        await inn.provisioning.create(TABLE, "t70", {"number": 70})  # published, of another type
        assert not waiting.done()
        receipt = await till.sell(item(inn.menu["Cola"]))
        found = await waiting
    assert [event["data"]["receipt"] for event in found.events] == [receipt["id"]]
    assert found.next_after >= found.positions[0]
    assert not Waiting.now


async def test_waiting_ends_when_its_time_is_over(inn: Inn) -> None:
    till = await inn.till()
    end = (await batch(till)).head
    async with asyncio.timeout(SOON_S):
        none = await batch(till, after=end, wait=1)
    assert (none.events, none.next_after) == ([], end)


async def test_a_hint_that_gets_lost_is_made_up_for(inn: Inn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EVENTS_LOOK_EVERY_S", 0.1)
    published = Services.published

    def deaf(self: Services, service: str, instance: int) -> Any:
        return published(self, service, instance + 1)

    monkeypatch.setattr(Services, "published", deaf)
    till = await inn.till()
    end = (await batch(till)).head
    waiting = asyncio.create_task(batch(till, after=end, wait=limits.EVENTS_WAIT_MAX_S))
    async with asyncio.timeout(SOON_S):
        await waiting_clients(1)
        await till.sell(item(inn.menu["Cola"]))
        assert (await waiting).events


async def test_too_many_that_wait_are_sent_away_for_a_moment(inn: Inn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EVENTS_WAITING_MAX", 0)
    till = await inn.till()
    end = (await batch(till)).head
    answer = await refusal(till, service="pos", after=str(end), wait="5")
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) >= 1


async def test_who_leaves_waits_no_longer(inn: Inn) -> None:
    till = await inn.till()
    end = (await batch(till)).head
    waiting = asyncio.create_task(batch(till, after=end, wait=limits.EVENTS_WAIT_MAX_S))
    async with asyncio.timeout(SOON_S):
        await waiting_clients(1)
        waiting.cancel()
        await waiting_clients(0)


# --- who may ------------------------------------------------------------------------------------------------------------------


async def test_only_an_administrator_reads_events(evening: Inn, till: Till) -> None:
    for role in ("Manager", "Cashier", "Waiter"):
        other = await evening.till(role, user=f"reads-{role}")
        refused(await refusal(other, service="pos"), 403, "The right 'auth.downstream' is missing")
        refused(await refusal(other, service="pos", after="999999"), 403)  # nor where the log ends


async def test_another_instance_sees_its_own_log_and_nothing_else(theke: Theke, evening: Inn, till: Till, inn: Inn) -> None:
    stranger = await inn.till()
    own, foreign = await batch(stranger, limit=limits.EVENTS_MAX), await batch(till, limit=limits.EVENTS_MAX)
    assert {event["instance"] for event in own.events} == {f"i{inn.instance}"}
    assert {event["instance"] for event in foreign.events} == {f"i{evening.instance}"}
    assert not {event["id"] for event in own.events} & {event["id"] for event in foreign.events}
    headers = {"Authorization": f"Bearer {stranger.token}", "Theke-Instance": evening.name}
    async with till.http.get("/api/v1/events", params={"service": "pos"}, headers=headers) as answer:
        assert answer.status == 401


async def test_the_service_itself_looks_who_asks(theke: Theke, evening: Inn, inn: Inn) -> None:
    stranger = Principal(inn.instance, "usr_1", permissions={DOWNSTREAM: False})
    wanted = LogRequest(evening.instance, 0, 1_000)
    with pytest.raises(DomainError, match="foreign_principal"):
        await anext(theke.services.log("pos", wanted, principal=stranger))
    lied = theke.services._client.stream(  # says that it asks for its own, and names another in what it asks
        subjects.query("pos", "log"), msgspec.msgpack.encode(wanted), instance=inn.instance, principal=msgspec.msgpack.encode(stranger),
        deadline=SOON_S, trace="",
    )  # fmt: skip
    lines = b"".join([piece async for piece in lied]).split()
    assert {json.loads(line)["instance"] for line in lines} == {f"i{inn.instance}"}


async def test_the_service_shows_nothing_internal_to_whoever_asks_it_straight(theke: Theke, evening: Inn) -> None:
    asking = Principal(evening.instance, "usr_1", permissions={DOWNSTREAM: False})
    for types in ((), (ProjectionSkipped.TYPE,), (ProjectionSkipped.TYPE, "receipt.issued")):
        async for piece in theke.services.log("pos", LogRequest(evening.instance, 0, 1_000, types=types), principal=asking):
            assert ProjectionSkipped.TYPE not in {event.type for event in piece}
            assert types != (ProjectionSkipped.TYPE,)


async def test_the_document_of_what_is_published_is_served_to_everybody(theke: Theke, till: Till) -> None:
    async with till.http.get("/asyncapi.json") as answer:
        assert answer.status == 200
        document = await answer.json()
    assert document["asyncapi"] == "3.0.0"
    assert "evt.pos.{instance}.receipt.issued" in {channel["address"] for channel in document["channels"].values()}
