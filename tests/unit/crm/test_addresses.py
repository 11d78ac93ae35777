"""One usual address per account and type, whatever is written in whatever order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.domain.errors import DomainError
from libs.records.numbered import Change, Create
from services.crm.records import ERP
from tests.unit.desk import Desk


def usual(desk: Desk) -> set[int]:
    return {id_ for id_, row in desk.rows_of("address").items() if row["default"]}


def desk_with(contacts: int = 6) -> Desk:
    desk = Desk(ERP.family)
    for ix in range(2):
        desk.create("account", id=ix + 1, lastname=f"Firma {ix}", currency="EUR")
    for ix in range(contacts):
        desk.create("contact", id=ix + 1, lastname=f"Mensch {ix}")
    return desk


def test_the_usual_address_takes_the_place_of_the_one_before() -> None:
    desk = desk_with()
    first = desk.create("address", account=1, contact=1, default=1)
    other = desk.create("address", account=1, contact=2, type=1, default=1)
    foreign = desk.create("address", account=2, contact=1, default=1)
    second = desk.create("address", account=1, contact=3, default=1)
    assert usual(desk) == {second, other, foreign}
    desk.change("address", first, default=1)
    assert usual(desk) == {first, other, foreign}
    desk.change("address", other, type=0)
    assert usual(desk) == {other, foreign}
    desk.delete("address", other)
    desk.change("address", second, default=1)
    desk.change("address", second, default=0)
    assert usual(desk) == {foreign}


def test_a_sibling_changes_in_the_same_append() -> None:
    desk = desk_with()
    first = desk.create("address", account=1, contact=1, default=1)
    before = len(desk.recorded)
    second = desk.create("address", account=1, contact=2, default=1)
    made, cleared, moved = desk.recorded[before:]
    assert (made.stream, cleared.stream) == (f"address-{second}", f"address-{first}")
    assert cleared.data.default == 0
    assert (moved.type, moved.data.address) == ("default_address.changed", second)


def test_addresses_that_go_with_their_contact_leave_the_place_free() -> None:
    desk = desk_with()
    desk.create("address", account=1, contact=1, default=1)
    desk.delete("contact", 1)
    second = desk.create("address", account=1, contact=2, default=1)
    assert usual(desk) == {second}


def test_an_association_is_the_same_either_way_round() -> None:
    desk = desk_with()
    desk.create("association", entity1="accounts", index1=1, entity2="contacts", index2=2)
    turned = {"entity1": "contacts", "index1": 2, "entity2": "accounts", "index2": 1}
    assert desk.refused("association.create", Create(values=turned)).reason == "claim_taken"
    desk.create("association", entity1="contacts", index1=1, entity2="accounts", index2=2)


def test_two_at_once_are_repeated_until_one_is_the_usual() -> None:
    """Both looked before the other wrote: whoever comes second must not leave two."""
    desk = desk_with()
    first, second = (desk.create("address", account=1, contact=contact) for contact in (1, 2))
    desk.seen = len(desk.recorded)
    desk.change("address", first, default=1)
    assert desk.refused("address.change", Change(id=second, values={"default": 1})).reason == "row_moved"
    desk.seen = None
    desk.change("address", second, default=1)
    assert usual(desk) == {second}


KINDS = ("add", "default", "type", "account", "delete", "contact")
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 5), st.integers(0, 1), st.integers(0, 1)), max_size=25)


@settings(max_examples=80, deadline=None)
@given(STEPS)
def test_there_is_never_more_than_one_and_it_is_the_last_that_was_said(steps: list[tuple[str, int, int, int]]) -> None:
    desk = desk_with()
    for kind, which, one, flag in steps:
        there, refused = sorted(desk.rows_of("address")), ""
        try:
            if kind == "add" or not there:
                desk.create("address", account=one + 1, contact=which + 1, type=flag, default=1 - flag)
                continue
            address = there[which % len(there)]
            if kind == "default":
                desk.change("address", address, default=flag)
                assert (address in usual(desk)) == bool(flag)
            elif kind == "type":
                desk.change("address", address, type=flag)
            elif kind == "account":
                desk.change("address", address, account=one + 1, default=flag)
            elif kind == "delete":
                desk.delete("address", address)
            elif len(desk.rows_of("contact")) > 3 and desk.rows_of("contact").get(which + 1):
                desk.delete("contact", which + 1)
        except DomainError as error:
            refused = error.reason
        assert refused in ("", "claim_taken", "parent_gone", "invalid_fields")
        places = [(row["account"], row["type"]) for row in desk.rows_of("address").values() if row["default"]]
        assert len(places) == len(set(places))


def test_what_cannot_be_an_address_is_refused_as_such() -> None:
    desk = desk_with()
    refusal = desk.refused("address.create", Create(values={"account": 1, "contact": 1, "type": "x", "default": 1}))
    assert [field.path for field in refusal.fields] == ["type"]
    with pytest.raises(DomainError, match="row_not_found"):
        desk.change("address", 77, default=1)
