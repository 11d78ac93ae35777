"""Section OpenBons: orders at tables. What becomes of their items is in ``open_items``."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from libs.contracts.pos.commands import Item, OptionChoice, Order, Orders, PlaceOrder, PlaceOrders
from libs.contracts.pos.events import OrderLine
from libs.domain.errors import FieldError
from services.gateway.bodies import Whole
from services.gateway.dikas import shapes
from services.gateway.dikas.call import Call, Route


class OptionBody(msgspec.Struct, rename="camel"):
    option_id: str
    quantity: Whole = 1


class ItemBody(msgspec.Struct, rename="camel"):
    """An article by ``articleId``, or a free one by ``name``, ``price`` and ``taxClass``. Amounts in euros."""

    quantity: Decimal
    article_id: str | None = None
    name: str | None = None
    price: Decimal | None = None
    tax_class: Whole | None = None
    options: list[OptionBody] | None = None
    discount_percent: Decimal | None = None
    discount_amount: Decimal | None = None
    course: Whole | None = None
    seat: Whole | None = None
    note: str | None = None


class OrderBody(msgspec.Struct, rename="camel"):
    table_id: str
    items: list[ItemBody]


class OrdersBody(msgspec.Struct, rename="camel"):
    orders: list[OrderBody]


class OptionOut(msgspec.Struct, rename="camel"):
    option_id: str
    name: str
    quantity: int
    price: Decimal


class OrderItemOut(msgspec.Struct, rename="camel"):
    id: str
    article_id: str | None
    name: str
    quantity: Decimal
    unit_price: Decimal
    discount: Decimal
    total: Decimal
    tax_class: int
    tax_rate: Decimal
    course: int | None
    seat: int | None
    note: str | None
    options: list[OptionOut]
    price_rule_id: str | None


class OrderOut(msgspec.Struct, rename="camel"):
    id: str
    table_id: str
    staff_id: str
    created_date: str
    items: list[OrderItemOut]


class OrdersOut(msgspec.Struct, rename="camel"):
    orders: list[OrderOut]


def items_of(bodies: list[ItemBody], path: str, faults: list[FieldError]) -> tuple[Item, ...]:
    """Items in the domain's terms; amounts with too many places are noted as faults."""
    return tuple(
        Item(
            quantity=body.quantity,
            article=body.article_id,
            name=body.name,
            price=body.price,
            tax_class=body.tax_class,
            options=tuple(OptionChoice(option=option.option_id, quantity=option.quantity) for option in body.options or ()),
            discount_percent=body.discount_percent,
            discount_amount=shapes.minor(body.discount_amount, f"{path}[{ix}].discount_amount", faults),
            course=body.course,
            seat=body.seat,
            note=body.note,
        )
        for ix, body in enumerate(bodies)
    )


def order_of(body: OrderBody, path: str, faults: list[FieldError]) -> PlaceOrder:
    return PlaceOrder(table=body.table_id, items=items_of(body.items, f"{path}items", faults))


def item_out(line: OrderLine) -> dict[str, Any]:
    return {
        "id": line.id,
        "article_id": line.article,
        "name": line.name,
        "quantity": shapes.quantity(line.quantity),
        "unit_price": shapes.price(line.unit_price),
        "discount": shapes.amount(line.discount),
        "total": shapes.amount(line.total),
        "tax_class": line.tax_class,
        "tax_rate": shapes.quantity(line.tax_rate),
        "course": line.course,
        "seat": line.seat,
        "note": line.note,
        "options": [OptionOut(o.option, o.name, o.quantity, shapes.price(o.surcharge)) for o in line.options],
        "price_rule_id": line.price_rule,
    }


def order_out(order: Order) -> OrderOut:
    return OrderOut(
        order.id, order.table, order.staff, shapes.moment(order.placed_at), [OrderItemOut(**item_out(line)) for line in order.lines]
    )


async def place_order(call: Call) -> OrderOut:
    """An order at a table; the answer has an id per item."""
    faults: list[FieldError] = []
    body = order_of(call.body, "", faults)
    shapes.refuse(faults)
    return order_out(await call.command("pos", "tab.place_order", body, Order))


async def place_orders(call: Call) -> OrdersOut:
    """Several orders, all of them or none."""
    faults: list[FieldError] = []
    orders = tuple(order_of(body, f"orders[{ix}].", faults) for ix, body in enumerate(call.body.orders))
    shapes.refuse(faults)
    placed = await call.command("pos", "tab.place_orders", PlaceOrders(orders=orders), Orders)
    return OrdersOut([order_out(order) for order in placed.orders])


ROUTES = (
    Route("POST", "/api/v1/open-bons", "OpenBons", place_order, OrderBody, status=201, asks=("pos.tab.place_order",)),
    Route("POST", "/api/v1/open-bons/batch", "OpenBons", place_orders, OrdersBody, status=201, asks=("pos.tab.place_orders",)),
)
