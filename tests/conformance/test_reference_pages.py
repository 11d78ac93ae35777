"""The reference pages are made from declarations and kept in the tree: they must be what the declarations say today."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from libs.cli import docs
from libs.cli.reasons import reasons
from libs.domain.events import known_events
from services.gateway.dikas.routes import ROUTES
from services.gateway.zeyos.operations import OPERATIONS

PAGES = docs.pages()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_page_is_up_to_date(path: Path) -> None:
    assert path.read_text() == PAGES[path], "run: python -m libs.cli.docs"


def test_every_endpoint_is_described() -> None:
    page = PAGES[docs.REFERENCE / "endpoints.md"]
    for route in ROUTES:
        line = next(line for line in page.splitlines() if f"| {route.method} `{route.path}`" in line)
        assert len(line.split("|")[3].strip()) > 2, line


def test_every_refusal_is_described() -> None:
    page = PAGES[docs.REFERENCE / "errors.md"]
    described = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert {one.reason for one in reasons()} <= described


def test_every_event_of_the_services_is_described() -> None:
    page = PAGES[docs.REFERENCE / "events.md"]
    ours = {type_ for type_, class_ in known_events().items() if class_.__module__.split(".")[0] in ("libs", "services")}
    assert ours
    assert ours == set(re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE))


def test_the_erp_page_counts_what_there_is() -> None:
    """58 resources and two pages of settings; nothing is counted that no route answers."""
    assert len(OPERATIONS) == 60
    assert sum(map(len, OPERATIONS.values())) == 318
    assert "**318 of 318 operations are answered**" in PAGES[docs.REFERENCE / "erp.md"]
