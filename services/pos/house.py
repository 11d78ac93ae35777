"""The house: settings, shifts and the business day, in one stream that every sale reads.

Settling a shift and closing a day take two appends. The first is a fence (``shift.counted``, ``day.closing``): sales read this stream, so
none is appended behind it as if it were not there. What lies before the fence no longer changes; it is summed from the log, and the
second append books the sums. Whoever is interrupted between the two repeats the same request, or the next one finishes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from libs.contracts.pos.house import (
    COUNT_MAX_MINOR,
    FLOAT_MAX_MINOR,
    OFFLINE_REGISTERS_MAX,
    ChangeSettings,
    CloseDay,
    CountShift,
    DayClosed,
    DayClosing,
    FinishDay,
    HouseSettings,
    HouseSettingsChanged,
    OpenShift,
    SettleShift,
    Shift,
    ShiftCounted,
    ShiftOpened,
    ShiftSettled,
    ShiftTotal,
    ZReport,
    ZReportIssued,
    settings_tag,
)
from libs.contracts.pos.permissions import DAY_CLOSE, PAYMENTS, SETTINGS, SHIFTS
from libs.domain.decider import Aggregate, Command, CommandType, Decision, Lookup, States, StreamRef
from libs.domain.errors import DomainError, Kind
from libs.domain.events import Event, Recorded
from libs.domain.ids import key_of
from libs.domain.money import MINOR_DIGITS
from services.pos.faults import Faults, check_int, check_key, known_as
from services.pos.settings import MAIN, business_day, changed, check_letterhead, check_mail_server

OPEN_SHIFTS_MAX: Final = 500
OPEN_TABLES: Final = "open_tables"
WARNINGS: Final = (OPEN_TABLES,)

# --- state --------------------------------------------------------------------------------------------------------------------


class Fence(msgspec.Struct, frozen=True):
    """Where the first half of settling or closing stands in the log. The second half takes its id from it, whoever finishes it."""

    position: int
    id: UUID


class Closing(msgspec.Struct, frozen=True):
    """A day that is being closed: receipts before the fence are those it may hold."""

    through: date
    fence: Fence
    confirmed: tuple[str, ...]
    staff: str
    at: datetime


class HouseState(msgspec.Struct, frozen=True):
    """``shifts``: those not settled, by key; ``openings`` and ``fences``: where they begin and end in the log. ``last_shift``: the one
    settled last, for its answer; ``settled``: those since the last Z report. ``covered``: up to here every receipt is in one."""

    settings: HouseSettings = HouseSettings()
    shifts: Mapping[str, Shift] = msgspec.field(default_factory=dict)
    fences: Mapping[str, Fence] = msgspec.field(default_factory=dict)
    openings: Mapping[str, int] = msgspec.field(default_factory=dict)
    last_shift: Shift | None = None
    settled: tuple[ShiftTotal, ...] = ()
    closed_through: date | None = None
    closing: Closing | None = None
    covered: int = 0
    report: str = ""

    @property
    def no_more_until(self) -> date | None:
        """The last day that takes nothing any more."""
        return self.closing.through if self.closing is not None else self.closed_through

    def day_of(self, at: datetime) -> date:
        """The open day this moment is booked on: never one that was closed, whatever the clock says."""
        day, shut = business_day(at, self.settings), self.no_more_until
        return day if shut is None else max(day, shut + timedelta(days=1))

    def shift_of(self, staff: str) -> Shift | None:
        """The shift somebody sells in."""
        return next((shift for shift in self.shifts.values() if shift.staff == staff and shift.counted_at is None), None)


def evolve(state: HouseState, recorded: Recorded) -> HouseState:
    replace = msgspec.structs.replace
    match recorded.data:
        case HouseSettingsChanged(settings=settings):
            return replace(state, settings=settings)
        case ShiftOpened() as opened:
            shift = Shift(
                id=opened.shift,
                staff=opened.staff,
                register=opened.register,
                opening_float=opened.opening_float,
                business_day=opened.business_day,
                opened_at=opened.at,
            )
            return replace(state, shifts={**state.shifts, shift.id: shift}, openings={**state.openings, shift.id: recorded.position})
        case ShiftCounted() as counted:
            shift = replace(state.shifts[counted.shift], counted=counted.counted, counted_at=counted.at)
            return replace(
                state, shifts={**state.shifts, shift.id: shift}, fences={**state.fences, shift.id: Fence(recorded.position, recorded.id)}
            )
        case ShiftSettled() as settled:
            return _settled(state, settled)
        case DayClosing() as closing:
            return replace(
                state, closing=Closing(closing.through, Fence(recorded.position, recorded.id), closing.confirmed, closing.staff, closing.at)
            )
        case DayClosed() as closed:
            return replace(state, closing=None, closed_through=closed.through, covered=closed.covered, report=closed.report, settled=())
    raise AssertionError(f"a house has no {recorded.type}")


def _settled(state: HouseState, event: ShiftSettled) -> HouseState:
    shift = msgspec.structs.replace(state.shifts[event.shift], expected=event.expected, difference=event.difference, totals=event.totals)
    total = ShiftTotal(
        shift=shift.id,
        staff=shift.staff,
        register=shift.register,
        expected=event.expected,
        counted=event.counted,
        difference=event.difference,
    )
    return msgspec.structs.replace(
        state,
        shifts=_without(state.shifts, shift.id),
        fences=_without(state.fences, shift.id),
        openings=_without(state.openings, shift.id),
        last_shift=shift,
        settled=(*state.settled, total),
    )


def _without(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != key}


HOUSE: Final = Aggregate("house", HouseState(), evolve)
STREAM: Final = HOUSE.stream(MAIN)
READ: Final = StreamRef(HOUSE, MAIN, reads=True)
WRITE: Final = StreamRef(HOUSE, MAIN)


class ReportState(msgspec.Struct, frozen=True):
    issued: ZReportIssued | None = None
    number: int | None = None
    at: datetime | None = None


def evolve_report(_: ReportState, recorded: Recorded) -> ReportState:
    return ReportState(recorded.data, recorded.number, recorded.at)


Z_REPORT: Final = Aggregate("z_report", ReportState(), evolve_report)


def house_of(states: States) -> HouseState:
    house: HouseState = states.get(STREAM, HOUSE.initial)
    return house


# --- settings and shifts ------------------------------------------------------------------------------------------------------


async def registers_in_use(command: Command[ChangeSettings], lookup: Lookup) -> frozenset[str]:
    """Which of the registers named have receipts already: their way of numbering stays."""
    named = _offline_registers(command.body)[:OFFLINE_REGISTERS_MAX]
    return frozenset([name for name in named if await lookup.referenced("pos.receipts", "register", command.instance, name)])


def _offline_registers(body: ChangeSettings) -> tuple[str, ...]:
    if body.change.offline_registers is not msgspec.UNSET:
        return body.change.offline_registers
    return body.settings.offline_registers if body.settings is not None else ()


def decide_settings(states: States, command: Command[ChangeSettings], used: frozenset[str]) -> Decision:
    now = house_of(states).settings
    if command.body.if_match and settings_tag(now) not in command.body.if_match:
        raise DomainError(Kind.PRECONDITION_FAILED, "settings_mismatch")
    settings = changed(command.body.settings or now, command.body.change)
    faults = Faults()
    check_letterhead(settings.letterhead, faults)
    check_mail_server(settings.mail, faults)
    try:
        ZoneInfo(settings.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        faults.invalid("zone", "not_known", value=settings.zone[:50])
    if settings.currency not in MINOR_DIGITS:
        faults.invalid("currency", "not_known", value=settings.currency[:10])
    if len(settings.offline_registers) > OFFLINE_REGISTERS_MAX:
        faults.invalid("offline_registers", "too_many", max=OFFLINE_REGISTERS_MAX)
    for ix, register in enumerate(settings.offline_registers[:OFFLINE_REGISTERS_MAX]):
        check_key(register, f"offline_registers[{ix}]", faults)
    before = now.offline_registers
    for register in sorted(used.difference(before)):
        faults.conflict("offline_registers", "register_has_receipts", id=register)
    for register in sorted(set(before).difference(settings.offline_registers)):
        faults.conflict("offline_registers", "register_stays_offline", id=register)
    if settings.day_starts.second or settings.day_starts.microsecond or settings.day_starts.tzinfo is not None:
        faults.invalid("day_starts", "not_a_whole_minute")
    faults.refuse()
    if settings == house_of(states).settings:
        return Decision({})
    return _write(HouseSettingsChanged(settings=settings, staff=command.principal.user, at=command.at))


def decide_open_shift(states: States, command: Command[OpenShift], _: Any) -> Decision:
    body, house = command.body, house_of(states)
    staff = body.staff or command.principal.user
    if staff != command.principal.user and not command.principal.may(SHIFTS, write=True):
        raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": SHIFTS})
    faults = Faults()
    check_int(body.opening_float, 0, FLOAT_MAX_MINOR, "opening_float", faults)
    check_key(body.register, "register", faults)
    check_key(staff, "staff", faults)
    if house.shift_of(staff) is not None:
        faults.conflict("staff", "shift_already_open", id=known_as(staff))
    if len(house.shifts) >= OPEN_SHIFTS_MAX:
        faults.conflict("staff", "too_many_open_shifts", max=OPEN_SHIFTS_MAX)
    faults.refuse()
    return _write(
        ShiftOpened(
            shift=shift_key(command),
            staff=staff,
            register=body.register,
            opening_float=body.opening_float,
            business_day=house.day_of(command.at),
            at=command.at,
        )
    )


def shift_key(command: Command[OpenShift]) -> str:
    return key_of("shf", command.id)


def decide_count_shift(states: States, command: Command[CountShift], _: Any) -> Decision:
    """Counted once: a second count of the same shift changes nothing, so that whoever was interrupted can go on to settle it."""
    body, house = command.body, house_of(states)
    faults = Faults()
    check_int(body.counted, 0, COUNT_MAX_MINOR, "counted", faults)
    shift = house.shifts.get(body.shift)
    if shift is None and any(settled.shift == body.shift for settled in house.settled):
        faults.conflict("shift", "shift_already_settled", id=body.shift)
    elif shift is None:
        faults.not_found("shift", "shift_not_found", id=known_as(body.shift))
    faults.refuse()
    assert shift is not None
    if shift.counted_at is not None:
        return Decision({})
    return _write(ShiftCounted(shift=shift.id, counted=body.counted, staff=command.principal.user, at=command.at))


def decide_settle_shift(states: States, command: Command[SettleShift], _: Any) -> Decision:
    body = command.body
    shift = house_of(states).shifts.get(body.shift)
    if shift is None:
        raise DomainError(Kind.NOT_FOUND, "shift_not_found", {"id": known_as(body.shift)})
    expected = shift.opening_float + body.totals.cash
    return _write(
        ShiftSettled(
            shift=shift.id,
            totals=body.totals,
            expected=expected,
            counted=shift.counted,
            difference=0 if shift.counted is None else shift.counted - expected,
            staff=command.principal.user,
            at=command.at,
        )
    )


# --- the day ------------------------------------------------------------------------------------------------------------------


class DayFacts(msgspec.Struct, frozen=True):
    """``open_tables``: how many have something open. ``last_day``: the newest business day with a receipt."""

    open_tables: int = 0
    last_day: date | None = None


def decide_close_day(states: States, command: Command[CloseDay], facts: DayFacts) -> Decision:
    """The fence. A day that is already being closed is left as it is: this command then finishes it."""
    body, house = command.body, house_of(states)
    if house.closing is not None:
        return Decision({})
    through = body.through or _day_to_close(house, command.at, facts)
    faults = Faults()
    for ix, warning in enumerate(body.confirmed):
        if warning not in WARNINGS:
            faults.invalid(f"confirmed[{ix}]", "warning_unknown")
    if through > house.day_of(command.at):
        faults.invalid("through", "day_in_future", date=str(through))
    if house.closed_through is not None and through <= house.closed_through:
        faults.conflict("through", "day_already_closed", date=str(through))
    for shift in house.shifts.values():
        faults.conflict("shifts", "shift_not_settled", id=shift.id, staff=shift.staff, register=shift.register)
    faults.refuse()
    if facts.open_tables and OPEN_TABLES not in body.confirmed:
        faults.conflict("confirmed", "open_tables", count=facts.open_tables)
    faults.refuse()
    return _write(DayClosing(through=through, confirmed=tuple(dict.fromkeys(body.confirmed)), staff=command.principal.user, at=command.at))


def _day_to_close(house: HouseState, at: datetime, facts: DayFacts) -> date:
    """The last day with receipts that is not closed; without any, today."""
    last, shut = facts.last_day, house.closed_through
    return last if last is not None and (shut is None or last > shut) else house.day_of(at)


def decide_finish_day(states: States, command: Command[FinishDay], _: Any) -> Decision:
    body, house = command.body, house_of(states)
    closing = house.closing
    if closing is None:
        raise DomainError(Kind.CONFLICT, "no_day_closing", {})
    report = report_key(command)
    issued = ZReportIssued(
        report=report,
        first_day=body.first_day,
        through=closing.through,
        totals=body.totals,
        registers=body.registers,
        shifts=house.settled,
        unreadable=body.unreadable,
        confirmed=closing.confirmed,
        staff=closing.staff,
        at=closing.at,
    )
    closed = DayClosed(report=report, through=closing.through, covered=body.covered)
    return Decision({Z_REPORT.stream(report): (issued,), STREAM: (closed,)})


def report_key(command: Command[FinishDay]) -> str:
    return key_of("zrp", command.id)


def _write(event: Event) -> Decision:
    return Decision({STREAM: (event,)})


# --- answers and commands -----------------------------------------------------------------------------------------------------


def reply_settings(states: States, _: Command[ChangeSettings], __: Sequence[Recorded]) -> HouseSettings:
    return house_of(states).settings


def reply_opened(states: States, command: Command[OpenShift], _: Sequence[Recorded]) -> Shift:
    return house_of(states).shifts[shift_key(command)]


def reply_house(states: States, _: Command[Any], __: Sequence[Recorded]) -> HouseState:
    """Inside the service only: what the second half of settling or closing starts from."""
    return house_of(states)


def reply_settled(states: States, _: Command[SettleShift], __: Sequence[Recorded]) -> Shift:
    shift = house_of(states).last_shift
    assert shift is not None
    return shift


def z_report_of(state: ReportState) -> ZReport:
    issued = state.issued
    assert issued is not None
    assert state.number is not None
    assert state.at is not None
    fields = {name: getattr(issued, name) for name in ("first_day", "through", "totals", "registers", "shifts", "unreadable", "confirmed")}
    return ZReport(id=issued.report, number=state.number, staff=issued.staff, closed_at=state.at, **fields)


def reply_report(states: States, command: Command[FinishDay], _: Sequence[Recorded]) -> ZReport:
    return z_report_of(states[Z_REPORT.stream(report_key(command))])


def _writes(_: Command[Any]) -> tuple[StreamRef, ...]:
    return (WRITE,)


CHANGE_SETTINGS: Final = CommandType(
    "house.change_settings", ChangeSettings, _writes, decide_settings, reply_settings, SETTINGS, registers_in_use
)
OPEN_SHIFT: Final = CommandType("shift.open", OpenShift, _writes, decide_open_shift, reply_opened, PAYMENTS)
COUNT_SHIFT: Final = CommandType("shift.count", CountShift, _writes, decide_count_shift, reply_house, SHIFTS)
SETTLE_SHIFT: Final = CommandType("shift.settle", SettleShift, _writes, decide_settle_shift, reply_settled, SHIFTS)
CLOSE_DAY: Final = CommandType("day.close", CloseDay, _writes, decide_close_day, reply_house, DAY_CLOSE)
FINISH_DAY: Final = CommandType(
    "day.finish",
    FinishDay,
    lambda command: (WRITE, StreamRef(Z_REPORT, report_key(command), new=True)),
    decide_finish_day,
    reply_report,
    DAY_CLOSE,
)
COMMANDS: Final = (CHANGE_SETTINGS, OPEN_SHIFT)
