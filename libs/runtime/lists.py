"""What a service offers for a list of anything that is no record: the queries ``<name>.list`` and ``<name>.count``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from libs.domain.errors import FieldError, invalid
from libs.domain.paging import Paged, check_page
from libs.projections.listed import Compiled, Lister, order_of
from libs.runtime.service import Ask, Query

Check = Callable[[Any, list[FieldError]], None]


class RowList:
    """``wanted``: what can be asked; each field of it that has a value narrows the list by its condition in ``where``, in which ``{}`` is
    the value, or what ``read`` makes of it. ``orders``: what it can be sorted by, as columns. ``show``: a row as it is answered;
    ``check`` finds what else is wrong."""

    def __init__(
        self,
        lister: Lister,
        wanted: type[Paged],
        where: Mapping[str, str],
        orders: Mapping[str, str],
        show: Callable[[Any], Any],
        *,
        read: Mapping[str, Callable[[Any], Any]] = MappingProxyType({}),
        check: Check | None = None,
    ) -> None:
        known = {field.name for field in msgspec.structs.fields(wanted)}
        assert where.keys() <= known, f"{wanted.__name__} has no {sorted(where.keys() - known)}"
        self._lister = lister
        self._wanted = wanted
        self._where = where
        self._orders = orders
        self._show = show
        self._read = read
        self._check = check

    def queries(self, name: str, permission: str = "") -> tuple[Query, ...]:
        return (
            Query(f"{name}.list", self._wanted, self.listed, permission, stream=True),
            Query(f"{name}.count", self._wanted, self.count, permission),
        )

    def compile(self, wanted: Any) -> Compiled:
        """Raises DomainError ``invalid`` naming every parameter at fault."""
        faults: list[FieldError] = []
        if self._check is not None:
            self._check(wanted, faults)
        check_page(wanted, faults)
        order = order_of(wanted.sort, self._orders, self._lister.key, faults)
        if faults:
            raise invalid(*faults)
        given = {name: value for name in self._where if (value := getattr(wanted, name)) is not None}
        narrowing = {name: self._read[name](value) if name in self._read else value for name, value in given.items()}
        conditions = [self._where[name].format(f"${number}") for number, name in enumerate(narrowing, 2)]
        where = " and ".join(("t.instance = $1", *conditions))
        return Compiled(where, tuple(narrowing.values()), order, getattr(wanted, "newest_first", False))

    async def count(self, ask: Ask) -> int:
        """Raises ``invalid`` for a wrong parameter, ``too_large`` for more rows than may be had at once."""
        return await self._lister.count(ask.tables, ask.instance, self.compile(ask.body), ask.body)

    async def listed(self, ask: Ask) -> AsyncIterator[list[Any]]:
        async for rows in self._lister.pieces(ask.tables, ask.instance, self.compile(ask.body), ask.body):
            yield [self._show(row) for row in rows]
