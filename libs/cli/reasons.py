"""Which refusals the sources name, found by reading them: so that each has its texts and its line in the reference."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from libs.runtime.config import PROJECT

SOURCES: Final = ("libs", "services")
# what f"{…}_not_found" stands for
RECORDS: Final = ("application", "article", "article_group", "option_template", "price_rule", "tax_rate", "table", "table_group", "user")

# function → (kind, place of the reason, are its keywords the parameters)
_CALLS: Final[Mapping[str, tuple[str, int, bool]]] = {
    "not_found": ("not_found", 0, True),
    "conflict": ("conflict", 0, True),
    "unprocessable": ("unprocessable", 0, True),
    "unavailable": ("unavailable", 0, True),
    "_Wrong": ("field", 0, True),
    "Wrong": ("field", 0, True),
    "FieldError": ("field", 1, False),
    "DomainError": ("", 1, False),
    "id": ("not_found", 1, False),  # call.id(name, missing)
    "check_count": ("field", 3, False),
}
_FAULTS: Final = ("invalid", "not_found", "unprocessable", "conflict")  # faults.<kind>(path, reason, **params)
_TABLES: Final = ("_EXPECTED", "_WRONG_TYPE")  # type → reason
_NOT_PARAMS: Final = ("path", "retry_after_s")
_IMPLIED: Final[Mapping[str, tuple[str, ...]]] = {"id": ("id",), "check_count": ("max",)}


class Reason(msgspec.Struct, frozen=True, order=True):
    """One place that names a reason. ``kind``: what it becomes, or ``field``; ``params``: None if they cannot be read there."""

    reason: str
    kind: str
    params: tuple[str, ...] | None
    where: str


def reasons() -> list[Reason]:
    """Every place in libs and services that refuses something, in order."""
    files = (file for folder in SOURCES for file in (PROJECT / folder).rglob("*.py"))
    return sorted((found for file in files for found in _in_file(file)), key=lambda one: (one.reason, one.where))


def _in_file(file: Path) -> Iterator[Reason]:
    where = str(file.relative_to(PROJECT))
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call):
            yield from _in_call(node, where)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and _name(node) in _TABLES:
            texts = (one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str))
            yield from (Reason(text, "field", (), where) for text in texts)


def _in_call(call: ast.Call, where: str) -> Iterator[Reason]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    if _on_faults(call) and name in _FAULTS:
        kind, place, keywords = ("field" if name == "invalid" else name), 1, True
    elif name in _CALLS and (name != "id" or len(call.args) > 1):
        kind, place, keywords = _CALLS[name]
    else:
        return
    if len(call.args) <= place:
        return
    if name == "DomainError":
        kind = call.args[0].attr.lower() if isinstance(call.args[0], ast.Attribute) else ""
    params = _IMPLIED.get(name) or (_keywords(call) if keywords else _literal(call, place + 1))
    yield from (Reason(reason, kind, params, where) for reason in _texts(call.args[place]))


def _on_faults(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) and call.func.value.id == "faults"


def _texts(node: ast.expr) -> Iterable[str]:
    """The reasons an expression can be: a text, or one with a record's name in it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr) and isinstance(node.values[-1], ast.Constant):
        ending = str(node.values[-1].value)
        return [record + ending for record in RECORDS]
    return []


def _keywords(call: ast.Call) -> tuple[str, ...] | None:
    if any(keyword.arg is None for keyword in call.keywords):
        return None
    return tuple(keyword.arg for keyword in call.keywords if keyword.arg and keyword.arg not in _NOT_PARAMS)


def _literal(call: ast.Call, place: int) -> tuple[str, ...] | None:
    if len(call.args) <= place:
        return ()
    given = call.args[place]
    if not isinstance(given, ast.Dict):
        return None
    return tuple(key.value for key in given.keys if isinstance(key, ast.Constant) and isinstance(key.value, str))


def _name(node: ast.Assign | ast.AnnAssign) -> str:
    target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
    return target.id if isinstance(target, ast.Name) else ""
