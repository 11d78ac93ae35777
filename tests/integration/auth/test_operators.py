"""Users of no instance: added, checked, removed; their passwords are kept as everybody's."""

from __future__ import annotations

import asyncpg
import pytest

from libs.cli.main import parser
from libs.cli.operators import _act, check, create, listed, remove
from libs.contracts.auth.events import INSTALLATION
from libs.contracts.auth.operators import AddOperator, CheckOperator, Operator
from libs.domain.errors import DomainError
from libs.domain.principal import Principal
from services.auth.throttle import AT_PLACE
from tests.integration.auth.door import Door

PASSWORD = "correct horse battery"


async def test_an_operator_comes_in_with_the_right_password_and_no_other(door: Door) -> None:
    added = await create(door.services, "Paula", "audit", PASSWORD)
    assert (added.username, added.level, added.password) == ("Paula", "audit", "")
    known = await check(door.services, "paula", PASSWORD)
    assert (known.username, known.level) == ("Paula", "audit")
    for name, password in (("Paula", "wrong"), ("nobody", PASSWORD), ("Paula", "")):
        with pytest.raises(DomainError, match="credentials_wrong"):
            await check(door.services, name, password)
    with pytest.raises(DomainError, match="claim_taken"):
        await create(door.services, "PAULA", password=PASSWORD)
    assert "Paula" in [one.username for one in await listed(door.services)]
    await remove(door.services, "paula")
    assert "Paula" not in [one.username for one in await listed(door.services)]
    with pytest.raises(DomainError, match="credentials_wrong"):
        await check(door.services, "Paula", PASSWORD)
    with pytest.raises(DomainError, match="user_not_found"):
        await remove(door.services, "Paula")
    made_up = await create(door.services, "Paula")
    assert (await check(door.services, "Paula", made_up.password)).level == "admin"


async def test_a_password_is_in_no_event_and_kept_as_a_hash(door: Door) -> None:
    await create(door.services, "otto", password=PASSWORD)
    connection = await asyncpg.connect(door.host.log_dsn)
    said = await connection.fetch("select data from auth.events where instance = $1 and type like 'operator.%'", INSTALLATION)
    hashes = await connection.fetch("select value from auth.secrets where instance = $1 and name like 'operator %'", INSTALLATION)
    await connection.close()
    assert not any(PASSWORD.encode() in row["data"] or b"argon2" in row["data"] for row in said)
    assert hashes
    assert all(row["value"].startswith(b"$argon2id$") for row in hashes)


@pytest.mark.parametrize(
    ("username", "password", "reason"),
    [("käthe", PASSWORD, "not_allowed"), ("x" * 101, PASSWORD, "too_long"), ("", PASSWORD, "not_allowed"), ("emil", "short", "too_short")],
)
async def test_what_is_wrong_with_an_operator_is_named(door: Door, username: str, password: str, reason: str) -> None:
    with pytest.raises(DomainError) as refused:
        await create(door.services, username, password=password)
    assert [fault.reason for fault in refused.value.fields] == [reason]


async def test_guessing_an_operators_password_is_paused(door: Door) -> None:
    await create(door.services, "rita", password=PASSWORD)
    for _ in range(AT_PLACE.tries):
        with pytest.raises(DomainError, match="credentials_wrong"):
            await check(door.services, "rita", "wrong")
    with pytest.raises(DomainError, match="too_many_tries"):
        await check(door.services, "rita", PASSWORD)


async def test_nobody_of_an_instance_adds_or_checks_operators(door: Door) -> None:
    for name, body in (
        ("operator.add", AddOperator(username="eve", password=PASSWORD)),
        ("operator.check", CheckOperator(username="eve", password=PASSWORD)),
    ):
        for principal in (Principal(INSTALLATION, "usr_x"), Principal(door.instance, "x", level="system")):
            with pytest.raises(DomainError, match="missing_right"):
                await door.services.command("auth", name, body, Operator, principal=principal)


async def test_the_command_line_says_what_was_done(door: Door, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.readline", lambda _: f"{PASSWORD}\n")
    for arguments, said in (
        (("create", "lena", "--level", "plan", "--stdin"), "lena (plan)"),
        (("list",), "lena"),
        (("check", "lena"), "lena is in as plan"),
        (("remove", "lena"), "lena is removed"),
    ):
        assert await _act(parser().parse_args(["operators", *arguments]), door.services) == 0
        assert said in capsys.readouterr().out
