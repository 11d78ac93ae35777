"""All of an item, and who may write it: the ERP's rights beside those of the till, on the same article."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import uuid4

import pytest

from libs.domain.principal import system
from libs.records.numbered import Create, Delete, Dropped, Written
from tests.house import Inn, Till, done, item, refused
from tests.integration.dikas.erp import Erp

WHOLE = {
    "applicability": 2,
    "barcode": "4001",
    "description": "Steingut\nmit Henkel",
    "forcestock": 1,
    "foreigntaxrates": {"AT": 20, "FR": Decimal("5.5")},
    "itemnum": "W-1",
    "manufacturer": "Töpferei",
    "name": "Krug",
    "purchaseprice": Decimal("4.25"),
    "sellingprice": Decimal("9.90"),
    "subitems": [{"type": 1, "text": "lose", "subindex": 0, "variant": 0}],
    "taxrate": 19,
    "type": 3,
    "unit": "H87",
    "weight": Decimal("0.8"),
}
_numbers = count(1)


@pytest.fixture(scope="module")
async def erp(shared_inn: Inn) -> AsyncIterator[Erp]:
    """The administrator."""
    client = Erp(shared_inn.theke.url, shared_inn.name)
    await client.login()
    yield client
    await client.close()


@pytest.fixture(scope="module")
async def admins_till(shared_inn: Inn) -> Till:
    return await shared_inn.till()


@pytest.fixture
async def group(shared_inn: Inn) -> Callable[..., Awaitable[int]]:
    """Makes a group with members (user ID → may write) and permissions (module → may write)."""

    async def made(members: dict[int, int], permissions: dict[str, int]) -> int:
        async def create(record: str, **values: Any) -> int:
            services, principal = shared_inn.theke.services, system(shared_inn.instance, "test")
            written, _ = await services.command("auth", f"{record}.create", Create(values=values), Written, principal=principal, id=uuid4())
            return written.id

        id_ = await create("group", name=f"Gruppe {next(_numbers)}")
        for user, writable in members.items():
            await create("membership", group=id_, user=user, writable=writable)
        for identifier, writable in permissions.items():
            await create("permission", group=id_, identifier=identifier, writable=writable)
        return id_

    return made


@pytest.fixture
async def hire(shared_inn: Inn) -> AsyncIterator[Callable[..., Awaitable[tuple[Erp, int]]]]:
    """A client of somebody without any right at the till, and that user's ID."""
    clients = []

    async def hired() -> tuple[Erp, int]:
        name = f"buero{next(_numbers)}"
        view = await shared_inn.provisioning.user(name, f"{name}-password", ())
        client = Erp(shared_inn.theke.url, shared_inn.name)
        clients.append(client)
        await client.login(name, f"{name}-password")
        return client, view.id

    yield hired
    for client in clients:
        await client.close()


async def _drop(inn: Inn, record: str, id_: int) -> None:
    principal = system(inn.instance, "test")
    await inn.theke.services.command("auth", f"{record}.delete", Delete(id=id_), Dropped, principal=principal, id=uuid4())


# --- fields -------------------------------------------------------------------------------------------------------------------


async def test_every_field_is_written_and_read_back(erp: Erp) -> None:
    body = {**WHOLE, "extdata": {"regal": "7b", "hoehe": Decimal("12.5")}, "tags": ["rund", "neu"]}
    made = await erp.ask("PUT", "api/v1/items", body)
    assert made.status == 201, made.raw
    path = f"api/v1/items/{made.json['ID']}"
    row = (await erp.ask("GET", f"{path}?expand=subitems&extdata=1&tags=1")).json
    assert {name: row[name] for name in WHOLE} == WHOLE
    assert (row["extdata"], row["tags"], row["visibility"]) == ({"regal": "7b", "hoehe": Decimal("12.5")}, ["rund", "neu"], 0)
    assert (await erp.ask("GET", path)).json == made.json
    assert made.json["subitems"] == '[{"type":1,"text":"lose","subindex":0,"variant":0}]'
    assert await erp.list(fields=["ID", "extdata.regal"], filters={"extdata.hoehe": {">": 11}}) == [
        {"ID": row["ID"], "extdata.regal": "7b"}
    ]
    change = {"+tags": ["alt"], "-tags": ["neu"], "extdata": {"regal": None, "fach": 0}, "forcestock": None, "foreigntaxrates": None}
    changed = await erp.ask("PATCH", path, {**change, "applicability": 0, "visibility": 2})
    assert (changed.json["forcestock"], changed.json["foreigntaxrates"], changed.json["visibility"]) == (None, None, 2)
    again = (await erp.ask("GET", f"{path}?extdata=true&tags=1")).json
    assert (again["tags"], again["extdata"]) == (["rund", "alt"], {"hoehe": Decimal("12.5"), "fach": 0})
    assert (await erp.ask("PATCH", path, {**row, "extdata": None, "visibility": 0})).status == 200
    assert (await erp.ask("DELETE", path)).status == 204


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"applicability": 4}, "Field 'applicability': must be one of: 0, 1, 2, 3"),
        ({"type": 8}, "Field 'type': must be one of: 0, 1, 2, 3, 4, 5, 6, 7"),
        ({"forcestock": 2}, "Field 'forcestock': must be one of: 0, 1"),
        ({"unit": "Stck"}, "Field 'unit': may have 3 characters at most"),
        ({"weight": -1}, "Field 'weight': must be between 0 and 100000"),
        ({"taxrate": 101}, "Field 'taxrate': must be between 0 and 100"),
        ({"foreigntaxrates": "x"}, "Field 'foreigntaxrates': must be a JSON object or a JSON list"),
        ({"model": 4711}, "Field 'model': refers to 4711, which does not exist"),
        ({"ownergroup": 4711}, "Field 'ownergroup': refers to 4711, which does not exist"),
        ({"name": "a\nb"}, "Field 'name': contains control characters"),
    ],
)
async def test_what_a_field_may_not_be_is_named(erp: Erp, body: dict[str, Any], text: str) -> None:
    reply = await erp.ask("PUT", "api/v1/items", {"name": "falsch", **body})
    assert (reply.status, reply.text) == (400, f"Bad Request: {text}")


async def test_variants_refer_to_their_model_until_it_goes(erp: Erp) -> None:
    model = (await erp.ask("PUT", "api/v1/items", {"name": "Hemd", "type": 7})).json["ID"]
    variant = (await erp.ask("PUT", "api/v1/items", {"name": "Hemd M", "model": model})).json
    path = f"api/v1/items/{variant['ID']}"
    assert await erp.list(fields=["name", "model.name"], filters={"model": model}) == [{"name": "Hemd M", "model.name": "Hemd"}]
    for body, text in (
        ({"model": variant["ID"]}, "Field 'model': must refer to another item of type MODEL"),
        ({"type": 7}, "Field 'type': cannot be changed once the row exists"),
    ):
        reply = await erp.ask("PATCH", path, body)
        assert (reply.status, reply.text) == (400, f"Bad Request: {text}")
    nested = await erp.ask("PUT", "api/v1/items", {"name": "x", "type": 7, "model": model})
    assert (nested.status, nested.text) == (400, "Bad Request: Field 'model': does not go with type")
    assert (await erp.ask("DELETE", f"api/v1/items/{model}")).status == 204
    assert (await erp.ask("GET", path)).json["model"] is None


async def test_a_chosen_id_is_one_that_theke_never_gives_out(erp: Erp) -> None:
    made = await erp.ask("PUT", "api/v1/items", {"ID": 1_000_000_007, "name": "Gewählt"})
    assert (made.status, made.json["ID"]) == (201, 1_000_000_007)
    assert (await erp.ask("PUT", "api/v1/items", {"ID": 1_000_000_007, "name": "y"})).text == "Conflict: ID Present"
    assert (await erp.ask("PUT", "api/v1/items", {"name": "Folgt"})).json["ID"] < 1_000_000_000
    assert (await erp.ask("DELETE", "api/v1/items/1000000007")).status == 204
    assert (await erp.ask("PUT", "api/v1/items", {"ID": 1_000_000_007, "name": "Wieder"})).status == 201


async def test_who_made_it_and_when_may_be_said(erp: Erp, hire: Any, group: Any) -> None:
    clerk, user = await hire()
    await group({user: 1}, {"inventory": 1})
    made = await clerk.ask("PUT", "api/v1/items", {"name": "Übernommen", "creator": 1, "creationdate": 86_400})
    assert (made.json["creator"], made.json["creationdate"]) == (1, 86_400)
    path = f"api/v1/items/{made.json['ID']}"
    assert await erp.list(fields=["creator.name"], filters={"ID": made.json["ID"]}) == [{"creator.name": "admin"}]
    refusal = await clerk.ask("PATCH", path, {"creator": user})
    assert (refusal.status, refusal.text) == (400, "Bad Request: Field 'creator': cannot be written")
    assert (await erp.ask("PATCH", path, {"creator": user})).json["creator"] == user
    own = (await clerk.ask("PUT", "api/v1/items", {"name": "Eigenes"})).json
    assert own["creator"] == user
    assert (await clerk.ask("PATCH", f"api/v1/items/{own['ID']}", {**own, "unit": "C62"})).json["unit"] == "C62"


# --- one domain ---------------------------------------------------------------------------------------------------------------


async def test_the_till_changes_what_the_erp_shows(erp: Erp, admins_till: Till, shared_inn: Inn) -> None:
    body = {"name": "Zwiebelkuchen", "price": Decimal("4.50"), "taxClass": 1, "groupId": shared_inn.group, "unit": "Stück"}
    article = done(await admins_till.post("articles", body), 201)
    row = await erp.one("Zwiebelkuchen")
    assert (row["unit"], row["type"], row["taxrate"], row["applicability"]) == ("Stück", 0, 7, 0)
    path = f"api/v1/items/{row['ID']}"
    ours = {"ownergroup": None, "subitems": [], "extdata": {"blech": "gross"}, "unit": "Stück", "taxrate": 7}
    before = (await erp.ask("PATCH", path, ours)).tag
    done(await admins_till.put(f"articles/{article['id']}", {"price": Decimal("5.10"), "isActive": False}))
    got = await erp.ask("GET", f"{path}?extdata=1")
    assert (got.json["sellingprice"], got.json["visibility"], got.json["extdata"]) == (Decimal("5.10"), 1, {"blech": "gross"})
    assert got.tag != before
    assert (await erp.ask("PATCH", path, {"visibility": 0, "sellingprice": 5})).status == 200
    assert (await admins_till.sell(item(article["id"])))["gross"] == 5
    assert (await erp.ask("PATCH", path, {"visibility": 2})).json["visibility"] == 2
    refused(await admins_till.post("payments/direct-sale", {"items": [item(article["id"])], "payments": [{"type": 0}]}), 409)
    done(await admins_till.put(f"articles/{article['id']}", {"isActive": True}))
    assert (await erp.ask("GET", path)).json["visibility"] == 0
    done(await admins_till.delete(f"articles/{article['id']}"))
    assert (await erp.ask("GET", path)).status == 404


# --- who may ------------------------------------------------------------------------------------------------------------------


async def test_a_permission_of_the_erp_is_enough_without_a_right_at_the_till(hire: Any, group: Any, admins_till: Till) -> None:
    clerk, user = await hire()
    for method, path, body in (
        ("POST", "api/v1/items", {}),
        ("PUT", "api/v1/items", {"name": "x"}),
        ("PATCH", "api/v1/items/1", {"unit": "x"}),
        ("DELETE", "api/v1/items/1", None),
    ):
        assert (await clerk.ask(method, path, body)).status == 403, method
    await group({user: 0}, {"inventory": 0})
    assert (await clerk.one("Pils"))["sellingprice"] == Decimal("4.20")
    assert (await clerk.ask("PUT", "api/v1/items", {"name": "x"})).status == 403
    assert (await clerk.ask("PATCH", "api/v1/items/1", {"unit": "x"})).status == 403
    await group({user: 0}, {"inventory": 1})
    made = await clerk.ask("PUT", "api/v1/items", {"name": "Vom Büro", "sellingprice": 3, "taxrate": 7, "itemnum": "B-1"})
    assert made.status == 201, made.raw
    path = f"api/v1/items/{made.json['ID']}"
    assert (await clerk.ask("PATCH", path, {"sellingprice": 4}, headers={"If-Match": made.tag})).status == 200
    article = done(await admins_till.get("articles/by-plu/B-1"))
    assert article["price"] == 4
    assert (await admins_till.sell(item(article["id"])))["gross"] == 4
    assert (await clerk.ask("DELETE", path)).status == 204
    refused(await admins_till.get("articles/by-plu/B-1"), 404)


async def test_what_a_group_owns_only_its_members_see_and_some_of_them_write(erp: Erp, hire: Any, group: Any, admins_till: Till) -> None:
    (writer, first), (reader, second), (stranger, third) = [await hire() for _ in range(3)]
    await group({first: 0, second: 0, third: 0}, {"inventory": 1, "pricelists": 1})
    owners = await group({first: 1, second: 0}, {})
    made = await writer.ask("PUT", "api/v1/items", {"name": "Geheimrezept", "ownergroup": owners, "itemnum": "G-9", "taxrate": 7})
    assert made.status == 201, made.raw
    id_ = made.json["ID"]
    path = f"api/v1/items/{id_}"
    assert await stranger.list(filters={"ID": id_}) == []
    assert await stranger.list(filters={"ID": id_}, count=True) == {"count": 0}
    assert [(await stranger.ask(method, path, {})).status for method in ("GET", "HEAD", "PATCH", "DELETE")] == [404] * 4
    supplied = (await erp.ask("PUT", "api/v1/components", {"item": id_, "component": 1})).json["ID"]
    seen = {"fields": ["ID", "item.name"], "filters": {"ID": supplied}}
    assert [(await one.ask("POST", "api/v1/components", seen)).json for one in (reader, stranger)] == [
        [{"ID": supplied, "item.name": "Geheimrezept"}],
        [],
    ]
    assert (await reader.ask("GET", path)).json["name"] == "Geheimrezept"
    assert [(await reader.ask(method, path, {"unit": "x"})).status for method in ("PATCH", "DELETE")] == [403, 403]
    assert (await writer.ask("PATCH", path, {"sellingprice": 8})).status == 200
    foreign = await group({third: 1}, {})
    assert (await writer.ask("PATCH", path, {"ownergroup": foreign})).status == 410
    assert (await stranger.ask("PUT", "api/v1/items", {"name": "x", "ownergroup": owners})).status == 410
    refusal = await stranger.ask("PUT", "api/v1/items", {"name": "Abgeleitet", "model": id_})
    assert (refusal.status, refusal.text) == (400, f"Bad Request: Field 'model': refers to {id_}, which does not exist")
    article = done(await admins_till.get("articles/by-plu/G-9"))  # the till sells what there is
    assert (await admins_till.sell(item(article["id"])))["gross"] == 8
    assert (await writer.ask("PATCH", path, {"ownergroup": None})).status == 200
    assert (await stranger.ask("GET", path)).status == 200


async def test_items_of_a_group_go_with_it(erp: Erp, shared_inn: Inn, group: Any, admins_till: Till) -> None:
    owners = await group({}, {})
    made = (await erp.ask("PUT", "api/v1/items", {"name": "Vergeht", "ownergroup": owners, "itemnum": "V-1"})).json
    part = (await erp.ask("PUT", "api/v1/components", {"item": made["ID"], "component": 1})).json["ID"]
    article = done(await admins_till.get("articles/by-plu/V-1"))
    rule = {"name": "Vergeht billiger", "articleId": article["id"], "changePercent": -50}
    rule_id = done(await admins_till.post("price-rules", rule), 201)["id"]
    await _drop(shared_inn, "group", owners)
    assert (await erp.ask("GET", f"api/v1/items/{made['ID']}")).status == 404
    assert (await erp.ask("GET", f"api/v1/components/{part}")).status == 404
    refused(await admins_till.get(f"price-rules/{rule_id}"), 404)
    again = await erp.ask("PUT", "api/v1/items", {"name": "Neu unter der Nummer", "itemnum": "V-1"})
    assert again.status == 201, again.raw


async def test_a_write_is_answered_again_when_the_row_is_gone(erp: Erp) -> None:
    made = (await erp.ask("PUT", "api/v1/items", {"name": "Flüchtig"})).json
    path, key = f"api/v1/items/{made['ID']}", {"Idempotency-Key": "flüchtig".encode().hex()}
    assert [(await erp.ask("DELETE", path, headers=key)).status for _ in range(2)] == [204, 204]
    assert (await erp.ask("DELETE", path)).status == 404
