"""Webhooks from end to end: what tills do arrives, signed, in order and complete; who may set them up; what is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.cli import exits, main, webhooks
from libs.contracts.auth.webhooks import ENDPOINTS_MAX, SECRET_MAX_BYTES, SECRET_MIN_BYTES, TYPES_MAX, URL_MAX_CHARS
from libs.runtime.log_reading import LogRequest
from libs.runtime.published import published_events, published_types
from services.auth.webhooks import courier
from services.auth.webhooks.signatures import is_secret
from tests.house import Inn, Till, done, fields_named, item, refused
from tests.receiver import WITHIN_S, Receiver, receiving

NOWHERE = "https://hooks.example/theke"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as one:
        yield one


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures are repeated at once; how pauses grow is shown with a clock of its own elsewhere."""
    monkeypatch.setattr(courier, "PAUSES_S", (0,))


@pytest.fixture
async def admin(inn: Inn) -> Till:
    return await inn.till()


async def published(inn: Inn, service: str, *types: str) -> list[str]:
    found: list[str] = []
    async for piece in inn.theke.services.log(service, LogRequest(inn.instance, 0, 100_000, types=types, published=True)):
        found += [str(event.id) for event in piece]
    return found


async def created(till: Till, url: str, **more: Any) -> Any:
    return done(await till.post("webhooks", {"url": url, **more}), 201)


async def until(till: Till, hook: Any, **values: Any) -> Any:
    """The webhook once it shows these values."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            found = done(await till.get(f"webhooks/{hook['id']}"))
            if all(found[name] == value for name, value in values.items()):
                return found
            await asyncio.sleep(0.05)


async def test_what_a_till_does_arrives_signed_and_in_order(inn: Inn, admin: Till, receiver: Receiver) -> None:
    hook = await created(admin, receiver.url, services=["pos"], types=["receipt.issued"])
    receipts = [await admin.sell(item(inn.menu["Cola"])) for _ in range(3)]
    events = await receiver.count(3)
    assert [event["data"]["receipt"] for event in events] == [receipt["id"] for receipt in receipts]
    assert [event["id"] for event in events] == await published(inn, "pos", "receipt.issued")
    for one in receiver.taken:
        assert one.is_signed_with(hook["secret"])
        assert not one.is_signed_with("whsec_" + "A" * 32)
        assert one.headers["webhook-id"] == one.event["id"]
        assert one.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
        assert one.headers["theke-webhook"] == hook["id"]
    sent = await until(admin, hook, failures=0, positions={"pos": events[-1]["position"]})
    assert (sent["isActive"], sent["ended"], sent["failingSince"]) == (True, "", None)
    assert "secret" not in sent
    last = done(await admin.get(f"webhooks/{hook['id']}/deliveries", params={"limit": "2"}))
    assert [one["eventId"] for one in last] == [event["id"] for event in reversed(events[1:])]
    assert {(one["status"], one["outcome"], one["attempt"]) for one in last} == {(200, "taken", 1)}


async def test_everything_of_all_services_from_the_beginning(inn: Inn, admin: Till, receiver: Receiver) -> None:
    await admin.sell(item(inn.menu["Pils"]))
    before = {service: await published(inn, service) for service in published_events()}
    await created(admin, receiver.url, after=dict.fromkeys(before, 0))
    await receiver.until(lambda: len(set(receiver.ids)) >= sum(map(len, before.values())))
    for service, ids in before.items():
        assert [id_ for id_ in receiver.ids if id_ in set(ids)] == ids, f"all of {service}, once, in the order of its log"
    assert all(event["type"] in published_types(event["source"].split("/")[1]) for event in receiver.accepted)


async def test_an_event_that_is_not_taken_is_sent_again_and_none_overtakes_it(inn: Inn, admin: Till, receiver: Receiver) -> None:
    refusals = {1: 500, 2: 302, 3: 404, 4: 200, 5: 503}  # by how many came before; then all is well
    receiver.answer = lambda _: refusals.get(len(receiver.taken) + 1, 200)
    hook = await created(admin, receiver.url, services=["pos"], types=["receipt.issued"])
    receipts = [(await admin.sell(item(inn.menu["Cola"])))["id"] for _ in range(2)]
    await receiver.count(2)
    first, second = receipts
    assert [one.event["data"]["receipt"] for one in receiver.taken] == [first] * 4 + [second] * 2
    assert [one.status for one in receiver.taken] == [500, 302, 404, 200, 503, 200]
    await until(admin, hook, failures=0)
    last = done(await admin.get(f"webhooks/{hook['id']}/deliveries"))
    assert [(one["attempt"], one["outcome"]) for one in reversed(last)] == [
        (1, "refused"), (2, "refused"), (3, "refused"), (4, "taken"), (1, "refused"), (2, "taken"),
    ]  # fmt: skip


async def test_replaying_sends_once_more_and_skipping_passes_over(inn: Inn, admin: Till, receiver: Receiver) -> None:
    hook = await created(admin, receiver.url, services=["pos"], types=["receipt.issued"])
    for _ in range(3):
        await admin.sell(item(inn.menu["Cola"]))
    first, second, third = await receiver.count(3)
    body = {"service": "pos", "after": first["position"]}
    done(await admin.post(f"webhooks/{hook['id']}/replay", body, key="again"))
    assert (await receiver.count(5))[3:] == [second, third]
    done(await admin.post(f"webhooks/{hook['id']}/replay", body, key="again"))  # the same request, repeated
    await admin.sell(item(inn.menu["Pils"]))
    fourth = (await receiver.count(6))[5]
    assert fourth["position"] > third["position"]
    head = (await inn.theke.services.heads("pos"))[inn.instance]
    refused(await admin.post(f"webhooks/{hook['id']}/replay", {"service": "pos", "after": head + 1}), 410)
    refused(await admin.post(f"webhooks/{hook['id']}/replay", {"service": "crm", "after": 0}), 409)
    assert fields_named(await admin.post(f"webhooks/{hook['id']}/replay", {"service": "kitchen", "after": 0})) == {"service"}
    assert fields_named(await admin.post(f"webhooks/{hook['id']}/replay", {"service": "pos", "after": -1})) == {"after"}


async def test_who_answers_410_is_left_alone_until_it_is_wanted_again(inn: Inn, admin: Till, receiver: Receiver) -> None:
    receiver.answer = lambda _: 410
    hook = await created(admin, receiver.url, services=["pos"], types=["receipt.issued"])
    receipt = await admin.sell(item(inn.menu["Cola"]))
    ended = await until(admin, hook, isActive=False)
    assert ended["ended"] == "gone"
    assert [one.status for one in receiver.taken] == [410]
    receiver.answer = lambda _: 200
    assert done(await admin.put(f"webhooks/{hook['id']}", {"isActive": True}))["ended"] == ""
    assert [event["data"]["receipt"] for event in await receiver.count(1)] == [receipt["id"]]


async def test_what_fails_for_too_long_ends(inn: Inn, admin: Till, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "GIVEN_UP_AFTER_S", 0)
    receiver.answer = lambda _: 500
    hook = await created(admin, receiver.url, services=["pos"], types=["receipt.issued"])
    receipt = await admin.sell(item(inn.menu["Cola"]))
    ended = await until(admin, hook, isActive=False)
    assert (ended["ended"], ended["failures"], ended["nextAttempt"]) == ("failing", 1, None)
    assert ended["failingSince"]
    receiver.answer = lambda _: 200
    done(await admin.put(f"webhooks/{hook['id']}", {"isActive": True}))
    assert [event["data"]["receipt"] for event in await receiver.count(1)] == [receipt["id"]]


async def test_the_command_line_does_the_same(inn: Inn, admin: Till, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    async def theke(action: str, *words: str) -> Any:
        arguments = main.parser().parse_args(["webhooks", action, inn.name, *words, "--json"])
        capsys.readouterr()
        assert await webhooks._act(arguments, inn.theke.services) == exits.DONE
        return json.loads(capsys.readouterr().out)

    made = await theke("create", receiver.url, "--service", "pos", "--type", "receipt.issued", "--after", "pos=0", "--description", "Buch")
    key = made["webhook"]["key"]
    await admin.sell(item(inn.menu["Cola"]))
    (event,) = await receiver.count(1)
    assert receiver.taken[0].is_signed_with(made["secret"])
    await until(admin, {"id": key}, positions={"pos": event["position"]})
    assert [(one["key"], one["description"], one["positions"]) for one in await theke("list")] == [
        (key, "Buch", {"pos": event["position"]})
    ]
    assert [one["outcome"] for one in await theke("deliveries", key, "-n", "5")] == ["taken"]
    assert (await theke("pause", key))["active"] is False
    await theke("replay", key, "pos", "0")
    assert (await theke("resume", key))["active"] is True
    assert await receiver.count(2) == [event, event]
    assert await theke("delete", key) == {"key": key}
    assert await theke("list") == []


async def test_people_read_what_the_command_line_says(inn: Inn, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    receiver.answer = lambda _: 410
    words = ["webhooks", "create", inn.name, receiver.url, "--service", "pos", "--type", "table.created", "--after", "pos=0"]
    await webhooks._act(main.parser().parse_args(words), inn.theke.services)
    key, rest = capsys.readouterr().out.split(maxsplit=1)
    assert "secret     whsec_" in rest
    async with asyncio.timeout(WITHIN_S):
        while True:
            await webhooks._act(main.parser().parse_args(["webhooks", "list", inn.name]), inn.theke.services)
            said = capsys.readouterr().out
            if "ended (gone)" in said:
                break
            await asyncio.sleep(0.05)
    assert said.startswith(f"{key}  {receiver.url}  ended (gone)\n  sent       pos 0\n  types      table.created\n  fails      since ")
    await webhooks._act(main.parser().parse_args(["webhooks", "deliveries", inn.name, key]), inn.theke.services)
    assert "table.created                 410 gone  attempt 1" in capsys.readouterr().out


async def test_a_change_counts_from_the_next_event_on(inn: Inn, admin: Till, receiver: Receiver) -> None:
    receiver.answer = lambda _: 500
    hook = await created(admin, receiver.url.replace("/hook", "/old"), services=["pos"], types=["receipt.issued"])
    receipt = await admin.sell(item(inn.menu["Cola"]))
    await receiver.until(lambda: bool(receiver.taken))
    async with receiving() as other:
        changed = done(await admin.put(f"webhooks/{hook['id']}", {"url": other.url, "description": "Buchhaltung"}))
        assert (changed["url"], changed["description"]) == (other.url, "Buchhaltung")
        assert [event["data"]["receipt"] for event in await other.count(1)] == [receipt["id"]]
        assert other.taken[0].is_signed_with(hook["secret"])
        before = len(receiver.taken)
        done(await admin.put(f"webhooks/{hook['id']}", {"services": ["auth"], "types": []}))
        await admin.sell(item(inn.menu["Cola"]))
        await inn.provisioning.user("lena", "two bottles of wine", ("Waiter",))
        await other.until(lambda: "user.created" in {event["type"] for event in other.accepted})
        assert "receipt.issued" not in {event["type"] for event in other.accepted[1:]}, "what came before the service was wanted is old"
        assert len(receiver.taken) == before


async def test_a_new_secret_and_the_one_before_sign_together(inn: Inn, admin: Till, receiver: Receiver) -> None:
    hook = await created(admin, receiver.url, services=["pos"], types=["receipt.issued"])
    changed = done(await admin.post(f"webhooks/{hook['id']}/secret", key="once"))
    assert changed["secret"] != hook["secret"]
    assert done(await admin.post(f"webhooks/{hook['id']}/secret", key="once"))["secret"] == changed["secret"]
    await admin.sell(item(inn.menu["Cola"]))
    await receiver.count(1)
    assert receiver.taken[0].is_signed_with(changed["secret"])
    assert receiver.taken[0].is_signed_with(hook["secret"])


async def test_nothing_is_sent_any_more_after_a_delete(inn: Inn, admin: Till, receiver: Receiver) -> None:
    hook = await created(admin, receiver.url, services=["pos"], types=["receipt.issued"])
    await admin.sell(item(inn.menu["Cola"]))
    await receiver.count(1)
    assert done(await admin.delete(f"webhooks/{hook['id']}")) == {"id": hook["id"]}
    assert done(await admin.get("webhooks")) == []
    for path in (f"webhooks/{hook['id']}", f"webhooks/{hook['id']}/deliveries"):
        refused(await admin.get(path), 404)
    refused(await admin.delete(f"webhooks/{hook['id']}"), 404)
    refused(await admin.post(f"webhooks/{hook['id']}/secret"), 404)
    other = await created(admin, receiver.url, services=["pos"], types=["receipt.issued"])
    receipt = await admin.sell(item(inn.menu["Cola"]))
    await receiver.until(lambda: receiver.accepted[-1]["data"]["receipt"] == receipt["id"])
    assert [one.headers["theke-webhook"] for one in receiver.taken] == [hook["id"], other["id"]]


async def test_an_edit_can_be_guarded_by_the_tag(inn: Inn, admin: Till, receiver: Receiver) -> None:
    hook = await created(admin, receiver.url, services=["pos"], types=["receipt.issued"])
    path = f"webhooks/{hook['id']}"
    read = await admin.get(path)
    await admin.sell(item(inn.menu["Cola"]))
    await receiver.count(1)
    moved = await until(admin, hook, failures=0, positions={"pos": receiver.accepted[0]["position"]})
    assert moved["positions"] != read.data["positions"]
    guarded = {"If-Match": read.headers["ETag"]}
    changed = await admin.put(path, {"description": "Buch"}, headers=guarded)
    assert done(changed)["description"] == "Buch", "that it was sent is no change of it"
    refused(await admin.put(path, {"description": "Lager"}, headers=guarded), 412)
    refused(await admin.delete(path, headers=guarded), 412)
    done(await admin.delete(path, headers={"If-Match": changed.headers["ETag"]}))


async def test_the_secret_is_in_no_event(inn: Inn, admin: Till) -> None:
    secrets = [(await created(admin, NOWHERE, services=["crm"]))["secret"]]
    own = "whsec_" + "QUJD" * 9
    secrets.append((await created(admin, NOWHERE, services=["crm"], secret=own))["secret"])
    secrets.append(done(await admin.post(f"webhooks/{done(await admin.get('webhooks'))[0]['id']}/secret"))["secret"])
    whole = b""
    async for piece in inn.theke.services.log("auth", LogRequest(inn.instance, 0, 100_000)):
        whole += b"".join(bytes(event.data) for event in piece)
    assert b"webhook secret " in whole, "its name is"
    assert not [secret for secret in secrets if secret.removeprefix("whsec_").encode() in whole]


async def test_the_same_request_makes_one_webhook_with_one_secret(admin: Till) -> None:
    body = {"url": NOWHERE, "services": ["pos"]}
    first = done(await admin.post("webhooks", body, key="once"), 201)
    assert done(await admin.post("webhooks", body, key="once"), 201) == first
    assert len(done(await admin.get("webhooks"))) == 1
    refused(await admin.post("webhooks", {**body, "url": f"{NOWHERE}/2"}, key="once"), 422)
    own = "whsec_" + "QUJD" * 8
    assert (await created(admin, NOWHERE, secret=own))["secret"] == own
    assert is_secret(first["secret"])


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"url": ""}, {"url"}),
        ({"url": "hooks.example"}, {"url"}),
        ({"url": "ftp://hooks.example"}, {"url"}),
        ({"url": "https://user:word@hooks.example"}, {"url"}),
        ({"url": "https://hooks.example/#part"}, {"url"}),
        ({"url": "https://hooks.example/a b"}, {"url"}),
        ({"url": "https://hooks.example:x/"}, {"url"}),
        ({"url": "https://[::1/"}, {"url"}),
        ({"url": "https://" + "h" * URL_MAX_CHARS}, {"url"}),
        ({"services": ["kitchen"]}, {"services[0]"}),
        ({"services": ["pos", "pos"]}, {"services"}),
        ({"services": ["pos"] * 9}, {"services"}),
        ({"types": ["receipt.issued", "receipt.eaten"]}, {"types[1]"}),
        ({"types": ["monitor.noted"]}, {"types[0]"}),
        ({"types": sorted(published_types("crm"))[: TYPES_MAX + 1]}, {"types"}),
        ({"description": "a\x07b"}, {"description"}),
        ({"description": "x" * 201}, {"description"}),
        ({"secret": "secret"}, {"secret"}),
        ({"secret": "whsec_!!!!"}, {"secret"}),
        ({"secret": "whsec_" + "A" * (SECRET_MIN_BYTES - 4)}, {"secret"}),
        ({"secret": "whsec_" + "A" * (SECRET_MAX_BYTES * 2)}, {"secret"}),
        ({"services": ["pos"], "after": {"crm": 0}}, {"after"}),
        ({"after": {"pos": -1}}, {"after"}),
    ],
)
async def test_what_no_webhook_can_have(shared_inn: Inn, till: Till, body: dict[str, Any], fields: set[str]) -> None:
    answer = await till.post("webhooks", {"url": NOWHERE, **body})
    assert fields_named(answer) == fields
    assert done(await till.get("webhooks")) == []


async def test_a_beginning_behind_the_end_of_the_log(till: Till) -> None:
    refused(await till.post("webhooks", {"url": NOWHERE, "services": ["pos"], "after": {"pos": 10**6}}), 410)


async def test_there_are_only_so_many(inn: Inn, admin: Till) -> None:
    for _ in range(ENDPOINTS_MAX):
        await created(admin, NOWHERE, services=["crm"])
    refused(await admin.post("webhooks", {"url": NOWHERE}), 409)


async def test_webhooks_are_their_instances_own(inn: Inn, admin: Till, shared_inn: Inn, till: Till, receiver: Receiver) -> None:
    hook = await created(admin, receiver.url, services=["pos"], types=["receipt.issued"])
    assert hook["id"] not in {one["id"] for one in done(await till.get("webhooks"))}
    for method, path, body in (
        ("GET", "", None),
        ("PUT", "", {"isActive": False}),
        ("DELETE", "", None),
        ("GET", "/deliveries", None),
        ("POST", "/secret", None),
        ("POST", "/replay", {"service": "pos", "after": 0}),
    ):
        refused(await till.ask(method, f"webhooks/{hook['id']}{path}", body), 404)
    await till.sell(item(shared_inn.menu["Cola"]))
    receipt = await admin.sell(item(inn.menu["Cola"]))
    assert [event["data"]["receipt"] for event in await receiver.count(1)] == [receipt["id"]]


async def test_only_an_administrator_sets_webhooks_up(shared_inn: Inn) -> None:
    for role in ("Manager", "Cashier", "Kitchen"):
        other = await shared_inn.till(role, user=f"hooks-{role}")
        refused(await other.get("webhooks"), 403)
        refused(await other.post("webhooks", {"url": NOWHERE}), 403)
