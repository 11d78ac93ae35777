"""``theke records put``: rows of the ERP out of a file, through the same commands as every other write."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec

from libs.cli import exits
from libs.cli.acting import act, operator_of, said
from libs.cli.rows import WRITTEN, Rows
from libs.domain.errors import DomainError
from libs.runtime.asking import Services
from libs.runtime.config import Settings

FILE_MAX_BYTES: Final = 25 * 1024 * 1024
ROWS_MAX: Final = 10_000
_value: Final = msgspec.json.Decoder(float_hook=Decimal)
_plain: Final = msgspec.json.Encoder(decimal_format="number")

EPILOG: Final = """\
FILE holds one row, a list of rows, or a row on every line; `-` reads standard input. A row with an `ID` that there is is changed, any
other is made. Rows are written one after the other; the first that is refused ends it, those before it stay.

  theke records put demo weblets weblets.json
  echo '{"name": "Prices", "identifier": "shop.prices", "type": 2}' | theke records put demo services -

Applications are registered with `theke applications`, groups with `theke groups`, users are the staff.
"""


class Unreadable(Exception):
    """The file holds no rows."""


def add(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subcommands.add_parser(
        "records",
        help="write rows of the ERP out of a file",
        description="Write rows of the ERP as Theke itself: also those that the API only reads.",
    )
    actions = command.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    put = actions.add_parser(
        "put",
        help="make or change rows",
        description="Make or change rows of a resource.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    put.add_argument("instance", metavar="INSTANCE")
    put.add_argument("resource", metavar="RESOURCE", choices=sorted(WRITTEN), help="as the API calls it: " + ", ".join(sorted(WRITTEN)))
    put.add_argument("file", metavar="FILE", help="JSON, or JSON lines")
    put.add_argument("--json", action="store_true", help="for programs: the rows as they are now, one JSON value")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    try:
        rows = rows_of(_content(arguments.file))
    except (OSError, Unreadable) as fault:
        print(f"theke: {fault}", file=sys.stderr)
        return exits.USAGE
    return act(settings, lambda services: _put(arguments, services, rows))


def _content(name: str) -> bytes:
    if name == "-":
        content = sys.stdin.buffer.read(FILE_MAX_BYTES + 1)
    else:
        with Path(name).open("rb") as file:
            content = file.read(FILE_MAX_BYTES + 1)
    if len(content) > FILE_MAX_BYTES:
        raise Unreadable(f"{name} is larger than {FILE_MAX_BYTES // 1024**2} MiB")
    return content


def rows_of(content: bytes) -> list[dict[str, Any]]:
    """Raises Unreadable."""
    try:
        found = _value.decode(content)
    except (msgspec.DecodeError, RecursionError):
        found = _lines(content)
    rows = found if isinstance(found, list) else [found]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise Unreadable("expected a row, a list of rows, or a row on every line")
    if len(rows) > ROWS_MAX:
        raise Unreadable(f"{len(rows)} rows are more than {ROWS_MAX}; split the file")
    return rows


def _lines(content: bytes) -> list[Any]:
    rows = []
    for number, line in enumerate(content.splitlines(), start=1):
        if line.strip():
            try:
                rows.append(_value.decode(line))
            except (msgspec.DecodeError, RecursionError) as fault:
                raise Unreadable(f"line {number}: {fault}") from None
    return rows


async def _put(arguments: argparse.Namespace, services: Services, rows: Sequence[dict[str, Any]]) -> int:
    target = Rows(services, await operator_of(services, arguments.instance))
    written: list[dict[str, Any]] = []
    refused = ""
    for number, row in enumerate(rows, start=1):
        try:
            written.append(await target.put(arguments.resource, row))
        except DomainError as refusal:
            refused = f"row {number} of {len(rows)}: {said(refusal)}"
            break
    if arguments.json:
        print(_plain.encode(written).decode())
    else:
        for shown in written:
            print(f"{arguments.resource} {shown['ID']}")
    if refused:
        print(f"theke: {refused}; {len(written)} written before it", file=sys.stderr)
        return exits.FAILED
    return exits.DONE
