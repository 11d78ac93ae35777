"""Services read each other's query tables only as far as the owner's contract goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from libs.contracts.inventory.tables import TABLES as INVENTORY_TABLES
from libs.contracts.pos.tables import TABLES as POS_TABLES
from libs.projections.declare import Projection
from services.inventory.service import SERVICE as INVENTORY
from services.pos.facts import ARTICLE_COLUMNS, TAX_RATE_COLUMNS
from services.pos.service import SERVICE as POS


@pytest.mark.parametrize(
    ("promised", "projections"), [(INVENTORY_TABLES, INVENTORY.projections), (POS_TABLES, POS.projections)], ids=["inventory", "pos"]
)
def test_what_a_contract_promises_is_there(promised: Mapping[str, tuple[str, ...]], projections: Sequence[Projection]) -> None:
    tables = {table.name: table for projection in projections for table in projection.tables}
    for name, columns in promised.items():
        assert set(columns) <= set(tables[name].columns), name


@pytest.mark.parametrize(("table", "read"), [("articles", ARTICLE_COLUMNS), ("tax_rates", TAX_RATE_COLUMNS)])
def test_the_till_reads_no_more_of_inventory_than_was_promised(table: str, read: tuple[str, ...]) -> None:
    assert set(read) <= set(INVENTORY_TABLES[table])
