"""What refers to a deleted row forgets it, also where nobody could say so at the time."""

from __future__ import annotations

from typing import Any

import pytest

from libs.runtime.erp import Forgetting
from services.billing.records import ERP as BILLING
from tests.house import Inn, Theke
from tests.integration.zeyos.desk import Desk


async def test_a_service_that_was_not_told_finds_the_reference_to_nothing(
    theke: Theke, shared_inn: Inn, monkeypatch: pytest.MonkeyPatch
) -> None:
    erp = Desk(theke.url, shared_inn.name)
    await erp.login()
    account = (await erp.create("accounts", lastname="Winter", currency="EUR"))["ID"]
    invoice = (await erp.create("transactions", transactionnum="Sweep-1", currency="EUR", type=3, account=account))["ID"]

    async def nobody_hears(*_: Any, **__: Any) -> None:
        return None

    with monkeypatch.context() as deaf:
        deaf.setattr(Forgetting, "_tell", nobody_hears)
        await erp.delete("accounts", account)
    assert (await erp.row("transactions", invoice))["account"] == account
    forgetting = Forgetting(theke.hosts["billing"], BILLING.family)
    await forgetting.start()
    await forgetting.sweep(shared_inn.instance)
    assert (await erp.row("transactions", invoice))["account"] is None
    assert await forgetting.sweep(shared_inn.instance) == 0
    await erp.close()
