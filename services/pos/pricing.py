"""From what a guest orders to cents: prices, options, discounts, parts of a line, and the sums of a receipt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import msgspec

from libs.contracts.pos.commands import (
    COURSE_MAX,
    ITEMS_PER_ORDER_MAX,
    LINE_TOTAL_MAX_MINOR,
    NAME_MAX_CHARS,
    NOTE_MAX_CHARS,
    OPTION_QUANTITY_MAX,
    OPTIONS_PER_ITEM_MAX,
    PERCENT_PLACES,
    PRICE_MAX,
    PRICE_PLACES,
    QUANTITY_MAX,
    QUANTITY_PLACES,
    SEAT_MAX,
    TAX_CLASS_MAX,
    Item,
)
from libs.contracts.pos.events import LineOption, OrderLine, ReceiptLine, TaxAmount
from libs.domain.money import net_of, round_half_up, share, times
from services.pos.facts import ArticleFact, SaleFacts
from services.pos.faults import Faults, check_count, check_decimal, check_int, check_text, known_as, plain
from services.pos.offers import OptionFact, decisive

QUANTITY_MIN = Decimal(1).scaleb(-QUANTITY_PLACES)
NOTHING = Decimal(0)
ALL_PERCENT = Decimal(100)


class Good(msgspec.Struct, frozen=True):
    """What is sold, an article or a free one; ``article`` carries what only an article has, ``rule`` what made its price."""

    name: str
    price: Decimal
    tax_class: int
    article: ArticleFact | None = None
    rule: str | None = None


def price_items(
    items: Sequence[Item], path: str, facts: SaleFacts, line_id: Callable[[int], str], faults: Faults, table: str | None = None
) -> tuple[OrderLine, ...]:
    """A line per item that has no fault; whoever asks must look at ``faults`` before using them. ``table``: where it is ordered."""
    if not check_count(items, ITEMS_PER_ORDER_MAX, path, "too_many", faults):
        return ()
    at = facts.tables.get(table) if table is not None else None
    area = at.area if at is not None else None
    lines = (price_item(item, f"{path}[{ix}]", facts, line_id(ix), faults, area) for ix, item in enumerate(items))
    return tuple(line for line in lines if line is not None)


def price_item(item: Item, path: str, facts: SaleFacts, line_id: str, faults: Faults, area: str | None = None) -> OrderLine | None:
    good = _good(item, path, facts, faults, area)
    rate = _rate(good, path, facts, faults)
    options = _options(item, good, path, faults)
    quantity = check_quantity(item.quantity, f"{path}.quantity", faults)
    percent = _discount_given(item, path, faults)
    _check_service(item, path, faults)
    if good is None or rate is None or options is None or quantity is None:
        return None
    unit_price = plain(good.price + sum((option.surcharge * option.quantity for option in options), NOTHING))
    if unit_price < 0:
        faults.invalid(f"{path}.options", "price_below_zero")
        return None
    full = times(unit_price, quantity, facts.settings.currency).minor
    discount = _discount(item, percent, full, path, faults)
    if discount is None:
        return None
    return OrderLine(
        id=line_id,
        name=good.name,
        quantity=quantity,
        price=good.price,
        unit_price=unit_price,
        total=full - discount,
        tax_class=good.tax_class,
        tax_rate=rate,
        article=good.article.key if good.article else None,
        group=good.article.group if good.article else None,
        options=options,
        discount=discount,
        discount_percent=percent,
        course=good.article.course if item.course is None and good.article else item.course,
        seat=item.seat,
        note=item.note,
        price_rule=good.rule,
    )


def check_quantity(quantity: Decimal, path: str, faults: Faults) -> Decimal | None:
    return check_decimal(quantity, QUANTITY_PLACES, QUANTITY_MIN, QUANTITY_MAX, path, faults)


def _good(item: Item, path: str, facts: SaleFacts, faults: Faults, area: str | None) -> Good | None:
    """A price that was given beats every rule."""
    price = None
    if item.price is not None:
        price = check_decimal(item.price, PRICE_PLACES, NOTHING, PRICE_MAX, f"{path}.price", faults)
    if item.article is None:
        return _free_good(item, price, path, faults)
    for field in ("name", "tax_class"):
        if getattr(item, field) is not None:
            faults.invalid(f"{path}.{field}", "not_with_article")
    article = facts.articles.get(item.article)
    if article is None:
        faults.not_found(f"{path}.article", "article_not_found", id=known_as(item.article))
        return None
    if not article.is_active:
        faults.conflict(f"{path}.article", "article_inactive", id=article.key, name=article.name)
    rule = decisive(article.rules, area) if article.rules and price is None else None
    if rule is not None:
        return Good(article.name, plain(rule.price(article.price)), article.tax_class, article, rule.key)
    return Good(article.name, article.price if price is None else price, article.tax_class, article)


def _free_good(item: Item, price: Decimal | None, path: str, faults: Faults) -> Good | None:
    missing = [field for field in ("name", "price", "tax_class") if getattr(item, field) in (None, "")]
    for field in missing:
        faults.invalid(f"{path}.{field}", "required")
    if item.name:
        check_text(item.name, NAME_MAX_CHARS, f"{path}.name", faults)
    check_int(item.tax_class, 0, TAX_CLASS_MAX, f"{path}.tax_class", faults)
    if not item.name or price is None or item.tax_class is None:
        return None
    return Good(item.name, price, item.tax_class)


def _rate(good: Good | None, path: str, facts: SaleFacts, faults: Faults) -> Decimal | None:
    """Tax rates are data: a class without a rate in force cannot be sold."""
    if good is None:
        return None
    rate = facts.rates.get(good.tax_class)
    if rate is None and good.article is None:
        faults.invalid(f"{path}.tax_class", "tax_class_unknown")
    elif rate is None:
        faults.conflict(f"{path}.article", "tax_class_without_rate", id=good.tax_class)
    return rate


def _options(item: Item, good: Good | None, path: str, faults: Faults) -> tuple[LineOption, ...] | None:
    article = good.article if good else None
    if not item.options and not (article and article.templates):
        return ()
    if item.options and not check_count(item.options, OPTIONS_PER_ITEM_MAX, f"{path}.options", "too_many", faults):
        return None
    offered = _offered(article) if article else {}
    chosen: dict[str, LineOption] = {}
    for ix, choice in enumerate(item.options):
        where = f"{path}.options[{ix}]"
        check_int(choice.quantity, 1, OPTION_QUANTITY_MAX, f"{where}.quantity", faults)
        option = offered.get(choice.option)
        if choice.option in chosen:
            faults.invalid(f"{where}.option", "repeated")
        elif option is not None and good is not None:
            if option.fraction is not None:
                check_int(choice.quantity, 1, 1, f"{where}.quantity", faults)
            surcharge = plain(option.surcharge(good.price))
            chosen[choice.option] = LineOption(option=option.id, name=option.name, surcharge=surcharge, quantity=choice.quantity)
        elif good is not None:
            faults.invalid(f"{where}.option", "option_not_offered")
    if article and article.templates:
        _check_templates(article, chosen, f"{path}.options", faults)
    return tuple(chosen.values())


def _offered(article: ArticleFact) -> Mapping[str, OptionFact]:
    """By id; the article's own come first, then those of its templates in their order."""
    if not article.templates:
        return article.options
    offered = dict(article.options)
    for template in article.templates:
        offered = {**template.options, **offered}
    return offered


def _check_templates(article: ArticleFact, chosen: Mapping[str, LineOption], path: str, faults: Faults) -> None:
    """Every template's question is answered as often as it must and may be; at most one answer is a part of the article."""
    offered = _offered(article)
    if sum(offered[key].fraction is not None for key in chosen) > 1:
        faults.invalid(path, "one_fraction_only")
    for template in article.templates:
        count = sum(option.quantity for key, option in chosen.items() if key in template.options)
        if count < template.low:
            faults.invalid(path, "too_few_choices", template=template.name, min=template.low)
        if template.high is not None and count > template.high:
            faults.invalid(path, "too_many_choices", template=template.name, max=template.high)


def _discount_given(item: Item, path: str, faults: Faults) -> Decimal | None:
    if item.discount_percent is None:
        return None
    if item.discount_amount is not None:
        faults.invalid(f"{path}.discount_amount", "either_percent_or_amount")
    return check_decimal(item.discount_percent, PERCENT_PLACES, NOTHING, ALL_PERCENT, f"{path}.discount_percent", faults)


def _discount(item: Item, percent: Decimal | None, full: int, path: str, faults: Faults) -> int | None:
    """Minor units off the line; half a cent goes to the guest. Never more than the line."""
    if full > LINE_TOTAL_MAX_MINOR:
        faults.invalid(f"{path}.quantity", "amount_too_large", max=LINE_TOTAL_MAX_MINOR)
        return None
    if item.discount_amount is not None:
        check_int(item.discount_amount, 0, full, f"{path}.discount_amount", faults)
        return item.discount_amount
    return round_half_up(full * percent / ALL_PERCENT) if percent is not None else 0


def _check_service(item: Item, path: str, faults: Faults) -> None:
    check_int(item.course, 1, COURSE_MAX, f"{path}.course", faults)
    check_int(item.seat, 1, SEAT_MAX, f"{path}.seat", faults)
    if item.note is not None:
        check_text(item.note, NOTE_MAX_CHARS, f"{path}.note", faults)


def part_amount(line: OrderLine, paid_quantity: Decimal, paid_amount: int, quantity: Decimal) -> int:
    """What ``quantity`` more of a line costs after ``paid_quantity`` of it brought ``paid_amount``. Whatever the parts and
    their order, they add up to the line's total, and none is below zero."""
    return share(line.total, paid_quantity + quantity, line.quantity) - paid_amount


def receipt_line(line: OrderLine, quantity: Decimal, amount: int, currency: str) -> ReceiptLine:
    """A line, or a part of it, as billed."""
    return ReceiptLine(
        id=line.id,
        name=line.name,
        quantity=plain(quantity),
        unit_price=line.unit_price,
        total=amount,
        tax_class=line.tax_class,
        tax_rate=line.tax_rate,
        article=line.article,
        group=line.group,
        options=line.options,
        discount=times(line.unit_price, quantity, currency).minor - amount,
        course=line.course,
        seat=line.seat,
    )


def taxes_of(lines: Sequence[ReceiptLine]) -> tuple[TaxAmount, ...]:
    """Gross per rate, highest rate first; net is rounded once per rate, never per line."""
    gross: dict[Decimal, int] = {}
    for line in lines:
        gross[line.tax_rate] = gross.get(line.tax_rate, 0) + line.total
    return tuple(_tax_amount(rate, gross[rate]) for rate in sorted(gross, reverse=True))


def _tax_amount(rate: Decimal, gross: int) -> TaxAmount:
    net = net_of(gross, rate)
    return TaxAmount(rate=rate, net=net, tax=gross - net, gross=gross)
