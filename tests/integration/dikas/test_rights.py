"""The matrix of docs/reference/rights.md, called for real: every endpoint by a user of every role, and by one with every single right."""

from __future__ import annotations

import re
import typing
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from libs.cli.rights import may
from libs.contracts.auth.rights import CASH_POINT_RIGHTS, DENY_LOGIN, ROLES, permissions_of
from libs.domain.principal import Principal
from libs.runtime.asking import Services
from services.gateway.dikas.call import Picture, Route
from services.gateway.dikas.examples import sound
from services.gateway.dikas.routes import ROUTES
from tests.house import Inn, Till, done

# what ends the session comes last
GUARDED = sorted((route for route in ROUTES if not route.public), key=lambda route: route.path.endswith("/logout"))
NOT_THE_ROUTES = frozenset({"session.confirm"})  # the gateway's own, with the first use of a token
# sound bodies of which the declaration does not say enough
BODIES: dict[str, Any] = {
    "/api/v1/staff/switch": {"staffId": "x_1", "pin": "0000"},
    "/api/v1/open-bons/{id}/status": {"status": "ready"},
    "/api/v1/sync": {
        "items": [{"id": "x", "sequence": 1, "clientTime": "2026-01-01T00:00:00Z", "type": "void", "body": {"receiptId": "x_1"}}]
    },
}
PICTURE = bytes.fromhex(  # one red pixel
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003"
    "010100c9fe92ef0000000049454e44ae426082"
)
VALUES: dict[Any, Any] = {str: "x_1", int: 1, Decimal: Decimal(1), bool: True}


def specimen(route: Route) -> Any:
    """The least body that reaches the service: what is required, of the right type."""
    return None if route.body is None else BODIES.get(route.path) or _filled(route.body, set(route.required))


def _filled(type_: Any, required: set[str]) -> dict[str, Any]:
    hints = typing.get_type_hints(type_)
    fields = msgspec.structs.fields(type_)
    return {field.encode_name: _value(hints[field.name]) for field in fields if field.required or field.encode_name in required}


def _value(type_: Any) -> Any:
    bare = next((one for one in typing.get_args(type_) if one not in (type(None), msgspec.UnsetType)), type_) if _is_union(type_) else type_
    if typing.get_origin(bare) in (list, tuple):
        return [_value(typing.get_args(bare)[0])]
    return _filled(bare, set()) if isinstance(bare, type) and issubclass(bare, msgspec.Struct) else VALUES[bare]


def _is_union(type_: Any) -> bool:
    return type(None) in typing.get_args(type_) or msgspec.UnsetType in typing.get_args(type_)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the gateway asks of the services on behalf of a user."""
    seen: list[str] = []
    for way in ("command", "query", "stream"):
        original = getattr(Services, way)

        def spied(self: Services, service: str, name: str, *rest: Any, _ask: Any = original, principal: Principal, **how: Any) -> Any:
            if principal.level != "system" and name not in NOT_THE_ROUTES:
                seen.append(f"{service}.{name}")
            return _ask(self, service, name, *rest, principal=principal, **how)

        monkeypatch.setattr(Services, way, spied)
    log = Services.log

    def spied_log(self: Services, service: str, wanted: Any, *, principal: Principal, **how: Any) -> Any:
        seen.append(f"{service}.log")
        return log(self, service, wanted, principal=principal, **how)

    monkeypatch.setattr(Services, "log", spied_log)
    return seen


async def call(till: Till, route: Route) -> int:
    path = re.sub(r"\{\w+\}", "1", route.path)
    if path.endswith("/image") and route.method == "POST":
        return (await till.ask("POST", path, raw=PICTURE, headers={"Content-Type": "image/png"})).status
    needed = {param.name: str(sound(param.example)) for param in route.params if param.required}
    if route.answer is Picture:  # without the envelope that a till looks for
        async with till.http.get(path, params=needed, headers={"Authorization": f"Bearer {till.token}"}) as answer:
            return answer.status
    return (await till.ask(route.method, path, specimen(route), params=needed)).status


@pytest.mark.parametrize("role", ROLES)
async def test_every_endpoint_by_every_role(shared_inn: Inn, asked: list[str], role: str) -> None:
    till = await shared_inn.till(role, user=f"only-{role}")
    held = permissions_of([role])
    wrong: list[Any] = []
    for route in GUARDED:
        asked.clear()
        status = await call(till, route)
        if (status == 403) is may(held, route) or status >= 500:
            wrong.append((route.method, route.path, status))
        if not set(asked) <= set(route.asks) or not (asked or status == 403):
            wrong.append((route.method, route.path, "asks", tuple(asked)))
    assert wrong == []


@pytest.mark.parametrize("right", [right for right in CASH_POINT_RIGHTS if right != DENY_LOGIN])
async def test_every_endpoint_by_every_single_right(shared_inn: Inn, till: Till, right: str) -> None:
    """A kitchen hand with one right more may do exactly what the two give together."""
    name = f"hand-{right}"
    body = {"username": name, "password": "kitchen knife", "roles": ["Kitchen"], "cashPointRights": [right]}
    done(await till.post("staff", body), 201)
    hand = shared_inn.stranger()
    await hand.login(name, "kitchen knife")
    held = permissions_of(["Kitchen"], [right])
    assert held != permissions_of(["Kitchen"])
    for route in GUARDED:
        status = await call(hand, route)
        assert (status == 403) is not may(held, route), (route.method, route.path, status)
