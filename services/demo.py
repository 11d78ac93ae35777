"""``python -m services.demo``: the instance ``demo``, a small bar with its staff, menu and tables. Writes ordinary commands, each with an
id of its own, so running it again changes nothing."""

from __future__ import annotations

import asyncio
import os
from typing import Final

import structlog

from libs.contracts.inventory.records import ARTICLE, ARTICLE_GROUP
from libs.contracts.pos.records import TABLE, TABLE_GROUP
from libs.runtime import logs
from libs.runtime.asking import connected
from libs.runtime.config import Settings
from libs.runtime.provision import Provisioning, create_instance

log = structlog.get_logger(__name__)

INSTANCE: Final = "demo"
STAFF: Final = (
    ("admin", "admin", ("Admin",), "Ada", "Wirt"),
    ("kim", "kim", ("Waiter",), "Kim", "Kellner"),
    ("toni", "toni", ("Waiter",), "Toni", "Tresen"),
    ("mika", "mika", ("Cashier",), "Mika", "Kasse"),
)
MENU: Final = {
    "Getränke": (("Cola 0,3l", "3.50", 0), ("Mineralwasser 0,5l", "3.20", 0), ("Pils 0,4l", "4.20", 0), ("Espresso", "2.40", 0)),
    "Speisen": (("Wiener Schnitzel", "17.90", 1), ("Käsespätzle", "13.50", 1), ("Kleiner Salat", "5.80", 1), ("Apfelstrudel", "6.50", 1)),
}
OPTIONS: Final = {
    "Wiener Schnitzel": (
        {"id": "pommes", "name": "Pommes frites", "price": "0"},
        {"id": "kartoffelsalat", "name": "Kartoffelsalat", "price": "1.50"},
    ),
    "Espresso": ({"id": "doppelt", "name": "doppelt", "price": "1.60"},),
}
AREAS: Final = {"Gastraum": range(1, 9), "Terrasse": range(21, 25)}


async def load(demo: Provisioning) -> None:
    for username, password, roles, first_name, last_name in STAFF:
        await demo.user(username, password, roles, first_name=first_name, last_name=last_name)
    plu = 100
    for number, (group, articles) in enumerate(MENU.items(), start=1):
        key = (await demo.create(ARTICLE_GROUP, group, {"name": group, "number": number})).key
        for name, price, tax_class in articles:
            plu += 1
            values = {"name": name, "price": price, "tax_class": tax_class, "group_key": key, "plu": str(plu)}
            await demo.create(ARTICLE, name, {**values, "options": OPTIONS.get(name, ())})
    for area, numbers in AREAS.items():
        key = (await demo.create(TABLE_GROUP, area, {"name": area})).key
        for number in numbers:
            values = {"number": number, "name": f"Tisch {number}", "group_key": key, "needs_cleaning": area == "Terrasse"}
            await demo.create(TABLE, str(number), values)


async def main(settings: Settings) -> None:
    connection, services = await connected(settings.nats_url, "demo")
    try:
        await load(await create_instance(services, INSTANCE))
        log.info("demo data is there", instance=INSTANCE)
    finally:
        await connection.close()


if __name__ == "__main__":
    settings = Settings.from_env(os.environ)
    logs.configure("demo", settings.log_level)
    asyncio.run(main(settings))
