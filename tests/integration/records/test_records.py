"""Records on a real log and real tables: claims, references, ids, and what the tables show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from libs.domain.errors import DomainError, Kind
from libs.domain.principal import Principal
from libs.projections import projector
from libs.records.engine import Change, Create, Delete
from libs.records.lists import Listing
from libs.runtime.records import ByKey
from services.inventory.service import SERVICE as INVENTORY
from tests.conftest import Databases
from tests.integration.services import Running, running


class Stock:
    """Inventory with the tax classes 0 and 1."""

    def __init__(self, inventory: Running) -> None:
        self.inventory = inventory
        self.query = inventory.query

    async def begin(self) -> None:
        for tax_class in (0, 1):
            values = {"tax_class": tax_class, "name": "USt", "rate": "7", "valid_from": date(2020, 1, 1)}
            await self.create("tax_rate", values, instance=1)

    async def create(self, name: str, values: dict[str, Any], **how: Any) -> Any:
        return await self.inventory.command(f"{name}.create", Create(values=values), **how)

    async def change(self, type_: str, key: str, **values: Any) -> Any:
        return await self.inventory.command(f"{type_}.change", Change(key=key, values=values))

    async def delete(self, name: str, key: str) -> Any:
        return await self.inventory.command(f"{name}.delete", Delete(key=key))

    async def group(self, name: str = "Getränke", **values: Any) -> str:
        key: str = (await self.create("article_group", {"name": name, **values})).key
        return key

    async def article(self, group: str, name: str = "Cola", **values: Any) -> Any:
        return await self.create("article", {"name": name, "price": "3.50", "tax_class": 0, "group_key": group, **values})


@pytest.fixture
async def stock(databases: Databases) -> AsyncIterator[Stock]:
    async with running(INVENTORY, databases) as inventory:
        stock = Stock(inventory)
        await stock.begin()
        yield stock


async def refusal(doing: Any) -> DomainError:
    with pytest.raises(DomainError) as refused:
        await doing
    return refused.value


async def test_the_table_shows_what_the_command_answered(stock: Stock) -> None:
    group = await stock.group(number=3)
    made = await stock.article(group, options=[{"id": "x", "name": "Zitrone", "price": "0.20"}], barcode="4001")
    assert await stock.query("article.get", ByKey(made.key)) == made
    changed = await stock.change("article", made.key, price="3.80", barcode=None, options=[])
    assert await stock.query("article.get", ByKey(made.key)) == changed
    assert (changed.version, changed.values["price"], changed.values["barcode"]) == (2, Decimal("3.80"), None)
    assert await stock.query("article.list", Listing()) == [changed]
    await stock.delete("article", made.key)
    assert (await refusal(stock.query("article.get", ByKey(made.key)))).reason == "article_not_found"
    assert await stock.query("article.list", Listing()) == []


async def test_ids_count_from_one_per_type_and_instance_without_gaps(stock: Stock) -> None:
    group = await stock.group()
    refusals = [stock.article(group, price="free") for _ in range(5)]
    results = await asyncio.gather(*(stock.article(group) for _ in range(20)), *refusals, return_exceptions=True)
    ids = sorted(result.id for result in results if not isinstance(result, DomainError))
    assert ids == list(range(1, 21))
    assert [article.id for article in await stock.query("article.list", Listing())] == ids
    assert (await stock.create("article_group", {"name": "x"}, instance=2)).id == 1


async def test_a_unique_value_is_free_again_after_a_change_and_after_a_delete(stock: Stock) -> None:
    group = await stock.group()
    cola = (await stock.article(group, plu="100")).key
    taken = await refusal(stock.article(group, "Pils", plu="100"))
    assert (taken.kind, taken.reason, taken.params) == (Kind.CONFLICT, "claim_taken", {"scope": "article.plu", "value": "100"})
    await stock.change("article", cola, plu="200")
    pils = (await stock.article(group, "Pils", plu="100")).key
    assert (await refusal(stock.change("article", cola, plu="100"))).reason == "claim_taken"
    await stock.delete("article", pils)
    assert (await stock.change("article", cola, plu="100")).values["plu"] == "100"
    await stock.change("article", cola, plu=None)
    await stock.article(group, plu="100")


async def test_a_unique_value_may_change_in_case(stock: Stock) -> None:
    group = await stock.group()
    cola = (await stock.article(group, plu="a1")).key
    assert (await stock.change("article", cola, plu="A1")).values["plu"] == "A1"
    assert (await refusal(stock.article(group, plu="a1"))).reason == "claim_taken"
    await stock.change("article", cola, plu="b")
    await stock.article(group, plu="A1")


async def test_two_at_once_with_one_unique_value_leave_one(stock: Stock) -> None:
    group = await stock.group()
    results = await asyncio.gather(*(stock.article(group, plu="7") for _ in range(6)), return_exceptions=True)
    assert sorted(result.reason if isinstance(result, DomainError) else "made" for result in results) == ["claim_taken"] * 5 + ["made"]


async def test_a_group_in_use_is_kept_until_nothing_refers_to_it(stock: Stock) -> None:
    group, other = await stock.group(), await stock.group("Speisen")
    cola, child = (await stock.article(group)).key, await stock.group("Limonaden", parent_key=group)
    in_use = await refusal(stock.delete("article_group", group))
    assert (in_use.kind, in_use.reason, in_use.params) == (Kind.CONFLICT, "article_group_in_use", {"id": group})
    await stock.change("article", cola, group_key=other)
    assert (await refusal(stock.delete("article_group", group))).reason == "article_group_in_use", "the child still refers to it"
    await stock.delete("article_group", child)
    await stock.delete("article_group", group)
    assert (await refusal(stock.article(group))).fields[0].reason == "article_group_not_found"
    assert (await refusal(stock.delete("article_group", group))).reason == "article_group_not_found"


async def test_a_group_deleted_meanwhile_by_another_process_is_not_referred_to(
    stock: Stock, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector, "LOOK_AGAIN_S", 0.05)  # no bus here that would tell the leader
    group = await stock.group()
    async with running(INVENTORY, databases) as other:
        await Stock(other).delete("article_group", group)
    assert (await refusal(stock.article(group))).fields[0].reason == "article_group_not_found"


async def test_a_tax_class_that_has_no_rate_is_not_known_and_named_beside_other_faults(stock: Stock) -> None:
    group = await stock.group()
    refused = await refusal(stock.article(group, tax_class=5, price="-1", colour="x" * 99))
    assert {field.path: field.reason for field in refused.fields} == {
        "tax_class": "not_known",
        "price": "out_of_range",
        "colour": "too_long",
    }
    await stock.article(group, tax_class=1)


@pytest.mark.parametrize("value", ["\x00", "0\x00", 2**40, -1, True, 0.5, "x" * 10_000])
async def test_a_tax_class_of_any_kind_harms_nobody(stock: Stock, value: Any) -> None:
    group = await stock.group()
    results = await asyncio.gather(
        stock.article(group), stock.article(group, tax_class=value), stock.article(group), return_exceptions=True
    )
    assert [isinstance(result, DomainError) for result in results] == [False, True, False]
    assert results[1].fields[0].path == "tax_class"


@pytest.mark.parametrize("key", ["a\x00b", "x" * 5_000, "", "ä", "a.b"])
async def test_a_key_of_any_kind_harms_nobody(stock: Stock, key: str) -> None:
    group = await stock.group()
    results = await asyncio.gather(
        stock.article(group), stock.change("article", key), stock.delete("article", key), stock.article(key), return_exceptions=True
    )
    assert [getattr(result, "reason", "made") for result in results] == ["made", "article_not_found", "article_not_found", "invalid_fields"]
    assert (await refusal(stock.query("article.get", ByKey(key)))).reason == "article_not_found"


async def test_a_repeated_creation_makes_one_record_and_answers_alike(stock: Stock) -> None:
    id_, values = uuid4(), {"name": "Suppen"}
    first = await stock.create("article_group", values, id=id_)
    await stock.change("article_group", first.key, name="Eintöpfe")
    assert await stock.create("article_group", values, id=id_) == first
    assert (await refusal(stock.create("article_group", {"name": "Salate"}, id=id_))).reason == "key_misuse"
    assert len(await stock.query("article_group.list", Listing())) == 1


async def test_who_may_only_read_articles_cannot_write_them(stock: Stock) -> None:
    for permissions in ({}, {"inventory.articles": False}, {"pos.tables": True}):
        waiter = Principal(instance=1, user="usr_w", permissions=permissions)
        refused = await refusal(stock.create("article_group", {"name": "x"}, principal=waiter))
        assert (refused.kind, refused.params) == (Kind.FORBIDDEN, {"right": "inventory.articles"})
    manager = Principal(instance=1, user="usr_m", permissions={"inventory.articles": True})
    assert (await stock.create("article_group", {"name": "x"}, principal=manager)).creator == "usr_m"
