"""The lists of what is no record: what is declared of them is what they can do, and nothing a caller writes gets into a statement."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from libs.contracts.auth.commands import COLLEAGUE_ORDERS, ColleagueList
from libs.contracts.pos import lists
from libs.contracts.pos.events import TableState
from libs.contracts.pos.tab_events import KitchenState
from libs.domain.errors import DomainError
from libs.domain.paging import Paged
from libs.projections.listed import statement
from libs.runtime.lists import RowList
from services.auth.staff_queries import COLLEAGUES
from services.pos.house_tables import REPORT_LIST, SHIFT_LIST
from services.pos.queries import RECEIPTS
from services.pos.tabs.queries import CANCELLED_LIST, OPEN_LIST, SERVICE_LIST

MOMENT = datetime(2026, 3, 5, 12, tzinfo=UTC)
DAY = date(2026, 3, 5)
EVERYTHING: tuple[tuple[RowList, tuple[str, ...], Paged], ...] = (
    (
        RECEIPTS,
        lists.RECEIPT_ORDERS,
        lists.ReceiptList(
            number=1, since=MOMENT, until=MOMENT, first_day=DAY, last_day=DAY, staff="'", customer="'", register="'", table="'",
            text="' or true", voided=True, newest_first=True,
        ),
    ),
    (SHIFT_LIST, lists.SHIFT_ORDERS, lists.ShiftList(open=True, first_day=DAY, last_day=DAY, staff="'", register="'")),
    (REPORT_LIST, lists.REPORT_ORDERS, lists.ReportList(first_day=DAY, last_day=DAY, staff="'")),
    (
        OPEN_LIST,
        lists.OPEN_ITEM_ORDERS,
        lists.OpenItemList(table="'", group="'", seat=1, state=KitchenState.HELD, since=MOMENT, staff="'", article="'"),
    ),
    (CANCELLED_LIST, lists.OPEN_ITEM_ORDERS, lists.OpenItemList(table="'", group="'", seat=1, since=MOMENT, staff="'", article="'")),
    (
        SERVICE_LIST,
        lists.TABLE_SERVICE_ORDERS,
        lists.TableServiceList(group="'", waiter="'", state=TableState.FREE, is_active=True),
    ),
    (COLLEAGUES, COLLEAGUE_ORDERS, ColleagueList(at=MOMENT)),
)  # fmt: skip


@pytest.mark.parametrize(("rows", "orders", "wanted"), EVERYTHING, ids=lambda value: type(value).__name__)
def test_a_list_can_all_that_is_declared(rows: RowList, orders: tuple[str, ...], wanted: Any) -> None:
    compiled = rows.compile(wanted)
    given = [
        name for name in wanted.__struct_fields__ if name not in ("sort", "page", "page_size", "newest_first") and _value(wanted, name)
    ]
    assert len(compiled.arguments) == len(given)
    assert all(f"${number}" in compiled.where for number in range(2, len(given) + 2))
    assert "' or true" not in compiled.where
    assert statement(f"select 1 from {_tables(rows)} where {compiled.where}"), "every table in it is bound to the instance"
    for name in orders:
        [column, key] = rows.compile(type(wanted)(**{**_asked(wanted), "sort": (f"-{name}",)})).order
        assert column.endswith(" desc nulls last")
        assert key.endswith(" asc")


def _value(wanted: Any, name: str) -> Any:
    return getattr(wanted, name) is not None


def _asked(wanted: Any) -> dict[str, Any]:
    return {name: getattr(wanted, name) for name in wanted.__struct_fields__}


def _tables(rows: RowList) -> str:
    return rows._lister._tables


@pytest.mark.parametrize(
    ("wanted", "fields"),
    [
        (lists.ReceiptList(page=0, page_size=1_001, sort=("secret",)), {"page", "page_size", "sort"}),
        (lists.ReceiptList(page=1_000_001, number=0, text="x"), {"page", "number", "text"}),
        (lists.ReceiptList(text="x" * 101, sort=("date",) * 6), {"text", "sort"}),
    ],
)
def test_every_parameter_at_fault_is_named(wanted: lists.ReceiptList, fields: set[str]) -> None:
    with pytest.raises(DomainError) as refusal:
        RECEIPTS.compile(wanted)
    assert {fault.path for fault in refusal.value.fields} == fields
