"""The settings of the house: what they may be, how they change, and which business day a moment is booked on."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from libs.contracts.pos.house import HouseSettings, Letterhead, LetterheadChange, MailServer, SettingsChange
from services.pos.faults import Faults, check_int, check_text

Settings = HouseSettings
SETTINGS: Final = Settings()
MAIN: Final = "main"  # the key of the one house there is
LETTERHEAD_MAX_CHARS: Final = 100  # of every field, and of every line of the footer
FOOTER_MAX_LINES: Final = 10
PORT_MAX: Final = 65_535
ADDRESS_MAX_CHARS: Final = 254  # RFC 5321

# One address, no name, no comment, no quoted local part: nothing in it can be taken for a header or for a second address.
_ADDRESS: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?")


def is_address(text: str) -> bool:
    """Whether this is an e-mail address that mail is sent to or from."""
    return len(text) <= ADDRESS_MAX_CHARS and _ADDRESS.fullmatch(text) is not None


def changed(settings: Settings, change: SettingsChange) -> Settings:
    """The settings with the fields that the change names."""
    parts = {"letterhead": _replaced(settings.letterhead, change.letterhead), "mail": _replaced(settings.mail, change.mail)}
    named = {name: value for name, value in _named(change).items() if name not in parts}
    return msgspec.structs.replace(settings, **named, **parts)


def _named(change: msgspec.Struct) -> dict[str, Any]:
    values = ((field.name, getattr(change, field.name)) for field in msgspec.structs.fields(change))
    return {name: value for name, value in values if value is not msgspec.UNSET}


def _replaced(group: Any, change: msgspec.Struct) -> Any:
    named = _named(change)
    return msgspec.structs.replace(group, **named) if named else group


def check_letterhead(letterhead: Letterhead, faults: Faults) -> None:
    for field in msgspec.structs.fields(LetterheadChange):
        if field.name != "footer":
            _check_line(getattr(letterhead, field.name), f"letterhead.{field.name}", faults)
    if len(letterhead.footer) > FOOTER_MAX_LINES:
        faults.invalid("letterhead.footer", "too_many", max=FOOTER_MAX_LINES)
        return
    for ix, line in enumerate(letterhead.footer):
        _check_line(line, f"letterhead.footer[{ix}]", faults)


def _check_line(value: str, path: str, faults: Faults) -> None:
    if "\n" in value:
        faults.invalid(path, "unprintable")
    else:
        check_text(value, LETTERHEAD_MAX_CHARS, path, faults)


def check_mail_server(mail: MailServer, faults: Faults) -> None:
    """Without a host nothing else is needed."""
    check_int(mail.port, 1, PORT_MAX, "mail.port", faults)
    _check_line(mail.user, "mail.user", faults)
    if mail.host and not _HOST.fullmatch(mail.host):
        faults.invalid("mail.host", "not_a_host")
    if mail.sender and not is_address(mail.sender):
        faults.invalid("mail.sender", "not_an_address")
    elif mail.host and not mail.sender:
        faults.invalid("mail.sender", "required")


def business_day(at: datetime, settings: Settings = SETTINGS) -> date:
    """The day an aware moment is booked on: what happens after midnight and before the boundary belongs to the evening before.

    The boundary is compared as a moment, not by the wall clock, so that the hour repeated in autumn never goes back a day; a
    boundary inside that hour is its first pass, one inside the hour skipped in spring falls an hour later.
    """
    return _day_of_minute(at.replace(second=0, microsecond=0), settings.zone, settings.day_starts)


@lru_cache(maxsize=1024)
def _day_of_minute(at: datetime, zone_name: str, day_starts: time) -> date:
    """Boundaries lie on whole minutes, so a minute has one answer."""
    zone = ZoneInfo(zone_name)
    today = at.astimezone(zone).date()
    starts = datetime.combine(today, day_starts, zone).astimezone(UTC)
    return today if at.astimezone(UTC) >= starts else today - timedelta(days=1)
