"""Staff numbers, credentials and the last administrator, decided on what the streams say."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from libs.contracts.auth.commands import StaffView
from libs.contracts.auth.events import CredentialAdded, CredentialRemoved
from libs.domain.decider import Claim, Command
from libs.domain.errors import DomainError, Kind
from libs.domain.events import Event, Recorded
from libs.domain.ids import key_of
from libs.domain.principal import system
from libs.records.engine import Delete
from services.auth.admission import may_log_in
from services.auth.credentials import CREDENTIAL, Credential
from services.auth.records import USERS
from services.auth.roster import ROSTER, ROSTER_STREAM, StaffListed, StaffStruck
from services.auth.staff import CHANGE, CREATE, DELETE, ChangeUser, CreateUser, StaffFacts, decide_change, decide_delete
from tests.unit.given import NOON
from tests.unit.projections.histories import INSTANCE, RecordLog

NOBODY_ELSE = StaffFacts()
UNREFERRED = StaffFacts(False)


class House(RecordLog):
    """An inn's staff; its commands take ids one after the other."""

    def _next(self) -> UUID:
        return UUID(int=len(self.recorded) + 1)

    def hire(self, username: str, *credentials: Credential, roles: tuple[str, ...] = ("Waiter",), **values: Any) -> StaffView:
        body = CreateUser(values={"username": username, "roles": roles, **values}, credentials=credentials)
        view: StaffView = self.do(CREATE, body, self._next())
        return view

    def change(self, user: str, *credentials: Credential, facts: StaffFacts = NOBODY_ELSE, **values: Any) -> StaffView:
        view: StaffView = self.do(CHANGE, ChangeUser(key=user, values=values, credentials=credentials), self._next(), facts)
        return view

    def dismiss(self, user: str) -> None:
        self.do(DELETE, Delete(key=user), self._next(), UNREFERRED)


@pytest.fixture
def house() -> House:
    return House()


def refusal(error: pytest.ExceptionInfo[DomainError]) -> tuple[Kind, str]:
    return error.value.kind, error.value.reason


# --- numbers ------------------------------------------------------------------------------------------------------------------


def test_numbers_begin_at_1000_and_pass_over_chosen_ones(house: House) -> None:
    numbers = [house.hire("a"), house.hire("b", staff_number=1001), house.hire("c"), house.hire("d", staff_number=7), house.hire("e")]
    assert [view.values["staff_number"] for view in numbers] == [1000, 1001, 1002, 7, 1003]


def test_a_number_that_was_given_out_does_not_come_back_by_itself(house: House) -> None:
    house.hire("a")
    leaver = house.hire("b")
    house.dismiss(leaver.key)
    assert house.hire("c").values["staff_number"] == 1002
    changed = house.hire("d")
    house.change(changed.key, staff_number=5)
    assert house.hire("e").values["staff_number"] == 1004


def test_a_number_is_claimed() -> None:
    command = Command(UUID(int=1), NOON, system(INSTANCE, "test"), CreateUser(values={"username": "Anna"}))
    decision = CREATE.decide({ref.name: ref.aggregate.initial for ref in CREATE.streams(command)}, command, ())
    assert decision.take == (Claim("user.username", "anna"), Claim("user.staff_number", "1000"))


# --- credentials --------------------------------------------------------------------------------------------------------------


def test_the_secrets_of_a_new_employee_are_named_in_the_same_breath(house: House) -> None:
    view = house.hire("anna", Credential(kind="pin", secret="pin 1"), Credential(kind="card", secret="c0ffee"))
    assert (view.has_password, view.has_pin, view.has_card) == (False, True, True)
    assert [event.type for event in house.recorded] == ["user.created", "credential.added", "credential.added", "roster.listed"]


def test_a_credential_that_does_not_change_has_no_event(house: House) -> None:
    anna = house.hire("anna", Credential(kind="card", secret="c0ffee")).key
    before = len(house.recorded)
    house.change(anna, Credential(kind="card", secret="c0ffee"), Credential(kind="pin", secret=None))
    assert len(house.recorded) == before
    view = house.change(anna, Credential(kind="card", secret=None), Credential(kind="pin", secret="pin 2"))
    removed, added = (event.data for event in house.recorded[before:])
    assert removed == CredentialRemoved(user=anna, kind="card")
    assert added == CredentialAdded(user=anna, kind="pin", secret="pin 2")
    assert (view.has_pin, view.has_card) == (True, False)


def test_claims_stay_with_the_users_own_stream_whatever_is_written() -> None:
    """The log gives a claim up only for the stream that took it: the first that a decision names."""
    user = key_of("usr", UUID(int=1))
    house = House()
    house.hire("anna", Credential(kind="card", secret="one"))
    for values in ({}, {"city": "Ulm"}, {"roles": ["Bar"]}):
        body = ChangeUser(key=user, values=values, credentials=(Credential(kind="card", secret="two"),))
        command = Command(UUID(int=9), NOON, system(INSTANCE, "test"), body)
        decision = decide_change({ref.name: house._states[ref.name] for ref in CHANGE.streams(command)}, command, NOBODY_ELSE)
        assert next(iter(decision.writes)) == USERS.aggregate.stream(user)
        assert (decision.take, decision.give_up) == ((Claim("user.card_id", "two"),), (Claim("user.card_id", "one"),))
    gone = Command(UUID(int=9), NOON, system(INSTANCE, "test"), Delete(key=user))
    decision = decide_delete({ref.name: house._states[ref.name] for ref in DELETE.streams(gone)}, gone, UNREFERRED)
    assert set(decision.give_up) == {Claim("user.username", "anna"), Claim("user.staff_number", "1000"), Claim("user.card_id", "one")}
    assert decision.writes[CREDENTIAL.stream(user)] == (CredentialRemoved(user=user, kind="card"),)


# --- the last administrator ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [{"roles": ["Manager"]}, {"roles": None}, {"is_active": False}, {"rights": ["denyLogin"]}, {"end_date": "2030-01-01"}],
)
def test_whatever_would_lock_the_house_is_refused(house: House, change: dict[str, Any]) -> None:
    wirt = house.hire("wirt", roles=("Admin",)).key
    house.hire("anna")
    with pytest.raises(DomainError) as refused:
        house.change(wirt, **change)
    assert refusal(refused) == (Kind.CONFLICT, "last_admin")
    other = house.hire("other", roles=("Admin", "Bar")).key
    house.change(wirt, **change)
    for way in (lambda: house.change(other, **change), lambda: house.dismiss(other)):
        with pytest.raises(DomainError) as refused:
            way()
        assert refusal(refused) == (Kind.CONFLICT, "last_admin")


def test_what_does_not_matter_is_not_asked(house: House) -> None:
    """A change of address reads no roster: employees can be edited side by side."""
    wirt = house.hire("wirt", roles=("Admin",)).key
    command = Command(UUID(int=9), NOON, system(INSTANCE, "test"), ChangeUser(key=wirt, values={"city": "Ulm"}))
    assert ROSTER_STREAM not in {ref.name for ref in CHANGE.streams(command)}
    house.change(wirt, city="Ulm")
    assert [event.type for event in house.recorded].count("roster.listed") == 1


def test_who_was_there_before_the_list_counts_until_the_list_says_otherwise() -> None:
    """The query table may lag behind; what the stream says is newer."""
    before = ROSTER.initial
    assert before.admins({"usr_old"}) == {"usr_old"}
    assert before.next_number() == 1000
    listed = [StaffListed(user="usr_old", staff_number=None, is_admin=False), StaffStruck(user="usr_gone")]
    roster = before
    for event in listed:
        roster = ROSTER.evolve(roster, _recorded(event))
    assert roster.admins({"usr_old", "usr_gone", "usr_other"}) == {"usr_other"}
    with pytest.raises(DomainError) as refused:
        roster.require_another_admin("usr_other", {"usr_other", "usr_old"})
    assert refusal(refused) == (Kind.CONFLICT, "last_admin")


def _recorded(event: Event) -> Recorded:
    return Recorded(INSTANCE, 1, ROSTER_STREAM, 1, UUID(int=1), event.TYPE, event, NOON)


# --- admission ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "allowed"),
    [
        (datetime(2026, 3, 5, 22, 59, tzinfo=UTC), True),
        (datetime(2026, 3, 6, 2, 59, tzinfo=UTC), True),  # the night belongs to the evening before
        (datetime(2026, 3, 6, 3, 0, tzinfo=UTC), False),  # 04:00 in Berlin
        (datetime(2026, 3, 9, 12, 0, tzinfo=UTC), False),
    ],
)
def test_the_last_day_ends_with_its_night(at: datetime, allowed: bool) -> None:
    row = {"is_active": True, "rights": None, "roles": None, "end_date": date(2026, 3, 5)}
    assert may_log_in(row, at) is allowed
    assert may_log_in({**row, "end_date": None}, at)
    assert not may_log_in({**row, "is_active": False}, datetime(2026, 3, 5, tzinfo=UTC))
    assert not may_log_in({**row, "rights": '["checkOut","denyLogin"]'}, datetime(2026, 3, 5, tzinfo=UTC))
