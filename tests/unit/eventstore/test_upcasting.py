"""Old versions of an event are lifted on read, step by step; what this process does not know it does not touch."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from libs.domain.events import Event, event
from libs.eventstore import codec
from libs.eventstore.codec import UnknownEvent, decode, encode, upcaster


@event("test.priced", version=3)
class Priced(Event, frozen=True, kw_only=True):
    minor: int
    currency: str
    rate: Decimal = Decimal(19)


@pytest.fixture(autouse=True)
def lifts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_upcasters", {})
    upcaster("test.priced", 1)(lambda old: {"minor": round(old["euros"] * 100), "rate": old.get("rate", "19")})
    upcaster("test.priced", 2)(lambda old: {**old, "currency": "EUR"})


@pytest.mark.parametrize(
    ("version", "stored"),
    [(1, {"euros": 3.5}), (2, {"minor": 350, "rate": "19"}), (3, {"minor": 350, "currency": "EUR"})],
)
def test_each_version_is_read_as_the_newest(version: int, stored: dict[str, Any]) -> None:
    assert decode("test.priced", version, msgspec.json.encode(stored)) == Priced(minor=350, currency="EUR", rate=Decimal(19))


def test_a_decimal_in_an_old_version_stays_exact() -> None:
    read = decode("test.priced", 2, b'{"minor":1,"rate":"0.1"}')
    assert isinstance(read, Priced)
    assert read.rate == Decimal("0.1")


def test_what_is_written_now_is_read_without_lifting() -> None:
    priced = Priced(minor=1, currency="CHF", rate=Decimal("7.70"))
    assert decode("test.priced", 3, encode(priced)) == priced


@pytest.mark.parametrize(("type_", "version"), [("test.unheard_of", 1), ("test.priced", 4), ("", 1)])
def test_an_unknown_type_or_a_newer_version_is_named_not_guessed(type_: str, version: int) -> None:
    with pytest.raises(UnknownEvent, match=rf"{type_} version {version}"):
        decode(type_, version, b"{}")


def test_a_version_without_a_way_up_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(codec._upcasters, ("test.priced", 2))
    with pytest.raises(UnknownEvent, match=r"no upcaster for test\.priced version 2"):
        decode("test.priced", 1, b'{"euros":1}')


def test_a_fault_inside_an_upcaster_is_not_taken_for_an_unknown_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(codec._upcasters, ("test.priced", 1), lambda old: {"minor": old["cents"]})
    with pytest.raises(KeyError, match="cents"):
        decode("test.priced", 1, b'{"euros":1}')


def test_two_upcasters_for_one_version_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two upcasters"):
        upcaster("test.priced", 1)(lambda old: old)


def test_two_events_of_one_name_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="declared twice"):
        event("test.priced")(Other)


class Other(Event, frozen=True, kw_only=True):
    pass
