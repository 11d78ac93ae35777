"""Who is let in, for how long, and how fast the door closes."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any
from uuid import uuid4

import asyncpg
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from libs.contracts.auth.records import USER
from libs.domain.records import RecordView
from services.auth.service import SIGNING_KEY
from tests.house import Answer, Inn, Theke, Till, done, item, refused

REVOKED_WITHIN_S = 1.0
SLOW_MACHINE_S = 1.0  # on top, where everything shares two cores


def let_in(answer: Answer) -> bool:
    assert answer.status in (200, 401), answer.body
    if answer.status == 401:
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    return answer.status == 200


async def change_user(inn: Inn, username: str, **values: Any) -> None:
    """What the staff's own endpoints will do: a command to auth."""
    principal = inn.provisioning.principal
    user = await inn.provisioning.create(USER, username, {"username": username})
    body = {"key": user.key, "values": values}
    await inn.theke.services.command("auth", "user.change", body, RecordView, principal=principal, id=uuid4())


# --- tokens -------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def signing_key(theke: Theke) -> Any:
    connection = await asyncpg.connect(theke.log_dsn)
    try:
        pem = await connection.fetchval("select value from auth.secrets where instance = 0 and name = $1", SIGNING_KEY)
    finally:
        await connection.close()
    return load_pem_private_key(pem, password=None)


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


async def test_a_token_made_with_the_right_key_is_taken(till: Till, signing_key: Any) -> None:
    """Without this the refusals below could have any reason."""
    assert let_in(await till.get("auth/me", token=jwt.encode(claims_of(till.token), signing_key, "EdDSA")))


FORGERIES = ["none", "None", "no signature", "HS256 with the public key", "another key", "changed claims", "expired", "without expiry",
             "text for a number", "empty", "garbage", "dots", "long", "spaces", "refresh token"]  # fmt: skip


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_forged_tokens(till: Till, signing_key: Any, forgery: str) -> None:
    answer = await till.get("auth/me", headers={"Authorization": f"Bearer {forged(forgery, till, signing_key)}"})
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert answer.message in ("Anmeldung erforderlich", "Anmeldung abgelaufen")


def forged(forgery: str, till: Till, signing_key: Any) -> str:
    header, payload, signature = till.token.split(".")
    claims = claims_of(till.token)
    public = signing_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    mac_header = encoded({"alg": "HS256", "typ": "JWT"})
    match forgery:
        case "none" | "None":
            return f"{encoded({'alg': forgery, 'typ': 'JWT'})}.{payload}."
        case "no signature":
            return f"{header}.{payload}."
        case "HS256 with the public key":
            mac = jwt.get_algorithm_by_name("HS256").sign(f"{mac_header}.{payload}".encode(), public)
            return f"{mac_header}.{payload}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
        case "another key":
            return jwt.encode(claims, Ed25519PrivateKey.generate(), "EdDSA")
        case "changed claims":
            return f"{header}.{encoded({**claims, 'ins': claims['ins'] + 1})}.{signature}"
        case "expired":
            return jwt.encode({**claims, "exp": int(time.time()) - 1}, signing_key, "EdDSA")
        case "without expiry":
            return jwt.encode({name: value for name, value in claims.items() if name != "exp"}, signing_key, "EdDSA")
        case "text for a number":
            return jwt.encode({**claims, "exp": "tomorrow"}, signing_key, "EdDSA")
        case "refresh token":
            return till.refresh_token
    return {"empty": "", "garbage": "x", "dots": "a.b.c", "long": "a" * 5000, "spaces": "a b c"}[forgery]


@pytest.mark.parametrize("header", ["Basic YWRtaW46YWRtaW4=", "Bearer", "bearer ", "Token x", ""])
async def test_headers_without_a_token(till: Till, header: str) -> None:
    refused(await till.get("auth/me", headers={"Authorization": header}), 401, "Es fehlt Authorization: Bearer")


async def test_the_scheme_is_written_in_any_case(till: Till) -> None:
    assert let_in(await till.get("auth/me", headers={"Authorization": f"BEARER {till.token}"}))


async def test_a_known_token_expires_too(till: Till, signing_key: Any) -> None:
    """Verified once and kept: its end must be looked at every time."""
    token = jwt.encode({**claims_of(till.token), "exp": int(time.time()) + 2}, signing_key, "EdDSA")
    assert let_in(await till.get("auth/me", token=token))
    await asyncio.sleep(2.1)
    refused(await till.get("auth/me", token=token), 401, "Anmeldung abgelaufen")


# --- login --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("username", "password"),
    [("admin", "wrong"), ("nobody", "admin"), ("", ""), ("admin", ""), ("admin' or 1=1 --", "x"), ("x" * 50_000, "x" * 50_000)],
)
async def test_one_refusal_for_everything_that_is_wrong(shared_inn: Inn, username: str, password: str) -> None:
    stranger = shared_inn.stranger()
    headers = {"Theke-Instance": shared_inn.name}
    answer = await stranger.post("auth/login", {"username": username, "password": password}, headers=headers)
    assert (answer.status, answer.message, answer.errors) == (401, "Anmeldung fehlgeschlagen", ["Benutzername oder Passwort falsch"])


async def test_the_user_name_is_written_in_any_case(shared_inn: Inn) -> None:
    await shared_inn.stranger().login("ADMIN", "admin")


async def test_an_unknown_instance_is_a_wrong_login(shared_inn: Inn) -> None:
    stranger = shared_inn.stranger()
    for headers in ({"Theke-Instance": "nowhere"}, {"Theke-Instance": "INN-1"}):
        answer = await stranger.post("auth/login", {"username": "admin", "password": "admin"}, headers=headers)
        refused(answer, 401, "Anmeldung fehlgeschlagen")


async def test_me(inn: Inn) -> None:
    till = await inn.till("Waiter", "Kitchen")
    me = done(await till.get("auth/me"))
    assert me["username"] == "waiter-kitchen"
    assert set(me["roles"]) == {"Waiter", "Kitchen"}
    assert me["rights"]["pos.payments"] is True
    assert me["rights"]["inventory.articles"] is False
    assert "pos.voids" not in me["rights"]


# --- refresh ------------------------------------------------------------------------------------------------------------------


async def test_a_lost_answer_is_given_again_until_the_new_token_was_used(inn: Inn) -> None:
    till = await inn.till()
    old = till.tokens()
    answers = await asyncio.gather(*(till.post("auth/refresh", old, token="") for _ in range(4)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.raw for answer in answers}) == 1
    assert let_in(await till.get("auth/me", token=answers[0].data["accessToken"]))


async def test_a_spent_refresh_token_ends_the_session(inn: Inn) -> None:
    till = await inn.till()
    stolen = till.tokens()
    await till.refresh()
    assert let_in(await till.get("auth/me"))
    refused(await till.post("auth/refresh", stolen, token=""), 401, "Anmeldung beendet")
    await closed_within(REVOKED_WITHIN_S, till)
    refused(await till.post("auth/refresh", till.tokens(), token=""), 401)


async def test_a_session_goes_on_through_many_refreshes(inn: Inn) -> None:
    till = await inn.till()
    for _ in range(5):
        await till.refresh()
        assert let_in(await till.get("auth/me"))


async def test_tokens_of_two_sessions_do_not_go_together(inn: Inn) -> None:
    one, two = await inn.till(), await inn.till()
    mixed = {"accessToken": one.token, "refreshToken": two.refresh_token}
    refused(await one.post("auth/refresh", mixed, token=""), 401, "gehören nicht zusammen")
    assert let_in(await one.get("auth/me"))
    assert let_in(await two.get("auth/me"))


@pytest.mark.parametrize("broken", ["", "AAAA", "ä", "a" * 5000, "====", "%00"])
async def test_a_broken_refresh_token(till: Till, broken: str) -> None:
    body = {"accessToken": till.token, "refreshToken": broken}
    refused(await till.post("auth/refresh", body, token=""), 401, "Das Refresh-Token ist ungültig")
    body = {"accessToken": broken, "refreshToken": till.refresh_token}
    refused(await till.post("auth/refresh", body, token=""), 401, "Das Zugriffstoken ist ungültig")


# --- the end ------------------------------------------------------------------------------------------------------------------


async def closed_within(seconds: float, till: Till) -> None:
    ends = time.monotonic() + seconds + SLOW_MACHINE_S
    while let_in(await till.get("auth/me")):
        assert time.monotonic() < ends, "the token still works"
        await asyncio.sleep(0.02)


async def test_logout_holds_at_once_and_a_second_later_everywhere(inn: Inn) -> None:
    other = await inn.theke.another_gateway()
    till = await inn.till()
    elsewhere = inn.stranger(url=other.address)
    elsewhere.token = till.token
    assert let_in(await elsewhere.get("auth/me"))
    done(await till.post("auth/logout"))
    refused(await till.get("auth/me"), 401, "Anmeldung beendet")
    await closed_within(REVOKED_WITHIN_S, elsewhere)
    refused(await till.post("auth/refresh", till.tokens(), token=""), 401)


async def test_a_gateway_that_starts_later_knows_who_is_out(inn: Inn) -> None:
    till = await inn.till()
    done(await till.post("auth/logout"))
    late = await inn.theke.another_gateway()
    elsewhere = inn.stranger(url=late.address)
    elsewhere.token = till.token
    assert not let_in(await elsewhere.get("auth/me"))


async def test_logout_ends_only_this_session(inn: Inn) -> None:
    one, two = await inn.till(), await inn.till()
    done(await one.post("auth/logout"))
    assert let_in(await two.get("auth/me"))
    await asyncio.sleep(0.2)
    assert let_in(await two.get("auth/me"))


async def test_a_new_role_takes_effect_with_the_next_token(inn: Inn) -> None:
    """The old token is dead, so nobody keeps a right that was taken; refreshing is all a device has to do."""
    till = await inn.till("Waiter")
    await till.sell(item(inn.menu["Cola"]))
    await change_user(inn, "waiter", roles=["Kitchen"])
    await closed_within(REVOKED_WITHIN_S, till)
    await till.refresh()
    body = {"items": [item(inn.menu["Cola"])], "payments": [{"type": 0}]}
    refused(await till.post("payments/direct-sale", body), 403, "Es fehlt das Recht 'pos.payments'")
    done(await till.get("tables"))
    await change_user(inn, "waiter", roles=["Kitchen", "Manager"])
    await closed_within(REVOKED_WITHIN_S, till)
    await till.refresh()
    await till.sell(item(inn.menu["Cola"]))


async def test_who_was_switched_off_is_out(inn: Inn) -> None:
    till = await inn.till("Waiter")
    await change_user(inn, "waiter", is_active=False)
    await closed_within(REVOKED_WITHIN_S, till)
    refused(await till.post("auth/refresh", till.tokens(), token=""), 401)
    answer = await till.post(
        "auth/login", {"username": "waiter", "password": till.password}, token="", headers={"Theke-Instance": inn.name}
    )
    refused(answer, 401, "Anmeldung fehlgeschlagen")


# --- another instance ---------------------------------------------------------------------------------------------------------


async def test_a_token_of_another_instance(inn: Inn, shared_inn: Inn) -> None:
    till = await inn.till()
    refused(await till.get("articles", headers={"Theke-Instance": shared_inn.name}), 401, "Das Token gehört zu einem anderen Mandanten")
    refused(await till.get("articles", headers={"Theke-Instance": "nowhere"}), 401)
    refused(await till.post("auth/refresh", till.tokens(), token="", headers={"Theke-Instance": shared_inn.name}), 401)
    assert let_in(await till.get("articles", headers={"Theke-Instance": inn.name}))


async def test_nothing_of_another_instance_can_be_seen_or_touched(inn: Inn, shared_inn: Inn) -> None:
    """Every id of the neighbour, at every endpoint that takes one, is an id that does not exist."""
    mine, theirs = await inn.till(), await shared_inn.till()
    table = done(await theirs.post("tables", {"number": 4000}), 201)["id"]
    area = done(await theirs.post("table-groups", {"name": "Saal"}), 201)["id"]
    await theirs.order(table, item(shared_inn.menu["Cola"], course=1))
    line = (await theirs.open_items(table))[0]["id"]
    receipt = await theirs.sell(item(shared_inn.menu["Cola"]))
    article, group = shared_inn.menu["Pils"], shared_inn.group
    waiter = done(await theirs.get("auth/me"))["id"]
    before = [done(await theirs.get(path)) for path in ("articles", "article-groups", "tables", "table-groups", "receipts")]
    name = {"name": "Fremd"}
    for method, path, body in (
        ("GET", f"staff/{waiter}", None),
        ("PUT", f"staff/{waiter}", {"pin": "0000"}),
        ("DELETE", f"staff/{waiter}", None),
        ("GET", f"articles/{article}", None),
        ("PUT", f"articles/{article}", name),
        ("DELETE", f"articles/{article}", None),
        ("GET", f"article-groups/{group}", None),
        ("PUT", f"article-groups/{group}", name),
        ("DELETE", f"article-groups/{group}", None),
        ("GET", f"tables/{table}", None),
        ("PUT", f"tables/{table}", name),
        ("DELETE", f"tables/{table}", None),
        ("POST", f"tables/{table}/gang", {"course": 1}),
        ("POST", f"tables/{table}/cleaned", None),
        ("GET", f"table-groups/{area}", None),
        ("PUT", f"table-groups/{area}", name),
        ("DELETE", f"table-groups/{area}", None),
        ("GET", f"open-bons/table/{table}", None),
        ("POST", "open-bons", {"tableId": table, "items": [item(inn.menu["Cola"])]}),
        ("POST", "open-bons", {"tableId": inn.tables[1], "items": [item(article)]}),
        ("POST", "open-bons/batch", {"orders": [{"tableId": table, "items": [item(inn.menu["Cola"])]}]}),
        ("POST", "payments/table", {"tableId": table, "payments": [{"type": 0}]}),
        ("POST", "payments/direct-sale", {"items": [item(article)], "payments": [{"type": 0}]}),
        ("GET", f"receipts/{receipt['id']}", None),
        ("GET", f"receipts/by-number/{receipt['number']}", None),
        ("POST", f"receipts/{receipt['id']}/void", None),
    ):
        answer = await mine.ask(method, path, body)
        assert answer.status == 404, (method, path, answer.body)
    await mine.order(inn.tables[1], item(inn.menu["Cola"]))
    refused(await mine.post("payments/table", {"tableId": inn.tables[1], "items": [{"id": line}], "payments": [{"type": 0}]}), 404)
    refused(await mine.post("articles", {"name": "x", "price": 1, "taxClass": 0, "groupId": group}), 400, group)
    refused(await mine.put(f"tables/{inn.tables[1]}", {"groupId": area}), 400, area)
    assert before == [done(await theirs.get(path)) for path in ("articles", "article-groups", "tables", "table-groups", "receipts")]
    ids = {article["id"] for article in done(await mine.get("articles"))}
    assert ids == set(inn.menu.values())
