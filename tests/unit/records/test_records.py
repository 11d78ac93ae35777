"""A record is made, changed and deleted by events that say only what changed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from libs.contracts.inventory.records import ARTICLE, ArticleOption
from libs.domain.decider import Claim, Command
from libs.domain.errors import DomainError, FieldError, Kind
from libs.domain.principal import system
from libs.records.engine import Change, Create, Delete
from services.auth.records import USERS
from services.inventory.records import ARTICLES, GROUPS
from tests.unit.given import NOON
from tests.unit.projections.histories import RecordLog, commands_of

GROUP, COLA, ANNA = UUID(int=1), UUID(int=2), UUID(int=3)


class Stock(RecordLog):
    """A group and an article in it."""

    def __init__(self) -> None:
        super().__init__()
        self.group = self.do(commands_of(GROUPS)["create"], Create(values={"name": "Getränke"}), GROUP).key
        values = {"name": "Cola", "price": "3.50", "tax_class": 0, "group_key": self.group, "plu": "100"}
        self.cola = self.do(commands_of(ARTICLES)["create"], Create(values=values), COLA).key

    def change(self, if_version: int | None = None, **values: Any) -> Any:
        body = Change(key=self.cola, values=values, if_version=if_version)
        return self.do(commands_of(ARTICLES)["change"], body, UUID(int=100 + len(self.recorded)))

    def delete(self, key: str, *, referred: bool = False, if_version: int | None = None) -> Any:
        return self.do(commands_of(ARTICLES)["delete"], Delete(key=key, if_version=if_version), UUID(int=999), facts=referred)


@pytest.fixture
def stock() -> Stock:
    return Stock()


def test_a_created_record_has_an_id_a_version_and_its_defaults(stock: Stock) -> None:
    view = stock.change()
    assert (view.key, view.id, view.version, view.creator) == (stock.cola, 1, 1, "usr_anna")
    assert view.key.startswith("art_")
    assert view.values["is_active"] is True
    assert view.values["options"] == ()
    assert set(view.values) == {field.name for field in ARTICLE.fields}


def test_an_event_names_only_what_changed(stock: Stock) -> None:
    before = len(stock.recorded)
    view = stock.change(name="Cola", price="3.80", is_active=True, colour="rot")
    [event] = stock.recorded[before:]
    assert event.data == ARTICLES.events.changed(price=Decimal("3.80"), colour="rot")
    assert (view.version, view.values["price"], view.values["name"]) == (2, Decimal("3.80"), "Cola")


def test_a_change_that_changes_nothing_has_no_event(stock: Stock) -> None:
    before = len(stock.recorded)
    assert stock.change(price="3.5", name=" Cola ", options=[], colour=None).version == 1
    assert len(stock.recorded) == before


def test_null_clears_a_field_and_lists_are_whole(stock: Stock) -> None:
    stock.change(colour="rot", options=[{"id": "x", "name": "Zitrone"}])
    view = stock.change(colour=None, options=None)
    assert (view.values["colour"], view.values["options"]) == (None, ())
    stock.change(options=[{"id": "x", "name": "Eis", "price": "0.50"}])
    assert stock.change().values["options"] == (ArticleOption(id="x", name="Eis", price=Decimal("0.5")),)


def test_a_required_field_can_be_left_alone_but_not_cleared(stock: Stock) -> None:
    with pytest.raises(DomainError) as refused:
        stock.change(price=None, name="")
    assert {(field.path, field.reason) for field in refused.value.fields} == {("price", "required"), ("name", "required")}


def test_a_version_that_is_not_the_newest_is_refused(stock: Stock) -> None:
    assert stock.change(if_version=1, price="4").version == 2
    for stale in (1, 3):
        with pytest.raises(DomainError) as refused:
            stock.change(if_version=stale, price="5")
        assert (refused.value.kind, refused.value.params) == (Kind.PRECONDITION_FAILED, {"version": 2})
    with pytest.raises(DomainError, match="version_mismatch"):
        stock.delete(stock.cola, if_version=1)


@pytest.mark.parametrize("key", ["art_unknown", "", "a\x00b", "x" * 300, "../etc"])
def test_a_record_that_is_not_there_is_not_found(stock: Stock, key: str) -> None:
    for body in (Change(key=key, values={}), Delete(key=key)):
        name = "change" if isinstance(body, Change) else "delete"
        with pytest.raises(DomainError) as refused:
            stock.do(commands_of(ARTICLES)[name], body, UUID(int=7))
        assert (refused.value.kind, refused.value.reason) == (Kind.NOT_FOUND, "article_not_found")


def test_a_deleted_record_is_gone_for_every_command(stock: Stock) -> None:
    assert stock.delete(stock.cola).key == stock.cola
    for doing in (stock.change, lambda: stock.delete(stock.cola)):
        with pytest.raises(DomainError, match="article_not_found"):
            doing()


def test_a_record_in_use_is_not_deleted(stock: Stock) -> None:
    with pytest.raises(DomainError) as refused:
        stock.do(commands_of(GROUPS)["delete"], Delete(key=stock.group), UUID(int=8), facts=True)
    assert (refused.value.kind, refused.value.reason) == (Kind.CONFLICT, "article_group_in_use")


@pytest.mark.parametrize("target", ["artgrp_none", "deleted"])
def test_a_reference_must_point_to_a_record_that_is_there(stock: Stock, target: str) -> None:
    if target == "deleted":
        target = stock.do(commands_of(GROUPS)["create"], Create(values={"name": "x"}), UUID(int=9)).key
        stock.do(commands_of(GROUPS)["delete"], Delete(key=target), UUID(int=10), facts=False)
    with pytest.raises(DomainError) as refused:
        stock.change(group_key=target)
    assert refused.value.fields == (FieldError("group_key", "article_group_not_found", {"id": target}),)


def test_a_record_of_ones_own_key_is_made_once() -> None:
    log, create = RecordLog(), commands_of(GROUPS)["create"]
    assert log.do(create, Create(values={"name": "x"}, key="artgrp_own"), UUID(int=11)).key == "artgrp_own"
    with pytest.raises(DomainError, match="already_exists"):
        log.do(create, Create(values={"name": "x"}, key="artgrp_own"), UUID(int=12))


# claims of unique fields


def claims(before: dict[str, Any], after: dict[str, Any]) -> tuple[tuple[Claim, ...], tuple[Claim, ...]]:
    """What a change of a user takes and gives up."""
    log, types = RecordLog(), commands_of(USERS)
    key = log.do(types["create"], Create(values=before), ANNA).key
    command = Command(UUID(int=4), NOON, system(17, "test"), Change(key=key, values=after))
    decision = types["change"].decide(log._states, command, ())
    return decision.take, decision.give_up


def test_a_unique_field_takes_the_new_value_and_gives_up_the_old() -> None:
    assert claims({"username": "Anna"}, {"username": "Bert"}) == ((Claim("user.username", "bert"),), (Claim("user.username", "anna"),))


def test_a_unique_field_changed_in_case_only_stays_claimed() -> None:
    """Taking and giving up the same value in one command would meet one's own claim."""
    assert claims({"username": "anna"}, {"username": "Anna"}) == ((), ())


def test_other_fields_touch_no_claim() -> None:
    assert claims({"username": "Anna"}, {"username": "Anna", "first_name": "Anna"}) == ((), ())
