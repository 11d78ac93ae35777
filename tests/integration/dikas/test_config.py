"""Settings of the house over HTTP: what is named changes, what is not stays, and a password never comes back."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from tests.house import Inn, Till, done, refused

MAIL = {
    "host": "mail.example.com",
    "port": 587,
    "security": "starttls",
    "user": "schwan",
    "sender": "kasse@example.com",
    "password": "ganz geheim",
}


async def config(till: Till, **groups: Any) -> Any:
    return done(await till.put("config", groups))


async def test_a_new_house_has_sound_settings(inn: Inn) -> None:
    settings = done(await (await inn.till()).get("config"))
    operation = {"currency": "EUR", "zone": "Europe/Berlin", "dayStarts": "04:00", "shiftRequired": False, "offlineRegisters": []}
    assert settings["operation"] == operation
    assert settings["letterhead"]["company"] == ""
    assert settings["mail"] == {"host": "", "port": 587, "security": "starttls", "user": "", "sender": "", "hasPassword": False}


async def test_put_changes_what_it_names(inn: Inn) -> None:
    till = await inn.till()
    await config(till, operation={"dayStarts": "05:30"}, letterhead={"company": "Schwan", "city": "Ulm", "footer": ["Danke"]})
    after = await config(till, letterhead={"city": "München", "company": None})
    assert after["operation"]["dayStarts"] == "05:30"
    assert (after["letterhead"]["company"], after["letterhead"]["city"], after["letterhead"]["footer"]) == ("Schwan", "München", ["Danke"])
    assert done(await till.get("config")) == after
    assert (await config(till, letterhead={"company": "", "footer": []}))["letterhead"]["footer"] == []


async def test_two_who_change_different_fields_at_once_both_win(inn: Inn) -> None:
    till = await inn.till()
    fields = {"company": "Schwan", "street": "Weg 1", "city": "Ulm", "phone": "0731", "email": "a@b.de", "country": "Deutschland"}
    await asyncio.gather(*(config(till, letterhead={name: value}) for name, value in fields.items()))
    letterhead = done(await till.get("config"))["letterhead"]
    assert {name: letterhead[name] for name in fields} == fields


async def test_from_now_on_nobody_sells_without_a_shift(inn: Inn) -> None:
    till = await inn.till()
    await config(till, operation={"shiftRequired": True})
    refused(
        await till.post("payments/direct-sale", {"items": [{"articleId": inn.menu["Cola"], "quantity": 1}], "payments": [{"type": 0}]}), 409
    )


async def test_a_password_is_kept_sealed_and_never_shown(inn: Inn, theke: Any) -> None:
    till = await inn.till()
    answer = await till.put("config", {"mail": MAIL}, key="mail-1")
    assert done(answer)["mail"]["hasPassword"] is True
    assert b"geheim" not in answer.raw
    assert (await config(till, mail={"password": "", "port": 25}))["mail"]["hasPassword"] is True
    refused(await till.put("config", {"mail": {**MAIL, "password": "anderes"}}, key="mail-1"), 422, "Idempotency-Key")
    connection = await asyncpg.connect(theke.log_dsn)
    try:
        events = await connection.fetch("select data from pos.events where instance = $1", inn.instance)
        secrets = await connection.fetch("select value from pos.secrets where instance = $1", inn.instance)
    finally:
        await connection.close()
    assert events
    assert len(secrets) == 1
    assert not any(b"geheim" in row[0] or b"anderes" in row[0] for row in (*events, *secrets))


@pytest.mark.parametrize(
    ("groups", "field"),
    [
        ({"operation": {"zone": "Mars/Olympus"}}, "zone"),
        ({"operation": {"dayStarts": "4"}}, "operation.dayStarts"),
        ({"operation": {"dayStarts": "25:00"}}, "operation.dayStarts"),
        ({"operation": {"shiftRequired": "yes"}}, "operation.shiftRequired"),
        ({"letterhead": {"company": "x" * 101}}, "letterhead.company"),
        ({"letterhead": {"city": "a\nb"}}, "letterhead.city"),
        ({"letterhead": {"footer": ["x"] * 11}}, "letterhead.footer"),
        ({"letterhead": {"footer": ["x"] * 101}}, "letterhead.footer"),
        ({"letterhead": {"footer": ["a\rb"]}}, "letterhead.footer[0]"),
        ({"mail": {"port": 0}}, "mail.port"),
        ({"mail": {"port": 65_536}}, "mail.port"),
        ({"mail": {"security": "ssl3"}}, "mail.security"),
        ({"mail": {"host": "a b"}}, "mail.host"),
        ({"mail": {"host": "mail.example.com"}}, "mail.sender"),
        ({"mail": {"sender": "a@b\r\nBcc: c@d"}}, "mail.sender"),
        ({"mail": {"sender": "Wirt <a@b.de>"}}, "mail.sender"),
        ({"mail": {"password": "x" * 201}}, "mail.password"),
        ({"mail": {"password": "a\r\nb"}}, "mail.password"),
    ],
)  # fmt: skip
async def test_settings_that_make_no_sense_are_refused(till: Till, groups: dict[str, Any], field: str) -> None:
    before = done(await till.get("config"))
    refused(await till.put("config", groups), 400, f"Feld '{field}'")
    assert done(await till.get("config")) == before


async def test_only_those_who_may_see_and_change_settings(shared_inn: Inn) -> None:
    waiter = await shared_inn.till("Waiter")
    refused(await waiter.get("config"), 403)
    refused(await waiter.put("config", {"mail": MAIL}), 403)


async def test_two_who_change_the_settings_at_once_do_not_overwrite_each_other(inn: Inn) -> None:
    till = await inn.till()
    read = await till.get("config")
    tag = {"If-Match": read.headers["ETag"]}
    first = await till.put("config", {"operation": {"dayStarts": "06:00"}}, headers=tag)
    assert first.status == 200
    refused(await till.put("config", {"operation": {"dayStarts": "05:00"}}, headers=tag), 412, "inzwischen")
    assert done(await till.put("config", {"operation": {"dayStarts": "05:00"}}, headers={"If-Match": first.headers["ETag"]}))
    assert (await till.get("config")).headers["ETag"] != first.headers["ETag"]
