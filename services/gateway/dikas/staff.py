"""Section Staff: employees, what they may do and come in with, and who takes over a device."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from libs.contracts.auth.commands import COLLEAGUE_ORDERS, Colleague, ColleagueList, Employee, KeepStaff, StaffView, SwitchStaff, Tokens
from libs.contracts.auth.records import USER
from libs.domain.errors import FieldError, invalid
from libs.runtime.records import Count
from services.gateway import limits
from services.gateway.bodies import Whole
from services.gateway.dikas import shapes
from services.gateway.dikas.auth import TokensOut, tokens_out
from services.gateway.dikas.call import Call, Route
from services.gateway.dikas.listing import CHANGED_SINCE, TOTAL, asks_of, listed, listing_of, paged_params, paging_of
from services.gateway.dikas.names import dialect_name
from services.gateway.dikas.params import Param
from services.gateway.dikas.records import Section, values_of
from services.gateway.dikas.tags import if_match

SECRETS: Final = ("password", "pin", "card_id")  # taken, never shown


class StaffBody(msgspec.Struct, rename=dialect_name):
    """``pin`` and ``cardId``: null takes the login away. ``cashPointRights`` add to those of the roles; ``denyLogin`` is the exception.
    ``apiOnly``: no login at a till; ``noPublic``: rows of the ERP without an owner are hidden."""

    username: str | UnsetType = UNSET
    password: str | UnsetType = UNSET
    pin: str | UnsetType | None = UNSET
    card_id: str | UnsetType | None = UNSET
    roles: list[str] | UnsetType = UNSET
    rights: list[str] | UnsetType = UNSET
    staff_number: Whole | UnsetType | None = UNSET
    first_name: str | UnsetType | None = UNSET
    last_name: str | UnsetType | None = UNSET
    short_name: str | UnsetType | None = UNSET
    email: str | UnsetType | None = UNSET
    phone: str | UnsetType | None = UNSET
    mobile: str | UnsetType | None = UNSET
    street: str | UnsetType | None = UNSET
    postal_code: str | UnsetType | None = UNSET
    city: str | UnsetType | None = UNSET
    country: str | UnsetType | None = UNSET
    gender: str | UnsetType | None = UNSET
    birth_date: date | UnsetType | None = UNSET
    birth_place: str | UnsetType | None = UNSET
    start_date: date | UnsetType | None = UNSET
    end_date: date | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET
    nopublic: bool | UnsetType = UNSET
    apionly: bool | UnsetType = UNSET


class StaffValues(msgspec.Struct):
    username: str
    is_active: bool
    roles: tuple[str, ...] = ()
    rights: tuple[str, ...] = ()
    staff_number: int | None = None
    first_name: str | None = None
    last_name: str | None = None
    short_name: str | None = None
    email: str | None = None
    phone: str | None = None
    mobile: str | None = None
    street: str | None = None
    postal_code: str | None = None
    city: str | None = None
    country: str | None = None
    gender: str | None = None
    birth_date: date | None = None
    birth_place: str | None = None
    start_date: date | None = None
    end_date: date | None = None
    nopublic: bool = False
    apionly: bool = False


class StaffOut(msgspec.Struct, rename=dialect_name):
    id: str
    staff_number: int | None
    username: str
    first_name: str | None
    last_name: str | None
    short_name: str | None
    email: str | None
    phone: str | None
    mobile: str | None
    street: str | None
    postal_code: str | None
    city: str | None
    country: str | None
    gender: str | None
    birth_date: date | None
    birth_place: str | None
    start_date: date | None
    end_date: date | None
    roles: tuple[str, ...]
    rights: tuple[str, ...]
    is_active: bool
    nopublic: bool
    apionly: bool
    has_password: bool
    has_pin: bool
    has_card: bool
    last_login: str | None
    created_date: str
    changed_date: str


def staff_out(view: Any) -> StaffOut:
    return StaffOut(
        id=view.key,
        has_password=view.has_password,
        has_pin=view.has_pin,
        has_card=view.has_card,
        last_login=shapes.maybe_moment(view.last_login),
        created_date=shapes.moment(view.created_at),
        changed_date=shapes.moment(view.changed_at),
        **msgspec.structs.asdict(view.values),
    )


def _kept(body: StaffBody, key: str = "") -> KeepStaff:
    named = values_of(body)
    secrets = {name: named.pop(name) for name in SECRETS if name in named}
    return KeepStaff(values=named, key=key, **secrets)


class _Staff(Section):
    """Employees are records; what they come in with goes through auth's own doors."""

    def __init__(self) -> None:
        super().__init__("Staff", "/api/v1/staff", USER, StaffBody, StaffValues, staff_out, view=StaffView, live=True)

    def asks(self, verb: str) -> tuple[str, ...]:
        if verb == "delete":
            return super().asks(verb)
        return ("auth.staff.list", "auth.user.count") if verb == "list" else (f"auth.staff.{verb}",)

    def list_params(self) -> tuple[Param, ...]:
        return tuple(param for param in super().list_params() if param.name != CHANGED_SINCE)

    async def list(self, call: Call) -> AsyncIterator[list[Any]]:
        """All employees, oldest first; or a page, those that fit a search and filters, in an order."""
        listing = listing_of(call, self.type)
        count = await call.query("auth", "user.count", listing, Count)
        if listing.page is not None:
            call.headers[TOTAL] = str(count.total)
        async for views in call.stream("auth", "staff.list", listing, self.view):
            yield [self.out(view) for view in views]

    async def get(self, call: Call) -> StaffOut:
        """An employee."""
        return staff_out(self.tagged(call, await call.query("auth", "staff.get", {"key": self.key(call)}, self.view)))

    async def create(self, call: Call) -> StaffOut:
        """A new employee; the staff number is the next one unless it is chosen."""
        return staff_out(self.tagged(call, await call.command("auth", "staff.create", _kept(call.body), self.view)))

    async def update(self, call: Call) -> StaffOut:
        """Fields that are not named stay as they are; null clears one. The employee's access tokens are dead, a refresh brings the new
        rights; a new password, PIN or card ends the sessions."""
        kept = msgspec.structs.replace(_kept(call.body, self.key(call)), if_match=if_match(call))
        return staff_out(self.tagged(call, await call.command("auth", "staff.change", kept, self.view)))

    async def delete(self, call: Call) -> None:
        """The employee cannot log in any more; what was done stays in the books. The last administrator stays."""
        await super().delete(call)


class SwitchBody(msgspec.Struct, rename="camel"):
    """Who takes over, by ``staffId``, ``username`` or ``staffNumber``, and the ``pin`` or the ``password``."""

    staff_id: str | None = None
    username: str | None = None
    staff_number: Whole | None = None
    pin: str | None = None
    password: str | None = None


class ColleagueOut(msgspec.Struct, rename="camel"):
    id: str
    staff_number: int | None
    name: str
    has_pin: bool


async def switch(call: Call) -> TokensOut:
    """Somebody else takes over this device (Kellnerwechsel): a pair of tokens of their own."""
    body: SwitchBody = call.body
    nobody = body.staff_id is None and body.username is None and body.staff_number is None
    faults = [FieldError("staff_id", "required")] if nobody else []
    if body.pin is None and body.password is None:
        faults.append(FieldError("pin", "required"))
    if faults:
        raise invalid(*faults)
    employee = Employee(key=body.staff_id, username=body.username, staff_number=body.staff_number)
    asked = SwitchStaff(employee=employee, pin=body.pin, password=body.password)
    return tokens_out(await call.command("auth", "switch", asked, Tokens, deadline=limits.LOGIN_DEADLINE_S))


async def colleagues(call: Call) -> AsyncIterator[list[ColleagueOut]]:
    """Who can take over this device: names and staff numbers, no more."""
    wanted = ColleagueList(at=call.at, **paging_of(call, COLLEAGUE_ORDERS))
    async for piece in listed(call, "auth", "staff.colleague", wanted, Colleague, _colleague_out):
        yield piece


def _colleague_out(one: Colleague) -> ColleagueOut:
    return ColleagueOut(one.key, one.staff_number, one.name, one.has_pin)


ROUTES = (
    Route("POST", "/api/v1/staff/switch", "Staff", switch, SwitchBody, asks=("auth.switch",), refuses=(429,)),
    Route(
        "GET",
        "/api/v1/staff/switch",
        "Staff",
        colleagues,
        stream=True,
        asks=asks_of("auth", "staff.colleague"),
        params=paged_params(COLLEAGUE_ORDERS),
    ),
    *_Staff().routes(),
)
