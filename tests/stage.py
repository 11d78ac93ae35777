"""What the examples of the published document speak of, made when an example names it: an inn in the middle of an evening."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiosmtpd.smtp import SMTP

from tests.house import Inn, Till, done, item

PICTURE: Final = bytes.fromhex(  # one red pixel
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003"
    "010100c9fe92ef0000000049454e44ae426082"
)
PIN: Final = "2580"
CARD: Final = "04A2B91C5D6E80"


class Mailbox:
    """A mail server's handler that takes everything."""

    async def handle_DATA(self, _server: Any, _session: Any, _envelope: Any) -> str:
        return "250 OK"


async def filled(value: Any, thing: Callable[[str], Awaitable[Any]]) -> Any:
    """The value with things in the places of their names."""
    if isinstance(value, Mapping):
        return {name: await filled(one, thing) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [await filled(one, thing) for one in value]
    if isinstance(value, str) and value[:1] == "{" and value[-1:] == "}":
        return await thing(value[1:-1])
    return value


class Stage:
    """``thing`` makes what a name of ``services.gateway.dikas.examples.THINGS`` stands for, once."""

    def __init__(self, inn: Inn, till: Till) -> None:
        self.inn = inn
        self.till = till
        self.servers: list[asyncio.Server] = []
        self._made: dict[str, Any] = {}

    def close(self) -> None:
        for server in self.servers:
            server.close()

    async def thing(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = await MAKERS[name](self)
        return self._made[name]

    async def filled(self, value: Any) -> Any:
        """The value with things of this stage in the places of their names."""
        return await filled(value, self.thing)


def _fixed(value: Any) -> Callable[[Stage], Awaitable[Any]]:
    async def make(stage: Stage) -> Any:
        return value

    return make


def _created(path: str, **body: Any) -> Callable[[Stage], Awaitable[Any]]:
    async def make(stage: Stage) -> Any:
        return done(await stage.till.post(path, await stage.filled(body)), 201)["id"]

    return make


async def _line(stage: Stage) -> Any:
    table = await stage.thing("table")
    return (await stage.till.open_items(table))[0]["id"]


async def _table(stage: Stage) -> Any:
    return await _taken(stage, 1)


async def _other_table(stage: Stage) -> Any:
    return await _taken(stage, 70)


async def _taken(stage: Stage, number: int) -> Any:
    """A table with an order of two Schnitzel for the first seat, and a salad in the second course."""
    table = stage.inn.tables.get(number) or done(await stage.till.post("tables", {"number": number}), 201)["id"]
    await stage.till.order(table, item(stage.inn.menu["Schnitzel"], 2, seat=1), item(stage.inn.menu["Salat"], course=2))
    return table


async def _dirty_table(stage: Stage) -> Any:
    table = stage.inn.tables[3]
    await stage.till.order(table, item(stage.inn.menu["Pils"]))
    await stage.till.pay(table)
    return table


async def _receipt(stage: Stage) -> Any:
    return await stage.till.sell(item(stage.inn.menu["Schnitzel"], 2))


async def _sold(stage: Stage) -> Any:
    if "sale" not in stage._made:
        stage._made["sale"] = await _receipt(stage)
    return stage._made["sale"]


async def _receipt_id(stage: Stage) -> Any:
    return (await _sold(stage))["id"]


async def _mailable_receipt(stage: Stage) -> Any:
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(Mailbox()), "127.0.0.1", 0)
    stage.servers.append(server)
    mail = {"host": "127.0.0.1", "port": server.sockets[0].getsockname()[1], "security": "none", "sender": "kasse@example.org"}
    done(await stage.till.put("config", {"mail": mail}))
    return await _receipt_id(stage)


async def _receipt_item(stage: Stage) -> Any:
    return (await _sold(stage))["items"][0]["id"]


async def _receipt_number(stage: Stage) -> Any:
    return (await _sold(stage))["number"]


async def _z_report(stage: Stage) -> Any:
    await _sold(stage)
    return (await stage.till.close_day())["id"]


async def _staff_number(stage: Stage) -> Any:
    return done(await stage.till.get(f"staff/{await stage.thing('staff')}"))["staffNumber"]


async def _staff(stage: Stage) -> Any:
    body = {"username": "ada", "password": "a long enough password", "pin": PIN, "cardId": CARD, "roles": ["Manager"], "lastName": "Ada"}
    return done(await stage.till.post("staff", body), 201)["id"]


async def _card(stage: Stage) -> Any:
    await stage.thing("staff")
    return CARD


async def _article(stage: Stage) -> Any:
    return stage.inn.menu["Schnitzel"]


async def _article_group(stage: Stage) -> Any:
    return stage.inn.group


async def _pictured(stage: Stage) -> Any:
    article = stage.inn.menu["Cola"]
    done(await stage.till.post(f"articles/{article}/image", raw=PICTURE, headers={"Content-Type": "image/png"}))
    return article


def _known_by(field: str, value: str) -> Callable[[Stage], Awaitable[Any]]:
    async def make(stage: Stage) -> Any:
        done(await stage.till.put(f"articles/{stage.inn.menu['Salat']}", {field: value}))
        return value

    return make


async def _free_table(stage: Stage) -> Any:
    return stage.inn.tables[2]


async def _access_token(stage: Stage) -> Any:
    return stage.till.token


async def _refresh_token(stage: Stage) -> Any:
    return stage.till.refresh_token


MAKERS: Final[Mapping[str, Callable[[Stage], Awaitable[Any]]]] = {
    "accessToken": _access_token,
    "article": _article,
    "articleGroup": _article_group,
    "barcode": _known_by("barcode", "4006381333931"),
    "card": _card,
    "customer": _fixed("cus_gast"),
    "dirtyTable": _dirty_table,
    "emptyArticleGroup": _created("article-groups", name="leer"),
    "emptyTableGroup": _created("table-groups", name="leer"),
    "freeTable": _free_table,
    "line": _line,
    "mailableReceipt": _mailable_receipt,
    "number": _receipt_number,
    "option": _fixed("klein"),
    "otherTable": _other_table,
    "optionTemplate": _created("option-templates", name="Beilage", options=[{"id": "pommes", "name": "Pommes"}]),
    "picturedArticle": _pictured,
    "pin": _fixed(PIN),
    "plu": _known_by("plu", "4711"),
    "priceRule": _created("price-rules", name="Happy Hour", groupId="{articleGroup}", changePercent=-20),
    "receipt": _receipt_id,
    "receiptItem": _receipt_item,
    "refreshToken": _refresh_token,
    "shift": _created("shifts", openingFloat=100),
    "staff": _staff,
    "staffNumber": _staff_number,
    "table": _table,
    "tableGroup": _created("table-groups", name="Terrasse"),
    "webhook": _created("webhooks", url="https://hooks.example/theke", services=["pos"]),
    "zReport": _z_report,
}
