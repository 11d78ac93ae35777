"""A query of a resource as one statement. Names come from the declaration, values are parameters, aliases never leave Python.

``{"fields": {"no": "itemnum"}, "filters": {"sellingprice": {">": 3}}, "sort": ["-no"], "limit": 50}``
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from libs.domain.access import ALL, Access
from libs.domain.errors import FieldError, invalid
from libs.domain.resources import Column, ColumnType, Join, Resource
from libs.projections.listed import statement
from libs.projections.tables import Statement
from libs.records.query.conditions import Conditions, Pattern, Place, shown
from libs.records.query.values import INT64_MAX
from libs.records.query.visibility import visible
from libs.records.wanted import Wrong, integer_of, search_patterns

LIMIT_MAX: Final = 10_000
LIMIT: Final = 1_000  # unless a query says otherwise
FIELDS_MAX: Final = 100
SORT_MAX: Final = 10
ALIAS_MAX_CHARS: Final = 100
TRUE: Final = (True, 1, "1", "true")
EXTRAS: Final = ("extdata", "tags")  # what rows may show besides their columns
EXTENDED: Final = "extdata."  # how what clients keep with a row is named
NOTHING: Final[tuple[Any, ...]] = (None, "", [], {})
NO_RESOURCES: Final[Mapping[str, Resource]] = {}


class Cell(msgspec.Struct, frozen=True):
    """A column of what a query answers, and how it is called there."""

    name: str
    column: Column
    expanded: bool = False


class Compiled(msgspec.Struct, frozen=True):
    """``arguments`` are those from $2 on; ``cells``: what each column of a row is; ``patterns``: the filters with patterns, regular
    expressions among them are to be tried first; ``costly``: it reads every text there is; ``exports``: all rows are wanted, every cell as
    its text."""

    statement: Statement
    arguments: tuple[Any, ...]
    cells: tuple[Cell, ...]
    patterns: tuple[Pattern, ...] = ()
    costly: bool = False
    exports: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(cell.name for cell in self.cells)


def is_count(asked: Mapping[str, Any]) -> bool:
    return _truthy(asked.get("count"))


def is_export(asked: Mapping[str, Any]) -> bool:
    """A query that counts exports nothing."""
    return _truthy(asked.get("export")) and not is_count(asked)


def compile_query(
    resource: Resource, asked: Mapping[str, Any], resources: Mapping[str, Resource] = NO_RESOURCES, access: Access = ALL
) -> Compiled:
    """``resources``: those that may be joined; ``access``: of who asks. Raises DomainError ``invalid`` naming what is wrong, all of it if
    possible. A query that counts gives one row, ``count``."""
    return _Compiler(resource, asked, resources, access).compiled()


def compile_row(
    resource: Resource, id_: int, asked: Mapping[str, Any], resources: Mapping[str, Resource] = NO_RESOURCES, access: Access = ALL
) -> Compiled:
    """One row, if it is seen, behind its ``id``, ``version`` and ``key``; of ``asked`` count what it is to show besides its columns."""
    return _Compiler(resource, asked, resources, access).row(id_)


Sort = tuple[tuple[Place, str], ...]


class _Compiler:
    def __init__(self, resource: Resource, asked: Mapping[str, Any], resources: Mapping[str, Resource], access: Access) -> None:
        self._resource = resource
        self._asked = asked
        self._resources = resources
        self._access = access
        self._faults: list[FieldError] = []
        self._joins: dict[str, Join] = {}
        self._places: dict[str, Place | None] = {}
        self._conditions = Conditions(self._find, self._faults)

    def compiled(self) -> Compiled:
        distinct, counts, exports = _truthy(self._asked.get("distinct")), is_count(self._asked), is_export(self._asked)
        fields = {} if counts and not distinct else self._fields()
        expanded = frozenset() if counts or exports else self._expanded()
        fields = _with_contents(fields, expanded)
        sort = () if counts else self._sort(fields, distinct)
        where = self._where()
        bounds = "" if counts else self._bounds(exports)
        if self._faults:
            raise invalid(*self._faults)
        text = self._text(fields, where, distinct=distinct, counts=counts, exports=exports, tail=(sort, bounds))
        made = self._conditions
        cells = (Cell("count", COUNT),) if counts else _cells(fields, expanded)
        return Compiled(statement(text), tuple(made.arguments), cells, tuple(made.patterns), made.costly, exports)

    def row(self, id_: int) -> Compiled:
        fields = self._fields()
        expanded = self._expanded()
        fields = _with_contents(fields, expanded)
        if self._faults:
            raise invalid(*self._faults)
        columns = ", ".join(f"{place.sql} as c{ix}" for ix, place in enumerate(fields.values()))
        key = "t.key" if self._resource.keyed else "''"
        id_is, seen = self._conditions.parameter(id_, "bigint"), self._visible(self._resource, "t")
        text = f"select t.id, t.version, {key} as key, {columns} from {self._tables()} where t.instance = $1 and t.id = {id_is} and {seen}"
        return Compiled(statement(text), tuple(self._conditions.arguments), _cells(fields, expanded))

    def _text(self, fields: Mapping[str, Place], where: str, *, distinct: bool, counts: bool, exports: bool, tail: tuple[Sort, str]) -> str:
        sort, bounds = tail
        source = f"{self._tables()} where t.instance = $1 and ({where})"
        cell = "({})::text" if exports else "{}"
        if not distinct:
            columns = "count(*)" if counts else ", ".join(f"{cell.format(place.sql)} as c{ix}" for ix, place in enumerate(fields.values()))
            return f"select {columns} from {source}{_ordered((place.order, way) for place, way in sort)}{bounds}"
        places = list(fields.values())
        inner = ", ".join(f"{place.sql} as c{ix}, {place.order} as o{ix}" for ix, place in enumerate(places))
        columns = ", ".join(f"r.c{ix}" for ix in range(len(places)))
        cells = ", ".join(cell.format(f"r.c{ix}") for ix in range(len(places)))
        rows = f"select {cells} from (select {inner} from {source}) r group by {columns}"
        if counts:
            return f"select count(*) from ({rows}) n"
        named = [(f"min(r.o{places.index(place)})", way) for place, way in sort]
        folded = [(f'r.c{ix} collate "C"', "asc") for ix, place in enumerate(places) if place.column.order]  # Ab and ab are two
        return rows + _ordered([*named, *folded]) + bounds

    def _visible(self, resource: Resource, alias: str) -> str:
        return visible(resource, alias, self._access, self._resources, self._conditions.parameter)

    # what is named

    def _find(self, path: str) -> Place | None:
        """The same for the same path, so that names in it are parameters once."""
        if path not in self._places:
            self._places[path] = self._located(path)
        return self._places[path]

    def _located(self, path: str) -> Place | None:
        name, dot, further = path.partition(".")
        if not dot:
            return _place(self._resource, self._resource.column(name), "t", path)
        if path.startswith(EXTENDED) and self._resource.extdata:
            return self._extended("t", further, path)
        join = self._resource.joins.get(name)
        other = self._resources.get(join.resource) if join else None
        if join is None or other is None:
            return None
        alias = f"j_{name}"
        if further.startswith(EXTENDED) and other.extdata:
            place = self._extended(alias, further[len(EXTENDED) :], path)
        else:
            place = _there(_place(other, other.column(further), alias, path), alias)
        if place is not None:
            self._joins[name] = join
        return place

    def _extended(self, alias: str, name: str, path: str) -> Place | None:
        """What a client keeps with a row, by a name that is its own: a text, and a number if it was written as one."""
        if not 0 < len(name) <= ALIAS_MAX_CHARS or not name.isprintable():
            return None
        parameter = self._conditions.parameter(name, "text")
        sql = f"({alias}.extdata ->> {parameter})"
        number = f"(case when jsonb_typeof({alias}.extdata -> {parameter}) = 'number' then {sql}::numeric end)"
        return Place(Column(name=path, type=ColumnType.TEXT, sql=sql), sql, f'{sql} collate "C"', path, number)

    def _tables(self) -> str:
        """What the caller may not see of another resource is as if there were no row."""
        joined = []
        for name, join in self._joins.items():
            other, alias = self._resources[join.resource], f"j_{name}"
            seen = self._visible(other, alias) if self._access.may_read(other.read) else "false"
            joined.append(
                f"left join {{{other.table}}} {alias} on {alias}.instance = $1 and {join.on.replace('@', alias)} and {seen}"
            )  # fmt: skip
        return " ".join([f"{{{self._resource.table}}} t", *joined])

    def _known(self, path: Any, where: str) -> Place | None:
        place = self._find(path) if isinstance(path, str) else None
        if place is None:
            self._faults.append(FieldError(shown(path) if isinstance(path, str) else where, "unknown_field"))
        return place

    def _fields(self) -> dict[str, Place]:
        """What is shown; the last are those that a query wants besides its columns."""
        found = self._selected()
        named = _listed(self._asked.get("expand")) or ()
        for extra in EXTRAS:
            if (_truthy(self._asked.get(extra)) or extra in named) and extra not in found and getattr(self._resource, extra):
                column = Column(name=extra, type=ColumnType.JSON, sql=f"@.{extra}")
                found[extra] = _sure(_place(self._resource, column, "t", extra))
        return found

    def _selected(self) -> dict[str, Place]:
        asked = self._asked.get("fields")
        if asked is None or asked in ([], {}):
            return {column.name: _sure(_place(self._resource, column, "t", column.name)) for column in self._resource.columns}
        if isinstance(asked, str):
            asked = [asked]
        if not isinstance(asked, Mapping | list | tuple):
            self._faults.append(FieldError("fields", "expected_list"))
            return {}
        if len(asked) > FIELDS_MAX:
            raise invalid(FieldError("fields", "too_many", {"max": FIELDS_MAX}))
        found = {}
        for alias, path in asked.items() if isinstance(asked, Mapping) else enumerate(asked):
            place = self._known(path, "fields")
            name = path if isinstance(alias, int) or alias.isdigit() else alias
            if not isinstance(name, str) or len(name) > ALIAS_MAX_CHARS or not name.isprintable():
                self._faults.append(FieldError("fields", "bad_alias", {"max": ALIAS_MAX_CHARS}))
            elif place is not None:
                found[name] = place
        return found

    def _sort(self, fields: Mapping[str, Place], distinct: bool) -> Sort:
        """The id decides between equals; between distinct rows the rest of the row does."""
        asked = _listed(self._asked.get("sort"))
        if asked is None:
            self._faults.append(FieldError("sort", "expected_list"))
            return ()
        if len(asked) > SORT_MAX:
            raise invalid(FieldError("sort", "too_many", {"max": SORT_MAX}))
        found: list[tuple[Place, str]] = []
        for path in asked:
            bare = path[1:] if isinstance(path, str) and path[:1] in ("+", "-") else path
            place = self._known(bare, "sort")
            if place is not None and distinct and place not in fields.values():
                self._faults.append(FieldError(shown(bare), "sort_not_selected"))
            elif place is not None and place.column.type is ColumnType.JSON:
                self._faults.append(FieldError(shown(bare), "not_comparable"))
            elif place is not None:
                found.append((place, "desc" if path.startswith("-") else "asc"))
        last = list(fields.values()) if distinct else [_sure(self._find(self._resource.columns[0].name))]
        return (*found, *((place, "asc") for place in last))

    # what is wanted

    def _where(self) -> str:
        conditions = self._conditions
        parts = [self._visible(self._resource, "t")]
        parts += [conditions.compile(asked, name) for name in ("filter", "filters") if (asked := self._asked.get(name)) not in NOTHING]
        parts += self._search()
        return " and ".join(f"({part})" for part in parts) or "true"

    def _search(self) -> list[str]:
        asked = self._asked.get("query")
        if isinstance(asked, list | tuple) and all(isinstance(word, str) for word in asked):
            asked = " ".join(asked)
        if asked is None or asked == "":
            return []
        if isinstance(asked, int) and not isinstance(asked, bool):
            asked = str(asked)
        if not isinstance(asked, str):
            self._faults.append(FieldError("query", "expected_text"))
            return []
        if not self._resource.search:
            self._faults.append(FieldError("query", "not_offered"))
            return []
        patterns = search_patterns(asked, self._faults, "query")
        if not patterns:
            return []
        self._conditions.costly = True
        return [f"{self._resource.search.replace('@', 't')} like {self._conditions.parameter(pattern, 'text')}" for pattern in patterns]

    def _bounds(self, exports: bool) -> str:
        """An export has all rows unless it says how many."""
        limit = self._whole("limit", INT64_MAX if exports else LIMIT, 1)
        offset = self._whole("offset", 0, 0)
        parameter = self._conditions.parameter
        return f" limit {parameter(limit if exports else min(limit, LIMIT_MAX), 'bigint')} offset {parameter(offset, 'bigint')}"

    def _whole(self, name: str, otherwise: int, least: int) -> int:
        asked = self._asked.get(name)
        if asked is None or asked == "":
            return otherwise
        try:
            if isinstance(asked, bool) or not isinstance(asked, str | int):
                raise Wrong("expected_integer")
            number = integer_of(str(asked) if not isinstance(asked, int) or abs(asked) <= INT64_MAX else str(2 * INT64_MAX), INT64_MAX)
            if number < least:
                raise Wrong("out_of_range", min=least, max=INT64_MAX if name == "offset" else LIMIT_MAX)
        except Wrong as wrong:
            self._faults.append(FieldError(name, wrong.reason, wrong.params))
            return otherwise
        return number

    def _expanded(self) -> frozenset[str]:
        """The paths of columns that show what they hold."""
        asked = _listed(self._asked.get("expand"))
        if asked is None or len(asked) > FIELDS_MAX:
            self._faults.append(FieldError("expand", "expected_list"))
            return frozenset()
        expanded = set()
        for name in asked:
            if isinstance(name, str) and name in EXTRAS:
                continue
            place = self._find(name) if isinstance(name, str) else None
            if place is None or not place.column.expandable:
                self._faults.append(FieldError(shown(str(name)), "unknown_field"))
            else:
                expanded.add(place.path)
        return frozenset(expanded)


COUNT: Final = Column(name="count", type=ColumnType.INTEGER, sql="")


def _cells(fields: Mapping[str, Place], expanded: frozenset[str]) -> tuple[Cell, ...]:
    return tuple(Cell(name, place.column, _is_expanded(place, expanded)) for name, place in fields.items())


def _is_expanded(place: Place, expanded: frozenset[str]) -> bool:
    """A name stands for the columns of that name in joined rows too, a path for itself."""
    return place.path in expanded or place.column.name in expanded


def _with_contents(fields: Mapping[str, Place], expanded: frozenset[str]) -> dict[str, Place]:
    """Where a file is shown as what it holds, a row has the place of its content instead of its ID: ``<sha256>:<bytes>``. Whoever sees
    the row sees its files."""
    found = dict(fields)
    for ix, (name, place) in enumerate(fields.items()):
        if place.column.file and _is_expanded(place, expanded):
            kept = f"from {{crm.binfiles}} f{ix} where f{ix}.instance = $1 and f{ix}.id = {place.sql}"
            found[name] = msgspec.structs.replace(place, sql=f"(select f{ix}.sha256 || ':' || f{ix}.size {kept})")
    return found


def _truthy(value: Any) -> bool:
    return not isinstance(value, Mapping | list | tuple) and value in TRUE


def _listed(asked: Any) -> Sequence[Any] | None:
    """One or many, as JSON or a form has them; None if it is neither."""
    if asked is None or asked == "" or asked == {}:
        return ()
    if isinstance(asked, str):
        return [asked]
    if isinstance(asked, Mapping):
        return list(asked.values())
    return asked if isinstance(asked, list | tuple) else None


def _place(resource: Resource, column: Column | None, alias: str, path: str) -> Place | None:
    if column is None:
        return None
    sql = column.sql.replace("@", alias)
    as_text = f"({sql})::text" if column.type is ColumnType.JSON else sql
    collated = ' collate "C"' if column.type in (ColumnType.TEXT, ColumnType.JSON) else ""
    search = resource.search.replace("@", alias) if column.searched else ""
    return Place(column, sql, column.order.replace("@", alias) or as_text + collated, path, search=search)


def _there(place: Place | None, alias: str) -> Place | None:
    """Of a joined row: an expression may make something of no row."""
    if place is None or place.sql.removeprefix(f"{alias}.").isidentifier():
        return place
    there = f"(case when {alias}.instance is not null then {{}} end)"
    return msgspec.structs.replace(place, sql=there.format(place.sql), order=there.format(place.order))


def _sure(place: Place | None) -> Place:
    assert place is not None
    return place


def _ordered(keys: Any) -> str:
    listed = ", ".join(f"{sql} {way}" for sql, way in keys)
    return f" order by {listed}" if listed else ""
