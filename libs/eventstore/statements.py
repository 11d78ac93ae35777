"""SQL lives in files, one statement each, named for what it does."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def sql(name: str) -> str:
    return (files("libs.eventstore") / "sql" / f"{name}.sql").read_text(encoding="utf-8")


def migrations() -> list[tuple[str, str]]:
    """Every migration as (name, text), oldest first."""
    folder = files("libs.eventstore") / "migrations"
    return sorted((item.name, item.read_text(encoding="utf-8")) for item in folder.iterdir() if item.name.endswith(".sql"))
