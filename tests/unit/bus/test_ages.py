"""Requests that waited too long are told from fresh ones, whatever the clocks say."""

from __future__ import annotations

import pytest

from libs.bus import limits
from libs.bus.ages import Ages

MINUTE = 60_000


class Hosts:
    """A sender and a receiver whose clocks differ: ``monotonic`` and ``wall`` are what the receiver's show beyond the sender's."""

    def __init__(self, *, monotonic: int = 0, wall: int = 0) -> None:
        self.ages = Ages()
        self.monotonic = monotonic
        self.wall = wall
        self.time = 1_000_000

    def receive(self, transit: int, *, sender: str = "a") -> int:
        """The age seen for a message that was ``transit`` ms under way and arrives now."""
        sent = self.time - transit
        return self.ages.age_ms(
            sender,
            sent_ms=sent,
            sent_at_ms=sent,
            now_ms=self.time + self.monotonic,
            now_at_ms=self.time + self.wall,
        )


@pytest.mark.parametrize("monotonic", [0, -3 * 24 * 60 * MINUTE, 3 * 24 * 60 * MINUTE])
def test_after_standing_still_old_requests_show_their_age(monotonic: int) -> None:
    hosts = Hosts(monotonic=monotonic)
    assert hosts.receive(1) == 0
    hosts.time += 20_000
    assert hosts.receive(15_000) == 14_999
    assert hosts.receive(2) == 1


def test_a_receiver_whose_clock_is_ahead_drops_nothing() -> None:
    hosts = Hosts(wall=10 * MINUTE)
    assert [hosts.receive(3), hosts.receive(5), hosts.receive(4)] == [0, 2, 1]


def test_a_receiver_whose_clock_is_behind_takes_requests_for_young() -> None:
    hosts = Hosts(wall=-10 * MINUTE)
    hosts.receive(1)
    assert hosts.receive(30_000) == 0


@pytest.mark.parametrize("jump", [MINUTE, -MINUTE])
def test_a_jumping_wall_clock_makes_nothing_old(jump: int) -> None:
    hosts = Hosts()
    hosts.receive(1)
    hosts.wall = jump
    assert hosts.receive(1) == 0


def test_a_paused_sender_whose_monotonic_clock_stood_still_is_heard_at_once() -> None:
    hosts = Hosts()
    hosts.receive(1)
    hosts.monotonic = 60 * MINUTE
    assert hosts.receive(1) <= 1


def test_drift_of_the_clocks_is_forgotten() -> None:
    hosts = Hosts()
    for _ in range(1000):
        hosts.time += limits.TRANSIT_WINDOW_MS
        hosts.monotonic += 1
        assert hosts.receive(1) <= 3


def test_strangers_do_not_fill_the_memory() -> None:
    hosts = Hosts()
    for number in range(3 * limits.SENDERS_KNOWN_MAX):
        hosts.receive(1, sender=str(number))
    assert len(hosts.ages._senders) <= limits.SENDERS_KNOWN_MAX
