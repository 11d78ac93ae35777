"""OAuth2 as clients of the ERP use it: grants, single-use refresh tokens, revocation, and a login page that sends nobody astray."""

from __future__ import annotations

import asyncio
import base64
import html
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import aiohttp
import asyncpg
import pytest

from libs.cli.acting import operator_of
from libs.cli.applications import Registered, create, deactivate, renew_secret
from libs.domain.clock import Clock
from services.auth.codes import challenge_of
from services.auth.throttle import AT_PLACE
from tests.house import Inn, Theke
from tests.integration.dikas.erp import Erp
from tests.integration.zeyos.conftest import Employee, Hire
from tests.integration.zeyos.test_tokens import HEX, ends, is_dead_soon, login, opens

VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123"
BACK = "https://shop.example/back?from=theke"


@dataclass(frozen=True)
class Said:
    status: int
    headers: Mapping[str, str]
    text: str
    body: Any


class App:
    """A client of OAuth2 with its credentials."""

    def __init__(self, http: aiohttp.ClientSession, instance: str, registered: Registered) -> None:
        self.http = http
        self.instance = instance
        self.registered = registered
        self.credentials = {"client_id": registered.identifier, "client_secret": registered.secret}

    async def post(self, what: str, form: Any = None, **how: Any) -> Said:
        url = f"/{self.instance}/oauth2/v1/{what}"
        async with self.http.post(url, data=form, allow_redirects=False, **how) as answer:
            json = answer.content_type == "application/json"
            if what == "token":
                assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")
            return Said(answer.status, answer.headers, await answer.text(), await answer.json() if json else None)

    async def token(self, **parameters: str) -> Said:
        return await self.post("token", {**self.credentials, **parameters})

    async def by_password(self, who: Employee) -> Any:
        said = await self.token(grant_type="password", username=who.name, password=who.password)
        assert said.status == 200, said
        return said.body

    async def refresh(self, token: str) -> Said:
        return await self.token(grant_type="refresh_token", refresh_token=token)

    async def worth(self, token: str) -> Any:
        said = await self.post("introspect", {**self.credentials, "token": token})
        assert said.status == 200, said
        return said.body


def refused(said: Said, status: int, error: str) -> None:
    assert (said.status, said.body["error"]) == (status, error), said
    assert set(said.body) == {"error", "error_description"}
    assert said.body["error_description"]


@pytest.fixture(scope="module")
async def http(theke: Theke) -> AsyncIterator[aiohttp.ClientSession]:
    session = aiohttp.ClientSession(theke.url, cookie_jar=aiohttp.DummyCookieJar())
    yield session
    await session.close()


async def registered(theke: Theke, inn: Inn, identifier: str) -> Registered:
    operator = await operator_of(theke.services, inn.name)
    return await create(theke.services, operator, identifier, name=f"<{identifier}> & Co", callbackurls=[BACK, "http://localhost:8080/"])


@pytest.fixture(scope="module")
async def app(theke: Theke, shared_inn: Inn, http: aiohttp.ClientSession) -> App:
    return App(http, shared_inn.name, await registered(theke, shared_inn, "shop"))


@pytest.fixture(scope="module")
async def other(theke: Theke, shared_inn: Inn, http: aiohttp.ClientSession) -> App:
    return App(http, shared_inn.name, await registered(theke, shared_inn, "other"))


# --- tokens -------------------------------------------------------------------------------------------------------------------


async def test_a_password_grant_gives_a_token_for_the_api(app: App, client: Erp, hire: Hire) -> None:
    who = await hire(email="oauth@inn.example", first_name="Ola")
    given = await app.by_password(who)
    assert (given["token_type"], given["expires_in"], given["refresh_token_expires_in"]) == ("Bearer", 3600, 8_640_000)
    assert HEX.fullmatch(given["access_token"])
    assert (await client.ask("POST", "api/v1/items", {"count": 1}, token=given["access_token"])).json["count"] >= 5
    shown = (await client.ask("GET", "auth/v1/", token=given["access_token"])).json
    assert shown["auth"]["application"] == app.registered.id
    info = (await client.ask("GET", "oauth2/v1/userinfo", token=given["access_token"])).json
    assert (info["sub"], info["preferred_username"], info["given_name"]) == (str(who.id), who.name, "Ola")
    assert (info["email"], info["nopublic"], info["apionly"], info["groups"]) == ("oauth@inn.example", 0, 0, [])
    assert {"identifier": "inventory", "writable": 1} in info["permissions"]
    assert abs(info["updated_at"] - time.time()) < 600
    legacy = (await login(client, who))["token"]
    assert (await client.ask("GET", "oauth2/v1/userinfo", token=legacy)).json == info
    await asyncio.gather(*(app.by_password(who) for _ in range(3)))
    assert await opens(client, given["access_token"]), "a grant does not end another"


@pytest.mark.parametrize("way", ["basic", "json", "query", "basic escaped"])
async def test_every_way_to_send_parameters(app: App, hire: Hire, way: str) -> None:
    who = await hire()
    asked = {"grant_type": "password", "username": who.name, "password": who.password}
    secret = app.registered.secret
    if way.startswith("basic"):
        identifier = quote("shop") if way == "basic" else "%73hop"
        header = {"Authorization": "Basic " + base64.b64encode(f"{identifier}:{secret}".encode()).decode()}
        said = await app.post("token", asked, headers=header)
    elif way == "json":
        async with app.http.post(f"/{app.instance}/oauth2/v1/token", json={**app.credentials, **asked}) as answer:
            said = Said(answer.status, answer.headers, "", await answer.json())
    else:
        said = await app.post("token", params={**app.credentials, **asked})
    assert said.status == 200, said
    assert HEX.fullmatch(said.body["access_token"])


async def test_refusals_are_those_of_the_standard(app: App, other: App, theke: Theke, hire: Hire) -> None:
    who = await hire()
    asked = {"grant_type": "password", "username": who.name, "password": who.password}
    for credentials in (
        {},
        {"client_id": "shop"},
        {"client_id": "shop", "client_secret": "0" * 40},
        {"client_id": "other", "client_secret": app.registered.secret},
        {"client_id": "x" * 500, "client_secret": "y"},
    ):
        said = await app.post("token", {**credentials, **asked})
        refused(said, 401, "invalid_client")
        assert said.headers["WWW-Authenticate"] == f'Basic realm="{app.instance}"'
    refused(await app.post("token", asked, headers={"Authorization": "Basic !!"}), 401, "invalid_client")
    refused(await app.token(grant_type="password", username=who.name, password="wrong"), 403, "invalid_grant")
    refused(await app.token(grant_type="refresh_token", refresh_token="nonsense"), 403, "invalid_grant")
    refused(await app.token(grant_type="client_credentials"), 400, "unsupported_grant_type")
    refused(await app.token(grant_type="password", username=who.name), 400, "invalid_request")
    refused(await app.token(**asked, otp="123456"), 400, "invalid_request")
    refused(await app.token(), 400, "invalid_request")
    refused(await app.token(grant_type="password", username="x" * 5_000), 400, "invalid_request")
    refused(await app.post("introspect", {"token": "x"}), 401, "invalid_client")
    elsewhere = await theke.inn()
    stranger = App(app.http, elsewhere.name, app.registered)
    refused(await stranger.token(**asked), 401, "invalid_client")
    refused(await App(app.http, "nowhere", app.registered).token(**asked), 401, "invalid_client")
    await elsewhere.close()
    for _ in range(AT_PLACE.tries - 1):
        refused(await app.token(grant_type="password", username=who.name, password="wrong"), 403, "invalid_grant")
    paused = await app.token(**asked)
    refused(paused, 429, "temporarily_unavailable")
    assert int(paused.headers["Retry-After"]) > 0


async def test_userinfo_without_a_good_token(client: Erp) -> None:
    for token in ("", "0" * 40, "x.y.z"):
        async with client.http.get(f"/{client.instance}/oauth2/v1/userinfo", headers={"Authorization": f"Bearer {token}"}) as answer:
            assert (answer.status, (await answer.json())["error"]) == (401, "invalid_token")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


# --- refresh tokens -----------------------------------------------------------------------------------------------------------


async def test_a_refresh_gives_a_new_pair(app: App, client: Erp, hire: Hire) -> None:
    first = await app.by_password(await hire())
    second = await app.refresh(first["refresh_token"])
    assert second.status == 200, second
    assert second.body["refresh_token"] != first["refresh_token"]
    assert await opens(client, second.body["access_token"])
    await is_dead_soon(client, first["access_token"])
    assert (await app.refresh(second.body["refresh_token"])).status == 200


async def test_a_spent_refresh_token_ends_the_grant(app: App, client: Erp, hire: Hire) -> None:
    first = await app.by_password(await hire())
    second = (await app.refresh(first["refresh_token"])).body
    refused(await app.refresh(first["refresh_token"]), 403, "invalid_grant")
    await is_dead_soon(client, second["access_token"])
    refused(await app.refresh(second["refresh_token"]), 403, "invalid_grant")


async def test_of_two_refreshes_at_once_one_is_reuse(app: App, client: Erp, hire: Hire) -> None:
    first = await app.by_password(await hire())
    answers = await asyncio.gather(*(app.refresh(first["refresh_token"]) for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [200, 403, 403, 403]
    (won,) = [answer.body for answer in answers if answer.status == 200]
    await is_dead_soon(client, won["access_token"])


async def test_a_refresh_token_is_its_clients_and_its_houses(app: App, other: App, theke: Theke, http: Any, hire: Hire) -> None:
    first = await app.by_password(await hire())
    refused(await other.refresh(first["refresh_token"]), 403, "invalid_grant")
    elsewhere = await theke.inn()
    stranger = App(http, elsewhere.name, await registered(theke, elsewhere, "shop"))
    refused(await stranger.refresh(first["refresh_token"]), 403, "invalid_grant")
    till = await elsewhere.till()
    refused(await stranger.refresh(till.refresh_token), 403, "invalid_grant")
    await elsewhere.close()
    assert (await app.refresh(first["refresh_token"])).status == 200, "none of them spent it"


@pytest.mark.parametrize("how", ["deactivated", "password", "deleted"])
async def test_who_may_not_log_in_gets_no_new_token(app: App, client: Erp, hire: Hire, how: str) -> None:
    who = await hire("Waiter")
    given = await app.by_password(who)
    await ends(who, how)
    await is_dead_soon(client, given["access_token"])
    refused(await app.refresh(given["refresh_token"]), 403, "invalid_grant")


async def test_an_access_token_lives_an_hour(theke: Theke, shared_inn: Inn, app: App, hire: Hire) -> None:
    class Past(Clock):
        def now(self) -> datetime:
            return datetime.fromtimestamp(time.time() - 3_601, UTC)

    gateway = await theke.another_gateway(clock=Past())
    erp = Erp(gateway.address, shared_inn.name)
    given = await App(erp.http, shared_inn.name, app.registered).by_password(await hire())
    assert not await opens(erp, given["access_token"])
    assert (await app.worth(given["access_token"])) == {"active": False}
    assert (await app.refresh(given["refresh_token"])).status == 200
    await erp.close()


# --- revoking and looking -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shown", ["access_token", "refresh_token"])
async def test_a_client_ends_its_own_grants(app: App, other: App, client: Erp, hire: Hire, shown: str) -> None:
    who = await hire()
    given = await app.by_password(who)
    assert (await other.post("revoke", {**other.credentials, "token": given[shown]})).status == 200
    assert (await app.worth(given["access_token"]))["active"], "another client cannot"
    assert (await app.post("revoke", {**app.credentials, "token": given[shown]})).status == 200
    await is_dead_soon(client, given["access_token"])
    refused(await app.refresh(given["refresh_token"]), 403, "invalid_grant")
    for token in (given[shown], "nonsense"):
        assert (await app.post("revoke", {**app.credentials, "token": token})).status == 200
    refused(await app.post("revoke", app.credentials), 400, "invalid_request")


async def test_what_a_token_is_worth(app: App, other: App, client: Erp, hire: Hire) -> None:
    who = await hire()
    given = await app.by_password(who)
    worth = await app.worth(given["access_token"])
    assert abs(worth.pop("exp") - time.time() - 3_600) < 60
    assert worth == {"active": True, "client_id": "shop", "username": who.name, "sub": str(who.id)}
    assert abs((await app.worth(given["refresh_token"]))["exp"] - time.time() - 8_640_000) < 60
    plain = (await login(client, who))["token"]
    bound = (await login(client, who, appsecret=app.registered.secret, expdate=None))["token"]
    assert "exp" not in await app.worth(bound)
    for of, token in ((other, given["access_token"]), (other, given["refresh_token"]), (app, plain), (app, "0" * 40), (app, "é")):
        assert await of.worth(token) == {"active": False}
    await app.refresh(given["refresh_token"])
    assert await app.worth(given["access_token"]) == {"active": False}
    assert await app.worth(given["refresh_token"]) == {"active": False}


async def test_a_new_secret_keeps_grants_and_an_end_of_the_application_does_not(
    theke: Theke, shared_inn: Inn, http: aiohttp.ClientSession, client: Erp, hire: Hire
) -> None:
    operator = await operator_of(theke.services, shared_inn.name)
    before = App(http, shared_inn.name, await registered(theke, shared_inn, "brief"))
    given = await before.by_password(await hire())
    after = App(http, shared_inn.name, await renew_secret(theke.services, operator, "brief"))
    refused(await before.refresh(given["refresh_token"]), 401, "invalid_client")
    given = (await after.refresh(given["refresh_token"])).body
    await deactivate(theke.services, operator, "brief")
    await is_dead_soon(client, given["access_token"])
    refused(await after.refresh(given["refresh_token"]), 401, "invalid_client")


# --- the login page -----------------------------------------------------------------------------------------------------------


class Browser:
    """Somebody at the login page."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.cookie = ""

    def asked(self, **change: str) -> dict[str, str]:
        asked = {
            "client_id": "shop",
            "redirect_uri": BACK,
            "response_type": "code",
            "state": 'a&b="<x>"',
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
            **change,
        }
        return {name: value for name, value in asked.items() if value}

    async def open(self, **change: str) -> Said:
        url = f"/{self.app.instance}/oauth2/v1/authorize?{urlencode(self.asked(**change))}"
        async with self.app.http.get(url, allow_redirects=False) as answer:
            if "Set-Cookie" in answer.headers:
                assert "HttpOnly; SameSite=Strict" in answer.headers["Set-Cookie"]
                self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
            return Said(answer.status, answer.headers, await answer.text(), None)

    async def send(self, page: Said, name: str, password: str, **change: str) -> Said:
        fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text)
        form = {key: html.unescape(value) for key, value in fields}
        form |= {"username": name, "password": password, **change}
        return await self.app.post("authorize", form, headers={"Cookie": self.cookie})


def answered(said: Said) -> dict[str, str]:
    """What the browser takes back to the application."""
    assert said.status == 303, said
    location = said.headers["Location"]
    assert location.startswith(f"{BACK}&"), location
    query = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
    assert (query.pop("from"), query.pop("state")) == ("theke", 'a&b="<x>"')
    return query


async def code_for(app: App, who: Employee) -> str:
    browser = Browser(app)
    return answered(await browser.send(await browser.open(), who.name, who.password))["code"]


async def redeem(app: App, code: str, **change: str) -> Said:
    asked = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER, **change}
    return await app.token(**asked)


async def test_from_the_login_page_to_a_token(app: App, client: Erp, hire: Hire) -> None:
    who = await hire()
    browser = Browser(app)
    page = await browser.open()
    assert (page.status, page.headers["Content-Type"], page.headers["X-Frame-Options"]) == (200, "text/html; charset=utf-8", "DENY")
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert "form-action 'self' https://shop.example;" in page.headers["Content-Security-Policy"]
    assert "&lt;shop&gt; &amp; Co" in page.text
    assert "<shop>" not in page.text
    again = await browser.send(page, who.name, "wrong")
    assert (again.status, 'role="alert"' in again.text, "Location" in again.headers) == (401, True, False)
    browser.cookie = again.headers["Set-Cookie"].partition(";")[0]
    code = answered(await browser.send(again, who.name, who.password))["code"]
    given = await redeem(app, code)
    assert given.status == 200, given
    assert (await app.worth(given.body["access_token"]))["username"] == who.name
    assert (await app.refresh(given.body["refresh_token"])).status == 200


async def test_a_code_used_twice_ends_what_came_of_it(app: App, client: Erp, hire: Hire) -> None:
    code = await code_for(app, await hire())
    given = (await redeem(app, code)).body
    assert await opens(client, given["access_token"])
    refused(await redeem(app, code), 403, "invalid_grant")
    await is_dead_soon(client, given["access_token"])
    refused(await redeem(app, code), 403, "invalid_grant")
    refused(await app.refresh(given["refresh_token"]), 403, "invalid_grant")


async def test_a_code_is_for_who_asked_for_it(app: App, other: App, hire: Hire) -> None:
    who = await hire()
    code = await code_for(app, who)
    refused(await redeem(app, code, code_verifier="another-verifier-of-at-least-forty-three-characters"), 403, "invalid_grant")
    refused(await redeem(app, code, redirect_uri="http://localhost:8080/"), 403, "invalid_grant")
    refused(await redeem(app, code, redirect_uri=f"{BACK}/"), 403, "invalid_grant")
    refused(await redeem(app, code[:-2] + "AA"), 403, "invalid_grant")
    refused(await redeem(app, code, code_verifier=""), 400, "invalid_request")
    refused(await redeem(other, code), 403, "invalid_grant")
    await who.set_password("another good password")
    refused(await redeem(app, code), 403, "invalid_grant")


async def test_a_code_lives_a_minute(theke: Theke, shared_inn: Inn, app: App, hire: Hire) -> None:
    class Past(Clock):
        def now(self) -> datetime:
            return datetime.fromtimestamp(time.time() - 61, UTC)

    gateway = await theke.another_gateway(clock=Past())
    erp = Erp(gateway.address, shared_inn.name)
    code = await code_for(App(erp.http, shared_inn.name, app.registered), await hire())
    refused(await redeem(app, code), 403, "invalid_grant")
    await erp.close()


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "nobody"},
        {"client_id": ""},
        {"redirect_uri": ""},
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": BACK + "&x=1"},
        {"redirect_uri": "https://shop.example/back"},
        {"redirect_uri": "https://SHOP.example/back?from=theke"},
        {"redirect_uri": "https://shop.example@evil.example/"},
        {"redirect_uri": "//evil.example"},
        {"redirect_uri": "javascript:alert(1)"},
        {"state": "x" * 5_000},
    ],
)
async def test_nobody_is_sent_where_no_application_lives(app: App, change: dict[str, str]) -> None:
    for browser in (Browser(app),):
        said = await browser.open(**change)
        assert (said.status, said.headers["Content-Type"], "Location" in said.headers) == (400, "text/html; charset=utf-8", False)
        page = await browser.open()
        posted = await browser.send(page, "x", "y", **change)
        assert (posted.status, "Location" in posted.headers) == (400, False)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_mode": "form_post"}, "invalid_request"),
    ],
)
async def test_an_application_is_told_what_it_did_wrong(app: App, hire: Hire, change: dict[str, str], error: str) -> None:
    browser = Browser(app)
    assert answered(await browser.open(**change)) == {"error": error}
    page = await browser.open()
    posted = await browser.send(page, "x", "y", **{name: value or "x" for name, value in change.items()})
    assert answered(posted) == {"error": error}


async def test_a_form_that_theke_did_not_show_is_refused(app: App, hire: Hire) -> None:
    who = await hire()
    browser = Browser(app)
    page = await browser.open()
    for forged in ({"seal": "0" * 40}, {"seal": ""}):
        assert (await browser.send(page, who.name, who.password, **forged)).status == 400
    for cookie in ("", "theke_authorize=", "theke_authorize=" + "0" * 40, "theke_authorize=é"):
        browser.cookie = cookie
        assert (await browser.send(page, who.name, who.password)).status == 400


async def test_nothing_secret_is_kept(app: App, shared_inn: Inn, hire: Hire, auth_log: asyncpg.Connection, theke: Theke) -> None:
    who = await hire()
    code = await code_for(app, who)
    given = (await redeem(app, code)).body
    given |= {"code": code, "secret": app.registered.secret}
    rows = await auth_log.fetch("select stream, data, meta from events where instance = $1", shared_inn.instance)
    kept = [bytes(row["data"]).decode() + bytes(row["meta"]).decode() + row["stream"] for row in rows]
    kept += [f"{row['name']} {row['value']!r}" for row in await auth_log.fetch("select name, value from secrets")]
    for secret in (given["access_token"], given["refresh_token"], code, app.registered.secret):
        assert [text for text in kept if secret in text] == []
