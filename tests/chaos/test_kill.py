"""kill -9 in the middle of an evening. No test relies on hitting a moment: whatever was hit, the same things must hold afterwards."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
import signal
from collections.abc import Iterator

import pytest
from yarl import URL

from tests.chaos.check import check
from tests.chaos.faults import PROCESSES, frozen, killed, prober
from tests.chaos.house import House
from tests.chaos.ledger import Ledger
from tests.chaos.tills import STAFF, Counter, Till, load

SEED = 20_260_301
TILLS = 8
BETWEEN_KILLS_S = 0.5
FROZEN_S = 3.0
STOP_PROMISED_S = 5.0
ANSWERS_LOST = 24
SENDING_PAUSE_S = 0.002
CLOSES_KILLED = 4
CLOSE_TAKES_S = 0.05
UPLOADED = 500
UPLOAD_TAKES_S = 1.0
HUNG_UP = 20
STANDSTILL_S = 1.0


@pytest.fixture(scope="module")
def built() -> Iterator[House]:
    house = House.on_new_ground()
    yield house
    house.demolish()


async def test_an_order_asked_for_again_while_its_lines_are_open_is_answered_again(house: House, ledger: Ledger, tills: Counter) -> None:
    till = Till(tills, STAFF[0], "again", random.Random(1))
    first = await till.order(tills.tables[0], key="again")
    second = await till.order(tills.tables[0], key="again")
    assert first is not None
    assert first == second
    await till.pay(tills.tables[0])
    await check(house, ledger)


async def test_a_line_that_others_paid_before_the_table_was_taken_again_is_gone(house: House, ledger: Ledger, tills: Counter) -> None:
    """What chance brought about once in many runs: paid by another till, all of it, and then somebody ordered at that table again."""
    first, second = (Till(tills, STAFF[0], name, random.Random(1)) for name in ("late", "early"))
    table = tills.tables[0]
    ordered = await first.order(table)
    assert ordered is not None
    assert await second.pay(table) is not None
    again = await second.order(table)
    assert again is not None
    late, open_ = ([{"id": promise.data["items"][0]["id"], "quantity": 1}] for promise in (ordered, again))
    assert await first.pay(table, late) is None
    assert [gone.line for gone in ledger.gone.values()] == [late[0]["id"]]
    await check(house, ledger)
    forged = dataclasses.replace(next(iter(ledger.gone.values())), line=open_[0]["id"])
    with pytest.raises(AssertionError, match="was called not open"):
        await check(house, dataclasses.replace(ledger, gone={"forged": forged}))
    await second.pay(table)


async def test_every_process_killed_in_turn_under_load_loses_no_receipt_and_makes_none_twice(
    house: House, ledger: Ledger, tills: Counter
) -> None:
    victims = random.Random(SEED).sample(PROCESSES, len(PROCESSES))
    probe = prober(tills, "kill")
    async with load(tills, "kill", tills=TILLS, seed=SEED):
        for victim in victims:
            await asyncio.sleep(BETWEEN_KILLS_S)
            await killed(house, victim, probe)
    await check(house, ledger)


async def test_what_was_answered_is_still_read_after_postgres_lost_the_last_rows_of_the_tables(
    house: House, ledger: Ledger, tills: Counter
) -> None:
    """Query tables are written without waiting for the disk: a crash may take back what readers have already seen."""
    sellers = [Till(tills, STAFF[0], f"crash-{number}", random.Random(number)) for number in range(ANSWERS_LOST)]
    promises = await asyncio.gather(*(till.sell() for till in sellers))
    restarts = await house.kill("postgres")
    for till, promise in zip(sellers, promises, strict=True):
        assert promise is not None
        assert await till.read(f"receipts/{promise.id}") == promise.data
    await house.returned("postgres", restarts)
    assert await prober(tills, "after the crash").sell() is not None
    await check(house, ledger)


@pytest.mark.parametrize("victim", ["gateway", "pos"])
async def test_answers_lost_at_any_step_make_one_sale_each_after_the_retry(
    house: House, ledger: Ledger, tills: Counter, victim: str
) -> None:
    """Sales are sent one every two milliseconds and the victim dies amid them, so that each is caught at another step."""
    before = len(ledger.receipts)
    sales = []
    for number in range(ANSWERS_LOST):
        till = Till(tills, STAFF[number % len(STAFF)], f"lost-{victim}-{number}", random.Random(number))
        sales.append(asyncio.create_task(till.sell()))
        await asyncio.sleep(SENDING_PAUSE_S)
        if number == ANSWERS_LOST // 2:
            restarts = await house.kill(victim)
    promises = await asyncio.gather(*sales)
    await house.returned(victim, restarts)
    assert len({promise.id for promise in promises if promise is not None}) == ANSWERS_LOST
    assert len(ledger.receipts) == before + ANSWERS_LOST
    await check(house, ledger)


async def test_a_till_service_frozen_for_seconds_answers_everybody_once_when_it_wakes(house: House, ledger: Ledger, tills: Counter) -> None:
    async with load(tills, "frozen", tills=TILLS, seed=SEED):
        await asyncio.sleep(BETWEEN_KILLS_S)
        await frozen(house, "pos", FROZEN_S)
    await check(house, ledger)


async def test_requests_whose_tills_hung_up_while_the_gateway_was_frozen_are_not_done(house: House, ledger: Ledger, tills: Counter) -> None:
    """They may have asked another gateway since, and been told that it is not possible. The check finds receipts promised to nobody."""
    url = URL(house.url)
    body = json.dumps({"items": [{"articleId": tills.articles[0], "quantity": 1}], "payments": [{"type": 0}]})
    pid = await house.pid("gateway")
    house.signal(pid, signal.SIGSTOP)
    try:
        for number in range(HUNG_UP):
            _, wire = await asyncio.open_connection(url.host, url.port)
            wire.write(
                f"POST /api/v1/payments/direct-sale HTTP/1.1\r\nHost: {url.host}\r\nAuthorization: Bearer {tills.tokens[STAFF[0]]}\r\n"
                f"Idempotency-Key: hung-up-{number}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            await wire.drain()
            wire.close()
        await asyncio.sleep(STANDSTILL_S)
    finally:
        house.signal(pid, signal.SIGCONT)
    assert await prober(tills, "awake").sell() is not None
    await check(house, ledger)


async def test_ctrl_c_under_load_stops_within_five_seconds_and_the_next_start_goes_on_with_the_next_number(
    house: House, ledger: Ledger, tills: Counter
) -> None:
    async with load(tills, "evening", tills=TILLS, seed=SEED):
        await asyncio.sleep(BETWEEN_KILLS_S)
        stopped_in = await house.close()
        await house.open()
    assert stopped_in <= STOP_PROMISED_S
    last = max(promise.data["number"] for promise in ledger.receipts.values())
    next_sale = await prober(tills, "morning").sell()
    assert next_sale is not None
    assert next_sale.data["number"] == last + 1
    await check(house, ledger)


async def test_a_day_that_was_being_closed_when_it_died_is_closed_once(house: House, ledger: Ledger, tills: Counter) -> None:
    """pos dies at some moment between the fence and the report, or before, or after: the repeat finishes it."""
    dice = random.Random(SEED)
    till = prober(tills, "closing")
    for _ in range(CLOSES_KILLED):
        await till.sync(40)
        closing = asyncio.create_task(till.close_day())
        await asyncio.sleep(dice.uniform(0.0, CLOSE_TAKES_S))
        before = await house.kill("pos")
        await closing
        await house.returned("pos", before)
    assert len([key for key in ledger.reports if key.startswith("closing-")]) == CLOSES_KILLED
    await check(house, ledger)


async def test_an_upload_that_was_cut_off_counts_once(house: House, ledger: Ledger, tills: Counter) -> None:
    """The gateway dies in the middle of an upload; the till sends all of it again."""
    before = len(ledger.receipts)
    uploading = asyncio.create_task(prober(tills, "van").sync(UPLOADED))
    await asyncio.sleep(UPLOAD_TAKES_S / 2)
    restarts = await house.kill("gateway")
    await uploading
    await house.returned("gateway", restarts)
    assert len(ledger.receipts) == before + UPLOADED
    await check(house, ledger)


async def test_the_check_finds_a_receipt_that_only_a_till_knows(house: House, ledger: Ledger, tills: Counter) -> None:
    promise = await prober(tills, "forger").sell()
    assert promise is not None
    forged = dataclasses.replace(ledger, receipts={**ledger.receipts, "forged": promise})
    with pytest.raises(AssertionError, match="acknowledged but not in the log"):
        await check(house, forged)


async def test_the_check_knows_of_refunds_shifts_and_days(house: House, ledger: Ledger) -> None:
    """They did happen under all those faults, and one that nobody was promised is found."""
    assert [promise for promise in ledger.receipts.values() if promise.data["refundedReceiptId"] is not None]
    for name in ("shifts", "reports"):
        promises = getattr(ledger, name)
        assert len(promises) > 1
        with pytest.raises(AssertionError, match=r"rows too many"):
            await check(house, dataclasses.replace(ledger, **{name: dict(list(promises.items())[1:])}))
