"""The page of the ERP's API: every resource with its columns, rules and rights, as they are declared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from libs.contracts.erp import RECORDS
from libs.contracts.inventory.items import ITEM, STORED
from libs.contracts.resources import RESOURCES
from libs.domain import rules
from libs.domain.records import INT32_MAX, Field, FieldType, OnDelete, RecordType, Unique
from libs.domain.resources import Column, Resource
from libs.domain.rules import Rule, When

WRITTEN: Final[Mapping[str, RecordType]] = {**RECORDS, ITEM.resource: ITEM}
GONE: Final = {OnDelete.DELETE: "goes with it", OnDelete.CLEAR: "null when that goes", OnDelete.KEEP: "stays when that goes"}


def sections() -> str:
    return "\n".join(_section(RESOURCES[name], WRITTEN.get(name)) for name in sorted(RESOURCES))


def _section(resource: Resource, record: RecordType | None) -> str:
    rows = "".join(f"| `{column.name}` | {column.type} | {_of(column, _field(record, column))} |\n" for column in resource.columns)
    return f"### {resource.name}\n\n{_rights(resource, record)}\n\n| column | type | |\n| --- | --- | --- |\n{rows}{_rules(record)}"


def _field(record: RecordType | None, column: Column) -> Field | None:
    return next((field for field in record.fields if field.name == column.name), None) if record is not None else None


def _rights(resource: Resource, record: RecordType | None) -> str:
    said = [f"Read with {_modules(resource.read)}"]
    if record is None or record.write is None:
        said.append("not written by clients")
    else:
        said.append(f"written with {_modules(record.write, ' for writing')}")
        if record.creator_writes:
            said.append("only by who made the row")
    if resource.owner_user or resource.owner_group:
        said.append("rows have owners: " + ", ".join(f"`{name}`" for name in (resource.owner_group, resource.owner_user) if name))
    if record is not None and record.parents:
        said.append(
            ("one of these decides about the row: " if record.any_parent else "these decide about the row: ") + _names(record.parents)
        )
    extras = [name for name, there in (("`tags`", resource.tags), ("`extdata`", resource.extdata)) if there]
    if extras:
        said.append("has " + " and ".join(extras))
    searched = [field.name for field in record.fields if field.searchable] if record is not None else []
    if searched:
        said.append("`query` searches " + _names(searched))
    return "; ".join(said) + "."


def _modules(modules: tuple[str, ...], more: str = "") -> str:
    return " or ".join(f"`{module}`" for module in modules) + more if modules else "any login"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _of(column: Column, field: Field | None) -> str:
    """What may stand in a column, then what it is."""
    choices = ", ".join(f"{number} {name}" for number, name in column.choices.items())
    facts = [choices] if choices else []
    if field is not None:
        facts += _bounds(field, named=bool(choices))
        if field.refers:
            facts.append(f"a row of `{field.refers}`, {GONE[field.on_delete]}")
        if field.refers_by:
            facts.append(f"a row of the resource that `{field.refers_by}` names, {GONE[field.on_delete]}")
    if column.name in STORED and field is not None and field in ITEM.fields:
        facts.append(f"`{STORED[column.name]}` of the article")
    return "; ".join([*facts, *([column.doc] if column.doc else [])]).replace("|", "\\|")


def _bounds(field: Field, *, named: bool) -> list[str]:
    facts = []
    if field.required:
        facts.append("required")
    elif field.nullable:
        facts.append("may be null")
    if field.fixed:
        facts.append("not changed after creation")
    if field.choices and not named:
        facts.append(", ".join(map(str, field.choices)))
    if field.type is FieldType.TEXT and not field.choices:
        facts.append(f"up to {field.max_chars:,} characters" + ("" if field.single_line else ", any number of lines"))
    if field.pattern:
        facts.append(f"`{field.pattern}`")
    if field.type in (FieldType.INTEGER, FieldType.DECIMAL) and not field.choices:
        facts += _range(field)
    if field.default and not named:
        facts.append(f"default {field.default}")
    return facts


def _range(field: Field) -> list[str]:
    least = f"from {field.low:,}" if field.low is not None and field.low > -INT32_MAX else ""
    most = f"to {field.high:,}" if field.high is not None and field.high < INT32_MAX else ""
    return [" ".join(part for part in (least, most) if part)] if least or most else []


def _rules(record: RecordType | None) -> str:
    if record is None:
        return ""
    lines = [_rule(rule) for rule in record.rules] + [_unique(unique) for unique in record.uniques]
    return "\n" + "".join(f"- {line}\n" for line in lines) if lines else ""


def _rule(rule: Rule) -> str:
    match rule:
        case rules.OnlyWhen(field=field, when=when):
            return f"`{field}` only if {_when(when)}"
        case rules.RequiredWhen(field=field, when=when):
            return f"`{field}` is required if {_when(when)}"
        case rules.ValueWhen(field=field, value=value, when=when):
            return f"`{field}` is {value} if {_when(when)}"
        case rules.ChoiceWhen(field=field, choices=choices, when=when):
            return f"`{field}` is one of {', '.join(map(str, choices))} if {_when(when)}"
        case rules.AtLeastOne(fields=fields):
            return f"at least one of {_names(fields)}"
        case rules.AtMostOne(fields=fields):
            return f"at most one of {_names(fields)}"
        case rules.ExactlyOne(fields=fields):
            return f"exactly one of {_names(fields)}"
        case rules.Together(fields=fields):
            return f"all or none of {_names(fields)}"
        case rules.Ordered(first=first, second=second):
            return f"`{first}` is not after `{second}`"
        case rules.Distinct(field=field, other=other):
            return f"`{field}` is not `{other}`"
        case rules.NotZero(field=field):
            return f"`{field}` is not 0"
        case rules.PositiveWhenSet(field=field, other=other):
            return f"`{field}` is above 0 if `{other}` has a value"
        case rules.Positive(field=field):
            return f"`{field}` is above 0"
    raise LookupError(f"no words for {rule!r}")


def _when(when: When) -> str:
    values = ", ".join("null" if value is None else str(value) for value in when.values)
    return f"`{when.field}` is {'not ' if when.otherwise else ''}{'one of ' if len(when.values) > 1 else ''}{values}"


def _unique(unique: Unique) -> str:
    said = f"unique: {_names(unique.fields)}"
    said += ", in whatever case" if unique.fold else ""
    said += ", either way round" if unique.unordered else ""
    return said + (f", unless {_when(unique.unless)}" if unique.unless is not None else "")
