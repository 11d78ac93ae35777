"""The cache of states never grows past its bytes and forgets what was used least."""

from __future__ import annotations

from libs.eventstore.states import ENTRY_OVERHEAD_BYTES, StateCache


def test_a_state_is_found_as_it_was_put() -> None:
    cache = StateCache()
    cache.put(1, "box-a", 3, "state", 100)
    assert cache.get(1, "box-a") == (3, "state")
    assert cache.get(2, "box-a") is None, "another instance"
    cache.drop(1, "box-a")
    cache.drop(1, "box-a")
    assert cache.get(1, "box-a") is None


def test_nothing_is_thrown_out_before_the_batch_is_over() -> None:
    cache = StateCache(max_bytes=1)
    for number in range(10):
        cache.put(1, f"box-{number}", 1, number, 1_000)
    assert len(cache) == 10
    cache.trim()
    assert len(cache) == 0


def test_the_least_recently_used_goes_first() -> None:
    cache = StateCache(max_bytes=3 * (ENTRY_OVERHEAD_BYTES + 100))
    for name in ("a", "b", "c"):
        cache.put(1, name, 1, name, 100)
    assert cache.get(1, "a") is not None
    cache.put(1, "d", 1, "d", 100)
    cache.trim()
    assert [name for name in "abcd" if cache.get(1, name)] == ["a", "c", "d"]


def test_a_state_that_grows_counts_what_was_added() -> None:
    cache = StateCache(max_bytes=ENTRY_OVERHEAD_BYTES + 1_000)
    for version in range(1, 11):
        cache.put(1, "a", version, version, 100)
        cache.trim()
    assert cache.get(1, "a") == (10, 10)
    cache.put(1, "a", 11, 11, 1)
    cache.trim()
    assert len(cache) == 0


def test_after_clearing_there_is_room_again() -> None:
    cache = StateCache(max_bytes=ENTRY_OVERHEAD_BYTES + 10)
    for _ in range(5):
        cache.put(1, "a", 1, "a", 10)
        cache.clear()
    cache.put(1, "a", 1, "a", 10)
    cache.trim()
    assert len(cache) == 1
