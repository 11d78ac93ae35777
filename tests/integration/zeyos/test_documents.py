"""What the documents of the ERP tell one to type, typed; in the shapes in which its vendor's examples ask."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from libs.cli.acting import operator_of
from libs.cli.applications import create
from tests.house import Inn
from tests.integration.dikas.test_documents import answers, shell_of


@pytest.mark.skipif(shutil.which("curl") is None, reason="the lines need curl")
async def test_queries_as_they_are_written(inn: Inn, tmp_path: Path) -> None:
    services = inn.theke.services
    shop = await create(services, await operator_of(services, inn.name), "web-shop", name="Web shop")
    script = shell_of("docs/how-to/query-an-erp.md").replace("http://127.0.0.1:5015/demo", f"{inn.theke.url}/{inn.name}")
    login, contacts, accounts, counted, expanded = await answers(f"cd '{tmp_path}'\nsecret={shop.secret}\n{script}")
    assert list(login) == ["user", "application", "token", "identifier", "expdate"]
    assert (login["application"], login["identifier"], len(login["token"])) == (shop.id, "Laptop-7", 40)
    assert [(row["lastname"], row["firstname"]) for row in contacts] == [("Albers", "Kim"), ("Brandt", "Kim"), ("Conrad", "Kim")]
    assert [list(row) for row in accounts] == [["Number", "Company", "Route", "Town", "Agent"]] * 2
    assert [(row["Company"], row["Route"], row["Town"], row["Agent"]) for row in accounts] == [
        ("Bergstation", "north", "Linz", None),
        ("Cafe-Mitte", "north", "Linz", None),
    ]
    assert counted == {"count": 3}
    (row,) = expanded
    assert row["transactionnum"] == "A-1"
    assert (row["items"][0]["name"], row["items"][0]["sellingprice"]) == ("Terrace for twelve", Decimal(80))
