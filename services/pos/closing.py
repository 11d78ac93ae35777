"""Settling shifts, closing days and looking at an open day: what the log's receipts add up to, from the log itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, Final

import msgspec
import structlog

from libs.bus.client import Reply
from libs.bus.server import Request
from libs.bus.subjects import Call, subject_name
from libs.contracts.pos.events import ReceiptIssued
from libs.contracts.pos.house import CloseDay, CountShift, FinishDay, OpenTable, SettleShift, Shift, XReport, ZReport
from libs.contracts.pos.permissions import DAY_CLOSE
from libs.domain.decider import Command, CommandType, Lookup
from libs.domain.errors import DomainError, Kind
from libs.domain.events import Recorded
from libs.domain.ids import derived
from libs.domain.principal import Principal
from libs.eventstore.codec import UnknownEvent, recorded
from libs.projections.tables import Statement
from libs.runtime.dispatcher import command_of, decoded, principal_of
from libs.runtime.service import Host
from services.pos.house import (
    CLOSE_DAY,
    COUNT_SHIFT,
    FINISH_DAY,
    HOUSE,
    SETTLE_SHIFT,
    STREAM,
    DayFacts,
    Fence,
    HouseState,
)
from services.pos.receipts import number_of
from services.pos.totals import Sums

log = structlog.get_logger(__name__)

PAGE_ROWS: Final = 1_000
RECEIPTS: Final = (ReceiptIssued.TYPE,)
OPEN_TABLES_SHOWN_MAX: Final = 1_000
_OPEN_TABLES: Final = Statement(
    "select t.key, t.open_amount from {pos.tabs} t where t.instance = $1 and t.open_lines > 0 "
    f"order by t.key limit {OPEN_TABLES_SHOWN_MAX}"
)


class Takings:
    """Sums of receipts by business day, and where each day begins in the log: of those behind ``after``, up to ``up_to``."""

    def __init__(self, after: int) -> None:
        self.after = self.up_to = after
        self.days: dict[date, Sums] = {}
        self.begins: dict[date, int] = {}
        self.unreadable: list[int] = []

    def add(self, event: Recorded) -> None:
        issued: ReceiptIssued = event.data
        self.days.setdefault(issued.business_day, Sums()).add(issued, number_of(event) or 0)
        self.begins.setdefault(issued.business_day, event.position)

    def between(self, after: date | None, through: date) -> list[date]:
        return sorted(day for day in self.days if day <= through and (after is None or day > after))

    def sum_of(self, days: Iterable[date]) -> Sums:
        whole = Sums()
        for day in days:
            whole.merge(self.days[day])
        return whole


class Closings:
    """The handlers of a running pos that need its log beside its dispatcher."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def register(self) -> None:
        server = self._host.server
        server.register(Call.COMMAND, subject_name("shift.settle"), self.settle_shift)
        server.register(Call.COMMAND, subject_name("day.close"), self.close_day)
        server.register(Call.QUERY, subject_name("day.x_report"), self.x_report)

    async def settle_shift(self, request: Request) -> Reply:
        """The count, then the shift's receipts from its opening to the count, then the difference."""
        asked: CountShift = decoded(request.body, CountShift)
        command = _command(request, asked)
        house: HouseState = (await self._execute(COUNT_SHIFT, command, request))[0]
        shift = house.shifts[asked.shift]
        sums = Sums()
        fence = house.fences[shift.id]
        async for event in self._receipts(command.instance, house.openings[shift.id], fence.position, []):
            if event.data.shift == shift.id:
                sums.add(event.data, number_of(event) or 0)
        body = SettleShift(shift=shift.id, totals=sums.totals())
        settled, behind = await self._execute(SETTLE_SHIFT, _then(command, fence, body), request)
        return _reply(settled, Shift, behind)

    async def close_day(self, request: Request) -> Reply:
        """The fence, then every receipt before it that no Z report holds, then the Z report."""
        asked: CloseDay = decoded(request.body, CloseDay)
        command = _command(request, asked)
        counted: list[Takings] = []

        async def facts(command: Command[CloseDay], lookup: Lookup) -> DayFacts:
            """Warnings, and the day that is meant when none is named: not the newest receipt's, which may have come in late."""
            tables = await self._host.tables.fetch(_OPEN_TABLES, command.instance)
            if command.body.through is not None:
                return DayFacts(open_tables=len(tables))
            counted[:] = [await self._open_takings(command.instance)]
            return DayFacts(open_tables=len(tables), last_day=max(counted[0].days, default=None))

        house: HouseState = (await self._execute(msgspec.structs.replace(CLOSE_DAY, facts=facts), command, request))[0]
        closing = house.closing
        assert closing is not None
        takings = await self._until_fence(command.instance, house.covered, closing.fence, counted)
        days = takings.between(house.closed_through, closing.through)
        later = [position for day, position in takings.begins.items() if day > closing.through]
        covered = min(later, default=closing.fence.position + 1) - 1
        whole = takings.sum_of(days)
        body = FinishDay(
            first_day=days[0] if days else closing.through,
            totals=whole.totals(),
            registers=whole.registers(),
            unreadable=tuple(position for position in takings.unreadable if position <= covered),
            covered=covered,
        )
        report, behind = await self._execute(FINISH_DAY, _then(command, closing.fence, body), request)
        return _reply(report, ZReport, behind)

    async def x_report(self, request: Request) -> bytes:
        """What a Z report would hold now, and what stands in its way; nothing is written."""
        principal = principal_of(request)
        if not principal.may(DAY_CLOSE, write=False):
            raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": DAY_CLOSE})
        instance = principal.instance
        head = (await self._host.log.heads()).get(instance, 0)
        house = await self._house(instance, head)
        takings = await self._count(Takings(house.covered), instance, head)
        open_days = takings.between(house.no_more_until, date.max)
        whole = takings.sum_of(open_days)
        tables = await self._host.tables.fetch(_OPEN_TABLES, instance)
        return msgspec.msgpack.encode(
            XReport(
                first_day=open_days[0] if open_days else None,
                through=open_days[-1] if open_days else house.day_of(request.at),
                totals=whole.totals(),
                registers=whole.registers(),
                open_shifts=tuple(house.shifts.values()),
                open_tables=tuple(OpenTable(table=row["key"], open_amount=row["open_amount"]) for row in tables),
                unreadable=tuple(takings.unreadable),
                position=head,
            )
        )

    async def _house(self, instance: int, head: int) -> HouseState:
        state = HOUSE.initial
        for event in await self._host.log.read_stream(instance, STREAM, head):
            state = HOUSE.evolve(state, event)
        return state

    async def _open_takings(self, instance: int) -> Takings:
        """Everything that is in no Z report yet."""
        head = (await self._host.log.heads()).get(instance, 0)
        house = await self._house(instance, head)
        return await self._count(Takings(house.covered), instance, head)

    async def _until_fence(self, instance: int, covered: int, fence: Fence, counted: Sequence[Takings]) -> Takings:
        """Behind ``covered`` up to the fence, going on from what was counted before it stood."""
        usable = [takings for takings in counted if takings.after == covered and takings.up_to <= fence.position]
        return await self._count(usable[0] if usable else Takings(covered), instance, fence.position)

    async def _count(self, takings: Takings, instance: int, up_to: int) -> Takings:
        async for event in self._receipts(instance, takings.up_to, up_to, takings.unreadable):
            try:
                takings.add(event)
            except (ValueError, KeyError) as error:
                log.error("a receipt does not add up", instance=instance, position=event.position, error=str(error))
                takings.unreadable.append(event.position)
        takings.up_to = up_to
        return takings

    async def _receipts(self, instance: int, after: int, up_to: int, unreadable: list[int]) -> Any:
        """Receipts of the log in order; the positions of those that cannot be read go to ``unreadable``."""
        while rows := await self._host.log.read_types(instance, RECEIPTS, after, up_to, PAGE_ROWS):
            for row in rows:
                try:
                    yield recorded(row)
                except (msgspec.DecodeError, UnknownEvent) as error:
                    log.error("a receipt cannot be read", instance=instance, position=row["position"], error=str(error))
                    unreadable.append(row["position"])
            after = rows[-1]["position"]

    async def _execute(self, type_: CommandType, command: Command[Any], request: Request) -> tuple[Any, bool]:
        return await self._host.dispatcher.execute(type_, command, timeout=request.left())


def _command(request: Request, body: Any) -> Command[Any]:
    assert request.command_id is not None
    return command_of(request, principal_of(request), body)


def _then(first: Command[Any], fence: Fence, body: Any) -> Command[Any]:
    """The second half: the same for everybody who finishes what this fence began."""
    principal = Principal(first.instance, first.principal.user, level="system")
    return Command(derived(fence.id, "finish"), first.at, principal, body, began=first.began)


def _reply(answer: Any, type_: type[Any], behind: bool) -> Reply:
    assert isinstance(answer, type_)
    return Reply(msgspec.msgpack.encode(answer), behind)
