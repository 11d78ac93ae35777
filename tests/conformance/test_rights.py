"""Every endpoint says what it asks of the services, and so what it needs. Whether that is true, and holds, the calls themselves show:
tests/integration/dikas/test_rights.py."""

from __future__ import annotations

import typing

import pytest

from libs.cli.rights import asked, needs_of
from libs.contracts.auth.rights import CASH_POINT_RIGHTS, DENY_LOGIN, ROLES, CashPointRight, permissions_of, rights_of
from services.gateway.dikas.routes import ROUTES
from services.gateway.zeyos.routes import ROUTES as ERP_ROUTES


@pytest.mark.parametrize("route", [*ROUTES, *ERP_ROUTES], ids=lambda route: f"{route.method} {route.path}")
def test_every_route_says_what_it_asks(route: typing.Any) -> None:
    assert route.asks, "say which commands and queries the route asks: asks=('pos.receipt.sell',)"
    assert [name for name in route.asks if name not in asked()] == []
    if route.public:
        assert needs_of(route) == ()


def test_what_needs_no_right_is_named_here() -> None:
    """A new endpoint that is open to everybody who is logged in is meant to be."""
    everybodys = {f"{route.method} {route.path.removeprefix('/api/v1/')}" for route in ROUTES if not route.public and not needs_of(route)}
    assert everybodys == {"POST auth/logout", "GET auth/me", "POST staff/switch", "GET staff/switch"}


def test_roles_and_rights_add_up() -> None:
    held = permissions_of(["Kitchen"], ["checkOut"])
    assert held == {**permissions_of(["Kitchen"]), "pos.payments": True}
    assert permissions_of(["Waiter"], ["voidAll"]) == {**permissions_of(["Waiter"]), "pos.voids": True, "pos.own_voids": True}
    assert permissions_of(["Admin"], CASH_POINT_RIGHTS) == permissions_of(["Admin"])
    assert permissions_of([], [DENY_LOGIN]) == {}


def test_the_rights_of_a_role_are_told_by_their_names() -> None:
    """The defaults of a waiter: may check out and hand over tables; may not close shifts or the day."""
    assert rights_of(permissions_of(["Waiter"])) == ("takeOrders", "checkOut", "transferTable")
    assert rights_of(permissions_of(["Kitchen"])) == ()
    assert set(rights_of(permissions_of(["Admin"]))) == set(CASH_POINT_RIGHTS) - {DENY_LOGIN}
    assert DENY_LOGIN in rights_of(permissions_of(["Admin"]), [DENY_LOGIN])


def test_no_cash_point_right_reaches_the_staff() -> None:
    """Who may change rights may give himself all of them: that takes the role."""
    assert "auth.staff" not in permissions_of([], CASH_POINT_RIGHTS)


def test_names_and_table_agree() -> None:
    assert set(typing.get_args(CashPointRight)) == set(CASH_POINT_RIGHTS)
    known = {permission for held in ROLES.values() for permission in held}
    assert {permission for given in CASH_POINT_RIGHTS.values() for permission in given} <= known
