"""Rows of the ERP as the command line reads and writes them: through the services' ordinary queries and commands, as Theke itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from libs.contracts.erp import RECORDS
from libs.contracts.inventory.items import ITEM
from libs.contracts.resources import RESOURCES
from libs.domain.errors import DomainError
from libs.domain.principal import Principal
from libs.domain.records import RecordType
from libs.domain.resources import LAST_MODIFIED
from libs.records.numbered import Change, Create, Delete, Dropped, Written
from libs.records.query.compile import LIMIT_MAX
from libs.runtime.asking import Services
from libs.runtime.resources import Asked, ById, Found

WRITTEN: Final[Mapping[str, RecordType]] = {**RECORDS, ITEM.resource: ITEM}
_SPECIAL: Final = re.compile(r"([\\%_])")
_read: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)
_read_all: Final = msgspec.json.Decoder(list[dict[str, Any]], float_hook=Decimal)
_written: Final = msgspec.json.Encoder(decimal_format="number")


class Rows:
    """``operator``: who runs the installation, at one instance."""

    def __init__(self, services: Services, operator: Principal) -> None:
        self._services = services
        self._operator = operator

    async def find(self, resource: str, **filters: Any) -> list[dict[str, Any]]:
        """All that have these values; ``name`` in whatever case."""
        if "name" in filters:
            filters["name"] = {"~~*": _SPECIAL.sub(r"\\\1", filters["name"])}
        found: list[dict[str, Any]] = []
        while True:
            page = await self._page(resource, filters, len(found))
            found += page
            if len(page) < LIMIT_MAX:
                return found

    async def _page(self, resource: str, filters: Mapping[str, Any], offset: int) -> list[dict[str, Any]]:
        query = Asked(msgspec.json.encode({"filters": filters, "limit": LIMIT_MAX, "offset": offset}))
        pieces = self._services.stream(RESOURCES[resource].service, f"{resource}.list", query, bytes, principal=self._operator)
        return _read_all.decode(b"".join([part async for piece in pieces for part in piece]))

    async def put(self, resource: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """Changes the row of this ``ID`` if there is one, otherwise makes one; answers it as it is then. Raises DomainError."""
        record = WRITTEN[resource]
        id_ = row.get("ID")
        values = {name: _value(value) for name, value in row.items() if name not in ("ID", LAST_MODIFIED)}
        known = isinstance(id_, int) and await self._exists(resource, id_)
        body = Change(id=id_, values=values) if known and id_ is not None else Create(values=values, id=id_)
        name = f"{record.name}.{'change' if known else 'create'}"
        written, _ = await self._services.command(record.service, name, body, Written, principal=self._operator)
        shown: dict[str, Any] = _read.decode(written.row)
        return shown

    async def drop(self, resource: str, id_: int) -> None:
        record = WRITTEN[resource]
        await self._services.command(record.service, f"{record.name}.delete", Delete(id=id_), Dropped, principal=self._operator)

    async def _exists(self, resource: str, id_: int) -> bool:
        try:
            await self._services.query(RESOURCES[resource].service, f"{resource}.get", ById(id_), Found, principal=self._operator)
        except DomainError as refusal:
            if refusal.reason != "row_not_found":
                raise
            return False
        return True


def _value(value: Any) -> Any:
    """Objects and lists of JSON as their text; lists of single values are kept as lists."""
    return _written.encode(value).decode() if isinstance(value, Mapping) else value
