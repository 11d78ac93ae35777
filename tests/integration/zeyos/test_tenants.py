"""Instances are strangers: with the token, the IDs, the tags, the values or the names of another one, nothing of it is seen or changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from libs.contracts.inventory.items import CHOSEN_ID_MIN
from libs.domain.records import FieldType
from tests.house import Theke
from tests.integration.dikas.erp import Reply
from tests.integration.zeyos.document import RESOURCES, WRITTEN, fields_of, named, record_of
from tests.integration.zeyos.people import People, Person
from tests.integration.zeyos.rows import Rows

SECRET: Final = "Geheimrezept"
METHODS: Final = {"list": "POST", "create": "PUT", "get": "GET", "exists": "HEAD", "update": "PATCH", "delete": "DELETE"}
THERE: Final = tuple(RESOURCES)
FIRST_ID: Final = CHOSEN_ID_MIN + 4_000_000  # far from what the other one counts itself


class Two:
    """Ours and theirs: they have a row of everything, under IDs that we have none of."""

    def __init__(self, our_people: People, their_people: People) -> None:
        self.our_people, self.their_people = our_people, their_people
        self.ours = self.theirs = Person(our_people.inn)
        self.our_rows: Rows
        self.their_rows: Rows
        self.rows: dict[str, dict[str, Any]] = {}  # of theirs
        self.tags: dict[str, str] = {}

    async def open(self) -> None:
        self.ours, self.theirs = await asyncio.gather(self.our_people.admin(), self.their_people.admin())
        self.our_rows, self.their_rows = Rows(self.our_people.inn, self.ours), Rows(self.their_people.inn, self.theirs)
        for number in range(4):  # we have fewer users than they
            await self.their_people.hire(first_name=f"{SECRET} {number}")
        for ix, resource in enumerate(THERE):
            chosen = {"ID": FIRST_ID + ix} if resource in WRITTEN else {}
            self.rows[resource] = await self.their_rows.make(resource, **chosen, **_secret(resource))
            if resource != "links":
                self.tags[resource] = (await self.theirs.ask("HEAD", f"api/v1/{resource}/{self.id(resource)}")).tag

    async def both(self, resource: str, row: int, whole: dict[str, Any], values: dict[str, Any]) -> tuple[Reply, Reply]:
        """We make a row of ours with these values, and change one to them."""
        made = await self.ours.ask("PUT", f"api/v1/{resource}", {**whole, **values})
        return made, await self.ours.ask("PATCH", f"api/v1/{resource}/{row}", values)

    def id(self, resource: str) -> int:
        return int(self.rows[resource]["ID"])


def _secret(resource: str) -> dict[str, str]:
    record = record_of(resource)
    if record is None or resource not in WRITTEN:
        return {}
    free = [field.name for field in record.fields if field.type is FieldType.TEXT and not (field.pattern or field.choices or field.secret)]
    return {name: SECRET for name in free if name in ("name", "lastname", "description", "text", "reference", "subject")}


@pytest.fixture(scope="module")
async def two(theke: Theke) -> AsyncIterator[Two]:
    inns = [await theke.inn(), await theke.inn()]
    found = Two(People(inns[0]), People(inns[1]))
    await found.open()
    yield found
    await found.our_people.close()
    await found.their_people.close()
    for inn in inns:
        await inn.close()


def is_unauthenticated(reply: Reply, kind: str) -> bool:
    return reply.status == 401 and "WWW-Authenticate" in reply.headers and (kind == "exists") is (not reply.raw)


@pytest.mark.parametrize("resource", THERE)
async def test_no_operation_takes_the_token_of_another_instance(two: Two, resource: str) -> None:
    id_ = two.id(resource)
    for operation in RESOURCES[resource]["operations"]:
        kind = operation["kind"]
        path = f"api/v1/{resource}" if kind in ("list", "create") else f"api/v1/{resource}/{id_}"
        ways: list[dict[str, str]] = [{}, {"Cookie": f"ZEYOSID={two.ours.token}"}]
        for headers in ways if kind == "list" else ways[:1]:
            token = "" if headers else two.ours.token
            reply = await two.ours.ask(METHODS[kind], path, {}, instance=two.theirs.instance, token=token, headers=headers)
            assert is_unauthenticated(reply, kind), (kind, reply)
            assert two.theirs.instance in reply.headers["WWW-Authenticate"]
            assert two.ours.instance not in reply.headers["WWW-Authenticate"]


@pytest.mark.parametrize("resource", THERE)
async def test_ids_of_another_instance_name_nothing(two: Two, resource: str) -> None:
    id_, tag = two.id(resource), two.tags.get(resource, "")
    ours = {row["ID"] for row in (await two.ours.ask("POST", f"api/v1/{resource}", {"fields": ["ID"]})).json}
    assert id_ not in ours, "otherwise this shows nothing"
    kinds, one = {operation["kind"] for operation in RESOURCES[resource]["operations"]}, f"api/v1/{resource}/{id_}"
    for kind, headers in (
        ("get", {}),
        ("get", {"If-None-Match": tag}),
        ("exists", {}),
        ("exists", {"If-None-Match": "*"}),
        ("update", {}),
        ("update", {"If-Match": tag}),
        ("delete", {}),
        ("delete", {"If-Match": tag}),
    ):
        if kind in kinds:
            reply = await two.ours.ask(METHODS[kind], one, {} if kind == "update" else None, headers=headers)
            assert reply.status == 404, (kind, headers, reply)
            assert "ETag" not in reply.headers
    for filters in (["OR", {"ID": id_}, {"ID": {"IN": [id_]}}], {"1": ["NOT", {"ID": {"IN": sorted(ours)}}]}):
        assert (await two.ours.ask("POST", f"api/v1/{resource}", {"filters": filters, "count": 1})).json == {"count": 0}, filters
    text = (await two.ours.ask("POST", f"api/v1/{resource}", {"limit": 10_000})).raw
    assert SECRET.encode() not in text
    if resource != "links":
        assert (await two.theirs.ask("HEAD", one)).tag == two.tags[resource], "it is as it was"


@pytest.mark.parametrize("resource", WRITTEN)
async def test_nothing_refers_to_rows_of_another_instance(two: Two, resource: str) -> None:
    """Every reference that a row may have, made and changed."""
    record = record_of(resource)
    above = record.parents if record is not None else ()
    row, whole = (await two.our_rows.make(resource))["ID"], await two.our_rows.wanted(resource)
    ordinary: dict[str, Any] = {}
    for name, fact in fields_of(resource).items():
        if fact["type"] != "integer" or not ("ref" in fact or "ref_by" in fact):
            continue
        if name not in above:
            ordinary |= {name: two.id(fact.get("ref", "accounts")), **({fact["ref_by"]: "accounts"} if "ref_by" in fact else {})}
            continue
        others = {other: None for other in above if other != name and record is not None and record.any_parent}
        for reply in await two.both(resource, row, whole, {**others, name: two.id(fact["ref"])}):
            assert reply.status == 410, (name, reply)
    if ordinary:
        for reply in await two.both(resource, row, whole, ordinary):
            assert reply.status == 400, reply
            assert named(reply.text) == {name for name in ordinary if "entity" not in name}, "every one is to nothing"
            assert SECRET not in reply.text


async def test_a_row_with_the_same_id_has_another_tag(two: Two) -> None:
    id_ = two.id("projects")
    made = await two.ours.ask("PUT", "api/v1/projects", {"ID": id_, "name": "Ours"})
    assert made.status == 201
    assert made.tag != two.tags["projects"]
    one = f"api/v1/projects/{id_}"
    assert (await two.ours.ask("GET", one, headers={"If-None-Match": two.tags["projects"]})).json["name"] == "Ours"
    for method in ("PATCH", "DELETE"):
        refused = await two.ours.ask(method, one, {} if method == "PATCH" else None, headers={"If-Match": two.tags["projects"]})
        assert refused.status == 412
    ticket = (await two.ours.ask("PUT", "api/v1/tickets", {"name": "ours", "project": id_})).json["ID"]
    asked = {"fields": {"p": "project.name"}, "filters": {"project.ID": id_}}
    assert (await two.ours.ask("POST", "api/v1/tickets", asked)).json == [{"p": "Ours"}], "a join stays at home"
    assert (await two.ours.ask("POST", "api/v1/tickets", {"filters": {"project.name": SECRET}})).json == []
    kept = await two.their_rows.make("tickets", project=id_)
    assert (await two.ours.ask("DELETE", one)).status == 204
    assert (await two.ours.ask("GET", f"api/v1/tickets/{ticket}")).json["project"] is None
    assert (await two.theirs.ask("GET", one)).json["name"] == SECRET, "their row of that ID is still there"
    assert (await two.theirs.ask("GET", f"api/v1/tickets/{kept['ID']}")).json["project"] == id_


async def test_what_is_unique_is_so_in_one_instance(two: Two) -> None:
    for resource, values in (
        ("channels", {"name": "General"}),
        ("transactions", {"transactionnum": "R-1", "type": 3}),
        ("couponcodes", {"code": "X-1"}),
        ("coupons", {"code": "Y-1"}),
    ):
        for rows in (two.their_rows, two.our_rows):
            assert (await rows.make(resource, **values))["ID"]
    for people in (two.our_people, two.their_people):
        assert await people.group() > 0


@pytest.mark.parametrize("query", [{"query": SECRET}, {"filters": {"name": {"~~*": f"%{SECRET}%"}}}, {"filters": {"name": {"~": SECRET}}}])
async def test_searches_find_nothing_of_another_instance(two: Two, query: dict[str, Any]) -> None:
    for resource in ("projects", "tickets", "campaigns", "notes", "storages", "ledgers"):
        assert (await two.theirs.ask("POST", f"api/v1/{resource}", {**query, "count": 1})).json["count"] > 0
        assert (await two.ours.ask("POST", f"api/v1/{resource}", {**query, "count": 1})).json == {"count": 0}


@pytest.mark.parametrize("instance", ["nosuch", "1", "x" * 64, "%27", "..", "demo%2F..%2Fother", "INN"])
async def test_names_of_no_instance_open_nothing(two: Two, instance: str) -> None:
    for path in ("api/v1/projects", "api/v1/accounts/1", "auth/v1/"):
        method = "POST" if path.endswith("projects") else "GET"
        async with two.ours.http.request(method, f"/{instance}/{path}", headers={"Authorization": f"Bearer {two.ours.token}"}) as answer:
            assert answer.status in (401, 404), (instance, path, answer.status)
            assert SECRET.encode() not in await answer.read()


async def test_a_login_counts_for_its_instance_only(two: Two) -> None:
    ours = await two.our_people.hire()
    credentials = {"name": ours.name, "password": ours.password, "identifier": "x"}
    assert (await two.theirs.ask("POST", "auth/v1/login", credentials, token="")).status == 401
    assert (await two.ours.ask("POST", "auth/v1/login", credentials, token="")).status == 200
    assert (await two.theirs.ask("GET", "auth/v1/", token=ours.token)).status == 401
    assert (await two.theirs.ask("GET", "auth/v1/logout", token=ours.token)).status == 401
    assert (await two.ours.ask("GET", "auth/v1/", token=ours.token)).json["user"] == ours.id, "it is still good at home"
