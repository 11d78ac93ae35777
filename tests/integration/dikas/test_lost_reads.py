"""The log's database goes away for a moment, at every place where a request reads it: no answer is an internal error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, Final
from uuid import uuid4

import pytest

from libs.domain.principal import system
from libs.eventstore.leases import BLOCK
from libs.eventstore.log import BUSY, LOST, Log, LogUnreachable
from libs.records.numbered import Create, Written
from libs.runtime import logs
from tests.house import Answer, Inn, Theke, Till, cash, done, item

READS_MAX: Final = 40  # of one request, far more than any does

Ask = Callable[[Till], Awaitable[Answer]]


class Flaky:
    """The reads that requests make of any log; the one whose turn it is fails, once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._left = 0
        self._ask = Log.ask
        monkeypatch.setattr(Log, "ask", self._flaky())

    def _flaky(self) -> Any:
        async def ask(log: Log, *arguments: Any) -> Any:
            if logs.trace_id.get() and self._left > 0:
                self._left -= 1
                if not self._left:
                    raise LogUnreachable("gone for a moment")
            return await self._ask(log, *arguments)

        return ask

    def fail_at(self, read: int) -> None:
        self._left = read

    @property
    def failed(self) -> bool:
        return not self._left


async def settle(till: Till) -> Answer:
    shift = done(await till.post("shifts", {"openingFloat": 100}), 201)
    return await till.post(f"shifts/{shift['id']}/settle", {"countedCash": 100})


ASKED: Final[dict[str, Ask]] = {
    "day-close": lambda till: till.post("day-close"),
    "x-report": lambda till: till.get("day-close/x-report"),
    "settle": settle,
    "webhooks": lambda till: till.get("webhooks"),
    "webhook": lambda till: till.post("webhooks", {"url": "http://127.0.0.1:9/hook"}),
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
async def test_a_request_that_lost_the_log_in_any_of_its_reads_is_repeated_and_done(
    inn: Inn, asked: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day's close that counted its receipts in the moment when Postgres died was told of an internal error."""
    till = await inn.till()
    flaky = Flaky(monkeypatch)
    for read in count(1):
        await till.sell(item(inn.menu["Cola"]), paid=[cash("3.50")])
        flaky.fail_at(read)
        answer = await asked(till)
        assert answer.status in (200, 201), f"read {read}: {answer}"
        if not flaky.failed:  # it made fewer reads than that
            break
    assert 1 < read < READS_MAX


async def test_an_id_that_cannot_be_drawn_for_a_moment_is_drawn_a_moment_later(
    theke: Theke, shared_inn: Inn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are leased in blocks, so that most creates read nothing."""
    flaky, who, failed = Flaky(monkeypatch), system(shared_inn.instance, "test"), 0
    for number in range(BLOCK + 1):
        flaky.fail_at(1)
        asked = Create(values={"name": f"note {number}"})
        with logs.traced(logs.new_trace()):
            written, _ = await theke.services.command("crm", "note.create", asked, Written, principal=who, id=uuid4())
        failed += flaky.failed
        assert written.id
    assert failed


@pytest.mark.parametrize("error", [*LOST, *BUSY], ids=lambda error: error.__name__)
async def test_whatever_the_driver_says_of_a_lost_connection_is_told_as_one_refusal(
    theke: Theke, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = theke.hosts["pos"].log

    async def lost(*_: Any) -> Any:
        raise error("gone")

    monkeypatch.setattr(log._readers, "fetch", lost)
    with pytest.raises(LogUnreachable) as refused:
        await log.heads()
    assert (refused.value.kind, refused.value.reason) == ("unavailable", "log_unreachable")
