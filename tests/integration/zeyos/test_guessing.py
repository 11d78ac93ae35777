"""Passwords cannot be tried out, and who tries cannot shut out whom the password belongs to."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from libs.contracts.auth.commands import Login, Tokens
from libs.contracts.auth.events import INSTALLATION
from libs.domain.errors import DomainError
from libs.domain.principal import system
from services.auth.passwords import HASHES_AT_ONCE
from services.auth.throttle import AT_PLACE, HOUSE, OF_HOUSE, OF_USER
from tests.house import Answer, Inn, Till, done
from tests.integration.dikas.erp import Erp, Reply
from tests.integration.zeyos.conftest import Employee, Hire


async def knock(client: Erp, name: str, password: str) -> Reply:
    return await client.ask("POST", "auth/v1/login", {"name": name, "password": password, "identifier": "x"}, token="")


async def let_time_pass(log: asyncpg.Connection, inn: Inn, seconds: float) -> None:
    await log.execute(
        "update password_tries set free_at = free_at - make_interval(secs => $2) where instance = $1", inn.instance, float(seconds)
    )


async def test_both_dialects_count_together(shared_inn: Inn, client: Erp, till: Till, hire: Hire, auth_log: asyncpg.Connection) -> None:
    who, other = await hire(), await hire()
    for number in range(AT_PLACE.tries):
        if number % 2:
            assert (await knock(client, who.name, "wrong")).status == 401
        else:
            assert (await at_till(till, who.name.upper(), "wrong")).status == 401
    paused = await knock(client, who.name, who.password)
    assert (paused.status, paused.text[:18]) == (429, "Too Many Requests:")
    assert 0 < int(paused.headers["Retry-After"]) <= AT_PLACE.costs
    answer = await at_till(till, who.name, who.password)
    assert (answer.status, answer.message) == (429, "Zu viele Fehlversuche")
    assert (await knock(client, other.name, other.password)).status == 200
    await let_time_pass(auth_log, shared_inn, AT_PLACE.costs)
    assert (await knock(client, who.name, "wrong")).status == 401
    assert (await knock(client, who.name, who.password)).status == 429
    await let_time_pass(auth_log, shared_inn, AT_PLACE.costs)
    assert (await knock(client, who.name, who.password)).status == 200
    for _ in range(AT_PLACE.tries - 1):
        assert (await knock(client, who.name, "wrong")).status == 401
    assert (await knock(client, who.name, who.password)).status == 200, "who came in has no wrong tries left"


async def at_till(till: Till, name: str, password: str) -> Answer:
    body = {"username": name, "password": password}
    return await till.post("auth/login", body, token="", headers={"Theke-Instance": till.instance})


async def test_names_that_nobody_has_are_paused_alike(client: Erp) -> None:
    answers = [(await knock(client, "Nobody@x", "wrong")).status for _ in range(AT_PLACE.tries + 1)]
    assert answers == [401] * AT_PLACE.tries + [429]


async def test_many_guesses_at_once_are_no_more_than_one_after_the_other(client: Erp, hire: Hire) -> None:
    who = await hire()
    answers = await asyncio.gather(*(knock(client, who.name, f"guess {number}") for number in range(30)))
    let_through = sum(answer.status == 401 for answer in answers)
    assert AT_PLACE.tries <= let_through < AT_PLACE.tries + HASHES_AT_ONCE
    assert {answer.status for answer in answers} == {401, 429}


async def test_right_logins_are_never_paused(client: Erp, hire: Hire) -> None:
    who = await hire()
    answers = await asyncio.gather(*(knock(client, who.name, who.password) for _ in range(2 * AT_PLACE.tries)))
    assert [answer.status for answer in answers] == [200] * len(answers)


async def test_a_switch_by_password_counts_too(till: Till, hire: Hire) -> None:
    who = await hire()
    for _ in range(AT_PLACE.tries):
        assert (await till.post("staff/switch", {"username": who.name, "password": "wrong"})).status == 401
    assert (await till.post("staff/switch", {"username": who.name, "password": who.password})).status == 429


class Street:
    """Logins from addresses of one's choice, as the gateway would pass them on."""

    def __init__(self, inn: Inn) -> None:
        self._inn = inn

    async def knock(self, who: Employee, origin: str, password: str = "") -> str:
        """Why it was refused; empty if it was not."""
        body = Login(username=who.name, password=password or who.password, instance=self._inn.name, origin=origin)
        try:
            await self._inn.theke.services.command("auth", "login", body, Tokens, principal=system(INSTALLATION, "gateway"))
        except DomainError as refusal:
            return refusal.reason
        return ""


@pytest.fixture
def street(shared_inn: Inn) -> Street:
    return Street(shared_inn)


async def test_who_guesses_from_many_places_does_not_shut_out_the_owner(
    street: Street, shared_inn: Inn, hire: Hire, auth_log: asyncpg.Connection
) -> None:
    who = await hire()
    assert await street.knock(who, "198.51.100.7") == ""
    tried = 0
    while tried < OF_USER.tries:
        origin = f"2001:db8:{tried // 5:x}::{tried % 5:x}"  # five addresses of one network are one place
        assert await street.knock(who, origin, "wrong") == "credentials_wrong"
        tried += 1
    assert await street.knock(who, "192.0.2.1", "wrong") == "too_many_tries"
    assert await street.knock(who, "192.0.2.1") == "too_many_tries"
    assert await street.knock(who, "198.51.100.7") == ""
    await let_time_pass(auth_log, shared_inn, OF_USER.costs)
    assert await street.knock(who, "192.0.2.1") == ""


async def test_one_password_for_everybody_is_paused_for_the_house(
    street: Street, shared_inn: Inn, hire: Hire, auth_log: asyncpg.Connection
) -> None:
    who, other = await hire(), await hire()
    assert await street.knock(who, "198.51.100.9") == ""
    await auth_log.execute(
        "insert into password_tries (instance, subject, free_at) values ($1, $2, now() + make_interval(secs => $3)) "
        "on conflict (instance, subject) do update set free_at = excluded.free_at",
        shared_inn.instance, HOUSE, OF_HOUSE.costs * OF_HOUSE.tries,
    )  # fmt: skip
    try:
        assert await street.knock(other, "203.0.113.8") == "too_many_tries"
        assert await street.knock(who, "198.51.100.9") == ""
    finally:
        await auth_log.execute("delete from password_tries where instance = $1 and subject = $2", shared_inn.instance, HOUSE)
    assert await street.knock(other, "203.0.113.8") == ""


async def test_other_houses_know_nothing_of_it(shared_inn: Inn, client: Erp, hire: Hire) -> None:
    other = await shared_inn.theke.inn()
    who = await hire()
    await other.provisioning.user(who.name, who.password, ("Admin",))
    for _ in range(AT_PLACE.tries):
        assert (await knock(client, who.name, "wrong")).status == 401
    till = other.stranger()
    done(await at_till(till, who.name, who.password))
    await other.close()
