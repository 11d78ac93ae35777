"""Access tokens decided on what the streams say, and what the query tables make of it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from libs.contracts.auth.access_tokens import RevokeToken, new_token
from libs.contracts.auth.token_events import TokenIssued, TokenRefreshed, TokenRevoked
from libs.domain.decider import Command, CommandType
from libs.domain.errors import DomainError
from libs.domain.events import Recorded
from libs.domain.principal import Principal, system
from libs.records.engine import Change, Create, Delete
from services.auth.access_tokens import (
    END,
    GRANT_LIFE_S,
    ISSUE,
    REFRESH,
    REFRESHABLE_S,
    REVOKE,
    TOKEN,
    EndToken,
    IssueToken,
    RefreshToken,
    TokenState,
    TokenView,
    login_key,
)
from services.auth.applications import APPLICATIONS, SET, KeepClientSecret
from services.auth.credentials import SET as SET_PASSWORD
from services.auth.credentials import SetCredential
from services.auth.staff import CHANGE, CREATE, ChangeUser, CreateUser, StaffFacts
from services.auth.throttle import Limit, place_of
from services.auth.token_tables import STOPS, TOKENS, is_good, stands
from tests.unit.given import NOON
from tests.unit.projections.histories import INSTANCE, RecordLog, fold

_CREATE, _CHANGE, _DELETE = APPLICATIONS.commands()


class House(RecordLog):
    """Anna with a password, and an application."""

    def __init__(self) -> None:
        super().__init__()
        self.anna: str = self.do(CREATE, CreateUser(values={"username": "anna", "roles": ("Waiter",)}), self._next()).key
        self.password("pw 1")
        self.app: str = self.do(_CREATE, Create(values={"name": "Shop", "identifier": "shop"}), self._next()).key

    def _next(self) -> UUID:
        return UUID(int=len(self.recorded) + 1)

    def password(self, name: str) -> None:
        self.do(SET_PASSWORD, SetCredential(user=self.anna, secret=name), self._next())

    def user(self, **values: Any) -> None:
        self.do(CHANGE, ChangeUser(key=self.anna, values=values), self._next(), StaffFacts())

    def application(self, **values: Any) -> None:
        self.do(_CHANGE, Change(key=self.app, values=values), self._next())

    def issue(self, key: str = "tok_1", credential: str = "pw 1", **more: Any) -> TokenView:
        body = IssueToken(key=key, user=self.anna, credential=credential, digest=f"d{len(self.recorded)}", **more)
        view: TokenView = self.tell(ISSUE, body)
        return view

    def refresh(self, generation: int, at: Any = NOON, key: str = "tok_1") -> TokenView:
        body = RefreshToken(key=key, user=self.anna, generation=generation, digest=f"r{len(self.recorded)}")
        view: TokenView = self.tell(REFRESH, body, at)
        return view

    def tell(self, type_: CommandType, body: Any, at: Any = NOON, by: Principal | None = None) -> Any:
        """As ``do``, at any time and by anybody; the reply sees only this command's events."""
        command = Command(self._next(), at, by or system(INSTANCE, "test"), body)
        refs = type_.streams(command)
        states = {ref.name: self._states.get(ref.name, ref.aggregate.initial) for ref in refs}
        before = len(self.recorded)
        decision = type_.decide(states, command, None)
        for stream, events in decision.writes.items():
            for event in events:
                self.write(stream, event)
        return type_.reply({**states, **self._states}, command, self.recorded[before:])

    def write(self, stream: str, event: Any) -> None:
        version = sum(earlier.stream == stream for earlier in self.recorded) + 1
        made = Recorded(INSTANCE, len(self.recorded) + 1, stream, version, self._next(), event.TYPE, event, NOON)
        self.recorded.append(made)
        self._states[stream] = TOKEN.evolve(self._states.get(stream, TokenState()), made)


@pytest.fixture
def house() -> House:
    return House()


def refusal(doing: Any) -> str:
    with pytest.raises(DomainError) as refused:
        doing()
    return refused.value.reason


def test_a_stream_per_user_identifier_and_application() -> None:
    keys = {
        login_key(instance, user, identifier, application)
        for instance in (1, 2)
        for user in ("usr_a", "usr_b")
        for identifier in ("x", "y", "app_1 x")
        for application in (None, "app_1")
    }
    assert len(keys) == 24
    assert login_key(1, "usr_a", "x", None) == login_key(1, "usr_a", "x", None)


def test_a_second_token_replaces_the_first(house: House) -> None:
    first = house.issue(identifier="x", expires=NOON)
    second = house.issue(identifier="x")
    assert (first.state.expires, second.state.expires) == (NOON, None)
    assert second.state.digest != first.state.digest
    assert [type(event.data) for event in house.recorded[-2:]] == [TokenIssued, TokenIssued]


def test_a_token_is_given_for_the_present_password_to_who_may_log_in(house: House) -> None:
    house.password("pw 2")
    assert refusal(house.issue) == "credentials_wrong"
    house.issue(credential="pw 2")
    for values in ({"is_active": False}, {"is_active": True, "rights": ("denyLogin",)}):
        house.user(**values)
        assert refusal(lambda: house.issue(credential="pw 2")) == "credentials_wrong"


def test_an_application_has_to_be_active(house: House) -> None:
    house.issue(application=house.app)
    house.application(activity=1)
    assert refusal(lambda: house.issue(application=house.app)) == "client_unknown"
    house.application(activity=0)
    house.do(_DELETE, Delete(key=house.app), house._next(), False)
    assert refusal(lambda: house.issue(application=house.app)) == "client_unknown"
    assert refusal(lambda: house.tell(SET, KeepClientSecret(application=house.app, secret="s"))) == "application_not_found"


def test_only_this_token_is_logged_out(house: House) -> None:
    digest = house.issue().state.digest
    own = Principal(INSTANCE, house.anna, session="tok_1")
    assert refusal(lambda: house.tell(REVOKE, RevokeToken(key="tok_1", digest=digest))) == "foreign_session"
    newer = house.issue().state.digest
    before = len(house.recorded)
    house.tell(REVOKE, RevokeToken(key="tok_1", digest=digest), by=own)
    assert len(house.recorded) == before
    house.tell(REVOKE, RevokeToken(key="tok_1", digest=newer), by=own)
    house.tell(REVOKE, RevokeToken(key="tok_1", digest=newer), by=own)
    house.tell(END, EndToken(key="tok_1", reason="revoked"))
    assert [event.data for event in house.recorded[before:]] == [TokenRevoked(user=house.anna, reason="logout")]


def test_a_refresh_token_is_good_once(house: House) -> None:
    issued = house.issue(refreshable=True)
    assert issued.state.expires == NOON + timedelta(seconds=GRANT_LIFE_S)
    first = house.refresh(0)
    assert (first.state.generation, first.refused) == (1, False)
    assert isinstance(house.recorded[-1].data, TokenRefreshed)
    assert house.refresh(0).refused
    assert house.recorded[-1].data == TokenRevoked(user=house.anna, reason="reuse")
    assert refusal(lambda: house.refresh(1)) == "refresh_token_invalid"


@pytest.mark.parametrize("why", ["expired", "password"])
def test_a_grant_ends_with_what_it_rests_on(house: House, why: str) -> None:
    house.issue(refreshable=True)
    if why == "password":
        house.password("pw 2")
    late = NOON + timedelta(seconds=REFRESHABLE_S if why == "expired" else 0)
    assert house.refresh(0, late).refused
    assert house.recorded[-1].data.reason == why


def test_a_login_is_no_grant(house: House) -> None:
    house.issue()
    assert refusal(lambda: house.refresh(0)) == "refresh_token_invalid"
    assert refusal(lambda: house.refresh(0, key="tok_2")) == "refresh_token_invalid"


def test_a_code_used_twice_ends_what_came_of_it(house: House) -> None:
    house.issue("tok_9", refreshable=True)
    assert house.issue("tok_9", refreshable=True).refused
    assert house.recorded[-1].data.reason == "reuse"


# --- tables -------------------------------------------------------------------------------------------------------------------


def test_the_table_has_one_row_per_living_token(house: House) -> None:
    house.issue("tok_1", identifier="x")
    house.issue("tok_1", identifier="x")
    house.issue("tok_2", refreshable=True)
    house.refresh(0, key="tok_2")
    house.issue("tok_3")
    house.tell(END, EndToken(key="tok_3", reason="revoked"))
    rows = fold(TOKENS, house.recorded, cuts=(1, 5, 7))
    assert {key[0]: row["digest"] for (_, key), row in rows.items()} == {"tok_1": "d5", "tok_2": "r7"}
    assert rows["tokens", ("tok_2",)]["issued"] == 7, "a refresh does not pass over a stop"


def test_stops_are_remembered(house: House) -> None:
    house.user(city="Ulm")
    house.application(name="x")
    assert fold(STOPS, house.recorded) == {}
    house.user(is_active=False)
    house.user(is_active=True)
    house.application(activity=2)
    positions = {key[0]: row["position"] for (_, key), row in fold(STOPS, house.recorded).items()}
    assert positions == {house.anna: house.recorded[-3].position, house.app: house.recorded[-1].position}


GOOD: dict[str, Any] = {
    "roles": None, "rights": None, "is_active": True, "end_date": None, "credential": "pw", "secret": "pw", "issued": 7, "user_stop": None,
    "application": "app_1", "application_id": 3, "activity": 0, "application_stop": 6, "expires": None,
}  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"is_active": False},
        {"rights": '["denyLogin"]'},
        {"end_date": date(2020, 1, 1)},
        {"secret": "another"},
        {"secret": None},
        {"user_stop": 7},
        {"application_stop": 8},
        {"application_id": None, "activity": None},
        {"activity": 1},
        {"activity": 2},
    ],
)
def test_what_a_token_rests_on(wrong: dict[str, Any]) -> None:
    assert stands(GOOD, NOON)
    assert stands({**GOOD, "application": None, "application_id": None, "activity": None}, NOON)
    assert not stands({**GOOD, **wrong}, NOON)


def test_the_last_second_of_a_token() -> None:
    assert is_good({**GOOD, "expires": NOON}, NOON - timedelta(microseconds=1))
    assert not is_good({**GOOD, "expires": NOON}, NOON)


# --- counting -----------------------------------------------------------------------------------------------------------------


def test_a_network_is_one_place() -> None:
    assert place_of("2001:db8:1:2::1") == place_of("2001:db8:1:2:ffff::9") != place_of("2001:db8:1:3::1")
    assert place_of("::ffff:192.0.2.1") == place_of("192.0.2.1") != place_of("192.0.2.2")
    assert place_of("usr_1") == place_of("usr_1") != place_of("")


def test_a_pause_is_as_long_as_what_was_tried_too_much() -> None:
    limit = Limit(tries=3, costs=10.0)
    assert [limit.pause(wrong * limit.costs) for wrong in range(5)] == [-20.0, -10.0, 0.0, 10.0, 20.0]


def test_tokens_are_drawn() -> None:
    drawn = {new_token() for _ in range(100)}
    assert len(drawn) == 100
    assert {len(token) for token in drawn} == {40}
