"""Services read each other's query tables only as far as the owner's contract goes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pytest

from libs.contracts.auth.tables import RECORD_TABLES as AUTH_RECORDS
from libs.contracts.auth.tables import TABLES as AUTH_TABLES
from libs.contracts.billing.tables import RECORD_TABLES as BILLING_RECORDS
from libs.contracts.crm.tables import RECORD_TABLES as CRM_RECORDS
from libs.contracts.inventory.tables import RECORD_TABLES as INVENTORY_RECORDS
from libs.contracts.inventory.tables import TABLES as INVENTORY_TABLES
from libs.contracts.pos.tables import TABLES as POS_TABLES
from libs.projections.declare import Projection
from libs.projections.tables import Statement
from services.auth.service import SERVICE as AUTH
from services.billing.service import SERVICE as BILLING
from services.crm.service import SERVICE as CRM
from services.inventory.service import SERVICE as INVENTORY
from services.pos import reports
from services.pos.facts import ARTICLE_COLUMNS, TAX_RATE_COLUMNS
from services.pos.offers import GROUP_COLUMNS, RULE_COLUMNS, TEMPLATE_COLUMNS
from services.pos.service import SERVICE as POS
from services.pos.tabs.waiting import USER_COLUMNS


@pytest.mark.parametrize(
    ("promised", "projections"),
    [
        ({**AUTH_TABLES, **AUTH_RECORDS}, AUTH.projections),
        ({**INVENTORY_TABLES, **INVENTORY_RECORDS}, INVENTORY.projections),
        (CRM_RECORDS, CRM.projections),
        (BILLING_RECORDS, BILLING.projections),
        (POS_TABLES, POS.projections),
    ],
    ids=["auth", "inventory", "crm", "billing", "pos"],
)
def test_what_a_contract_promises_is_there(promised: Mapping[str, tuple[str, ...]], projections: Sequence[Projection]) -> None:
    tables = {table.name: table for projection in projections for table in projection.tables}
    for name, columns in promised.items():
        assert set(columns) <= set(tables[name].columns), name


@pytest.mark.parametrize(
    ("table", "read"),
    [
        ("articles", ARTICLE_COLUMNS),
        ("article_groups", GROUP_COLUMNS),
        ("option_templates", TEMPLATE_COLUMNS),
        ("price_rules", RULE_COLUMNS),
        ("tax_rates", TAX_RATE_COLUMNS),
    ],
)
def test_the_till_reads_no_more_of_inventory_than_was_promised(table: str, read: tuple[str, ...]) -> None:
    assert set(read) <= set(INVENTORY_TABLES[table])


@pytest.mark.parametrize("statement", [reports._GROUPS, reports._STAFF], ids=["groups", "staff"])
def test_reports_read_no_more_of_others_than_was_promised(statement: Statement) -> None:
    promised = {"auth": AUTH_TABLES, "inventory": INVENTORY_TABLES}
    foreign = re.findall(r"\{(auth|inventory)\.(\w+)\} (\w+)", statement.text)
    assert foreign
    for service, table, alias in foreign:
        read = set(re.findall(rf"(?<![\w.]){alias}\.(\w+)", statement.text)) - {"instance"}
        assert read
        assert read <= set(promised[service][table])


def test_the_till_reads_no_more_of_auth_than_was_promised() -> None:
    assert set(USER_COLUMNS) <= set(AUTH_TABLES["users"])
