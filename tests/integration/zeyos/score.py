"""What of the document was found to hold: operations with every status they list, fields with all that can be done with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.conformance.test_erp_declarations import FACTS
from tests.integration.zeyos.document import RESOURCES, SET_BY_THEKE, fields_of, is_fixed

FAILURE: Final = 500  # listed everywhere, and nothing a client can bring about
Key = tuple[str, str]


class Score:
    """``faults``: what failed, by (resource, field or operation or property)."""

    def __init__(self) -> None:
        self.faults: dict[Key, list[str]] = {}
        self.seen: dict[Key, set[str]] = {}
        self.statuses: dict[Key, set[int]] = {}
        self.done: set[Key] = set()
        self._news: list[tuple[Key, str]] = []

    def field(self, resource: str, name: str, what: str, *, holds: bool = True, found: Any = "") -> None:
        if holds:
            self.seen.setdefault((resource, name), set()).add(what)
        else:
            self.fault(resource, name, f"{what}: {found}")

    def fault(self, resource: str, thing: str, text: str) -> None:
        self.faults.setdefault((resource, thing), []).append(text)
        self._news.append(((resource, thing), text))

    def news(self) -> list[tuple[Key, str]]:
        """What was found since it was last asked for."""
        news, self._news = self._news, []
        return news

    def status(self, resource: str, kind: str, wanted: int, found: int, text: Any = "") -> None:
        if wanted == found:
            self.statuses.setdefault((resource, kind), set()).add(wanted)
        else:
            self.fault(resource, f"{kind} {wanted}", f"{found} {text}")

    def passed_fields(self) -> list[Key]:
        return [(resource, name) for resource in RESOURCES for name in fields_of(resource) if self._holds(resource, name)]

    def _holds(self, resource: str, name: str) -> bool:
        return (resource, name) not in self.faults and self.seen.get((resource, name), set()) >= self.wanted(resource, name)

    def wanted(self, resource: str, name: str) -> set[str]:
        """What has to be tried with a field."""
        if RESOURCES[resource]["write"] is None or name in SET_BY_THEKE:
            return {"read"}
        fact = fields_of(resource)[name]
        wanted = {"read", "created", "refused", "required" if fact.get("required") and "on_create" not in fact else "absent"}
        return wanted if is_fixed(resource, name) else wanted | {"changed"}

    def listed(self) -> dict[Key, set[int]]:
        """The statuses of every operation."""
        of_rows = {
            (resource, operation["kind"]): {*operation["responses"]} - {FAILURE}
            for resource, facts in RESOURCES.items()
            for operation in facts["operations"]
        }
        return of_rows | {(one["path"][1:], "get"): {*one["responses"]} - {FAILURE} for one in FACTS["system"]}

    def passed_operations(self, unreachable: Mapping[tuple[str, str, int], str]) -> list[Key]:
        """Those of which every status came about that can."""
        faulty = {(resource, thing.partition(" ")[0]) for resource, thing in self.faults}
        return [
            key
            for key, statuses in self.listed().items()
            if key not in faulty and all(status in self.statuses.get(key, set()) or (*key, status) in unreachable for status in statuses)
        ]

    def lines(self, unreachable: Mapping[tuple[str, str, int], str]) -> list[str]:
        counts = FACTS["counts"]
        return [
            f"operations passed: {len(self.passed_operations(unreachable))} of {counts['operations']}",
            f"fields passed: {len(self.passed_fields())} of {counts['fields']}",
        ]
