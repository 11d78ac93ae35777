"""Every route, asked with the token of one business for the things of another: nothing of theirs is shown, nothing of theirs is changed.

The same of the ERP's 318 operations: tests/integration/zeyos/test_tenants.py.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import pytest

from services.gateway.dikas.call import Route
from services.gateway.dikas.examples import EXAMPLES, Example, path_thing
from services.gateway.dikas.routes import ROUTES
from services.gateway.openapi import path_names
from tests.house import Inn, Theke, Till
from tests.stage import MAKERS, PICTURE, Stage, filled

OWN_KEYS: Final = ("accessToken", "refreshToken")  # who has these is who they say
NEED_OPEN_SHIFTS_GONE: Final = ("zReport",)  # made first: a day closes only without open shifts
ENDS_ITS_SESSION: Final = ("/api/v1/auth/logout", "/api/v1/staff/switch")
SERVICES: Final = ("auth", "pos", "inventory", "crm", "billing")
_ID: Final = re.compile(r"\b[a-z]{3,8}_[a-z2-7]{26}\b")
CASES: Final = [(route, example) for route in ROUTES for example in EXAMPLES.get(f"{route.method} {route.path}", (None,))]


@dataclass
class Strangers:
    """``theirs`` has one of everything, ``ours`` a menu and three tables; ``ids``: all that only they have; ``log``: the logs' database."""

    inn: Inn
    ours: Till
    theirs: Stage
    ids: set[str]
    log: asyncpg.Connection

    async def thing(self, name: str) -> Any:
        if name in OWN_KEYS:
            return getattr(self.ours, {"accessToken": "token", "refreshToken": "refresh_token"}[name])
        return await self.theirs.thing(name)

    async def filled(self, value: Any) -> Any:
        """The value with things of theirs in the places of their names."""
        return await filled(value, self.thing)

    async def their_heads(self) -> dict[str, int]:
        """How far each of their logs is."""
        instance = self.theirs.inn.instance
        asked = "select coalesce(max(position), 0) from {}.events where instance = $1"
        return {service: await self.log.fetchval(asked.format(service), instance) for service in SERVICES}

    async def ask(self, route: Route, example: Example | None) -> tuple[int, str, str]:
        """Status, what was sent and what was answered."""
        declared = {param.name: param.example for param in route.params}
        path = route.path
        for name in path_names(route):
            thing = await self.filled(declared.get(name) or path_thing(route.method, route.path))
            path = re.sub(rf"\{{{name}\b[^}}]*\}}", str(thing), path)
        query = [param for param in route.params if param.place == "query" and param.example is not None]
        params = {param.name: str(await self.filled(param.example)) for param in query if param.required or _names_a_thing(param.example)}
        headers = {"Theke-Instance": self.inn.name}
        if not route.public:
            headers["Authorization"] = f"Bearer {self.ours.token}"
        sent: dict[str, Any] = {} if example is None else {"json": await self.filled(example.body)}
        if route.accepts:
            sent["data"], headers["Content-Type"] = PICTURE, "image/png"
        async with self.ours.http.request(route.method, path, headers=headers, params=params, **sent) as answer:
            return answer.status, f"{path} {params} {sent}", (await answer.read()).decode(errors="replace")


def _names_a_thing(example: Any) -> bool:
    return isinstance(example, str) and example[1:-1] in MAKERS


def named(case: tuple[Route, Example | None]) -> str:
    route, example = case
    return f"{route.method} {route.path} {example.name if example is not None else ''}".strip()


@pytest.fixture(scope="module")
async def strangers(theke: Theke) -> AsyncIterator[Strangers]:
    inns = [await theke.inn(), await theke.inn()]
    theirs = Stage(inns[1], await inns[1].till())
    things = [await theirs.thing(name) for name in (*NEED_OPEN_SHIFTS_GONE, *MAKERS)]
    log = await asyncpg.connect(theke.log_dsn)
    ours = await inns[0].till()
    ids = (await _all_ids(theirs.till) | {thing for thing in things if _ID.fullmatch(str(thing))}) - await _all_ids(ours)
    yield Strangers(inns[0], ours, theirs, ids, log)
    await log.close()
    theirs.close()
    for inn in inns:
        await inn.close()


async def _all_ids(till: Till) -> set[str]:
    """Every id that a business shows its administrator."""
    found: set[str] = set()
    for route in ROUTES:
        if route.method == "GET" and not path_names(route) and not any(param.required for param in route.params):
            async with till.http.get(route.path, headers={"Authorization": f"Bearer {till.token}"}) as answer:
                found |= set(_ID.findall((await answer.read()).decode(errors="replace")))
    return found


async def test_there_is_something_to_be_seen(strangers: Strangers) -> None:
    assert len(strangers.ids) >= 20
    assert {await strangers.theirs.thing(name) for name in ("table", "receipt", "staff", "shift", "priceRule")} <= strangers.ids


@pytest.mark.parametrize("case", CASES, ids=named)
async def test_a_route_shows_and_changes_nothing_of_another_business(strangers: Strangers, case: tuple[Route, Example | None]) -> None:
    route, example = case
    before = await strangers.their_heads()
    status, sent, answered = await strangers.ask(route, example)
    assert status < 500, answered
    shown = set(_ID.findall(answered)) & strangers.ids
    assert shown <= set(_ID.findall(sent)), "what we did not name ourselves"
    if status < 300:
        assert not shown, "something of theirs was found"
    assert await strangers.their_heads() == before
    if route.path in ENDS_ITS_SESSION:
        strangers.ours = await strangers.inn.till()
