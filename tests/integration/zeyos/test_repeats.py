"""A repeated command of the ERP is answered as it was."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from libs.domain.errors import unavailable
from libs.domain.principal import system
from libs.records.numbered import Create, Numbered, Written
from tests.house import Inn, Theke


async def test_a_repeated_create_is_answered_also_when_what_completes_it_would_fail_now(
    theke: Theke, shared_inn: Inn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its ID is drawn before it is decided; a repeat whose drawing failed was an internal error, though the row stood there."""
    id_, asked, who = uuid4(), Create(values={"name": "once"}), system(shared_inn.instance, "test")
    first, _ = await theke.services.command("crm", "note.create", asked, Written, principal=who, id=id_)

    async def none_free(*_: Any) -> int:
        raise unavailable("ids_taken")

    monkeypatch.setattr(Numbered, "_drawn", none_free)
    assert (await theke.services.command("crm", "note.create", asked, Written, principal=who, id=id_))[0] == first
