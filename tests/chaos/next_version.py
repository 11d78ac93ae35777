"""The version after this one: its log has one more migration, and one of its events has a version of which this one knows nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from libs.contracts.pos.events import OrderPlaced
from libs.eventstore import codec, statements
from libs.runtime.config import PROJECT
from tests.chaos.house import STOP_WITHIN_S

MIGRATION: Final = ("9999_of_tomorrow.sql", "alter table commands add column of_tomorrow text default 'tomorrow'")
PYTHONPATH: Final = f"{Path(__file__).parent / 'tomorrow'}:{PROJECT}"
TODAY: Final = OrderPlaced.VERSION


def become() -> None:
    """Makes this process one of the next version; for its whole life."""
    known = statements.migrations
    statements.migrations = lambda: [*known(), MIGRATION]
    know()


def know() -> None:
    """Only the event: to read what the next version wrote."""
    if OrderPlaced.VERSION == TODAY:
        OrderPlaced.VERSION = TODAY + 1
        codec.upcaster(OrderPlaced.TYPE, TODAY)(lambda order: order)


def forget() -> None:
    """Undoes ``know``."""
    OrderPlaced.VERSION = TODAY
    codec._upcasters.pop((OrderPlaced.TYPE, TODAY), None)


class Process:
    """A service of the next version, with the settings of this one's. Not a supervisor's, so whoever starts it ends it."""

    def __init__(self, service: str, environ: Mapping[str, str], output: Path) -> None:
        self._output = output
        with output.open("wb") as opened:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"services.{service}"],
                cwd=PROJECT, env={**environ, "PYTHONPATH": PYTHONPATH}, stdout=opened, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self.pid = self._process.pid

    def said(self) -> str:
        return self._output.read_text(errors="replace")

    def end(self) -> None:
        """However it stands."""
        self._process.kill()
        self._process.wait(STOP_WITHIN_S)


def migrate(postgres_dsn: str, **settings: Any) -> None:
    """What the next version does to the databases before its services start, as their owner."""
    environ = {**os.environ, "PYTHONPATH": PYTHONPATH, "THEKE_POSTGRES_DSN": postgres_dsn, **settings}
    subprocess.run([sys.executable, "-m", "libs.runtime.databases"], cwd=PROJECT, env=environ, check=True, capture_output=True)
