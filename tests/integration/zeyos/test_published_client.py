"""The requests of the published JavaScript client and its command line, in the shape in which they send them: credentials in the header
and in the form at once, ``Accept`` with preferences, sort keys as a list, flags that only the real server knows, paging until a page is
short."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import pytest

from libs.cli.acting import operator_of
from libs.cli.applications import Registered, create
from tests.house import Inn, Theke
from tests.integration.zeyos.conftest import Hire

ACCEPT: Final = {"Accept": "application/json, text/plain;q=0.9, */*;q=0.8"}
CALLBACK: Final = "http://localhost:9005/callback"
PAGE: Final = 3


class Client:
    """Sends what the published client sends; keeps its tokens like it."""

    def __init__(self, http: aiohttp.ClientSession, instance: str, app: Registered) -> None:
        self._http = http
        self._instance = instance
        self._app = app
        self.tokens: dict[str, Any] = {}

    async def oauth(self, what: str, **form: str) -> Any:
        credentials = {"client_id": self._app.identifier, "client_secret": self._app.secret}
        pair = base64.b64encode(f"{self._app.identifier}:{self._app.secret}".encode()).decode()
        headers = {**ACCEPT, "Authorization": f"Basic {pair}"}
        async with self._http.post(f"/{self._instance}/oauth2/v1/{what}", data={**form, **credentials}, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json() if answer.content_type == "application/json" else await answer.text()

    async def grant(self, **form: str) -> None:
        self.tokens = await self.oauth("token", **form)

    async def api(self, method: str, path: str, body: Any = None, *, expected: int = 200, **headers: str) -> Any:
        bearer = headers or {"Authorization": f"Bearer {self.tokens['access_token']}"}
        async with self._http.request(method, f"/{self._instance}/api/v1/{path}", json=body, headers={**ACCEPT, **bearer}) as answer:
            assert answer.status == expected, await answer.text()
            return await answer.json() if answer.content_type == "application/json" else await answer.text()

    async def all(self, resource: str, body: dict[str, Any]) -> list[Any]:
        """Page after page until one is short."""
        found: list[Any] = []
        while True:
            page = await self.api("POST", resource, {**body, "limit": PAGE, "offset": len(found)})
            found += page
            if len(page) < PAGE:
                return found


@pytest.fixture(scope="module")
async def client(theke: Theke, shared_inn: Inn) -> AsyncIterator[Client]:
    operator = await operator_of(theke.services, shared_inn.name)
    app = await create(theke.services, operator, "cli", name="zeyos", callbackurls=[CALLBACK])
    async with aiohttp.ClientSession(theke.url, cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield Client(http, shared_inn.name, app)


async def test_the_life_of_a_ticket_by_the_published_command_line(client: Client, hire: Hire) -> None:
    who = await hire(first_name="Kim")
    await client.grant(grant_type="password", username=who.name, password=who.password)
    made = await client.api("PUT", "tickets", {"name": "CLI", "status": "0", "priority": 2}, expected=201)
    one = f"tickets/{made['ID']}"
    changed = await client.api("PATCH", one, {"name": "CLI, changed", "priority": "3"})
    assert (changed["name"], changed["priority"]) == ("CLI, changed", 3)
    shown = await client.api("GET", f"{one}?extdata=1&tags=1&positions=1&items=1")
    assert {"extdata", "tags"} <= shown.keys()
    assert (shown["name"], shown["status"]) == ("CLI, changed", 0)
    listing = {"fields": {"Id": "ID", "Name": "name", "Account": "account.lastname"}, "sort": ["-lastmodified", "ID"], "limit": 50}
    assert {"Id": made["ID"], "Name": "CLI, changed", "Account": None, "extdata": None} in await client.api(
        "POST", "tickets", {**listing, "extdata": 1}
    )
    assert (await client.api("POST", "tickets", {"count": True, "filters": {"status": {"IN": [0, 1]}}, "query": "changed"}))["count"] == 1
    await client.api("DELETE", one, expected=204)
    assert await client.api("GET", one, expected=404)


async def test_pages_until_one_is_short_show_every_row_once(client: Client, hire: Hire) -> None:
    who = await hire()
    await client.grant(grant_type="password", username=who.name, password=who.password)
    made = [(await client.api("PUT", "tasks", {"name": f"Aufgabe {number}"}, expected=201))["ID"] for number in range(2 * PAGE)]
    found = await client.all("tasks", {"fields": ["ID"], "filters": {"name": {"~~*": "aufgabe%"}}, "sort": ["ID"]})
    assert [row["ID"] for row in found] == made


async def test_a_token_is_renewed_asked_for_and_given_up(client: Client, hire: Hire) -> None:
    who = await hire()
    await client.grant(grant_type="password", username=who.name, password=who.password)
    before = client.tokens
    assert {"access_token", "refresh_token", "expires_in", "refresh_token_expires_in"} <= before.keys()
    await client.grant(grant_type="refresh_token", refresh_token=before["refresh_token"])
    assert client.tokens["access_token"] != before["access_token"]
    assert (await client.oauth("introspect", token=client.tokens["access_token"]))["active"] is True
    await client.oauth("revoke", token=client.tokens["access_token"])
    assert (await client.oauth("introspect", token=client.tokens["access_token"]))["active"] is False


async def test_a_session_is_the_cookie_of_a_login_by_form(client: Client, hire: Hire) -> None:
    who = await hire()
    form = {"name": who.name, "password": who.password, "identifier": "browser"}
    async with client._http.post(f"/{client._instance}/auth/v1/login", data=form, headers=ACCEPT) as answer:
        assert answer.status == 200
        session = answer.cookies["ZEYOSID"].value
    rows = await client.api("POST", "tickets", {"limit": 1}, Cookie=f"ZEYOSID={session}")
    assert isinstance(rows, list)
