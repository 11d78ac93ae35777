"""Values for many fields of a row at once, that go together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from libs.domain.rules import is_empty
from tests.integration.zeyos.document import EPOCH, NUMBERED, Ref, fields_of, value_of
from tests.integration.zeyos.rows import broken, completed

# what decides what else a row may have
STARTS: Final[Mapping[str, tuple[Mapping[str, Any], ...]]] = {
    "accounts": ({"type": 3},),
    "contacts": ({"type": 1}, {"type": 0}),
    "contracts": ({"billingcycle": 3},),
    "couponcodes": ({"date": EPOCH + 10, "datefrom": EPOCH, "dateto": 4_000_000_000},),
    "events": ({"entity": "tickets", "index": Ref("tickets", 0)},),
    "messages": ({"senddate": EPOCH},),
    "opportunities": ({"status": 5, "probability": 100}, {"status": 4}),
    "records": ({"entity": "tasks", "index": Ref("tasks", 0)},),
    "stocktransactions": ({"item": Ref("items", 50, NUMBERED), "amount": 2},),
    "transactions": ({"type": 1}, {"type": 10, "item": Ref("items", 0), "productionfactor": 3}),
}
# what goes with a choice: (resource, field, value) → other values
GOES_WITH: Final[Mapping[tuple[str, str, Any], Mapping[str, Any]]] = {
    ("coupons", "type", 0): {"code": "GW-1"},
    ("coupons", "type", 1): {"code": ""},
    ("opportunities", "status", 5): {"probability": 100},
    **{("records", "flag", flag): {"entity": "items", "index": Ref("items", 0)} for flag in (1, 2, 4)},
    **{("transactions", "type", kind): {"item": Ref("items", 0), "productionfactor": 1} for kind in (10, 11)},
    **{("transactions", "status", status): {"type": 0} for status in range(5, 9)},
    **{("transactions", "status", status): {"type": 1} for status in range(9, 17)},
    **{("transactions", "status", status): {"type": 3} for status in range(17, 22)},
    **{("transactions", "status", status): {"type": 10, "item": Ref("items", 0), "productionfactor": 1} for status in (22, 23)},
}


def variants(resource: str, n: int, names: Iterable[str], base: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Values that name every one of these fields at least once, each lot together keeping the rules."""
    facts = fields_of(resource)
    left = list(names)
    found: list[dict[str, Any]] = []
    starts = list(STARTS.get(resource, ({},)))
    while left and len(found) < len(facts):
        values = dict(starts.pop(0)) if starts else completed(resource, {left[0]: value_of(resource, left[0], n)})
        for name in left:
            if "ref_by" in facts[name] and not is_empty(named_by := values.get(facts[name]["ref_by"], base.get(facts[name]["ref_by"]))):
                values[name] = Ref(str(named_by), n)
            elif name not in values and not broken(resource, {**base, **values, **(more := {name: value_of(resource, name, n)})}):
                values |= more
        left = [name for name in left if name not in values]
        found.append(values)
    assert not left, (resource, left)
    return found


def as_form(values: Mapping[str, Any]) -> dict[str, str]:
    """As PHP has forms: everything is text, lists and objects in brackets."""
    found: dict[str, str] = {}

    def put(name: str, value: Any) -> None:
        if isinstance(value, Mapping | list):
            pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
            for key, one in pairs:
                put(f"{name}[{key}]", one)
        elif value is not None:
            found[name] = str(value)

    for name, value in values.items():
        if isinstance(value, Mapping | list) and not all(
            isinstance(one, str) for one in (value if isinstance(value, list) else value.values())
        ):
            found[name] = json.dumps(value, default=float)  # a form knows neither numbers nor null
        else:
            put(name, value)
    return found
