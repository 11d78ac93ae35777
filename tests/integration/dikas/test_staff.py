"""Employees: how they are hired, how they come in, what they may, and that nobody comes in by guessing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from libs.contracts.auth.commands import StaffView
from libs.domain.errors import DomainError
from libs.domain.records import RecordView
from services.auth.attempts import CARD_TRIES, PAUSE_S, TRIES
from tests.house import Answer, Inn, Theke, Till, done, fields_named, item, refused

PASSWORD = "a long enough one"
DEAD_WITHIN_S = 3.0


@pytest.fixture
async def admin(inn: Inn) -> Till:
    return await inn.till()


@pytest.fixture
async def auth_log(theke: Theke) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(theke.log_dsn, server_settings={"search_path": "auth"})
    yield connection
    await connection.close()


async def hire(admin: Till, username: str = "anna", status: int = 201, **values: Any) -> Any:
    return done(await admin.post("staff", {"username": username, "roles": ["Waiter"], **values}), status)


async def knock(inn: Inn, way: str, **body: Any) -> Answer:
    """A login at a device where nobody is logged in."""
    stranger = inn.stranger()
    return await stranger.post(f"auth/{way}", body, headers={"Theke-Instance": inn.name})


def somebody(inn: Inn, answer: Answer) -> Till:
    till = inn.stranger()
    data = done(answer)
    assert list(data) == ["accessToken", "refreshToken", "expiresIn"]
    till.token, till.refresh_token = data["accessToken"], data["refreshToken"]
    return till


async def name_at(till: Till) -> str:
    name: str = done(await till.get("auth/me"))["username"]
    return name


async def dead(till: Till) -> None:
    """Returns when the till's token is refused."""
    ends = time.monotonic() + DEAD_WITHIN_S
    while (await till.get("auth/me")).status == 200:
        assert time.monotonic() < ends, "the token still works"
        await asyncio.sleep(0.02)


# --- the record ---------------------------------------------------------------------------------------------------------------


PERSON = {
    "firstName": "Anna",
    "lastName": "Kell",
    "shortName": "AK",
    "email": "anna@example.org",
    "phone": "030 1",
    "mobile": "0170 1",
    "street": "Gasse 1",
    "postalCode": "10115",
    "city": "Berlin",
    "country": "DE",
    "gender": "f",
    "birthDate": "1999-12-31",
    "birthPlace": "Ulm",
    "startDate": "2024-01-01",
    "endDate": None,
}


async def test_an_employee_from_hiring_to_leaving(admin: Till) -> None:
    made = await hire(admin, **PERSON, cashPointRights=["voidOwn"], pin="4711", cardId="04:A2:FF:01", password=PASSWORD)
    assert {name: made[name] for name in PERSON} == PERSON
    assert (made["hasPassword"], made["hasPin"], made["hasCard"], made["lastLogin"]) == (True, True, True, None)
    assert (made["roles"], made["cashPointRights"], made["isActive"]) == (["Waiter"], ["voidOwn"], True)
    assert not {"password", "pin", "cardId"} & set(made)
    path = f"staff/{made['id']}"
    assert done(await admin.get(path)) == made
    assert made in done(await admin.get("staff"))
    changed = done(await admin.put(path, {"city": "Bonn", "phone": None, "pin": None}))
    assert {**made, "city": "Bonn", "phone": None, "hasPin": False, "changedDate": changed["changedDate"]} == changed
    assert done(await admin.get(path)) == changed
    done(await admin.delete(path))
    for gone in (await admin.get(path), await admin.put(path, {"city": "Ulm"}), await admin.delete(path)):
        refused(gone, 404, "Mitarbeiter nicht gefunden")


async def test_staff_numbers_count_from_1000_and_each_is_there_once(admin: Till) -> None:
    [wirt] = done(await admin.get("staff"))
    assert wirt["staffNumber"] == 1000
    names = [f"helper-{number}" for number in range(8)]
    made = await asyncio.gather(*(hire(admin, name) for name in names))
    assert sorted(one["staffNumber"] for one in made) == list(range(1001, 1009))
    assert (await hire(admin, "chosen", staffNumber=1009))["staffNumber"] == 1009
    assert (await hire(admin, "after"))["staffNumber"] == 1010
    refused(await admin.post("staff", {"username": "twice", "staffNumber": 1003}), 409, "'staffNumber'")
    leaver = next(one for one in made if one["staffNumber"] == 1008)
    done(await admin.delete(f"staff/{leaver['id']}"))
    assert (await hire(admin, "later"))["staffNumber"] == 1011
    assert (await hire(admin, "heir", staffNumber=1008))["staffNumber"] == 1008


async def test_hiring_may_be_repeated(admin: Till) -> None:
    body = {"username": "bert", "pin": "0815", "password": PASSWORD, "cardId": "CAFE01"}
    answers = await asyncio.gather(*(admin.post("staff", body, key="bert") for _ in range(4)))
    assert {answer.raw for answer in answers} == {answers[0].raw}
    done(answers[0], 201)
    for other in ({"pin": "0816"}, {"password": PASSWORD + "!"}, {"cardId": "CAFE02"}, {"city": "Ulm"}):
        refused(await admin.post("staff", {**body, **other}, key="bert"), 422, "Idempotency-Key")


async def test_every_fault_is_named_secret_or_not(admin: Till) -> None:
    anna = await hire(admin)
    for pin in ("123", "12345", "12 4", "١٢٣٤", ""):
        assert fields_named(await admin.put(f"staff/{anna['id']}", {"pin": pin, "roles": ["Koch"]})) == {"pin", "roles[0]"}
    for card in ("123", "x" * 65, "04;A2", "äääää"):
        assert fields_named(await admin.post("staff", {"username": "", "cardId": card})) == {"username", "cardId"}
    assert fields_named(await admin.put(f"staff/{anna['id']}", {"password": None})) == {"password"}


async def test_a_user_name_is_taken_once(admin: Till) -> None:
    await hire(admin)
    refused(await admin.post("staff", {"username": "ANNA", "pin": "1111"}), 409, "'username'")


# --- coming in ----------------------------------------------------------------------------------------------------------------


async def test_password_pin_and_card_open_the_same_door(inn: Inn, admin: Till) -> None:
    anna = await hire(admin, pin="4711", cardId="04:a2:ff-01", password=PASSWORD)
    ways = [
        await knock(inn, "login", username="Anna", password=PASSWORD),
        await knock(inn, "pin", username="ANNA", pin="4711"),
        await knock(inn, "pin", staffNumber=anna["staffNumber"], pin="4711"),
        await knock(inn, "pin", staffId=anna["id"], pin="4711"),
        await knock(inn, "card", cardId="04A2FF01"),
        await knock(inn, "card", cardId="04 a2 ff 01"),
    ]
    for answer in ways:
        till = somebody(inn, answer)
        assert await name_at(till) == "anna"
        await till.refresh()
        assert await name_at(till) == "anna"
    seen = done(await admin.get(f"staff/{anna['id']}"))["lastLogin"]
    assert datetime.now(UTC) - datetime.fromisoformat(seen) < timedelta(minutes=1)


async def test_one_refusal_for_everything_that_is_wrong(inn: Inn, admin: Till) -> None:
    await hire(admin, pin="4711", cardId="04A2FF01")
    await hire(admin, "nopin")
    for answer in (
        await knock(inn, "pin", username="anna", pin="4712"),
        await knock(inn, "pin", username="nobody", pin="4711"),
        await knock(inn, "pin", username="nopin", pin=""),
        await knock(inn, "pin", staffNumber=77, pin="4711"),
        await knock(inn, "pin", staffId="usr_x", pin="4711"),
        await knock(inn, "pin", username="anna", pin="4711" * 1000),
        await knock(inn, "card", cardId="04A2FF02"),
        await knock(inn, "card", cardId="!"),
        await knock(inn, "card", cardId=""),
        await knock(inn, "login", username="nopin", password=""),
    ):
        assert (answer.status, answer.message, answer.errors) == (401, "Anmeldung fehlgeschlagen", ["Benutzername oder Passwort falsch"])


async def test_nobody_comes_in_next_door(inn: Inn, shared_inn: Inn, admin: Till) -> None:
    """Another instance's employees, their ids and cards are nobody's here."""
    theirs = await shared_inn.till()
    zoe = await hire(theirs, "zoe", pin="9999", cardId="BEEF01", password=PASSWORD)
    path = f"staff/{zoe['id']}"
    for answer in (await admin.get(path), await admin.put(path, {"pin": "0000"}), await admin.delete(path)):
        refused(answer, 404, "Mitarbeiter nicht gefunden")
    for answer in (
        await knock(inn, "pin", staffId=zoe["id"], pin="9999"),
        await knock(inn, "pin", username="zoe", pin="9999"),
        await knock(inn, "card", cardId="BEEF01"),
        await admin.post("staff/switch", {"staffId": zoe["id"], "pin": "9999"}),
        await admin.post("staff/switch", {"username": "zoe", "password": PASSWORD}),
    ):
        refused(answer, 401, "Anmeldung fehlgeschlagen")
    assert zoe["id"] not in {one["id"] for path in ("staff", "staff/switch") for one in done(await admin.get(path))}
    await hire(admin, "same-card", cardId="BEEF01")
    assert await name_at(somebody(shared_inn, await knock(shared_inn, "card", cardId="BEEF01"))) == "zoe"
    assert await name_at(somebody(inn, await knock(inn, "card", cardId="BEEF01"))) == "same-card"


async def test_a_card_has_one_owner_at_a_time(inn: Inn, admin: Till) -> None:
    anna = await hire(admin, cardId="04A2FF01")
    answer = await admin.post("staff", {"username": "bert", "cardId": "04:a2:ff:01"})
    assert (answer.status, answer.message, answer.errors) == (
        409,
        "Karte ist bereits vergeben",
        ["Diese Karte gehört einem anderen Mitarbeiter"],
    )
    bert = await hire(admin, "bert")
    refused(await admin.put(f"staff/{bert['id']}", {"cardId": "04A2FF01"}), 409, "Karte ist bereits vergeben")
    done(await admin.put(f"staff/{anna['id']}", {"cardId": "04A2FF02"}))
    done(await admin.put(f"staff/{bert['id']}", {"cardId": "04A2FF01"}))
    assert await name_at(somebody(inn, await knock(inn, "card", cardId="04A2FF01"))) == "bert"
    done(await admin.delete(f"staff/{bert['id']}"))
    refused(await knock(inn, "card", cardId="04A2FF01"), 401)
    await hire(admin, "carl", cardId="04A2FF01")
    assert await name_at(somebody(inn, await knock(inn, "card", cardId="04A2FF01"))) == "carl"


def _yesterday(days: int) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).date().isoformat()


SHUT_OUT: dict[str, dict[str, Any]] = {
    "inactive": {"isActive": False},
    "denied": {"cashPointRights": ["denyLogin", "checkOut"]},
    "left": {"endDate": _yesterday(2)},
}


@pytest.mark.parametrize("why", [*SHUT_OUT, "deleted"])
async def test_who_may_not_log_in_does_not_by_any_way(inn: Inn, admin: Till, why: str) -> None:
    anna = await hire(admin, pin="4711", cardId="04A2FF01", password=PASSWORD)
    before = somebody(inn, await knock(inn, "pin", username="anna", pin="4711"))
    path = f"staff/{anna['id']}"
    done(await admin.delete(path) if why == "deleted" else await admin.put(path, SHUT_OUT[why]))
    await dead(before)
    refused(await before.post("auth/refresh", before.tokens(), token=""), 401)
    for answer in (
        await knock(inn, "login", username="anna", password=PASSWORD),
        await knock(inn, "pin", username="anna", pin="4711"),
        await knock(inn, "pin", staffId=anna["id"], pin="4711"),
        await knock(inn, "card", cardId="04A2FF01"),
        await admin.post("staff/switch", {"staffId": anna["id"], "pin": "4711"}),
        await admin.post("staff/switch", {"staffId": anna["id"], "password": PASSWORD}),
    ):
        refused(answer, 401, "Anmeldung fehlgeschlagen")
    assert "anna" not in {one["name"] for one in done(await admin.get("staff/switch"))}


async def test_the_last_day_is_a_working_day(inn: Inn, admin: Till) -> None:
    await hire(admin, pin="4711", endDate=(datetime.now(UTC) + timedelta(days=1)).date().isoformat())
    assert await name_at(somebody(inn, await knock(inn, "pin", username="anna", pin="4711"))) == "anna"


@pytest.mark.parametrize(
    ("changed", "works"), [({"pin": "0000"}, "0000"), ({"cardId": "CAFE02"}, "4711"), ({"password": PASSWORD}, "4711")]
)
async def test_a_new_secret_ends_what_the_old_one_opened(inn: Inn, admin: Till, changed: dict[str, str], works: str) -> None:
    """Whoever saw the PIN may sit at a device somewhere: a new one closes that too."""
    anna = await hire(admin, pin="4711", cardId="CAFE01")
    inside = somebody(inn, await knock(inn, "pin", username="anna", pin="4711"))
    assert await name_at(inside) == "anna"
    done(await admin.put(f"staff/{anna['id']}", changed))
    await dead(inside)
    refused(await inside.post("auth/refresh", inside.tokens(), token=""), 401)
    assert await name_at(somebody(inn, await knock(inn, "pin", username="anna", pin=works))) == "anna"
    if works != "4711":
        refused(await knock(inn, "pin", username="anna", pin="4711"), 401)


# --- guessing -----------------------------------------------------------------------------------------------------------------


def paused(answer: Answer) -> int:
    refused(answer, 429, "Zu viele Fehlversuche")
    return int(answer.headers["Retry-After"])


async def let_time_pass(log: asyncpg.Connection, inn: Inn, seconds: int) -> None:
    await log.execute(
        "update attempts set locked_until = locked_until - make_interval(secs => $2) where instance = $1", inn.instance, float(seconds)
    )


async def test_after_some_wrong_pins_there_is_a_pause_that_grows(inn: Inn, admin: Till, auth_log: asyncpg.Connection) -> None:
    anna = await hire(admin, pin="4711", password=PASSWORD)
    await hire(admin, "bert", pin="4711")
    for way in (
        {"username": "anna"},
        {"staffId": anna["id"]},
        {"username": "ANNA"},
        {"staffNumber": anna["staffNumber"]},
        {"username": "anna"},
    ):
        refused(await knock(inn, "pin", **way, pin="0000"), 401)
    assert 0 < paused(await knock(inn, "pin", username="anna", pin="4711")) <= PAUSE_S
    paused(await admin.post("staff/switch", {"staffId": anna["id"], "pin": "4711"}))
    somebody(inn, await knock(inn, "pin", username="bert", pin="4711"))
    somebody(inn, await knock(inn, "login", username="anna", password=PASSWORD))
    await let_time_pass(auth_log, inn, PAUSE_S)
    refused(await knock(inn, "pin", username="anna", pin="0000"), 401)
    assert PAUSE_S < paused(await knock(inn, "pin", username="anna", pin="4711")) <= 2 * PAUSE_S
    await let_time_pass(auth_log, inn, 2 * PAUSE_S)
    somebody(inn, await knock(inn, "pin", username="anna", pin="4711"))
    for _ in range(TRIES):
        refused(await knock(inn, "pin", username="anna", pin="0000"), 401)
    assert 0 < paused(await knock(inn, "pin", username="anna", pin="4711")) <= PAUSE_S


async def test_a_hundred_guesses_at_once_are_no_more_than_five(inn: Inn, admin: Till) -> None:
    await hire(admin, pin="0099")
    answers = await asyncio.gather(*(knock(inn, "pin", username="anna", pin=f"{guess:04d}") for guess in range(50)))
    assert sorted(answer.status for answer in answers) == [401] * TRIES + [429] * (50 - TRIES)


async def test_a_pause_does_not_tell_who_works_here(inn: Inn, admin: Till) -> None:
    for _ in range(TRIES):
        refused(await knock(inn, "pin", username="nobody", pin="0000"), 401)
    paused(await knock(inn, "pin", username="nobody", pin="0000"))


async def test_cards_cannot_be_tried_out(inn: Inn, admin: Till) -> None:
    await hire(admin, cardId="04A2FF01")
    for number in range(CARD_TRIES):
        refused(await knock(inn, "card", cardId=f"CAFE{number:02d}"), 401)
    assert 0 < paused(await knock(inn, "card", cardId="04A2FF01")) <= PAUSE_S


async def test_cards_that_are_known_are_never_paused(inn: Inn, admin: Till) -> None:
    await hire(admin, cardId="04A2FF01")
    for _ in range(CARD_TRIES + 2):
        somebody(inn, await knock(inn, "card", cardId="04A2FF01"))


# --- staff switch -------------------------------------------------------------------------------------------------------------


async def test_a_device_is_handed_from_one_to_the_next(inn: Inn, admin: Till) -> None:
    anna = await hire(admin, pin="4711", shortName="AK")
    bert = await hire(admin, "bert", password=PASSWORD, roles=["Kitchen"], firstName="Bert", lastName="Koch")
    device = somebody(inn, await knock(inn, "pin", username="anna", pin="4711"))
    shown = done(await device.get("staff/switch"))
    assert {"id": anna["id"], "staffNumber": anna["staffNumber"], "name": "AK", "hasPin": True} in shown
    assert {"id": bert["id"], "staffNumber": bert["staffNumber"], "name": "Bert Koch", "hasPin": False} in shown
    refused(await device.post("staff/switch", {"staffId": bert["id"], "pin": "4711"}), 401)
    assert await name_at(device) == "anna"
    other = somebody(inn, await device.post("staff/switch", {"username": "bert", "password": PASSWORD}))
    assert await name_at(other) == "bert"
    refused(await other.get("receipts"), 403)
    await other.refresh()
    back = somebody(inn, await other.post("staff/switch", {"staffNumber": anna["staffNumber"], "pin": "4711"}))
    sale = await back.sell(item(inn.menu["Cola"]))
    assert sale["staffId"] == anna["id"]
    done(await other.post("auth/logout"))
    assert await name_at(back) == "anna"


async def test_a_switch_whose_answer_was_lost_is_sent_again(inn: Inn, admin: Till) -> None:
    anna = await hire(admin, pin="4711")
    body = {"staffId": anna["id"], "pin": "4711"}
    answers = [await admin.post("staff/switch", body, key="switch") for _ in range(3)]
    assert len({answer.raw for answer in answers}) == 1
    assert await name_at(somebody(inn, answers[0])) == "anna"


async def test_a_switch_is_made_at_a_device_that_is_logged_in(inn: Inn, admin: Till) -> None:
    anna = await hire(admin, pin="4711")
    refused(await inn.stranger().post("staff/switch", {"staffId": anna["id"], "pin": "4711"}), 401, "Anmeldung erforderlich")


# --- rights -------------------------------------------------------------------------------------------------------------------


async def test_a_right_is_given_beside_the_roles_and_taken_again(inn: Inn, admin: Till) -> None:
    anna = await hire(admin, pin="4711")
    till = somebody(inn, await knock(inn, "pin", username="anna", pin="4711"))
    sale = await till.sell(item(inn.menu["Cola"]))
    refused(await till.post(f"receipts/{sale['id']}/void"), 403)
    done(await admin.put(f"staff/{anna['id']}", {"cashPointRights": ["voidAll"]}))
    await dead(till)
    await till.refresh()
    me = done(await till.get("auth/me"))
    assert me["cashPointRights"] == ["takeOrders", "checkOut", "transferTable", "voidOwn", "voidAll"]
    await till.void(sale["id"])
    done(await admin.put(f"staff/{anna['id']}", {"cashPointRights": [], "roles": ["Kitchen", "Waiter"]}))
    await dead(till)
    await till.refresh()
    again = await till.sell(item(inn.menu["Cola"]))
    refused(await till.post(f"receipts/{again['id']}/void"), 403, "Es fehlt das Recht")


async def test_a_manager_sees_the_staff_and_changes_nobody(inn: Inn) -> None:
    manager = await inn.till("Manager")
    [first, *_] = done(await manager.get("staff"))
    refused(await manager.put(f"staff/{first['id']}", {"roles": []}), 403, "Es fehlt das Recht 'auth.staff'")
    refused(await manager.post("staff", {"username": "x", "roles": ["Admin"], "pin": "1234"}), 403)
    refused(await manager.delete(f"staff/{first['id']}"), 403)


# --- the last administrator ---------------------------------------------------------------------------------------------------


LOCKS_OUT: list[dict[str, Any]] = [
    {"roles": ["Manager"]},
    {"roles": []},
    {"isActive": False},
    {"cashPointRights": ["denyLogin"]},
    {"endDate": "2999-12-31"},
]


async def test_the_last_administrator_stays(inn: Inn, admin: Till) -> None:
    [wirt] = done(await admin.get("staff"))
    path = f"staff/{wirt['id']}"
    for change in LOCKS_OUT:
        refused(await admin.put(path, change), 409, "Der letzte Administrator muss bleiben")
    refused(await admin.delete(path), 409, "Der letzte Administrator muss bleiben")
    for change in LOCKS_OUT:
        await hire(admin, f"no-help-{uuid4().hex[:6]}", **{"roles": ["Admin"], **change})
    refused(await admin.delete(path), 409)
    await hire(admin, "second", roles=["Admin", "Waiter"], pin="4711")
    done(await admin.delete(path))
    await dead(admin)
    second = somebody(inn, await knock(inn, "pin", username="second", pin="4711"))
    me = done(await second.get("auth/me"))["id"]
    refused(await second.put(f"staff/{me}", {"roles": ["Waiter"]}), 409)
    done(await second.put(f"staff/{me}", {"roles": ["Admin"]}))


async def test_two_administrators_cannot_throw_each_other_out(inn: Inn, admin: Till) -> None:
    [wirt] = done(await admin.get("staff"))
    for round_ in range(4):
        other = await hire(admin, f"other-{round_}", roles=["Admin"])
        principal, services = inn.provisioning.principal, inn.theke.services
        bodies = [{"key": one["id"], "values": {"roles": ["Waiter"]}} for one in (wirt, other)]
        commands = (services.command("auth", "user.change", body, StaffView, principal=principal, id=uuid4()) for body in bodies)
        outcomes = await asyncio.gather(*commands, return_exceptions=True)
        refusals = [one.reason for one in outcomes if isinstance(one, DomainError)]
        assert refusals == ["last_admin"], outcomes
        await services.command(
            "auth", "user.change", {"key": wirt["id"], "values": {"roles": ["Admin"]}}, RecordView, principal=principal, id=uuid4()
        )
        await services.command(
            "auth", "user.change", {"key": other["id"], "values": {"roles": ["Waiter"]}}, RecordView, principal=principal, id=uuid4()
        )
        admin.token = (await inn.till(user="admin")).token


# --- secrets ------------------------------------------------------------------------------------------------------------------


async def test_no_secret_gets_into_an_event_a_log_line_or_an_answer(
    inn: Inn, admin: Till, auth_log: asyncpg.Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    secrets = {"pin": "8362", "cardId": "04C0FFEE77", "password": "Zwetschgenkuchen"}
    anna = await hire(admin, **secrets)
    other = {"pin": "9473", "cardId": "04DECAF088", "password": "Apfelstrudel mit"}
    answers = [
        await knock(inn, "pin", username="anna", pin=secrets["pin"]),
        await knock(inn, "card", cardId=secrets["cardId"]),
        await knock(inn, "pin", username="anna", pin=other["pin"]),
        await admin.post("staff/switch", {"staffId": anna["id"], "password": secrets["password"]}),
        await admin.post("staff", {"username": "bert", "cardId": secrets["cardId"]}),
        await admin.post("staff", {"username": "anna", **other}),
        await admin.put(f"staff/{anna['id']}", other),
        await admin.get(f"staff/{anna['id']}"),
        await admin.get("staff"),
    ]
    rows = await auth_log.fetch("select * from events where instance = $1", inn.instance)
    types = {row["type"] for row in rows}
    assert {"user.created", "credential.set", "credential.added", "session.opened"} <= types
    hashes = [row["value"].decode() for row in await auth_log.fetch("select value from secrets where instance = $1", inn.instance)]
    assert len(hashes) >= 6
    said = [answer.raw.decode() for answer in answers]
    for field in ("stream", "type"):
        said += [row[field] for row in rows]
    said += [bytes(row[field]).decode() for row in rows for field in ("data", "meta")]
    logged = "".join(capfd.readouterr())
    for secret in (*secrets.values(), *other.values(), *hashes):
        word = f'"{secret}"' if len(secret) == 4 else secret  # four digits occur in any number
        assert [text for text in said if word in text or word.lower() in text] == []
        assert word not in logged
