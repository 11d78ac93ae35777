"""Webhooks by themselves: endpoints decided on what the stream says, signatures, pauses, and where nothing is ever sent to."""

from __future__ import annotations

import socket
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from libs.contracts.auth.webhooks import ENDPOINTS_MAX, GIVEN_UP_AFTER_S, OLD_SECRET_LASTS_S
from libs.domain.decider import Command, CommandType
from libs.domain.errors import DomainError
from libs.domain.events import Recorded
from libs.domain.principal import Principal
from services.auth.webhooks import signatures
from services.auth.webhooks.addresses import AddressNotAllowed, CheckedResolver, checked_socket, is_public, refuse_private
from services.auth.webhooks.courier import PAUSES_S, judged
from services.auth.webhooks.doors import _url_faults, view
from services.auth.webhooks.endpoints import (
    CHANGE_SECRET,
    DELETE,
    END,
    NONE,
    REPLAY,
    STREAM,
    ChangeEndpoint,
    ChangeSecret,
    CreateEndpoint,
    DeleteEndpoint,
    EndEndpoint,
    Endpoint,
    EndpointChanged,
    Endpoints,
    ReplayEndpoint,
    Start,
    change_command,
    create_command,
    evolve,
    webhook_key,
)
from services.auth.webhooks.places import Place
from services.auth.webhooks.sending import Outcome
from tests.unit.given import NOON, through_json

URL = "https://hooks.example/theke"


async def _no_heads(instance: int, services: Any) -> dict[str, int]:
    return dict.fromkeys(services, 40)


CREATE, CHANGE = create_command(_no_heads), change_command(_no_heads)


class Stream:
    """Auth's log, as far as webhooks go."""

    def __init__(self) -> None:
        self.recorded: list[Recorded] = []
        self.state: Endpoints = NONE

    def do(self, type_: CommandType, body: Any, at: datetime = NOON) -> Any:
        number = len(self.recorded)
        command: Command[Any] = Command(UUID(int=number + 1), at, Principal(17, "usr_1"), body)
        events = type_.decide({STREAM: self.state}, command, None).writes.get(STREAM, ())
        for one in events:
            position = 10 * (len(self.recorded) + 1)
            recorded = Recorded(17, position, STREAM, len(self.recorded) + 1, UUID(int=position), one.TYPE, through_json(one), at)
            self.recorded.append(recorded)
            self.state = evolve(self.state, recorded)
        return type_.reply({STREAM: self.state}, command, self.recorded[number:])

    def create(self, **more: Any) -> Endpoint:
        body = CreateEndpoint(**{"url": URL, "secret": "one", "services": ("pos",), "starts": {"pos": 7}, **more})
        endpoint: Endpoint = self.do(CREATE, body)
        return endpoint

    def one(self, key: str) -> Endpoint:
        return self.state[key]


# --- endpoints ----------------------------------------------------------------------------------------------------------------


def test_an_endpoint_begins_where_it_is_told() -> None:
    made = Stream().create()
    assert made.key == webhook_key(Command(UUID(int=1), NOON, Principal(17, "usr_1"), None))  # type: ignore[arg-type]
    assert (made.url, made.active, made.starts, made.version) == (URL, True, {"pos": Start(7, 10)}, 10)


async def test_who_says_nothing_begins_at_the_end_of_the_log() -> None:
    body = CreateEndpoint(url=URL, secret="one", services=("pos", "crm"), starts={"pos": 7})
    assert CREATE.complete is not None
    completed = await CREATE.complete(Command(UUID(int=1), NOON, Principal(17, "usr_1"), body), None)  # type: ignore[arg-type]
    assert completed.body.starts == {"pos": 7, "crm": 40}


def test_only_so_many_and_one_that_goes_makes_room() -> None:
    stream = Stream()
    made = [stream.create() for _ in range(ENDPOINTS_MAX)]
    with pytest.raises(DomainError, match="too_many_records"):
        stream.create()
    stream.do(DELETE, DeleteEndpoint(key=made[3].key))
    assert stream.create().key in stream.state
    assert made[3].key not in stream.state


def test_a_change_names_what_changed_and_where_new_services_begin() -> None:
    stream = Stream()
    key = stream.create().key
    change = ChangeEndpoint(key=key, url=URL, services=("pos", "crm"), starts={"pos": 40, "crm": 41})
    stream.do(CHANGE, change)
    said = stream.recorded[-1].data
    assert isinstance(said, EndpointChanged)
    assert (said.services, said.starts) == (("pos", "crm"), {"crm": 41})
    assert stream.one(key).starts == {"pos": Start(7, 10), "crm": Start(41, 20)}
    stream.do(CHANGE, ChangeEndpoint(key=key, services=("pos", "crm")))
    assert len(stream.recorded) == 2, "nothing changed"
    stream.do(CHANGE, ChangeEndpoint(key=key, services=("crm",)))
    stream.do(CHANGE, ChangeEndpoint(key=key, services=("crm", "pos"), starts={"crm": 50, "pos": 51}))
    assert stream.one(key).starts == {"pos": Start(51, 40), "crm": Start(41, 20)}, "what came while it was not wanted is passed over"


def test_what_ended_is_active_again_when_it_is_wanted() -> None:
    stream = Stream()
    made = stream.create()
    stream.do(END, EndEndpoint(key=made.key, reason="failing", version=made.version))
    assert (stream.one(made.key).active, stream.one(made.key).ended) == (False, "failing")
    stream.do(CHANGE, ChangeEndpoint(key=made.key, active=True))
    assert (stream.one(made.key).active, stream.one(made.key).ended) == (True, "")


def test_an_endpoint_that_was_changed_meanwhile_is_not_ended() -> None:
    stream = Stream()
    made = stream.create()
    stream.do(CHANGE, ChangeEndpoint(key=made.key, url=f"{URL}/2"))
    stream.do(END, EndEndpoint(key=made.key, reason="gone", version=made.version))
    assert stream.one(made.key).active
    stream.do(END, EndEndpoint(key="whk_gone", reason="gone", version=1))
    assert len(stream.recorded) == 2


def test_the_secret_before_lasts_a_day() -> None:
    stream = Stream()
    key = stream.create().key
    stream.do(CHANGE_SECRET, ChangeSecret(key=key, secret="two"))
    known = stream.one(key)
    assert (known.secret, known.old_secret, known.old_until) == ("two", "one", NOON + timedelta(seconds=OLD_SECRET_LASTS_S))


def test_a_replay_is_of_a_service_that_is_sent() -> None:
    stream = Stream()
    key = stream.create().key
    stream.do(REPLAY, ReplayEndpoint(key=key, service="pos", after=0))
    assert stream.one(key).starts == {"pos": Start(0, 20)}
    with pytest.raises(DomainError, match="service_not_sent"):
        stream.do(REPLAY, ReplayEndpoint(key=key, service="crm", after=0))


@pytest.mark.parametrize(
    ("type_", "body"),
    [
        (CHANGE, ChangeEndpoint(key="whk_1", active=False)),
        (CHANGE_SECRET, ChangeSecret(key="whk_1", secret="x")),
        (REPLAY, ReplayEndpoint(key="whk_1", service="pos", after=0)),
        (DELETE, DeleteEndpoint(key="whk_1")),
    ],
)
def test_nothing_is_done_with_what_is_not_there(type_: CommandType, body: Any) -> None:
    with pytest.raises(DomainError, match="webhook_not_found"):
        Stream().do(type_, body)


def test_the_last_word_on_where_to_go_on_is_shown() -> None:
    stream = Stream()
    made = stream.create()
    place = Place(version=10, starts={"pos": Start(30, 10)}, attempts=3, failures=2, failing_since=NOON, next_attempt=NOON)
    shown = view(made, place)
    assert (shown.positions, shown.failures, shown.failing_since) == ({"pos": 30}, 2, NOON)
    stream.do(REPLAY, ReplayEndpoint(key=made.key, service="pos", after=5))
    shown = view(stream.one(made.key), place)
    assert (shown.positions, shown.failures, shown.failing_since) == ({"pos": 5}, 0, None)
    assert view(made, None).positions == {"pos": 7}


# --- pauses -------------------------------------------------------------------------------------------------------------------


def test_pauses_grow_and_the_last_attempt_is_after_72_hours() -> None:
    place, now, attempts = Place(version=1, starts={"pos": Start(0, 1)}, attempts=0), NOON, []
    while place.failing_since is None or now < place.failing_since + timedelta(seconds=GIVEN_UP_AFTER_S):
        place = judged(place, "pos", 1, Outcome("timeout"), now)
        assert place.next_attempt is not None
        attempts.append((place.next_attempt - now).total_seconds())
        now = place.next_attempt
    assert attempts[: len(PAUSES_S)] == list(PAUSES_S)
    assert attempts[:-1] == sorted(attempts[:-1])
    assert now - NOON == timedelta(hours=72)
    assert place.position_of("pos") == 0
    assert judged(place, "pos", 1, Outcome("timeout"), now).next_attempt == now, "nothing is waited for any more"


def test_success_forgets_all_failures() -> None:
    failed = judged(Place(version=1, starts={"pos": Start(0, 1)}, attempts=0), "pos", 9, Outcome("refused", 500), NOON)
    assert (failed.failures, failed.failing_since) == (1, NOON)
    taken = judged(failed, "pos", 9, Outcome("taken", 200), NOON)
    assert (taken.failures, taken.failing_since, taken.next_attempt, taken.position_of("pos")) == (0, None, None, 9)


# --- signatures ---------------------------------------------------------------------------------------------------------------


def test_signatures_are_those_of_the_open_convention() -> None:
    """The convention's own example."""
    headers = signatures.signed(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_everything_that_is_sent_is_signed() -> None:
    one, other = signatures.new_secret(), signatures.new_secret()
    assert one != other

    def signature(secret: str = one, id_: str = "1", timestamp: int = 2, body: bytes = b"3") -> str:
        return signatures.signed([secret], id_, timestamp, body)["webhook-signature"]

    assert len({signature(), signature(other), signature(id_="2"), signature(timestamp=3), signature(body=b"4")}) == 5
    both = signatures.signed([one, other], "1", 2, b"3")["webhook-signature"]
    assert both.split(" ") == [signature(one), signature(other)]


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_QUJD", "QUJD" * 8, "whsec_" + "é" * 32, "whsec_" + "A" * 31, "whsec_" + "QUJD" * 40])
def test_what_is_no_secret(text: str) -> None:
    assert not signatures.is_secret(text)
    assert signatures.is_secret(signatures.new_secret())


# --- addresses ----------------------------------------------------------------------------------------------------------------

PRIVATE = (
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
    "169.254.169.254", "169.254.170.2", "192.0.0.192", "198.18.0.1", "192.0.2.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "100::1",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:a9fe:a9fe::1", "localhost", "", "1", "0x7f000001", "127.1",
)  # fmt: skip
PUBLIC = ("1.1.1.1", "93.184.216.34", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "2002:101:101::1")


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_one_however_it_is_written(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_one(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("url", ["http://hooks.example/", "https://127.0.0.1/", "https://[::1]:8443/", "https://169.254.169.254/latest"])
def test_a_door_of_an_ordinary_installation_takes_no_such_address(url: str) -> None:
    assert _url_faults(url, private=False)
    assert not _url_faults(url, private=True)
    assert not _url_faults(URL, private=False)


def told(*addresses: str) -> Any:
    """A name server that says these."""

    def look_up(host: str, port: int, family: int = 0, type: int = 0) -> list[Any]:
        return [(socket.AF_INET6 if ":" in one else socket.AF_INET, type, 6, "", (one, port)) for one in addresses]

    return look_up


async def test_a_name_is_its_addresses_and_each_is_checked() -> None:
    public = CheckedResolver(refuse_private, told("93.184.216.34", "2606:4700::1111"))
    assert [one["host"] for one in await public.resolve("hooks.example", 443)] == ["93.184.216.34", "2606:4700::1111"]
    for addresses in (("127.0.0.1",), ("93.184.216.34", "127.0.0.1"), ("::ffff:169.254.169.254",), ("fd00::1", "93.184.216.34")):
        with pytest.raises(AddressNotAllowed):
            await CheckedResolver(refuse_private, told(*addresses)).resolve("hooks.example", 443)


def test_the_address_that_is_connected_to_is_looked_at_again() -> None:
    make = checked_socket(refuse_private)
    with pytest.raises(AddressNotAllowed):
        make((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 443)))
    make((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 443))).close()
