"""What services do by themselves: how far it is, what stops it, and trying it again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from libs.bus.live import Live
from libs.cli.diagnosis import wrong
from libs.cli.log import begin, contradictions
from libs.cli.places import Unknown
from libs.cli.processes import Listed, Standing, processes, render, retried
from libs.cli.status import _services
from libs.runtime.hearing import Heard, Hearing
from libs.runtime.processes import Process, Processes, Retry
from libs.runtime.proof import Places
from libs.runtime.publishing import CloudEvent
from tests.house import Inn, Theke, item
from tests.lost_tail import dump, relay_is, restore

PATIENCE_S = 60.0  # whoever begins to hear asks for every instance of the house in turn
LOOK_EVERY_S = 0.02


class Books:
    """A process of auth that hears pos, for one inn. ``trouble``: what stops it."""

    def __init__(self, theke: Theke, inn: Inn, name: str) -> None:
        self.theke, self.inn, self.name = theke, inn, f"auth.{name}"
        self.trouble: Exception | None = None
        self.place = Heard()
        self.heard: list[tuple[str, int]] = []
        self.hearing = Hearing(theke.hosts["auth"], name, ["pos"], self.known, self.write)

    async def known(self, instance: int, _: str) -> Heard:
        return self.place if instance == self.inn.instance else Heard(2**60)

    async def write(self, instance: int, _: str, life: str, events: Sequence[CloudEvent]) -> None:
        if instance != self.inn.instance:
            return
        if self.trouble is not None:
            raise self.trouble
        self.heard += [(life, event.position) for event in events]
        self.place = Heard(events[-1].position, life)

    async def stands(self) -> Standing | None:
        places = (await processes(self.theke.services)).places
        return next((one for one in places if (one.process, one.instance) == (self.name, self.inn.instance)), None)


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await look():  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY_S)


async def test_what_is_stopped_is_shown_with_since_when_and_why_and_tried_again_at_once(theke: Theke, inn: Inn) -> None:
    books, till = Books(theke, inn, "books"), await inn.till()
    await books.hearing.start()
    await till.sell(item(inn.menu["Pils"]))
    head = (await theke.hosts["pos"].log.heads())[inn.instance]

    async def at_the_head() -> bool:
        stands = await books.stands()
        return stands is not None and (stands.position, stands.lag, stands.stopped_since) == (head, 0, None)

    await until(at_the_head)
    books.trouble = RuntimeError("the ledger is full")
    await till.sell(item(inn.menu["Pils"]))

    async def is_stopped() -> bool:
        stands = await books.stands()
        return stands is not None and stands.stopped_since is not None

    await until(is_stopped)
    stands = await books.stands()
    assert stands is not None
    assert (stands.position, stands.source, stands.why) == (head, "pos", "the ledger is full")
    assert stands.lag > 0
    text = render(await processes(theke.services), everything=False)
    assert "the ledger is full" in text
    assert "auth.books" in text
    trouble = [one for one in wrong([], await _services(theke.settings.nats_url)) if "the ledger is full" in one.what]
    assert [one.next.split("`")[1] for one in trouble] == ["theke processes retry auth.books"]

    connection = theke._connection  # an operator's
    [left] = await retried(theke.services, Live(connection), "auth.books", inn.instance)
    assert (left.stopped_since, left.tries) == (stands.stopped_since, stands.tries + 1), "stopped since the first time"
    books.trouble = None
    assert await retried(theke.services, Live(connection), "books") == []
    assert [position for _, position in books.heard] == list(range(1, (await theke.hosts["pos"].log.heads())[inn.instance] + 1))
    with pytest.raises(Unknown, match=r"no process: .*crm\.monitor"):
        await retried(theke.services, Live(connection), "auth.cakes")


async def test_who_hears_a_log_that_began_a_new_life_goes_on_where_it_began(theke: Theke, inn: Inn, tmp_path: Path) -> None:
    books, till = Books(theke, inn, "ledger"), await inn.till()
    places = Places(theke.log_dsn, theke.read_dsn, theke.settings.nats_url)
    await books.hearing.start()
    await till.sell(item(inn.menu["Pils"]))
    await relay_is(theke, inn.instance, "copying")
    dumped = await dump(theke, inn.instance)
    behind = len(dumped["events"])
    for _ in range(5):
        await till.sell(item(inn.menu["Pils"]))
    head = (await theke.hosts["pos"].log.heads())[inn.instance]

    async def heard_all() -> bool:
        return books.place == Heard(head)

    await until(heard_all)
    await relay_is(theke, inn.instance, "copying")
    await restore(theke, inn.instance, dumped)
    await relay_is(theke, inn.instance, "ahead")
    [begun] = await begin(places, await contradictions(places, ["pos"], inn.instance), tmp_path)
    await till.sell(item(inn.menu["Pils"]))
    shorter = (await theke.hosts["pos"].log.heads())[inn.instance]
    assert shorter < head

    async def heard_the_new() -> bool:
        return books.place == Heard(shorter, begun.life)

    await until(heard_the_new)
    assert books.heard == [("", one) for one in range(1, head + 1)] + [(begun.life, one) for one in range(behind + 1, shorter + 1)]


async def test_what_is_stopped_comes_first_and_what_goes_on_is_forgotten() -> None:
    processes_, again = Processes(), asyncio.Event()
    work = processes_.add(Process("work", lambda instance: again.set() if instance in (None, 7) else None))
    work.reached(7, "pos", 12)
    work.stopped(8, "full", "pos")
    work.stopped(8, "still full", "pos")
    work.stopped(9, "x" * 1_000)
    work.reached(9)
    told = processes_.told()
    assert [(feed.instance, feed.position, feed.why, feed.tries) for feed in told.feeds] == [(8, 0, "still full", 2), (7, 12, "", 0)]
    processes_.retry(Retry("other"))
    processes_.retry(Retry("work", 8))
    assert not again.is_set()
    processes_.retry(Retry("", 7))
    assert again.is_set()
    await asyncio.wait_for(work.rest(3600), 1)
    assert render(Listed([], {}, {"pos": "no_responders"}), everything=True).splitlines()[1] == "pos does not answer: no_responders"
