"""How long a request was on its way, though no two hosts' clocks agree.

A service that stood still finds a heap of requests nobody waits for any more, and must tell them from fresh ones. Neither clock is
enough by itself: wall clocks are skewed and jump, monotonic clocks of two hosts have nothing in common. So the age is taken twice, and
the smaller one counts: by the wall clocks as they are, and by the monotonic clocks against the fastest message lately seen from the
same sender. A wrong clock can make a request look younger than it is (some work for nothing), hardly ever older (an outage).
"""

from __future__ import annotations

from libs.bus import limits


class _Transit:
    """Differences of two monotonic clocks, receiver minus sender, in ms: the smallest of this window and of the one before."""

    __slots__ = ("_earlier", "_ends", "_lowest")

    def __init__(self, difference: int, now_ms: int) -> None:
        self._earlier = self._lowest = difference
        self._ends = now_ms + limits.TRANSIT_WINDOW_MS

    def beyond_fastest(self, difference: int, now_ms: int) -> int:
        if now_ms >= self._ends:
            self._earlier, self._lowest = self._lowest, difference
            self._ends = now_ms + limits.TRANSIT_WINDOW_MS
        elif difference < self._lowest:
            self._lowest = difference
        return difference - min(self._earlier, self._lowest)


class Ages:
    """Ages of messages in ms, per sender. Knows ``SENDERS_KNOWN_MAX`` senders and starts afresh beyond."""

    def __init__(self) -> None:
        self._senders: dict[str, _Transit] = {}

    def age_ms(self, sender: str, *, sent_ms: int, sent_at_ms: int, now_ms: int, now_at_ms: int) -> int:
        """``sent_ms``/``now_ms`` by the monotonic clocks of sender and receiver, ``…_at_ms`` by their wall clocks. Never below 0."""
        transit = self._senders.get(sender)
        if transit is None:
            if len(self._senders) >= limits.SENDERS_KNOWN_MAX:
                self._senders.clear()
            self._senders[sender] = _Transit(now_ms - sent_ms, now_ms)
            by_monotonic = 0
        else:
            by_monotonic = transit.beyond_fastest(now_ms - sent_ms, now_ms)
        return max(0, min(by_monotonic, now_at_ms - sent_at_ms))
