"""Who may come in, and that a refusal gives nothing away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any
from uuid import uuid4

import pytest

from libs.contracts.auth.commands import Me, NoBody
from libs.domain.errors import DomainError, Kind
from tests.integration.auth.conftest import Open
from tests.integration.auth.door import PASSWORD, Door


async def refusal(doing: Awaitable[Any]) -> tuple[Kind, str]:
    with pytest.raises(DomainError) as refused:
        await doing
    return refused.value.kind, refused.value.reason


WRONG = (Kind.UNAUTHENTICATED, "credentials_wrong")


async def test_a_login_gives_tokens_with_who_and_what_they_may(door: Door) -> None:
    claims = await door.claims(await door.login())
    assert (claims["sub"], claims["ins"], claims["gen"]) == (door.anna, door.instance, 0)
    assert claims["exp"] - int(claims["iat"]) == 3600
    assert claims["per"]["pos.orders"] is True
    assert claims["per"]["inventory.articles"] is False
    assert "auth.staff" not in claims["per"]
    me = await door.services.query("auth", "me", NoBody(), Me, principal=await door.holder(await door.login()))
    assert (me.username, me.roles) == ("Anna", ("Waiter",))


@pytest.mark.parametrize("username", ["Anna", "anna", "ANNA"])
async def test_case_of_a_user_name_does_not_matter(door: Door, username: str) -> None:
    assert (await door.claims(await door.login(username)))["sub"] == door.anna


async def test_everything_that_is_wrong_is_refused_in_the_same_words(door: Door) -> None:
    await door.user("NoPassword")
    gone = (await door.user("Gone")).key
    await door.set_password(gone, PASSWORD)
    await door.change_user(gone, is_active=False)
    refused = [
        await refusal(doing)
        for doing in (
            door.login(password="wrong horse battery"),
            door.login(password=""),
            door.login(password=PASSWORD + " "),
            door.login(password="x" * 5_000),
            door.login("nobody"),
            door.login(""),
            door.login("An\x00na"),
            door.login("NoPassword"),
            door.login("NoPassword", ""),
            door.login("Gone"),
            door.login(instance="elsewhere"),
            door.login("Anna' or '1'='1"),
        )
    ]
    assert refused == [WRONG] * len(refused)


async def test_a_name_is_unique_regardless_of_case_and_free_again_when_changed(door: Door) -> None:
    with pytest.raises(DomainError) as refused:
        await door.user("ANNA")
    assert (refused.value.reason, refused.value.params) == ("claim_taken", {"scope": "user.username", "value": "anna"})
    assert (await door.change_user(door.anna, username="ANNA")).values["username"] == "ANNA"
    await door.change_user(door.anna, username="Annette")
    await door.user("anna")


async def test_the_same_name_in_two_instances_is_two_users(door: Door) -> None:
    bar = f"{door.name}-bar"
    other = await door.create_instance(bar)
    twin = (await door.user("Anna", instance=other.id)).key
    assert await refusal(door.login(instance="")) == WRONG, "with two instances one must be named"
    assert (await door.claims(await door.login()))["sub"] == door.anna
    assert await refusal(door.login(instance=bar)) == WRONG
    assert twin != door.anna


async def test_a_user_made_active_again_comes_in_with_the_old_password(door: Door) -> None:
    await door.change_user(door.anna, is_active=False)
    assert await refusal(door.login()) == WRONG
    await door.change_user(door.anna, is_active=True)
    await door.login()


async def test_the_password_everybody_knows_opens_the_demo_only(open_door: Open) -> None:
    demo = await open_door(demo=True)
    demo.instance = (await demo.create_instance("demo")).id
    demo.name = ""  # the only one need not be named
    admin = (await demo.user("admin")).key
    await demo.set_first_password(admin, "admin")
    await demo.login("admin", "admin")
    serious = await open_door(demo=False)
    assert await refusal(serious.login("admin", "admin")) == (Kind.FORBIDDEN, "default_credentials")
    assert await refusal(serious.login("admin", "wrong")) == WRONG


@pytest.mark.parametrize(
    ("password", "reason"),
    [("short", "too_short"), ("password1", "password_common"), ("PASSWORT1", "password_common"), ("x" * 257, "too_long")],
)
async def test_a_password_must_be_worth_its_name(door: Door, password: str, reason: str) -> None:
    with pytest.raises(DomainError) as refused:
        await door.set_password(door.anna, password)
    assert [(field.path, field.reason) for field in refused.value.fields] == [("password", reason)]
    await door.login()


async def test_a_password_of_any_letters_is_taken(door: Door) -> None:
    for password in ("pässwörter 🧀🧀", "x" * 256, "        x"):
        await door.set_password(door.anna, password)
        await door.login(password=password)
        assert await refusal(door.login(password=password[:-1])) == WRONG


async def test_a_user_name_is_no_password(door: Door) -> None:
    longname = (await door.user("Annegret12")).key
    with pytest.raises(DomainError) as refused:
        await door.set_password(longname, "ANNEGRET12")
    assert refused.value.fields[0].reason == "password_common"


async def test_only_staff_managers_and_oneself_set_a_password(door: Door) -> None:
    anna = await door.holder(await door.login())
    await door.set_password(door.anna, "her own new password", by=anna)
    bert = (await door.user("Bert")).key
    assert (await refusal(door.set_password(bert, "not his at all", by=anna)))[0] is Kind.FORBIDDEN
    assert (await refusal(door.set_password("usr_nobody", "nobody's password")))[0] is Kind.NOT_FOUND


async def test_a_first_password_is_set_once_whoever_tries(door: Door) -> None:
    await door.set_first_password(door.anna, "somebody else's")
    await door.login()
    fresh = (await door.user("Fresh")).key
    tries = [f"first password {number}" for number in range(4)]
    await asyncio.gather(*(door.set_first_password(fresh, password) for password in tries))
    outcomes = [await asyncio.gather(door.login("Fresh", password), return_exceptions=True) for password in tries]
    assert sum(not isinstance(outcome, DomainError) for [outcome] in outcomes) == 1
    events = [event for event in await door.host.log.read(door.instance, 0, 100) if event.stream == f"credential-{fresh}"]
    assert len(events) == 1


async def test_a_repeated_password_change_is_one_and_with_another_password_misuse(door: Door) -> None:
    id_ = uuid4()
    for _ in range(2):
        await door.set_password(door.anna, "the new password", id=id_)
    assert await refusal(door.set_password(door.anna, "quite another one", id=id_)) == (Kind.UNPROCESSABLE, "key_misuse")
    await door.login(password="the new password")
    assert len([event for event in await door.host.log.read(door.instance, 0, 100) if event.type == "credential.set"]) == 2


async def test_logins_at_once_wait_their_turn_and_all_get_in(door: Door) -> None:
    tokens = await asyncio.gather(*(door.login() for _ in range(12)))
    assert len({(await door.claims(one))["sid"] for one in tokens}) == 12


async def test_instances_have_good_names_and_each_name_once(door: Door) -> None:
    for name in ("a", "Inn", "1st", "a_b", "x" * 32, "api", "metrics", "", "a\x00b"):
        assert (await refusal(door.create_instance(name)))[0] is Kind.INVALID, name
    assert (await refusal(door.create_instance(door.name))) == (Kind.CONFLICT, "claim_taken")
    id_, name = uuid4(), f"{door.name}-bar"
    made = [await door.create_instance(name, id_) for _ in range(2)]
    assert made[0] == made[1]
    assert made[0].id == door.instance + 1, "refusals used no number"


async def test_no_secret_is_in_any_event(door: Door) -> None:
    """Neither passwords nor their hashes nor tokens: not in data, not in metadata, not in names of streams."""
    await door.set_password(door.anna, "a second password")
    tokens = await door.login(password="a second password")
    again = await door.refresh(tokens)
    await door.use(again)
    await door.logout(again)
    assert door.host.log._readers is not None
    kept = await door.host.log._readers.fetch("select value from secrets where instance in (0, $1)", door.instance)
    secrets = [bytes(row["value"]) for row in kept]
    assert len(secrets) == 7, "five keys and two hashes are kept"
    words = [PASSWORD.encode(), b"a second password", b"argon2", *secrets]
    words += [token.encode() for pair in (tokens, again) for token in (pair.access_token, pair.refresh_token)]
    rows = [row for instance in (0, door.instance) for row in await door.host.log.read_rows(instance, 0, 1_000)]
    assert len(rows) > 6
    for row in rows:
        whole = b"\n".join([row["data"], row["meta"], row["stream"].encode(), row["type"].encode()])
        assert [word for word in words if word in whole] == []


async def test_keys_users_and_sessions_outlive_a_restart(open_door: Open) -> None:
    before = await open_door()
    await before.begin()
    tokens = await before.login()
    after = await open_door()
    assert (await after.claims(tokens))["sub"] == before.anna
    fresh = await after.refresh(tokens)
    assert (await after.claims(fresh))["gen"] == 1
    await after.login()
