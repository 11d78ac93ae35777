"""How far an endpoint is, and what becomes of a delivery over days: real Postgres, a clock of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest

from libs.contracts.auth.webhooks import DELIVERIES_KEPT, GIVEN_UP_AFTER_S
from libs.eventstore.migrate import migrate
from libs.runtime.publishing import CloudEvent
from libs.runtime.secrets import Secrets
from services.auth.webhooks.courier import PAUSES_S, Courier, Stopped
from services.auth.webhooks.endpoints import Endpoint, Start
from services.auth.webhooks.measures import ATTEMPTS
from services.auth.webhooks.places import Attempt, Overtaken, Place, Places
from services.auth.webhooks.sending import Outcome
from tests.conftest import Databases

NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)
SECRET = "whsec_" + "QUJD" * 8
ENDPOINT = Endpoint(
    key="whk_1", url="https://hooks.example/", secret="one", services=("pos", "crm"), starts={"pos": Start(7, 10), "crm": Start(0, 10)},
    version=10, created_at=NOON, changed_at=NOON,
)  # fmt: skip


class Days:
    """A clock on which nothing takes time but waiting."""

    def __init__(self) -> None:
        self.at = NOON
        self.waited: list[float] = []

    def now(self) -> datetime:
        return self.at

    async def until(self, moment: datetime) -> None:
        self.waited.append(max(0.0, (moment - self.at).total_seconds()))
        self.at = max(self.at, moment)


class Scripted:
    """Answers what ``say`` says to the n-th request; whoever is asked once more than that is stopped."""

    def __init__(self, say: Callable[[int], Outcome]) -> None:
        self.say = say
        self.sent: list[tuple[str, Mapping[str, str], bytes]] = []

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        self.sent.append((url, headers, body))
        return self.say(len(self.sent))


class Killed(BaseException):
    """The process is gone."""


def event(position: int) -> CloudEvent:
    return CloudEvent(
        specversion="1.0", id=UUID(int=position), source="theke/pos/i17", type="receipt.issued", subject="receipt-1", time=NOON,
        datacontenttype="application/json", position=position, instance="i17", stream="receipt-1", version=1, schemaversion=1,
        data=msgspec.Raw(b'{"gross":700}'),
    )  # fmt: skip


@pytest.fixture
async def places(databases: Databases) -> AsyncIterator[Places]:
    await migrate(databases.log, "auth")
    secrets = Secrets(databases.log, "auth")
    await secrets.open()
    opened = Places(secrets)
    await opened.open()
    yield opened
    await secrets.close()


def courier(places: Places, post: Scripted, days: Days) -> Courier:
    async def secret(instance: int, name: str) -> str | None:
        return {"one": SECRET}.get(name)

    return Courier(places, post, days, secret, asyncio.Semaphore(1))


OK, NO = Outcome("taken", 200, 3), Outcome("refused", 500, 4)


async def test_an_event_is_sent_until_it_is_taken_with_growing_pauses(places: Places) -> None:
    days, post = Days(), Scripted(lambda n: OK if n == 5 else NO)
    place = await courier(places, post, days).deliver(17, ENDPOINT, await places.begin(17, ENDPOINT), "pos", event(9))
    assert days.waited == list(PAUSES_S[:4])
    assert place.position_of("pos") == 9
    assert place.position_of("crm") == 0
    assert len({headers["webhook-id"] for _, headers, _ in post.sent}) == 1
    assert len({headers["webhook-timestamp"] for _, headers, _ in post.sent}) == 5, "each attempt is signed anew"
    assert place == await places.begin(17, ENDPOINT), "so it is after a restart"
    last = await places.deliveries(17, "whk_1", 10)
    assert [(one.attempt, one.outcome, one.status, one.position) for one in last] == [
        (5, "taken", 200, 9), (4, "refused", 500, 9), (3, "refused", 500, 9), (2, "refused", 500, 9), (1, "refused", 500, 9),
    ]  # fmt: skip


async def test_how_long_an_endpoint_has_failed_is_measured_and_over_when_it_takes(places: Places) -> None:
    seen: list[float] = []

    def answer(n: int) -> Outcome:
        seen.append(one.failing_s())
        return OK if n == 4 else NO

    days, post = Days(), Scripted(answer)
    one = courier(places, post, days)
    refused = ATTEMPTS.labels("refused")._value.get()
    await one.deliver(17, ENDPOINT, await places.begin(17, ENDPOINT), "pos", event(9))
    assert seen == [0, PAUSES_S[0], sum(PAUSES_S[:2]), sum(PAUSES_S[:3])]
    assert one.failing_s() == 0
    assert ATTEMPTS.labels("refused")._value.get() - refused == 3


async def test_after_72_hours_of_failures_it_is_over(places: Places) -> None:
    days, post = Days(), Scripted(lambda _: NO)
    one = courier(places, post, days)
    with pytest.raises(Stopped) as stopped:
        await one.deliver(17, ENDPOINT, await places.begin(17, ENDPOINT), "pos", event(9))
    assert one.failing_s() == GIVEN_UP_AFTER_S
    one.forget(17, ENDPOINT.key)
    assert one.failing_s() == 0
    assert stopped.value.reason == "failing"
    assert days.at - NOON == timedelta(seconds=GIVEN_UP_AFTER_S)
    assert sum(days.waited) == GIVEN_UP_AFTER_S
    assert len(post.sent) == len(days.waited) + 1, "the last attempt is made when the time is over"


async def test_hours_of_failures_count_across_restarts(places: Places) -> None:
    """Whoever is started anew every few attempts neither begins again nor hurries."""
    days, attempts = Days(), 0
    for _ in range(50):

        def die_after_three(n: int) -> Outcome:
            if n > 3:
                raise Killed
            return NO

        post = Scripted(die_after_three)
        try:
            await courier(places, post, days).deliver(17, ENDPOINT, await places.begin(17, ENDPOINT), "pos", event(9))
        except Killed:
            attempts += 3
        except Stopped:
            break
    assert days.at - NOON == timedelta(seconds=GIVEN_UP_AFTER_S)
    assert [wait for wait in days.waited if wait][: len(PAUSES_S)] == list(PAUSES_S)


async def test_410_ends_it_at_once(places: Places) -> None:
    days, post = Days(), Scripted(lambda _: Outcome("gone", 410))
    with pytest.raises(Stopped) as stopped:
        await courier(places, post, days).deliver(17, ENDPOINT, await places.begin(17, ENDPOINT), "pos", event(9))
    assert (stopped.value.reason, len(post.sent), days.waited) == ("gone", 1, [])
    assert (await places.begin(17, ENDPOINT)).position_of("pos") == 7, "it was not taken: whoever comes back gets it"


async def test_a_changed_endpoint_is_tried_at_once_and_keeps_its_place(places: Places) -> None:
    days, post = Days(), Scripted(lambda n: OK if n == 1 else NO)
    one = courier(places, post, days)
    place = await one.deliver(17, ENDPOINT, await places.begin(17, ENDPOINT), "pos", event(9))
    with pytest.raises(Stopped):
        await one.deliver(17, ENDPOINT, place, "pos", event(11))
    again = await places.begin(17, msgspec.structs.replace(ENDPOINT, version=20))
    assert (again.failures, again.failing_since, again.next_attempt, again.position_of("pos")) == (0, None, None, 9)
    replayed = msgspec.structs.replace(ENDPOINT, version=30, starts={"pos": Start(2, 30), "crm": Start(0, 10)})
    assert (await places.begin(17, replayed)).position_of("pos") == 2
    assert (await places.begin(17, replayed)).position_of("pos") == 2


async def test_who_was_overtaken_moves_nothing(places: Places) -> None:
    """A process that slept while another one took over: it may have sent an event again, and no more than that."""
    asleep = await places.begin(17, ENDPOINT)
    awake = await places.begin(17, ENDPOINT)
    days, post = Days(), Scripted(lambda _: OK)
    now = courier(places, post, days)
    for position in (8, 9):
        awake = await now.deliver(17, ENDPOINT, awake, "pos", event(position))
    with pytest.raises(Overtaken):
        await now.deliver(17, ENDPOINT, asleep, "pos", event(8))
    with pytest.raises(Overtaken):
        await places.pass_over(17, "whk_1", asleep.passed("pos", 8))
    assert (await places.begin(17, ENDPOINT)).position_of("pos") == 9
    assert [one.position for one in await places.deliveries(17, "whk_1", 10)] == [9, 8]


async def test_only_the_last_attempts_are_kept(places: Places) -> None:
    place = await places.begin(17, ENDPOINT)
    other = await places.begin(18, ENDPOINT)
    for position in range(8, 8 + DELIVERIES_KEPT + 5):
        attempt = Attempt(
            at=NOON, service="pos", position=position, event=UUID(int=position), type="receipt.issued", attempt=1, status=200,
            outcome="taken", milliseconds=1,
        )  # fmt: skip
        place = await places.move(17, "whk_1", place.moved("pos", position), attempt)
    kept = await places.deliveries(17, "whk_1", 10 * DELIVERIES_KEPT)
    assert [one.position for one in kept] == list(range(8 + DELIVERIES_KEPT + 4, 12, -1))
    assert await places.deliveries(18, "whk_1", 10) == []
    assert other.position_of("pos") == 7
    assert await places.all_of(18) == {"whk_1": other}


async def test_what_is_forgotten_is_gone_and_cannot_be_moved(places: Places) -> None:
    place: Place = await places.begin(17, ENDPOINT)
    kept = await places.begin(18, ENDPOINT)
    assert await places.known() == {(17, "whk_1"), (18, "whk_1")}
    await places.forget(17, "whk_1")
    assert await places.known() == {(18, "whk_1")}
    with pytest.raises(Overtaken):
        await courier(places, Scripted(lambda _: OK), Days()).deliver(17, ENDPOINT, place, "pos", event(9))
    assert await places.deliveries(17, "whk_1", 10) == []
    assert await places.begin(18, ENDPOINT) == kept
