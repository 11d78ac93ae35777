"""Section Config: the settings of the house. PUT changes the fields it names."""

from __future__ import annotations

import re
from datetime import time
from typing import Any, Final, Literal

import msgspec

from libs.contracts.pos.house import Configure, HouseSettings, LetterheadChange, MailServerChange, SettingsChange, settings_tag
from libs.domain.errors import FieldError, invalid
from services.gateway.bodies import Whole
from services.gateway.dikas.call import Call, Route
from services.gateway.dikas.params import IF_MATCH, IF_NONE_MATCH
from services.gateway.dikas.tags import if_match

_TIME: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


class OperationBody(msgspec.Struct, rename="camel"):
    """``dayStarts``: the wall-clock time (HH:MM) at which a business day begins, in ``zone`` (IANA). ``offlineRegisters`` may sell while
    cut off, and number their receipts themselves."""

    zone: str | None = None
    day_starts: str | None = None
    shift_required: bool | None = None
    offline_registers: list[str] | None = None


class LetterheadBody(msgspec.Struct, rename="camel"):
    company: str | None = None
    street: str | None = None
    postcode: str | None = None
    city: str | None = None
    country: str | None = None
    tax_number: str | None = None
    vat_id: str | None = None
    phone: str | None = None
    email: str | None = None
    footer: list[str] | None = None


class MailServerBody(msgspec.Struct, rename="camel"):
    """``host`` empty: no mail is sent. ``password`` empty or absent: the one that is known stays; it is never shown."""

    host: str | None = None
    port: Whole | None = None
    security: str | None = None
    user: str | None = None
    sender: str | None = None
    password: str | None = None


class ConfigBody(msgspec.Struct, rename="camel"):
    operation: OperationBody | None = None
    letterhead: LetterheadBody | None = None
    mail: MailServerBody | None = None


class OperationOut(msgspec.Struct, rename="camel"):
    currency: str
    zone: str
    day_starts: str
    shift_required: bool
    offline_registers: list[str]


class LetterheadOut(msgspec.Struct, rename="camel"):
    company: str
    street: str
    postcode: str
    city: str
    country: str
    tax_number: str
    vat_id: str
    phone: str
    email: str
    footer: list[str]


class MailServerOut(msgspec.Struct, rename="camel"):
    host: str
    port: int
    security: Literal["none", "starttls", "tls"]
    user: str
    sender: str
    has_password: bool


class ConfigOut(msgspec.Struct, rename="camel"):
    operation: OperationOut
    letterhead: LetterheadOut
    mail: MailServerOut


def config_out(settings: HouseSettings) -> ConfigOut:
    letterhead, mail = settings.letterhead, settings.mail
    operation = OperationOut(
        settings.currency,
        settings.zone,
        settings.day_starts.strftime("%H:%M"),
        settings.shift_required,
        list(settings.offline_registers),
    )
    texts = {field.name: getattr(letterhead, field.name) for field in msgspec.structs.fields(LetterheadOut)}
    return ConfigOut(
        operation=operation,
        letterhead=LetterheadOut(**{**texts, "footer": list(letterhead.footer)}),
        mail=MailServerOut(mail.host, mail.port, mail.security, mail.user, mail.sender, bool(mail.secret)),
    )


def _named(body: msgspec.Struct | None, *but: str) -> dict[str, Any]:
    """The fields of a group that have a value; ``null`` is no value, so it changes nothing."""
    if body is None:
        return {}
    values = ((field.name, getattr(body, field.name)) for field in msgspec.structs.fields(body))
    return {name: value for name, value in values if value is not None and name not in but}


def change_of(body: ConfigBody) -> SettingsChange:
    faults: list[FieldError] = []
    operation = _named(body.operation)
    if "day_starts" in operation:
        if _TIME.fullmatch(operation["day_starts"]):
            operation["day_starts"] = time.fromisoformat(operation["day_starts"])
        else:
            faults.append(FieldError("operation.dayStarts", "not_a_time_of_day"))
    if "offline_registers" in operation:
        operation["offline_registers"] = tuple(operation["offline_registers"])
    letterhead = _named(body.letterhead)
    if "footer" in letterhead:
        letterhead["footer"] = tuple(letterhead["footer"])
    mail = _named(body.mail, "password")
    if mail.get("security", "none") not in ("none", "starttls", "tls"):
        faults.append(FieldError("mail.security", "not_allowed", {"allowed": "none, starttls, tls"}))
    if faults:
        raise invalid(*faults)
    return SettingsChange(**operation, letterhead=LetterheadChange(**letterhead), mail=MailServerChange(**mail))


async def config(call: Call) -> ConfigOut:
    """The settings of the house."""
    return _shown(call, await call.query("pos", "house.settings", {}, HouseSettings))


def _shown(call: Call, settings: HouseSettings) -> ConfigOut:
    call.tag = settings_tag(settings)
    return config_out(settings)


async def change_config(call: Call) -> ConfigOut:
    """Changes the fields it names. An empty password keeps the old one."""
    body: ConfigBody = call.body
    password = (body.mail.password or "") if body.mail is not None else ""
    asked = Configure(change=change_of(body), mail_password=password, if_match=if_match(call))
    return _shown(call, await call.command("pos", "house.configure", asked, HouseSettings))


ROUTES = (
    Route("GET", "/api/v1/config", "Config", config, asks=("pos.house.settings",), params=(IF_NONE_MATCH,)),
    Route("PUT", "/api/v1/config", "Config", change_config, ConfigBody, asks=("pos.house.configure",), params=(IF_MATCH,)),
)
