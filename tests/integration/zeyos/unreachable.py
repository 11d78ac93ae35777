"""Statuses that the document lists and that cannot be brought about. One that comes all the same fails the suite."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from libs.contracts.erp import RECORDS
from tests.integration.zeyos.document import RESOURCES, fields_of

OPEN: Final = "no permission is asked for, and rows that are not seen are not there"
STAYS: Final = "such rows belong to nobody and depend on nothing"


def _unreachable() -> Iterable[tuple[tuple[str, str, int], str]]:
    for resource, facts in RESOURCES.items():
        kinds = {operation["kind"] for operation in facts["operations"]}
        if not facts["read"]["any_of"]:
            yield (resource, "get", 403), OPEN
        if "create" in kinds and not _guarded(resource):
            for kind in ("create", "update", "delete"):
                yield (resource, kind, 403), OPEN
        if "create" in kinds and not _may_vanish(resource):
            for kind in ("create", "update"):
                yield (resource, kind, 410), STAYS


def _guarded(resource: str) -> bool:
    facts = RESOURCES[resource]
    record = RECORDS.get(resource)
    above = record.parents if record is not None else ()
    owned = [resource, *(fields_of(resource)[name]["ref"] for name in above)]
    return bool(facts["write"]["any_of"] or facts["write"].get("creator") or any("ownergroup" in fields_of(name) for name in owned))


def _may_vanish(resource: str) -> bool:
    record = RECORDS.get(resource)
    return "ownergroup" in fields_of(resource) or bool(record is not None and record.parents)


# statuses that are listed and cannot come about: (resource, operation, status): why
UNREACHABLE: Final = dict(_unreachable())
