"""What is offered with an article and at which price: option templates and price rules, as facts of a sale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from libs.contracts.inventory.tables import TABLES
from services.pos.settings import Settings, business_day

TEMPLATE_COLUMNS: Final = TABLES["option_templates"]
GROUP_COLUMNS: Final = ("key", "parent_key")
RULE_COLUMNS: Final = TABLES["price_rules"]
GROUP_LEVELS_MAX: Final = 20
CENT: Final = Decimal("0.01")
ALL_PERCENT: Final = Decimal(100)


class OptionFact(msgspec.Struct, frozen=True):
    """An option an article offers; ``price`` is the surcharge in major units, gross, per unit of the article; ``fraction`` (``1/2``) the
    part of the article that is served and paid."""

    id: str
    name: str
    price: Decimal = Decimal(0)
    fraction: str | None = None

    def surcharge(self, article_price: Decimal) -> Decimal:
        """What it adds to the article's price, below zero for a part of it; a part's price is rounded half up to cents."""
        if self.fraction is None:
            return self.price
        part = Fraction(self.fraction)
        served = (article_price * part.numerator / part.denominator).quantize(CENT, rounding=ROUND_HALF_UP)
        return self.price + served - article_price


class TemplateFact(msgspec.Struct, frozen=True):
    """``low`` and ``high`` bound how many of its options go with an article, with their quantities."""

    key: str
    name: str
    options: Mapping[str, OptionFact]
    low: int = 0
    high: int | None = None


class RuleFact(msgspec.Struct, frozen=True):
    """A price rule in force. ``distance``: 0 on the article itself, 1 on its group, and so on up."""

    key: str
    id: int
    distance: int = 0
    area: str | None = None
    amount: Decimal | None = None
    percent: Decimal | None = None

    def price(self, regular: Decimal) -> Decimal:
        """Never below nothing; a percentage is rounded half up to cents."""
        if self.percent is not None:
            changed = (regular * (ALL_PERCENT + self.percent) / ALL_PERCENT).quantize(CENT, rounding=ROUND_HALF_UP)
        else:
            changed = regular + (self.amount or 0)
        return max(changed, Decimal(0))


def decisive(rules: Iterable[RuleFact], area: str | None) -> RuleFact | None:
    """The most specific one: nearest to the article, then for this area, then the newest."""
    fitting = (rule for rule in rules if rule.area is None or rule.area == area)
    return min(fitting, key=lambda rule: (rule.distance, rule.area is None, -rule.id), default=None)


def in_force(rows: Sequence[Any], at: datetime, settings: Settings) -> list[Any]:
    """The rules that hold at this moment: dates and weekdays are those of the business day, times those of the clock on the wall."""
    if not rows:
        return []
    day, clock = business_day(at, settings), at.astimezone(ZoneInfo(settings.zone)).time()
    return [row for row in rows if row["is_active"] and _on(day, row) and _within(clock, row["time_from"], row["time_to"])]


def _on(day: date, row: Any) -> bool:
    if (row["starts_on"] is not None and day < row["starts_on"]) or (row["ends_on"] is not None and day > row["ends_on"]):
        return False
    weekdays = _decoded(row["weekdays"], list[int])
    return not weekdays or day.isoweekday() in weekdays


def _within(clock: time, begins: str | None, ends: str | None) -> bool:
    """The end is exclusive; one before the beginning is on the next morning."""
    if begins is None or ends is None:
        return True
    first, last = time.fromisoformat(begins), time.fromisoformat(ends)
    return first <= clock < last if first < last else clock >= first or clock < last


def rules_of(article: str, group: str | None, rules: Sequence[Any], parents: Mapping[str, str | None]) -> tuple[RuleFact, ...]:
    """The rules that concern an article: its own, its group's, and those of the groups above."""
    if not rules:
        return ()
    distances: dict[str, int] = {}
    while group is not None and group not in distances and len(distances) < GROUP_LEVELS_MAX:
        distances[group] = len(distances) + 1
        group = parents.get(group)
    found = []
    for row in rules:
        distance = 0 if row["article_key"] == article else distances.get(row["group_key"])
        if distance is not None:
            found.append(RuleFact(row["key"], row["id"], distance, row["area_key"], row["change_amount"], row["change_percent"]))
    return tuple(found)


def template_of(row: Any) -> TemplateFact | None:
    """None if it is out of use."""
    if not row["is_active"]:
        return None
    options = {option.id: option for option in options_of(row["options"])}
    low = max(row["min_choices"] or 0, 1 if row["is_mandatory"] else 0)
    return TemplateFact(row["key"], row["name"], options, low, row["max_choices"])


def options_of(raw: Any) -> list[OptionFact]:
    """A jsonb list, as text or already parsed."""
    options: list[OptionFact] = _decoded(raw, list[OptionFact])
    return options


def keys_of(raw: Any) -> tuple[str, ...]:
    return tuple(_decoded(raw, list[str]))


def _decoded(raw: Any, type_: Any) -> Any:
    if raw is None:
        return []
    if isinstance(raw, str | bytes):
        return msgspec.json.decode(raw, type=type_)
    return msgspec.convert(raw, type_, strict=False)
