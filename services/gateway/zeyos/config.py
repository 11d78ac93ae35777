"""What clients may know of the installation, and the settings of the application they log in with."""

from __future__ import annotations

from typing import Final

import msgspec

from libs.contracts.auth.commands import Me, NoBody
from libs.contracts.pos.house import Region
from libs.texts.catalogue import Language
from services.gateway.dikas.call import Call, Route
from services.gateway.zeyos.serve import Json


class Config(msgspec.Struct, frozen=True):
    """``locale``: language and country; ``timezone`` an IANA name."""

    locale: str
    country: str
    currency: str
    timezone: str


async def config(call: Call) -> Json:
    """Where the house is and what it reckons in."""
    region = await call.query("pos", "house.region", {}, Region)
    known = Config(f"{Language.GERMAN}_{region.country}", region.country, region.currency, region.zone)
    return Json(msgspec.json.encode(known))


async def settings(call: Call) -> Json:
    """Of the application that the token belongs to: none, applications keep no settings here."""
    await call.query("auth", "me", NoBody(), Me)  # refused for a user that may not log in any more
    return Json(b"{}")


ROUTES: Final = (
    Route("GET", "/{instance}/api/v1/config", "config", config, asks=("pos.house.region",)),
    Route("GET", "/{instance}/api/v1/settings", "settings", settings, asks=("auth.me",)),
)
