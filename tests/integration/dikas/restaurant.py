"""A restaurant's week as its staff live it: who does what when is drawn, whether it may be done is known beforehand.

Nothing here is left to luck: one request after the other, the same seed makes the same week. The clock is the gateway's: it jumps from
one moment to the next, sometimes a little back, as clocks do.
"""

from __future__ import annotations

import random
from collections import Counter as Tally
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from libs.contracts.inventory.records import PRICE_RULE
from libs.contracts.pos.house import ChangeSettings, HouseSettings
from libs.contracts.pos.records import TABLE
from libs.domain.clock import FixedClock
from libs.domain.principal import system
from tests.house import Answer, Inn, Till, done, free_item, item

BERLIN: Final = ZoneInfo("Europe/Berlin")
DAYS: Final = 7
VAN: Final = "van"  # the register that numbers its receipts itself
REGISTERS: Final = ("1", "2")
STAFF: Final = {"boss": "Manager", "anna": "Cashier", "bert": "Cashier", "carla": "Waiter", "dirk": "Waiter"}
ZERO: Final = Decimal(0)
MILLI: Final = Decimal("0.001")
# wall-clock times at which days and hours turn
EDGES: Final = (time(23, 59, 59), time(0, 0, 0), time(1, 59, 59), time(2, 30), time(2, 30, fold=1), time(3, 0), time(3, 59, 59), time(4, 0))


def day_at(moment: datetime) -> date:
    """The business day of a moment, by the wall clock alone."""
    local = moment.astimezone(BERLIN)
    return local.date() - timedelta(days=local.hour < 4)


def part_of(quantity: Any, by: int) -> Decimal:
    """As much as can be written, and never nothing."""
    return Decimal(quantity) if by == 1 else max((Decimal(quantity) / by).quantize(MILLI), min(MILLI, Decimal(quantity)))


def moments(monday: date, dice: random.Random, per_day: int) -> Iterator[datetime]:
    """When something is done: at random, and at the edges of every day."""
    for number in range(DAYS):
        day = monday + timedelta(days=number)
        opens = datetime.combine(day, time(10), BERLIN).astimezone(UTC)
        chosen = [opens + timedelta(seconds=dice.randrange(18 * 3600)) for _ in range(per_day)]
        chosen += [
            datetime.combine(day + timedelta(days=edge.hour < 12), edge, BERLIN).astimezone(UTC).replace(microsecond=0) for edge in EDGES
        ]
        yield from sorted(chosen)


@dataclass
class Person:
    """``id``: as receipts name them. ``shift``: the one they sell in."""

    name: str
    role: str
    id: str
    till: Till
    shift: str | None = None

    @property
    def may_void_own(self) -> bool:
        return self.role != "Waiter"

    @property
    def may_void_all(self) -> bool:
        return self.role == "Manager"


@dataclass
class Week:
    """What the staff remember. ``receipts`` by id as they were answered; ``back``: receipt → line → quantity taken back."""

    receipts: dict[str, Any] = field(default_factory=dict)
    voided: set[str] = field(default_factory=set)
    back: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    reports: list[Any] = field(default_factory=list)
    shifts: list[str] = field(default_factory=list)
    settled: list[Any] = field(default_factory=list)
    closed_through: date | None = None
    happened: Tally[str] = field(default_factory=Tally)

    def day_of(self, moment: datetime) -> date:
        day = day_at(moment)
        return day if self.closed_through is None else max(day, self.closed_through + timedelta(days=1))

    def booked(self, receipt: Any) -> None:
        self.receipts[receipt["id"]] = receipt
        if receipt["voidedReceiptId"] is not None:
            self.voided.add(receipt["voidedReceiptId"])
        if (original := receipt["refundedReceiptId"]) is not None:
            lines = self.back.setdefault(original, {})
            for line in receipt["items"]:
                lines[line["id"]] = lines.get(line["id"], ZERO) - line["quantity"]

    def left(self, receipt: Any) -> dict[str, Decimal]:
        """Line → quantity that has not been taken back."""
        back = self.back.get(receipt["id"], {})
        left = {line["id"]: line["quantity"] - back.get(line["id"], ZERO) for line in receipt["items"]}
        return {line: quantity for line, quantity in left.items() if quantity}

    def is_over(self, receipt: Any) -> bool:
        """Nothing can be done with it any more, or never could."""
        return receipt["id"] in self.voided or receipt["voidedReceiptId"] is not None or receipt["refundedReceiptId"] is not None


class Restaurant:
    def __init__(self, inn: Inn, clock: FixedClock, dice: random.Random, people: list[Person], tables: list[str]) -> None:
        self.inn = inn
        self.clock = clock
        self.dice = dice
        self.people = people
        self.tables = tables
        self.week = Week()
        self._offline = 0
        self._van_number = 0
        self._deeds: dict[Callable[[Person], Awaitable[None]], int] = {
            self.sell: 9, self.order: 12, self.pay: 9, self.pay_part: 5, self.move: 1, self.merge: 1, self.split: 2, self.move_item: 2,
            self.change_item: 2, self.cancel: 2, self.hand_over: 1, self.void: 4, self.refund: 7, self.open_shift: 4, self.settle: 3,
            self.sync: 2, self.look: 1,
        }  # fmt: skip

    @classmethod
    async def open(cls, inn: Inn, url: str, clock: FixedClock, dice: random.Random) -> Restaurant:
        """Five people, four tables, a happy hour, and a van that sells while it is cut off. ``url``: the gateway whose clock is moved."""
        settings = ChangeSettings(settings=HouseSettings(offline_registers=(VAN,)))
        principal = system(inn.instance, "test")
        await inn.theke.services.command("pos", "house.change_settings", settings, HouseSettings, principal=principal)
        await inn.add(
            PRICE_RULE, name="Happy Hour", article_key=inn.menu["Pils"], time_from="17:00", time_to="19:00", change_amount="-1.05"
        )
        people = []
        for name, role in STAFF.items():
            here = await inn.till(role, user=name)  # tokens live by real time
            there = inn.stranger(url=url)
            there.token = here.token
            people.append(Person(name, role, done(await here.get("auth/me"))["id"], there))
        tables = [inn.tables[1], inn.tables[2], await inn.add(TABLE, number=4), await inn.add(TABLE, number=5)]
        return cls(inn, clock, dice, people, tables)

    @property
    def boss(self) -> Till:
        return self.people[0].till

    def go_to(self, moment: datetime) -> None:
        self.clock.advance(moment - self.clock.now())

    async def live(self, monday: date, per_day: int) -> None:
        """The week: something happens at every moment, and somebody closes the days, or forgets it."""
        closes = sorted(self._closing_times(monday))
        for moment in moments(monday, self.dice, per_day):
            while closes and closes[0] <= moment:
                self.go_to(closes.pop(0))
                if self.dice.random() < 0.4:  # the van comes home late, perhaps with sales of the day before
                    await self.sync(self.people[0])
                await self.close()
            back = timedelta(seconds=self.dice.randrange(1, 600)) if self.dice.random() < 0.05 else timedelta()
            self.go_to(moment - back)
            [deed] = self.dice.choices(list(self._deeds), list(self._deeds.values()))
            await deed(self.dice.choice(self.people))

    def _closing_times(self, monday: date) -> Iterator[datetime]:
        """Before midnight, after it, the next morning, twice, or not at all."""
        for number in range(DAYS):
            day = monday + timedelta(days=number)
            kind = self.dice.choice(("evening", "night", "night", "edge", "morning", "twice", "forgotten"))
            wall = {"evening": time(23, 20), "night": time(2, 10), "edge": time(3, 59, 59), "morning": time(9), "twice": time(1, 15)}
            if kind == "forgotten":
                continue
            at = datetime.combine(day + timedelta(days=kind != "evening"), wall[kind], BERLIN).astimezone(UTC)
            yield at
            if kind == "twice":
                yield at + timedelta(minutes=40)

    # --- small choices --------------------------------------------------------------------------------------------------------

    def _did(self, what: str) -> None:
        self.week.happened[what] += 1

    def _item(self, **more: Any) -> dict[str, Any]:
        dice = self.dice
        if dice.random() < 0.2:
            price = str(Decimal(dice.randint(1, 4000)).scaleb(-2))
            return free_item(dice.choice(("Menü", "Tagesgericht")), price, dice.choice((0, 1, 2)), dice.randint(1, 3), **more)
        name = dice.choice(list(self.inn.menu))
        if name == "Schnitzel" and dice.random() < 0.5:
            more["options"] = [{"optionId": dice.choice(("salat", "klein"))}]
        match dice.randrange(6):
            case 0:
                more["discountPercent"] = dice.choice((10, 33, 100))
            case 1:
                more["discountAmount"] = Decimal("0.29")
        return item(self.inn.menu[name], dice.choice(("1", "1", "2", "3", "0.5", "0.333")), **more)

    def _items(self, **more: Any) -> list[dict[str, Any]]:
        return [self._item(**more) for _ in range(self.dice.randint(1, 4))]

    def _tender(self) -> dict[str, Any]:
        """Payments in any mix that always comes out even, and a tip."""
        dice = self.dice
        rest = {"type": dice.choice((0, 1, 3, 4, 5))}
        mixed = [rest]
        if dice.random() < 0.5:
            mixed.append({"type": dice.choice((0, 3)), "amount": Decimal(dice.choice((50, 500, 1000, 2000, 5000))).scaleb(-2)})
        dice.shuffle(mixed)
        return {"payments": mixed, "tip": Decimal(dice.choice((0, 0, 50, 123, 500))).scaleb(-2)}

    def _took(self, receipt: Any, person: Person, happened: datetime | None = None) -> Any:
        assert receipt["businessDay"] == str(self.week.day_of(happened or self.clock.now())), receipt
        assert receipt["shiftId"] == person.shift, receipt
        assert receipt["staffId"] == person.id
        self.week.booked(receipt)
        return receipt

    async def _busy_table(self) -> tuple[str, list[Any]] | None:
        for table in self.dice.sample(self.tables, len(self.tables)):
            if found := await self.boss.open_items(table):
                return table, found
        return None

    def _may_be_refused(self, what: str, answer: Answer) -> bool:
        """True if it was done. What guests sit at decides, and a conflict says so."""
        assert answer.status in (200, 201, 409), (what, answer.status, answer.body)
        if answer.status != 409:
            self._did(what)
        return answer.status != 409

    # --- selling --------------------------------------------------------------------------------------------------------------

    async def sell(self, person: Person) -> None:
        body = {"items": self._items(), **self._tender()}
        headers = {"Theke-Register": self.dice.choice(REGISTERS)}
        sold = done(await person.till.post("payments/direct-sale", body, headers=headers), 201)
        assert sold["registerId"] == headers["Theke-Register"]
        self._took(sold, person)
        self._did("sale")

    async def order(self, person: Person) -> None:
        await person.till.order(self.dice.choice(self.tables), *self._items(course=self.dice.randint(1, 3), seat=self.dice.randint(1, 4)))
        self._did("order")

    async def pay(self, person: Person) -> None:
        """All of it, or what one seat had."""
        if (found := await self._busy_table()) is None:
            return
        table, lines = found
        seats = {line["seat"] for line in lines if line["seat"] is not None}
        seat = {"seat": self.dice.choice(sorted(seats))} if seats and self.dice.random() < 0.4 else {}
        body = {"tableId": table, **seat, **self._tender()}
        paid = done(await person.till.post("payments/table", body, headers={"Theke-Register": self.dice.choice(REGISTERS)}), 201)
        assert paid["gross"] == sum(line["openAmount"] for line in lines if not seat or line["seat"] == seat["seat"])
        self._took(paid, person)
        self._did("seat paid" if seat else "table paid")

    async def pay_part(self, person: Person) -> None:
        """Some items, some of them only in part."""
        if (found := await self._busy_table()) is None:
            return
        table, lines = found
        chosen = [
            {"id": line["id"], "quantity": part_of(line["openQuantity"], self.dice.randint(1, 2))}
            for line in self.dice.sample(lines, self.dice.randint(1, len(lines)))
        ]
        body = {"tableId": table, "items": chosen, **self._tender()}
        self._took(done(await person.till.post("payments/table", body), 201), person)
        self._did("part paid")

    # --- at the tables --------------------------------------------------------------------------------------------------------

    async def move(self, person: Person) -> None:
        if (found := await self._busy_table()) is not None:
            target = self.dice.choice([table for table in self.tables if table != found[0]])
            self._may_be_refused("moved", await person.till.post(f"tables/{found[0]}/move", {"targetTableId": target}))

    async def merge(self, person: Person) -> None:
        one, two = self.dice.sample(self.tables, 2)
        self._may_be_refused("merged", await person.till.post(f"tables/{one}/merge", {"tableIds": [two]}))

    async def split(self, person: Person) -> None:
        if (found := await self._busy_table()) is not None:
            target = self.dice.choice([table for table in self.tables if table != found[0]])
            line = self.dice.choice(found[1])
            chosen = {"id": line["id"], "quantity": part_of(line["openQuantity"], 2)}
            body = {"items": [chosen], "targetTableId": target}
            self._may_be_refused("split", await person.till.post(f"tables/{found[0]}/split", body))

    async def move_item(self, person: Person) -> None:
        if (found := await self._busy_table()) is not None:
            body = {"seat": self.dice.randint(5, 8), "targetTableId": self.dice.choice(self.tables)}
            line = self.dice.choice(found[1])
            self._may_be_refused("item moved", await person.till.post(f"open-bons/{line['id']}/move", body))

    async def change_item(self, person: Person) -> None:
        if (found := await self._busy_table()) is not None:
            line = self.dice.choice(found[1])
            body = self.dice.choice(({"discountPercent": 20}, {"quantity": line["openQuantity"] + 1}, {"discountPercent": None}))
            self._may_be_refused("item changed", await person.till.put(f"open-bons/{line['id']}", body))

    async def cancel(self, person: Person) -> None:
        if (found := await self._busy_table()) is not None:
            line = self.dice.choice(found[1])
            params = {
                "reason": "aus",
                **({"quantity": "0.1"} if line["openQuantity"] > Decimal("0.2") and self.dice.random() < 0.5 else {}),
            }
            self._may_be_refused("item cancelled", await person.till.delete(f"open-bons/{line['id']}", params=params))

    async def hand_over(self, person: Person) -> None:
        if (found := await self._busy_table()) is not None:
            to = self.dice.choice(self.people).id
            self._may_be_refused("handed over", await person.till.post(f"tables/{found[0]}/transfer", {"staffId": to}))

    # --- taking back ----------------------------------------------------------------------------------------------------------

    def _status_of_taking_back(self, person: Person, receipt: Any) -> int:
        if not person.may_void_own:
            return 403
        if self.week.is_over(receipt):
            return 409
        if receipt["staffId"] != person.id and not person.may_void_all:
            return 403
        return 409 if receipt["registerId"] == VAN else 201

    def _somebody_at_a_receipt(self, person: Person) -> tuple[Person, Any]:
        """Mostly somebody who may at one that stands, else anybody at any."""
        receipts = list(self.week.receipts.values())
        if self.dice.random() < 0.25:
            return person, self.dice.choice(receipts)
        standing = [receipt for receipt in receipts if not self.week.is_over(receipt)]
        return self.dice.choice([one for one in self.people if one.may_void_own]), self.dice.choice(standing or receipts)

    async def void(self, person: Person) -> None:
        if not self.week.receipts:
            return
        person, receipt = self._somebody_at_a_receipt(person)
        expected = self._status_of_taking_back(person, receipt)
        if expected == 201 and receipt["id"] in self.week.back:
            expected = 409
        answer = await person.till.post(f"receipts/{receipt['id']}/void")
        assert answer.status == expected, (answer.body, expected)
        if expected == 201:
            self._took(answer.data, person)
            self._did("void of one's own" if receipt["staffId"] == person.id else "void of another's")
        self._did(f"void {expected}")

    async def refund(self, person: Person) -> None:
        if not self.week.receipts:
            return
        person, receipt = self._somebody_at_a_receipt(person)
        left = self.week.left(receipt)
        expected = self._status_of_taking_back(person, receipt)
        body: dict[str, Any] = {}
        if left and self.dice.random() < 0.75:
            chosen = self.dice.sample(list(left), self.dice.randint(1, len(left)))
            body["items"] = [{"id": line, "quantity": self._some_of(left[line])} for line in chosen]
        if self.dice.random() < 0.3:
            body["payments"] = [{"type": self.dice.choice((0, 1))}]
        answer = await person.till.post(f"receipts/{receipt['id']}/refund", body)
        if expected == 201 and not left:
            expected = 409
        assert answer.status == expected, (answer.body, expected, body, left)
        if expected == 201:
            self._took(answer.data, person)
            self._did("refund of the rest" if not self.week.left(receipt) else "refund of a part")
        self._did(f"refund {expected}")

    def _some_of(self, quantity: Decimal) -> Decimal:
        return part_of(quantity, self.dice.choice((1, 1, 3)))

    # --- shifts and days ------------------------------------------------------------------------------------------------------

    async def open_shift(self, person: Person) -> None:
        answer = await person.till.post("shifts", {"openingFloat": Decimal(self.dice.choice((0, 10000, 15050))).scaleb(-2)})
        assert answer.status == (201 if person.shift is None else 409), answer.body
        if answer.status == 201:
            person.shift = answer.data["id"]
            self.week.shifts.append(person.shift)
            assert answer.data["businessDay"] == str(self.week.day_of(self.clock.now()))
            self._did("shift opened")

    async def settle(self, person: Person) -> None:
        """Somebody's shift, blind, now and then without a count."""
        selling = [one for one in self.people if one.shift is not None]
        if not selling:
            return
        whose = self.dice.choice(selling)
        count = {"countedCash": Decimal(self.dice.randint(0, 50000)).scaleb(-2)} if self.dice.random() < 0.8 else {}
        answer = await person.till.post(f"shifts/{whose.shift}/settle", count)
        assert answer.status == (403 if person.role == "Waiter" else 200), answer.body
        if answer.status == 200:
            whose.shift = None
            self.week.settled.append(answer.data)
            self._did("shift settled" if count else "shift settled uncounted")

    async def look(self, _: Person) -> None:
        """An X report, in the middle of everything."""
        x = done(await self.boss.get("day-close/x-report"))
        assert {shift["id"] for shift in x["openShifts"]} == {one.shift for one in self.people if one.shift is not None}
        waiting = [receipt for receipt in self.week.receipts.values() if self._is_open(receipt)]
        assert x["totals"]["gross"] == sum(receipt["gross"] for receipt in waiting)
        assert sum(register["receipts"] for register in x["registers"]) == len(waiting)
        self._did("X report")

    def _is_open(self, receipt: Any) -> bool:
        through = self.week.closed_through
        return through is None or date.fromisoformat(receipt["businessDay"]) > through

    async def close(self) -> None:
        """The last days with receipts, or up to one that is named; first as it is, then with everything in order."""
        week, boss = self.week, self.people[0]
        open_days = sorted({date.fromisoformat(receipt["businessDay"]) for receipt in week.receipts.values() if self._is_open(receipt)})
        today = week.day_of(self.clock.now())
        through = self.dice.choice(open_days) if open_days and self.dice.random() < 0.3 else None
        body: dict[str, Any] = {} if through is None else {"date": str(through)}
        expected = through or (open_days[-1] if open_days else today)
        if expected > today:  # a clock that went back
            return
        if any(person.shift is not None for person in self.people):
            assert (await boss.till.post("day-close", {**body, "confirm": ["openTables"]})).status == 409
            for person in self.people:
                if person.shift is not None:
                    week.settled.append(done(await boss.till.post(f"shifts/{person.shift}/settle", {"countedCash": Decimal("100.00")})))
                    person.shift = None
        if await self._busy_table() is not None:
            assert (await boss.till.post("day-close", body)).status == 409
            body["confirm"] = ["openTables"]
        report = done(await boss.till.post("day-close", body), 201)
        assert report["date"] == str(expected)
        week.reports.append(report)
        week.closed_through = expected
        assert (await boss.till.post("day-close", {"date": str(expected), "confirm": ["openTables"]})).status == 409
        self._did("day closed" if len(open_days) < 2 else "days closed at once" if expected == open_days[-1] else "earlier day closed")

    # --- cut off --------------------------------------------------------------------------------------------------------------

    async def sync(self, _: Person) -> None:
        """The van comes home: what it sold, took back and served, in any order, with a bad one among it, sent twice."""
        person = self.people[0]
        commands, times = self._evening_without_line()
        self.dice.shuffle(commands)
        answers = [done(await person.till.post("sync", {"items": commands}, headers={"Theke-Register": VAN})) for _ in range(2)]
        assert answers[0] == answers[1]
        by_id = {one["id"]: one for one in answers[0]["items"]}
        refused = [one for one in answers[0]["items"] if one["status"] == "refused"]
        assert [one["id"] for one in refused] == [id_ for id_ in by_id if id_.endswith("bad")], refused
        for id_, at in times.items():
            if (receipt := by_id[id_]["receipt"]) is not None:
                self._took(receipt, person, at)
                assert receipt["offlineDate"] == at.strftime("%Y-%m-%dT%H:%M:%SZ")
        self._did("sync")

    def _evening_without_line(self) -> tuple[list[Any], dict[str, datetime]]:
        """Commands, and when they happened, by the van's own ids in its sequence."""
        commands: list[Any] = []
        times: dict[str, datetime] = {}
        was_out_before = self._van_number > 0
        begins = self.clock.now() - timedelta(seconds=self.dice.randrange(60, self.dice.choice((2, 6, 40)) * 3600))

        def add(name: str, kind: str, body: Any, numbered: bool = True) -> str:
            self._offline += 1
            id_ = f"{self._offline}-{name}"
            at = min(begins + timedelta(seconds=10 * len(commands)), self.clock.now()).replace(microsecond=0)
            if numbered and name != "bad":
                self._van_number += 1
            number = {"number": 1 if name == "bad" else self._van_number} if numbered else {}
            commands.append({"id": id_, "sequence": self._offline, "clientTime": at.isoformat(), "type": kind, "body": body, **number})
            if name != "bad":
                times[id_] = at
            return id_

        sold = add("sale", "sale", {"items": self._items(), **self._tender()})
        if self.dice.random() < 0.4:
            add("void", "void", {"receiptId": f"@{sold}"})
        order = add("order", "order", {"tableId": self.dice.choice(self.tables), "items": [self._item(), self._item()]}, numbered=False)
        table = commands[-1]["body"]["tableId"]
        bill = add("bill", "tablePayment", {"tableId": table, "items": [{"id": f"@{order}/0"}], **self._tender()})
        if self.dice.random() < 0.5:
            add("refund", "refund", {"receiptId": f"@{bill}", "items": [{"id": f"@{order}/0"}]})
        if was_out_before and self.dice.random() < 0.5:  # its number was given to another
            add("bad", "sale", {"items": self._items(), **self._tender()})
        return commands, times
