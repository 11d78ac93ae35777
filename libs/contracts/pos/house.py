"""The house: how it keeps its books, who works at which till, and its days. All of it stands in one stream, ``house-main``, which every
sale reads; only settings, shifts and days write it. Z reports have a stream each. Amounts are minor units."""

from __future__ import annotations

from datetime import date, datetime, time
from hashlib import md5
from typing import Final, Literal

import msgspec

from libs.contracts.pos.events import TaxAmount
from libs.domain.events import Event, event

OFFLINE_REGISTERS_MAX: Final = 200
FLOAT_MAX_MINOR: Final = 10**10
COUNT_MAX_MINOR: Final = 10**12

Day = date  # some structs have a field named date


class Letterhead(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What stands on every receipt (§ 14 UStG, § 6 KassenSichV): who sells, and where. ``footer``: lines below it."""

    company: str = ""
    street: str = ""
    postcode: str = ""
    city: str = ""
    country: str = ""
    tax_number: str = ""
    vat_id: str = ""
    phone: str = ""
    email: str = ""
    footer: tuple[str, ...] = ()


class MailServer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where mail is handed in. ``host`` empty: none is sent. ``secret`` names the password in the service's store of secrets; the
    password itself is in no event."""

    host: str = ""
    port: int = 587
    security: Literal["none", "starttls", "tls"] = "starttls"
    user: str = ""
    sender: str = ""
    secret: str = ""


class HouseSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``currency`` ISO 4217, ``zone`` an IANA name, ``day_starts`` the wall-clock time at which a business day begins;
    ``shift_required``: nobody sells without an open shift. ``offline_registers`` may sell while cut off: they number their receipts
    themselves. ``signing_unit``: what signs receipts; empty: nothing does."""

    currency: str = "EUR"
    zone: str = "Europe/Berlin"
    day_starts: time = time(4)
    shift_required: bool = False
    offline_registers: tuple[str, ...] = ()
    letterhead: Letterhead = Letterhead()
    mail: MailServer = MailServer()
    signing_unit: str = ""


class Region(msgspec.Struct, frozen=True, kw_only=True):
    """Where a house is: ``country`` ISO 3166-1, ``currency`` ISO 4217, ``zone`` an IANA name."""

    country: str
    currency: str
    zone: str


class PaymentTotal(msgspec.Struct, frozen=True, kw_only=True):
    """What was kept of one way of paying: handed over minus change. ``count``: payments."""

    type: int
    amount: int
    count: int


class RegisterTotal(msgspec.Struct, frozen=True, kw_only=True):
    """The receipts of one register: first and last number, how many, and their sum."""

    register: str
    first_number: int
    last_number: int
    receipts: int
    gross: int


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over receipts. ``receipts`` counts sales, ``voids`` and ``refunds`` what took something back; ``Σ payments = gross + tips``.
    ``cash``: what moved the drawer."""

    receipts: int = 0
    voids: int = 0
    refunds: int = 0
    gross: int = 0
    net: int = 0
    tax: int = 0
    tips: int = 0
    cash: int = 0
    taxes: tuple[TaxAmount, ...] = ()
    payments: tuple[PaymentTotal, ...] = ()


class ShiftTotal(msgspec.Struct, frozen=True, kw_only=True):
    """A settled shift as a Z report shows it."""

    shift: str
    staff: str
    register: str
    expected: int
    counted: int | None
    difference: int


@event("house.settings_changed")
class HouseSettingsChanged(Event, frozen=True, kw_only=True):
    settings: HouseSettings
    staff: str
    at: datetime


@event("shift.opened")
class ShiftOpened(Event, frozen=True, kw_only=True):
    """``staff`` begins to sell with ``opening_float`` in the drawer of ``register``."""

    shift: str
    staff: str
    register: str
    opening_float: int
    business_day: date
    at: datetime


@event("shift.counted")
class ShiftCounted(Event, frozen=True, kw_only=True):
    """The drawer was counted, blind: what should be in it is worked out afterwards. From here on nothing is sold in this shift.
    ``counted`` None: settled without a count."""

    shift: str
    counted: int | None
    staff: str
    at: datetime


@event("shift.settled")
class ShiftSettled(Event, frozen=True, kw_only=True):
    """``expected`` = float + cash of the shift's receipts; ``difference`` = counted − expected, 0 without a count. It is booked, never
    refused."""

    shift: str
    totals: Totals
    expected: int
    counted: int | None
    difference: int
    staff: str
    at: datetime


@event("day.closing")
class DayClosing(Event, frozen=True, kw_only=True):
    """From this position on nothing is booked on ``through`` or a day before it. ``confirmed``: warnings somebody accepted."""

    through: date
    confirmed: tuple[str, ...]
    staff: str
    at: datetime


@event("day.closed")
class DayClosed(Event, frozen=True, kw_only=True):
    """``report`` holds the sums. ``covered``: the position up to which every receipt stands in some Z report."""

    report: str
    through: date
    covered: int


@event("z_report.issued")
class ZReportIssued(Event, frozen=True, kw_only=True):
    """Every receipt of the business days ``first_day`` to ``through`` that no Z report held before. ``unreadable``: positions of receipts
    that could not be read; they are listed, they do not hold up the day."""

    report: str
    first_day: date
    through: date
    totals: Totals
    registers: tuple[RegisterTotal, ...]
    shifts: tuple[ShiftTotal, ...]
    unreadable: tuple[int, ...]
    confirmed: tuple[str, ...]
    staff: str
    at: datetime

    def series(self) -> str:
        return "z_report"


# --- what can be asked of the house ----------------------------------------------------------------------------------------------


class LetterheadChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    company: str | msgspec.UnsetType = msgspec.UNSET
    street: str | msgspec.UnsetType = msgspec.UNSET
    postcode: str | msgspec.UnsetType = msgspec.UNSET
    city: str | msgspec.UnsetType = msgspec.UNSET
    country: str | msgspec.UnsetType = msgspec.UNSET
    tax_number: str | msgspec.UnsetType = msgspec.UNSET
    vat_id: str | msgspec.UnsetType = msgspec.UNSET
    phone: str | msgspec.UnsetType = msgspec.UNSET
    email: str | msgspec.UnsetType = msgspec.UNSET
    footer: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET


class MailServerChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``secret`` is set by the service alone, when a password came with the change."""

    host: str | msgspec.UnsetType = msgspec.UNSET
    port: int | msgspec.UnsetType = msgspec.UNSET
    security: Literal["none", "starttls", "tls"] | msgspec.UnsetType = msgspec.UNSET
    user: str | msgspec.UnsetType = msgspec.UNSET
    sender: str | msgspec.UnsetType = msgspec.UNSET
    secret: str | msgspec.UnsetType = msgspec.UNSET


class SettingsChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields that are named; all others stay as they are."""

    zone: str | msgspec.UnsetType = msgspec.UNSET
    day_starts: time | msgspec.UnsetType = msgspec.UNSET
    shift_required: bool | msgspec.UnsetType = msgspec.UNSET
    offline_registers: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    letterhead: LetterheadChange = LetterheadChange()
    mail: MailServerChange = MailServerChange()


def settings_tag(settings: HouseSettings) -> str:
    """The tag of settings that are as these are."""
    return md5(msgspec.msgpack.encode(settings), usedforsecurity=False).hexdigest()


class ChangeSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``settings``: all of them as a whole; ``change``: some of them."""

    settings: HouseSettings | None = None
    change: SettingsChange = SettingsChange()
    if_match: tuple[str, ...] = ()


class Configure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A change that may bring a password for the mail server. Empty: the one that is known stays."""

    change: SettingsChange = SettingsChange()
    mail_password: str = ""
    if_match: tuple[str, ...] = ()


class OpenShift(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``staff`` None: for oneself. Others may be named by whoever may settle shifts."""

    opening_float: int = 0
    register: str = "1"
    staff: str | None = None


class CountShift(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    shift: str
    counted: int | None = None


class SettleShift(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Second half of settling: ``totals`` were worked out from the log up to the count."""

    shift: str
    totals: Totals


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """``expected``, ``difference`` and ``totals`` None until it is settled."""

    id: str
    staff: str
    register: str
    opening_float: int
    business_day: date
    opened_at: datetime
    counted: int | None = None
    counted_at: datetime | None = None
    expected: int | None = None
    difference: int | None = None
    totals: Totals | None = None


class CloseDay(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``through`` None: the last business day with receipts, or today if there are none. ``confirmed``: warnings that are accepted."""

    through: date | None = None
    confirmed: tuple[str, ...] = ()


class FinishDay(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Second half of closing: the sums of the log up to ``day.closing``."""

    first_day: date
    totals: Totals
    registers: tuple[RegisterTotal, ...]
    unreadable: tuple[int, ...]
    covered: int


class ZReport(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    number: int
    first_day: date
    through: date
    totals: Totals
    registers: tuple[RegisterTotal, ...]
    shifts: tuple[ShiftTotal, ...]
    unreadable: tuple[int, ...]
    confirmed: tuple[str, ...]
    staff: str
    closed_at: datetime


class OpenTable(msgspec.Struct, frozen=True, kw_only=True):
    table: str
    open_amount: int


class XReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a Z report would hold if the day were closed now, and what stands in its way. ``first_day`` None: nothing was sold."""

    first_day: date | None
    through: date
    totals: Totals
    registers: tuple[RegisterTotal, ...]
    open_shifts: tuple[Shift, ...]
    open_tables: tuple[OpenTable, ...]
    unreadable: tuple[int, ...]
    position: int


class ShiftKey(msgspec.Struct, frozen=True, kw_only=True):
    shift: str


class ReportKey(msgspec.Struct, frozen=True, kw_only=True):
    report: str
