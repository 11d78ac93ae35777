"""Who may do what on the bus, as it is declared: nothing is forgotten that is asked for, nothing is allowed twice over."""

from __future__ import annotations

import pytest

from libs.bus import accounts, subjects
from libs.bus.streams import KEEPER, life_of
from libs.bus.subjects import subject_name
from libs.contracts.asks import ASKS, ERP, FORGET
from libs.records.numbered import FORGETS
from libs.runtime.bus_key import BusKey
from libs.runtime.erp import REFERRING
from libs.runtime.installation import SERVICES
from libs.runtime.keeper import as_user
from services.crm.monitor import SOURCES


def matches(pattern: str, subject: str) -> bool:
    """As NATS does."""
    wanted, given = pattern.split("."), subject.split(".")
    for place, token in enumerate(wanted):
        if token == ">":
            return len(given) > place
        if place >= len(given) or token not in ("*", given[place]):
            return False
    return len(wanted) == len(given)


def test_there_is_a_user_for_every_service_the_gateway_and_the_operator() -> None:
    assert [user.name for user in accounts.users()] == ["theke", *SERVICES, "gateway"]


def test_what_services_ask_of_each_other_is_written_down() -> None:
    assert subject_name(FORGETS) == FORGET
    assert set(ERP) == {service for services in REFERRING.values() for service in services}
    assert set(SOURCES) <= set(ASKS["crm"].hears)
    assert set(SOURCES) <= set(ASKS["crm"].queries)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_publishes_no_events_but_its_own_and_asks_only_what_is_written_down(service: str) -> None:
    user = accounts.service_user(service, ASKS[service])
    assert user.publish is not None
    asked = {(other, name) for other, names in ASKS[service].commands.items() for name in names}
    for other in set(SERVICES) - {service}:
        for subject in (subjects.published(other, 1, "a", "b"), subjects.internal(other, 1, "a", "b"), subjects.live(other, "poke")):
            assert not any(matches(pattern, subject) for pattern in user.publish), (service, subject)
        for name in ("login", FORGET):
            allowed = any(matches(pattern, subjects.command(other, name)) for pattern in user.publish)
            assert allowed == ((other, name) in asked), (service, other, name)


def test_no_mirror_has_the_name_of_the_stream_it_copies() -> None:
    """An answer about a mirror's consumer could else pass for the request to make one of the log's stream."""
    streams = {subjects.log_stream(service, instance) for service in SERVICES for instance in range(100)}
    assert not streams & {accounts.mirror_of(service) for service in SERVICES}


def test_passwords_follow_from_the_key_and_differ(tmp_path) -> None:
    key, other = BusKey.kept_in(tmp_path / "a" / "users.key"), BusKey.kept_in(tmp_path / "b" / "users.key")
    assert (tmp_path / "a" / "users.key").stat().st_mode & 0o777 == 0o600
    assert key.password("pos") == BusKey.kept_in(tmp_path / "a" / "users.key").password("pos")
    assert len({key.password("pos"), key.password("i1"), key.password("i11"), other.password("pos")}) == 4


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nats://theke:secret@127.0.0.1:4222", "nats://i1:p@127.0.0.1:4222"),
        ("tls://bus.example:4222", "tls://i1:p@bus.example:4222"),
        ("nats://a:b@one:4222,nats://a:b@two:4222", "nats://i1:p@one:4222,nats://i1:p@two:4222"),
        ("nats://a:b@[::1]:4222", "nats://i1:p@[::1]:4222"),
    ],
)
def test_the_same_servers_are_shown_to_somebody_else_without_ones_own_password(url: str, expected: str) -> None:
    assert as_user(url, "i1", "p") == expected
    assert "secret" not in as_user(url, "", "")
    assert "@" not in as_user(url, "", "")


@pytest.mark.parametrize("service", SERVICES)
def test_only_a_service_itself_may_have_the_streams_of_its_logs_replaced(service: str) -> None:
    subject = subjects.query(KEEPER, life_of(service))
    may = [user.name for user in accounts.users() if user.publish is None or any(matches(one, subject) for one in user.publish)]
    assert may == ["theke", service]
