"""A client's pace: what is allowed at once, what after a while, and how little is remembered."""

from __future__ import annotations

import pytest

from services.gateway import limits
from services.gateway.rates import Rates, network_of


class Watch:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_a_burst_may_come_at_once_and_then_one_at_the_steady_pace(watch: Watch) -> None:
    rates = Rates(4, watch)
    burst = 4 * limits.RATE_BURST_S
    left = [rates.take("till").left for _ in range(burst)]
    assert left == list(range(burst - 1, -1, -1))
    refused = rates.take("till")
    assert (refused.left, refused.wait_s) == (0, pytest.approx(0.25))
    watch.now += refused.wait_s
    assert rates.take("till").wait_s == 0
    assert rates.take("till").wait_s > 0


def test_what_is_refused_does_not_put_the_next_one_off(watch: Watch) -> None:
    rates = Rates(1, watch)
    while not rates.take("till").wait_s:
        pass
    assert all(rates.take("till").wait_s == pytest.approx(1.0) for _ in range(100))


def test_one_client_is_nothing_to_another(watch: Watch) -> None:
    rates = Rates(1, watch)
    while not rates.take("mad").wait_s:
        pass
    assert rates.take("till").wait_s == 0


def test_no_more_clients_are_remembered_than_the_limit(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENTS_KNOWN_MAX", 10)
    rates = Rates(1, watch)
    for client in range(1_000):
        rates.take(client)
    assert len(rates) == 10


def test_the_addresses_of_one_household_are_one_client() -> None:
    assert network_of("2001:db8:1:2::1") == network_of("2001:db8:1:2:ffff::9") != network_of("2001:db8:1:3::1")
    assert network_of("::ffff:10.0.0.1") == network_of("10.0.0.1") == "10.0.0.1"
    assert network_of("10.0.0.2") != network_of("10.0.0.1")
    assert network_of("fe80::1%eth0") == network_of("fe80::1")
