"""What can be asked of auth, and what it answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from libs.contracts.auth.events import PurgedLog
from libs.domain.paging import Paged
from libs.domain.records import RecordView

ACCESS_TOKEN_LIFE_S: Final = 3600
SESSION_LIFE_S: Final = 30 * 24 * 3600
PASSWORD_MAX_CHARS: Final = 256
PASSWORD_MIN_CHARS: Final = 8
TOKEN_MAX_CHARS: Final = 4096
PIN_DIGITS: Final = 4
CARD_ID_MIN_CHARS: Final = 4  # of letters and digits; separators do not count
CARD_ID_MAX_CHARS: Final = 64


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """``instance`` is a name; empty means the only one there is. ``origin``: the address it was asked from."""

    username: str
    password: str
    instance: str = ""
    origin: str = ""


class Employee(msgspec.Struct, frozen=True, kw_only=True):
    """Who somebody says to be: the key, the user name or the staff number; the first that is given counts."""

    key: str | None = None
    username: str | None = None
    staff_number: int | None = None


class PinLogin(msgspec.Struct, frozen=True, kw_only=True):
    """``instance`` is a name; empty means the only one there is."""

    employee: Employee
    pin: str
    instance: str = ""


class CardLogin(msgspec.Struct, frozen=True, kw_only=True):
    card_id: str
    instance: str = ""


class SwitchStaff(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody else takes over a device that is logged in, by PIN or by password."""

    employee: Employee
    pin: str | None = None
    password: str | None = None


class KeepStaff(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Fields of an employee with the secrets of the logins: a text sets one, None takes it away, what is absent stays. Without ``key``
    a new employee."""

    values: dict[str, Any]
    key: str = ""
    if_match: tuple[str, ...] = ()
    password: str | UnsetType = UNSET
    pin: str | UnsetType | None = UNSET
    card_id: str | UnsetType | None = UNSET


class StaffView(RecordView, frozen=True, kw_only=True):
    """An employee as commands and queries answer it: which logins are possible, never with what."""

    has_password: bool = False
    has_pin: bool = False
    has_card: bool = False
    last_login: datetime | None = None


class ColleagueList(Paged, frozen=True, kw_only=True, omit_defaults=True):
    """Who may log in at a moment."""

    at: datetime


COLLEAGUE_ORDERS: Final = ("staff_number",)


class Colleague(msgspec.Struct, frozen=True, kw_only=True):
    """What everybody at a till may see of who could take it over."""

    key: str
    staff_number: int | None
    name: str
    has_pin: bool


class Refresh(msgspec.Struct, frozen=True, kw_only=True):
    access_token: str
    refresh_token: str
    instance: str = ""


class Logout(msgspec.Struct, frozen=True, kw_only=True):
    session: str


class ConfirmSession(msgspec.Struct, frozen=True, kw_only=True):
    session: str
    generation: int


class SetPassword(msgspec.Struct, frozen=True, kw_only=True):
    user: str
    password: str


class SetFirstPassword(msgspec.Struct, frozen=True, kw_only=True):
    """Only for a user that has none yet."""

    user: str
    password: str


class CreateInstance(msgspec.Struct, frozen=True, kw_only=True):
    name: str


class Instance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``closed_at``: since when nobody logs in there and nothing is written."""

    id: int
    name: str
    closed_at: datetime | None = None


class CloseInstance(msgspec.Struct, frozen=True, kw_only=True):
    """``key``: of its stream; ``name``: as it was typed, so that no other one is closed."""

    key: str
    name: str
    reason: str = ""


class ReopenInstance(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    name: str
    reason: str = ""


class PurgeInstance(msgspec.Struct, frozen=True, kw_only=True):
    """Of one that is closed; see ``InstancePurged``."""

    key: str
    name: str
    logs: tuple[PurgedLog, ...]
    export: str = ""
    reason: str = ""


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """``expires_in`` seconds."""

    access_token: str
    refresh_token: str
    expires_in: int = ACCESS_TOKEN_LIFE_S


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """The public key that access tokens are verified with (PEM)."""

    public_key: bytes


class Revocation(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of ``subject`` (a user's or a session's key) issued before ``valid_from`` are dead."""

    instance: int
    subject: str
    valid_from: datetime


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who a token belongs to. ``application``: the number of the one that it is bound to."""

    key: str
    id: int
    username: str
    first_name: str | None
    last_name: str | None
    short_name: str | None
    email: str | None
    staff_number: int | None
    roles: tuple[str, ...]
    rights: tuple[str, ...]
    permissions: dict[str, bool]
    changed_at: datetime
    contact: int | None = None
    apionly: bool = False
    application: int | None = None


class GroupHeld(msgspec.Struct, frozen=True, kw_only=True):
    """A group of the ERP that somebody is in; ``writable``: what it owns may be written."""

    id: int
    name: str
    writable: bool


class MyAccess(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody may do with the ERP's records; ``permissions``: of a module, whether it may be written."""

    admin: bool
    nopublic: bool
    groups: tuple[GroupHeld, ...]
    permissions: dict[str, bool]


class NoBody(msgspec.Struct, frozen=True):
    pass
