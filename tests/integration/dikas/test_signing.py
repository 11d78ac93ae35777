"""Receipts that await a signature: exactly one end for each, whatever the signer does, and no sale is lost over it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.contracts.pos.house import ChangeSettings, HouseSettings
from libs.contracts.pos.signing import Signature
from libs.domain.principal import system
from services.pos import signing
from services.pos.service import SIGNERS
from services.pos.signing import Process, Signings, Unsigned
from tests.house import Inn, Theke, Till, card, cash, done, item


class Simulator:
    """A security module in memory: one transaction per process, whoever asks and how often. ``before`` runs first, and may fail."""

    def __init__(self) -> None:
        self.signed: dict[str, Signature] = {}
        self.asked: list[Process] = []
        self.busy = 0
        self.several = False  # processes of pos, each of which asks on its own
        self.before: Callable[[Process], Any] = lambda _: asyncio.sleep(0)

    async def sign(self, process: Process) -> Signature:
        self.asked.append(process)
        self.busy += 1
        assert self.busy == 1 or self.several, "one process at a time"
        try:
            await self.before(process)
        finally:
            self.busy -= 1
        return self.signed.setdefault(process.id, self._signature(process))

    def _signature(self, process: Process) -> Signature:
        number = len(self.signed) + 1
        return Signature(
            client=process.client,
            process_type=process.type,
            process_data=process.content,
            transaction=number,
            counter=2 * number,
            serial="ab" * 32,
            started=process.started,
            finished=process.started + timedelta(milliseconds=1_500),
            algorithm="ecdsa-plain-SHA256",
            time_format="unixTime",
            public_key="BPub",
            signature=f"sig{number}",
        )


@pytest.fixture
async def module(inn: Inn, theke: Theke) -> AsyncIterator[Simulator]:
    """The security module of the inn."""
    unit = f"sim-{inn.name}"
    simulator = SIGNERS[unit] = Simulator()
    await set_unit(inn, theke, unit)
    yield simulator
    del SIGNERS[unit]


async def set_unit(inn: Inn, theke: Theke, unit: str) -> None:
    body = ChangeSettings(settings=HouseSettings(signing_unit=unit))
    await theke.services.command("pos", "house.change_settings", body, HouseSettings, principal=system(inn.instance, "test"))


async def ends(inn: Inn, theke: Theke) -> Counter[tuple[str, str]]:
    """How often each receipt was issued and ended, from the log."""
    events = await theke.hosts["pos"].log.read(inn.instance, 0, 5_000)
    kinds = ("receipt.issued", "receipt.signed", "receipt.unsigned")
    return Counter((event.stream.removeprefix("receipt-"), event.type) for event in events if event.type in kinds)


async def tse(till: Till, receipt: str) -> Any:
    return done(await till.get(f"receipts/{receipt}/tse"))


async def test_every_kind_of_receipt_is_signed_before_it_is_answered(inn: Inn, theke: Theke, module: Simulator) -> None:
    till = await inn.till()
    sale = await till.sell(item(inn.menu["Schnitzel"]), item(inn.menu["Cola"], 2), paid=(card("10.00"), cash("20.00")), tip=2)
    await till.order(inn.tables[1], item(inn.menu["Spende"]))
    bill = await till.pay(inn.tables[1])
    refund = await till.refund(bill["id"])
    void = await till.void(sale["id"])
    receipts = [sale, bill, refund, void]
    assert [receipt["isSigned"] for receipt in receipts] == [True] * 4
    contents = [module.signed[receipt["id"]].process_data for receipt in receipts]
    schnitzel_class = {item["name"]: item["taxRate"] for item in sale["items"]}
    assert schnitzel_class["Cola"] == 19
    reduced = "17.90" if schnitzel_class["Schnitzel"] == 7 else "0.00"
    general = "7.00" if reduced != "0.00" else "24.90"
    assert contents[0] == f"Beleg^{general}_{reduced}_0.00_0.00_2.00^16.90:Bar_10.00:Unbar"
    assert contents[1] == "Beleg^0.00_0.00_0.00_0.00_1.00^1.00:Bar"
    assert contents[2] == "Beleg^0.00_0.00_0.00_0.00_-1.00^-1.00:Bar"
    assert contents[3] == f"Beleg^-{general}_{'-' if reduced != '0.00' else ''}{reduced}_0.00_0.00_-2.00^-16.90:Bar_-10.00:Unbar"
    found = await ends(inn, theke)
    assert all(found[receipt["id"], "receipt.signed"] == 1 for receipt in receipts)
    assert done(await till.get(f"receipts/{sale['id']}"))["isSigned"] is True


async def test_the_qr_code_says_what_was_signed(inn: Inn, module: Simulator) -> None:
    till = await inn.till()
    receipt = await till.sell(item(inn.menu["Cola"]))
    shown = await tse(till, receipt["id"])
    signature = module.signed[receipt["id"]]
    begun = signature.started.strftime("%Y-%m-%dT%H:%M:%S.") + f"{signature.started.microsecond // 1000:03d}Z"
    ended = signature.finished.strftime("%Y-%m-%dT%H:%M:%S.") + f"{signature.finished.microsecond // 1000:03d}Z"
    content = "Kassenbeleg-V1;Beleg^3.50_0.00_0.00_0.00_0.00^3.50:Bar"
    assert shown["qrCode"] == f"V0;1;{content};1;2;{begun};{ended};ecdsa-plain-SHA256;unixTime;sig1;BPub"
    assert (shown["isSigned"], shown["transactionNumber"], shown["signatureCounter"], shown["reason"]) == (True, 1, 2, None)
    async with till.http.get(f"/api/v1/receipts/{receipt['id']}/text", headers={"Authorization": f"Bearer {till.token}"}) as answer:
        text = " ".join((await answer.text()).split())
    for expected in ("TSE-Signatur", "Transaktion 1", "Signaturzähler 2", "Prüfwert: sig1", "abab"):
        assert expected in text
    async with till.http.get(f"/api/v1/receipts/{receipt['id']}/pdf", headers={"Authorization": f"Bearer {till.token}"}) as answer:
        assert (await answer.read()).startswith(b"%PDF")


async def test_a_module_that_fails_or_refuses_leaves_the_sale_standing(inn: Inn, theke: Theke, module: Simulator) -> None:
    till = await inn.till()

    def fail(_: Process) -> Any:
        raise RuntimeError("broken")

    def refuse(_: Process) -> Any:
        raise Unsigned("signer_failed")

    for before in (fail, refuse):
        module.before = before
        receipt = await till.sell(item(inn.menu["Cola"]))
        assert receipt["isSigned"] is False
        assert (await tse(till, receipt["id"]))["reason"] == "signer_failed"
        assert (await ends(inn, theke))[receipt["id"], "receipt.unsigned"] == 1


async def test_a_silent_module_is_not_waited_for_for_ever(inn: Inn, theke: Theke, module: Simulator, monkeypatch: Any) -> None:
    """It answers in the end, deaf to being stopped: too late."""
    monkeypatch.setattr(signing, "SIGN_WITHIN_S", 0.2)
    answered = asyncio.Event()

    async def deaf(_: Process) -> None:
        for _ in range(3):
            try:
                await asyncio.sleep(0.3)
            except asyncio.CancelledError:
                continue
        answered.set()

    module.before = deaf
    till = await inn.till()
    receipt = await till.sell(item(inn.menu["Cola"]))
    assert (await tse(till, receipt["id"]))["reason"] == "signer_timeout"
    async with asyncio.timeout(10):
        await answered.wait()
    found = await ends(inn, theke)
    assert (found[receipt["id"], "receipt.unsigned"], found[receipt["id"], "receipt.signed"]) == (1, 0)


async def test_many_tills_at_one_module(inn: Inn, theke: Theke, module: Simulator) -> None:
    till = await inn.till()
    receipts = await asyncio.gather(*(till.sell(item(inn.menu["Cola"])) for _ in range(40)))
    assert all(receipt["isSigned"] for receipt in receipts)
    assert sorted(signature.transaction for signature in module.signed.values()) == list(range(1, 41))
    found = await ends(inn, theke)
    assert all(found[receipt["id"], "receipt.signed"] == 1 for receipt in receipts)


async def test_a_repeat_of_the_sale_is_signed_once_and_says_so(inn: Inn, theke: Theke, module: Simulator) -> None:
    till = await inn.till()
    first = await till.sell(item(inn.menu["Cola"]), key="sale-1")
    assert await till.sell(item(inn.menu["Cola"]), key="sale-1") == first
    assert len(module.asked) == 1
    assert sum((await ends(inn, theke)).values()) == 2


async def test_what_a_killed_process_left_is_signed_by_the_sweep(inn: Inn, theke: Theke, module: Simulator, monkeypatch: Any) -> None:
    """Between the append and the signature the process dies: nobody begins to sign."""
    till = await inn.till()
    with monkeypatch.context() as dead:
        dead.setattr(Signings, "begin", lambda *_: None)
        receipt = await till.sell(item(inn.menu["Cola"]), key="sale-1")
    shown = await tse(till, receipt["id"])
    assert (shown["isSigned"], shown["reason"], shown["message"]) == (False, None, "die Antwort der TSE steht aus")
    host = theke.hosts["pos"]
    later = datetime.now(UTC) + timedelta(minutes=1)
    sweeps = [Signings(host, SIGNERS), Signings(host, SIGNERS)]
    for sweep in sweeps:  # of two processes, one after the other: the second finds nothing
        await sweep.sweep_once(later)
    assert (await tse(till, receipt["id"]))["isSigned"]
    assert (await ends(inn, theke))[receipt["id"], "receipt.signed"] == 1
    assert (await till.sell(item(inn.menu["Cola"]), key="sale-1"))["isSigned"] is True


async def test_two_processes_that_sign_the_same_receipt_end_it_once(inn: Inn, theke: Theke, module: Simulator, monkeypatch: Any) -> None:
    till = await inn.till()
    with monkeypatch.context() as dead:
        dead.setattr(Signings, "begin", lambda *_: None)
        receipt = await till.sell(item(inn.menu["Cola"]))
    later = datetime.now(UTC) + timedelta(minutes=1)
    host = theke.hosts["pos"]
    module.several = True
    await asyncio.gather(*(Signings(host, SIGNERS).sweep_once(later) for _ in range(2)))
    found = await ends(inn, theke)
    assert (found[receipt["id"], "receipt.signed"], found[receipt["id"], "receipt.unsigned"]) == (1, 0)


async def test_a_house_without_a_unit_awaits_nothing(inn: Inn, theke: Theke, module: Simulator) -> None:
    till = await inn.till()
    await set_unit(inn, theke, "")
    receipt = await till.sell(item(inn.menu["Cola"]))
    assert (await ends(inn, theke)) == {(receipt["id"], "receipt.issued"): 1}
    assert module.asked == []
    assert (await tse(till, receipt["id"]))["reason"] == "no_signing_unit"


async def test_a_unit_nobody_knows_is_the_null_signer(inn: Inn, theke: Theke) -> None:
    await set_unit(inn, theke, "unplugged")
    till = await inn.till()
    receipt = await till.sell(item(inn.menu["Cola"]))
    assert (await ends(inn, theke))[receipt["id"], "receipt.unsigned"] == 1
    assert (await tse(till, receipt["id"]))["reason"] == "no_signing_unit"
