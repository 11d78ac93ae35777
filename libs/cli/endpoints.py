"""``theke endpoints``: how much of the dialect is built, section by section, from the project's own table of what is expected."""

from __future__ import annotations

import argparse
import csv
import importlib
import re
import sys
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

import msgspec

from libs.cli import exits
from libs.runtime.config import PROJECT, Settings

TABLE: Final = PROJECT / "libs" / "contracts" / "dikas" / "endpoints.csv"
ROUTES_MODULE: Final = "services.gateway.dikas.routes"  # libraries do not know services


class Expected(msgspec.Struct, frozen=True):
    """An endpoint of the dialect. ``origin``: ``seed`` and ``seed-area`` from the first description of the dialect, ``public`` from its
    published reference, ``proposed`` ours."""

    section: str
    method: str
    path: str
    origin: str


class Progress(msgspec.Struct, frozen=True):
    """``missing``: endpoints that are expected and not built."""

    section: str
    built: int
    expected: int
    missing: tuple[str, ...] = ()


class Standing(msgspec.Struct, frozen=True):
    """``beyond``: what is built and not in the table, by section (``expected`` is 0 there)."""

    built: int
    expected: int
    sections: tuple[Progress, ...]
    beyond: tuple[Progress, ...]


@cache
def expected() -> tuple[Expected, ...]:
    """Every endpoint of the dialect, section by section."""
    with TABLE.open(newline="") as file:
        return tuple(Expected(**row) for row in csv.DictReader(file))


def _bare(method: str, path: str) -> str:
    """Method and path; what a part of a path is called does not matter."""
    return f"{method} {re.sub(r'{[^}]*}', '{}', path)}"


def standing(routes: Iterable[Any]) -> Standing:
    """What of the table these routes are, and what they are beside it."""
    wanted = {_bare(row.method, row.path): row.section for row in expected()}
    built = {_bare(route.method, route.path): route.section for route in routes if route.listed}
    sections = tuple(_progress(section, built) for section in dict.fromkeys(wanted.values()))
    beside = [section for name, section in built.items() if name not in wanted]
    beyond = tuple(Progress(section, beside.count(section), 0) for section in dict.fromkeys(beside))
    return Standing(sum(one.built for one in sections), len(expected()), sections, beyond)


def _progress(section: str, built: Iterable[str]) -> Progress:
    rows = [row for row in expected() if row.section == section]
    missing = tuple(f"{row.method} {row.path}" for row in rows if _bare(row.method, row.path) not in built)
    return Progress(section, len(rows) - len(missing), len(rows), missing)


# --- the command --------------------------------------------------------------------------------------------------------------


def add(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subcommands.add_parser(
        "endpoints",
        help="how much of the dialect is built",
        description="Endpoints built and expected, by section. Nothing needs to run.",
    )
    command.add_argument("section", nargs="*", metavar="SECTION", help="only these; what they lack is listed")
    command.add_argument("--complete", action="store_true", help=f"exit code {exits.FAILED} if something is missing")
    command.add_argument("--json", action="store_true", help="for programs: one JSON value")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace, _: Settings) -> int:
    found = standing(importlib.import_module(ROUTES_MODULE).ROUTES)
    known = [one.section for one in found.sections]
    if unknown := [section for section in arguments.section if section not in known]:
        print(f"theke: no section {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return exits.USAGE
    if arguments.section:
        chosen = tuple(one for one in found.sections if one.section in arguments.section)
        found = Standing(sum(one.built for one in chosen), sum(one.expected for one in chosen), chosen, ())
    print(msgspec.json.encode(found).decode() if arguments.json else _shown(found, missing=bool(arguments.section)))
    return exits.FAILED if arguments.complete and found.built < found.expected else exits.DONE


def _shown(found: Standing, *, missing: bool) -> str:
    lines = []
    for one in found.sections:
        lines.append(f"{one.section:<18}{one.built:>4} of {one.expected}")
        lines += [f"  lacks {endpoint}" for endpoint in one.missing if missing]
    lines.append(f"{'all':<18}{found.built:>4} of {found.expected}")
    lines += [f"{one.section:<18}{one.built:>4} beyond" for one in found.beyond]
    return "\n".join(lines)
