"""A whole Theke in one process, and a till to talk to it: every service and the gateway on real Postgres and NATS.

    till = await inn.till("Waiter")
    await till.order("tbl_…", item(cola, 2))
    receipt = await till.pay("tbl_…", cash("7.00"))

Every answer is checked for its envelope; JSON numbers come back as Decimal, so no test ever sees a float.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import aiohttp
import asyncpg
import msgspec
import nats

from libs.bus.connection import Connection
from libs.contracts.inventory.records import ARTICLE, ARTICLE_GROUP
from libs.contracts.pos.records import TABLE
from libs.domain.clock import Clock
from libs.domain.records import RecordType
from libs.runtime.asking import Services, connected
from libs.runtime.config import Settings
from libs.runtime.databases import create_database, drop_database, on_database
from libs.runtime.embedded import EmbeddedNats
from libs.runtime.keeper import Keeper
from libs.runtime.provision import Provisioning, create_instance
from libs.runtime.service import Host
from services.auth.service import SERVICE as AUTH
from services.billing.service import SERVICE as BILLING
from services.crm.service import SERVICE as CRM
from services.gateway.app import Gateway
from services.inventory.service import SERVICE as INVENTORY
from services.pos.service import SERVICE as POS
from tests.contract import fits

ENVELOPE: Final = ["data", "isSuccess", "message", "errors"]
ANSWER_WITHIN_S: Final = 30.0
MIRRORED_WITHIN_S: Final = 60.0
BODY: Final = msgspec.json.Encoder(decimal_format="number")

MENU: Final = {"Cola": ("3.50", 0), "Pils": ("4.20", 0), "Schnitzel": ("17.90", 1), "Salat": ("5.80", 1), "Spende": ("1.00", 2)}
EXTRAS: Final = {
    "Schnitzel": ({"id": "salat", "name": "Salat statt Pommes", "price": "1.50"}, {"id": "klein", "name": "klein", "price": "-4.00"})
}


class SomeMirrored(Keeper):
    """Most tests have an instance of their own; only those that are downstream of one want its account."""

    def __init__(self, nats_: EmbeddedNats) -> None:
        super().__init__(nats_)
        self._chosen: frozenset[int] = frozenset()

    async def wanted(self) -> frozenset[int]:
        return self._chosen

    async def mirror(self, instance: int) -> None:
        """Returns when the instance's mirrors are there."""
        self._chosen |= {instance}
        self._wake.set()
        async with asyncio.timeout(MIRRORED_WITHIN_S):
            while instance not in self.mirrored:  # noqa: ASYNC110 - nothing else waits for it
                await asyncio.sleep(0.02)


class Theke:
    """Every service as a host, and gateways in front of them; databases are new, streams are empty. With a NATS of ours every process
    meets it as its own user, as it does in an installation."""

    def __init__(self, postgres_dsn: str, nats_url: str, nats_: EmbeddedNats | None = None, *, name: str = "house") -> None:
        self.nats = nats_
        self.keeper = SomeMirrored(nats_) if nats_ is not None else None
        self._databases = (f"{name}_log", f"{name}_read")
        self.log_dsn, self.read_dsn = (on_database(postgres_dsn, database) for database in self._databases)
        self.settings = Settings(
            postgres_dsn=postgres_dsn, nats_url=nats_url, demo=True, log_level="warning", rate_limit=0, webhook_private=True
        )
        self.hosts: dict[str, Host] = {}
        self.gateways: list[Gateway] = []
        self.services: Services
        self._connection: Connection
        self._keeping: asyncio.Task[None] | None = None
        self._inns = 0

    async def start(self) -> None:
        await self._clear()
        if self.keeper is not None:
            self._keeping = asyncio.create_task(self.keeper.run())
        for service in (AUTH, INVENTORY, CRM, BILLING, POS):
            host = self.hosts[service.name] = Host(service, self._settings_of(service.name), log_dsn=self.log_dsn, read_dsn=self.read_dsn)
            await host.start()
        self._connection, self.services = await connected(self.settings.nats_url, "house")
        await self.another_gateway()

    async def stop(self) -> None:
        """Nobody may have wanted anything of the bus that its user may not."""
        members = [*self.hosts.values(), *self.gateways]
        assert [member.connection.refused for member in members] == [0] * len(members)
        await asyncio.gather(*(gateway.stop() for gateway in self.gateways))
        await self._connection.close()
        for host in reversed(self.hosts.values()):
            await host.stop()
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)

    def _settings_of(self, name: str) -> Settings:
        if self.nats is None:
            return self.settings
        return msgspec.structs.replace(self.settings, nats_url=self.nats.url_of(name), streams_kept=True)

    async def another_gateway(self, settings: Settings | None = None, clock: Clock | None = None) -> Gateway:
        gateway = Gateway(settings or self._settings_of("gateway"), port=0, blobs_dsn=self.log_dsn, clock=clock)
        await gateway.start()
        self.gateways.append(gateway)
        return gateway

    async def restart_nats(self) -> None:
        """kill -9 and another start, at the same address; services and subscribers come back by themselves."""
        assert self.nats is not None, "the bus is not ours"
        self.nats.kill()
        async with asyncio.timeout(ANSWER_WITHIN_S):
            while self.nats.is_alive():  # noqa: ASYNC110 - nothing tells of a process's end
                await asyncio.sleep(0.01)
        await self.nats.start()

    @property
    def url(self) -> str:
        return self.gateways[0].address

    async def inn(self) -> Inn:
        """An instance of its own, with a menu, three tables and an administrator."""
        self._inns += 1
        name = f"inn-{self._inns}"
        return await Inn.open(self, name, await create_instance(self.services, name))

    async def _clear(self) -> None:
        connection = await asyncpg.connect(self.settings.postgres_dsn)
        try:
            for name in self._databases:
                await drop_database(connection, name)
                await create_database(connection, name)
        finally:
            await connection.close()
        client = await nats.connect(self.settings.nats_url)
        try:
            jetstream = client.jetstream()
            for stream in await jetstream.streams_info():
                if str(stream.config.name).startswith("EVT_"):
                    await jetstream.delete_stream(stream.config.name)
        finally:
            await client.close()


class Inn:
    """One instance: ``menu`` name → article id, ``tables`` number → table id (3 needs cleaning)."""

    def __init__(self, theke: Theke, name: str, provisioning: Provisioning) -> None:
        self.theke = theke
        self.name = name
        self.provisioning = provisioning
        self.instance = provisioning.instance.id
        self.group = ""
        self.menu: dict[str, str] = {}
        self.tables: dict[int, str] = {}
        self._tills: list[Till] = []

    @classmethod
    async def open(cls, theke: Theke, name: str, provisioning: Provisioning) -> Inn:
        inn = cls(theke, name, provisioning)
        await provisioning.user("admin", "admin", ("Admin",), first_name="Ada", last_name="Wirt")
        inn.group = await inn.add(ARTICLE_GROUP, name="Karte")
        for article, (price, tax_class) in MENU.items():
            values = {"name": article, "price": price, "tax_class": tax_class, "group_key": inn.group}
            inn.menu[article] = await inn.add(ARTICLE, **values, options=EXTRAS.get(article, ()))
        for number in (1, 2, 3):
            inn.tables[number] = await inn.add(TABLE, number=number, needs_cleaning=number == 3)
        return inn

    async def add(self, record: RecordType, **values: Any) -> str:
        view = await self.provisioning.create(record, json.dumps(values, default=str), values)
        return view.key

    async def till(self, *roles: str, url: str = "", user: str = "") -> Till:
        """A till at which somebody with these roles has just logged in; without roles, the administrator."""
        user = user or "-".join(roles).lower() or "admin"
        password = user if not roles else f"{user}-password"
        if roles:
            await self.provisioning.user(user, password, roles)
        till = self.stranger(url=url)
        till.password = password
        await till.login(user, password)
        return till

    def stranger(self, url: str = "") -> Till:
        """A till nobody has logged in at."""
        till = Till(url or self.theke.url, self.name)
        self._tills.append(till)
        return till

    async def close(self) -> None:
        for till in self._tills:
            await till.close()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    raw: bytes
    body: dict[str, Any]

    @property
    def data(self) -> Any:
        return self.body["data"]

    @property
    def message(self) -> str:
        return str(self.body["message"])

    @property
    def errors(self) -> list[str]:
        errors: list[str] = self.body["errors"]
        return errors


def checked(status: int, headers: Mapping[str, str], raw: bytes) -> Answer:
    """An answer in its envelope: four keys in the seed's order, and nothing that contradicts the status."""
    assert headers["Content-Type"] == "application/json; charset=utf-8", headers
    body = json.loads(raw, parse_float=Decimal)
    assert list(body) == ENVELOPE, body
    assert body["isSuccess"] is (status < 400), (status, body)
    if status < 400:
        assert body["message"] is None, body
        assert body["errors"] is None, body
    else:
        assert body["data"] is None, body
        assert isinstance(body["message"], str), body
        assert body["message"], body
        assert body["errors"], body
        assert all(isinstance(text, str) and text and "{" not in text and "?" not in text for text in body["errors"]), body
    return Answer(status, headers, raw, body)


class Till:
    """Somebody's device: logged in at one instance, speaking HTTP."""

    def __init__(self, url: str, instance: str = "") -> None:
        self.instance = instance
        self.token = ""
        self.refresh_token = ""
        self.password = ""
        timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
        self.http = aiohttp.ClientSession(url, timeout=timeout, connector=aiohttp.TCPConnector(limit=0))

    async def close(self) -> None:
        await self.http.close()

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        raw: bytes | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Answer:
        """``path`` below /api/v1 unless it begins with a slash. ``raw``: the body as bytes; ``token``: another one, empty for none."""
        sent = {"Authorization": f"Bearer {self.token if token is None else token}"}
        if token == "" or (token is None and not self.token):
            del sent["Authorization"]
        if key is not None:
            sent["Idempotency-Key"] = key
        content = BODY.encode(body) if body is not None else raw
        if content is not None:
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        path = path if path.startswith("/") else f"/api/v1/{path}"
        async with self.http.request(method, path, data=content, headers=sent, params=params) as answer:
            found = checked(answer.status, answer.headers, await answer.read())
            fits(method, path, found.status, found.headers, found.body)
            return found

    async def get(self, path: str, **how: Any) -> Answer:
        return await self.ask("GET", path, **how)

    async def post(self, path: str, body: Any = None, **how: Any) -> Answer:
        return await self.ask("POST", path, body, **how)

    async def put(self, path: str, body: Any = None, **how: Any) -> Answer:
        return await self.ask("PUT", path, body, **how)

    async def delete(self, path: str, **how: Any) -> Answer:
        return await self.ask("DELETE", path, **how)

    # the session

    async def login(self, username: str, password: str) -> dict[str, Any]:
        headers = {"Theke-Instance": self.instance} if self.instance else {}
        answer = await self.post("auth/login", {"username": username, "password": password}, token="", headers=headers)
        return self._took(answer)

    async def refresh(self) -> dict[str, Any]:
        return self._took(await self.post("auth/refresh", self.tokens(), token=""))

    def tokens(self) -> dict[str, str]:
        return {"accessToken": self.token, "refreshToken": self.refresh_token}

    def _took(self, answer: Answer) -> dict[str, Any]:
        data: dict[str, Any] = done(answer)
        self.token, self.refresh_token = data["accessToken"], data["refreshToken"]
        return data

    # the trade

    async def sell(self, *items: Any, paid: Sequence[Any] = ({"type": 0},), key: str | None = None, **more: Any) -> Any:
        return done(await self.post("payments/direct-sale", {"items": items, "payments": paid, **more}, key=key), 201)

    async def order(self, table: str, *items: Any, key: str | None = None) -> Any:
        return done(await self.post("open-bons", {"tableId": table, "items": items}, key=key), 201)

    async def pay(self, table: str, *payments: Any, key: str | None = None, **more: Any) -> Any:
        body = {"tableId": table, "payments": payments or ({"type": 0},), **more}
        return done(await self.post("payments/table", body, key=key), 201)

    async def void(self, receipt: str) -> Any:
        return done(await self.post(f"receipts/{receipt}/void"), 201)

    async def refund(self, receipt: str, *items: Any, **more: Any) -> Any:
        return done(await self.post(f"receipts/{receipt}/refund", {"items": items or None, **more}), 201)

    async def close_day(self, *confirm: str, **more: Any) -> Any:
        return done(await self.post("day-close", {"confirm": confirm, **more}), 201)

    async def open_items(self, table: str) -> Any:
        return done(await self.get(f"open-bons/table/{table}"))

    async def table(self, table: str) -> Any:
        return done(await self.get(f"tables/{table}"))

    async def receipts(self, **params: str) -> Any:
        return done(await self.get("receipts", params=params))


def done(answer: Answer, status: int = 200) -> Any:
    assert answer.status == status, (answer.status, answer.body)
    return answer.data


def refused(answer: Answer, status: int, *texts: str) -> list[str]:
    """The refusal's texts; ``texts`` must all occur, the message first or among the errors."""
    assert answer.status == status, (answer.status, answer.body)
    said = [answer.message, *answer.errors]
    for text in texts:
        assert any(text in one for one in said), (text, said)
    return answer.errors


def fields_named(answer: Answer) -> set[str]:
    """The fields that a 400 names: ``Feld 'items[0].quantity': …`` → ``items[0].quantity``."""
    assert answer.status == 400, (answer.status, answer.body)
    return {text.split("'")[1] for text in answer.errors if text.startswith(("Feld '", "Field '"))}


def item(article: str, quantity: Any = 1, **more: Any) -> dict[str, Any]:
    return {"articleId": article, "quantity": Decimal(str(quantity)), **more}


def free_item(name: str, price: str, tax_class: int = 0, quantity: Any = 1, **more: Any) -> dict[str, Any]:
    return {"name": name, "price": Decimal(price), "taxClass": tax_class, "quantity": Decimal(str(quantity)), **more}


def cash(amount: str) -> dict[str, Any]:
    return {"type": 0, "amount": Decimal(amount)}


def card(amount: str) -> dict[str, Any]:
    return {"type": 1, "amount": Decimal(amount)}
