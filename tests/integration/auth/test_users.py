"""``theke users``: what an operator does when nobody can log in any more."""

from __future__ import annotations

from typing import Any

import pytest

from libs.cli.acting import operator_of
from libs.cli.main import parser
from libs.cli.users import Users, _act
from libs.domain.errors import DomainError
from tests.house import Inn, Theke, Till, done, refused


async def said(theke: Theke, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What ``theke users …`` prints."""
    capsys.readouterr()
    assert await _act(parser().parse_args(["users", *arguments]), theke.services) == 0
    return capsys.readouterr().out


async def at_a_till(inn: Inn, username: str, password: str) -> Till:
    till = inn.stranger()
    await till.login(username, password)
    return till


async def test_somebody_is_let_in_given_a_new_password_and_shut_out(
    theke: Theke, inn: Inn, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await said(theke, capsys, "create", inn.name, "anna", "--role", "Manager", "--first-name", "Anna", "--last-name", "Berg")
    first = made.split("Password: ")[1].split()[0]
    till = await at_a_till(inn, "anna", first)
    assert done(await till.get("auth/me"))["roles"] == ["Manager"]
    listed = [line.split() for line in (await said(theke, capsys, "list", inn.name)).splitlines()]
    assert ["anna", "Anna", "Berg", "Manager", "password"] in [line[1:6] for line in listed]

    renewed = await said(theke, capsys, "password", inn.name, "ANNA")
    second = renewed.split("Password: ")[1].split()[0]
    refused(await till.get("auth/me"), 401)
    again = await at_a_till(inn, "anna", second)
    lines: list[Any] = ["a much better one\n"]
    monkeypatch.setattr("sys.stdin.readline", lambda _: lines.pop())
    assert "Password" not in await said(theke, capsys, "password", inn.name, "anna", "--stdin")
    last = await at_a_till(inn, "anna", "a much better one")

    assert "deactivated" in await said(theke, capsys, "deactivate", inn.name, "anna")
    refused(await last.get("auth/me"), 401)
    refused(await again.get("auth/me"), 401)
    assert '"active":true' in await said(theke, capsys, "activate", inn.name, "anna", "--json")
    await at_a_till(inn, "anna", "a much better one")


async def test_what_cannot_be_is_refused_with_its_reason(theke: Theke, inn: Inn) -> None:
    users = Users(theke.services, await operator_of(theke.services, inn.name))
    with pytest.raises(DomainError, match="user_not_found"):
        await users.renew("nobody")
    with pytest.raises(DomainError, match="last_admin"):
        await users.activate("admin", active=False)
    with pytest.raises(DomainError, match="claim_taken"):
        await users.create("Admin")
    with pytest.raises(DomainError, match="invalid"):
        await users.create("berta", "short" * 100)
    with pytest.raises(SystemExit):
        parser().parse_args(["users", "create", inn.name, "x", "--role", "King"])
