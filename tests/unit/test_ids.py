"""Ids that follow from others are version 5 UUIDs like anybody's."""

from __future__ import annotations

from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from libs.domain.ids import NAMESPACE, command_id, derived


@given(st.uuids(), st.text() | st.integers(0, 5_000))
def test_what_follows_from_a_cause(cause: UUID, step: str | int) -> None:
    assert derived(cause, step) == uuid5(cause, str(step))


@given(st.integers(1, 10**6), st.text(), st.text(), st.text())
def test_a_commands_id(instance: int, principal: str, route: str, key: str) -> None:
    assert command_id(instance, principal, route, key) == uuid5(NAMESPACE, f"{instance}\n{principal}\n{route}\n{key}")
