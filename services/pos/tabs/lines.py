"""One open item: changed or cancelled. Only what is not settled can be; what is paid stands on a receipt."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import UNSET

from libs.contracts.pos.commands import COURSE_MAX, LINE_TOTAL_MAX_MINOR, NOTE_MAX_CHARS, PERCENT_PLACES, SEAT_MAX
from libs.contracts.pos.events import OrderLine
from libs.contracts.pos.floor import (
    REASON_MAX_CHARS,
    CancelledItem,
    CancelledPart,
    CancelLine,
    ChangeLine,
    OpenItem,
    item_tag,
)
from libs.contracts.pos.permissions import ORDERS
from libs.contracts.pos.tab_events import KitchenState, LineCancelled, LineChanged, TabItem
from libs.domain.decider import Command, CommandType, Decision, Lookup, States, StreamRef
from libs.domain.errors import DomainError, Kind
from libs.domain.events import Event, Recorded
from libs.domain.money import round_half_up, times
from services.pos.facts import SaleFacts, facts_of_tables
from services.pos.faults import Faults, check_decimal, check_int, check_text, is_key, known_as, plain
from services.pos.pricing import ALL_PERCENT, NOTHING, check_quantity
from services.pos.tabs.state import TAB, Tab, TabLine, state_after, tab_of, tab_refs

NOT_BEGUN: Final = (KitchenState.HELD, KitchenState.ORDERED)

# --- finding an item ----------------------------------------------------------------------------------------------------------


async def at_its_table(command: Command[Any], lookup: Lookup) -> Command[Any]:
    """The command with the table its item stands at, as far as query tables know; without one the item is not open anywhere."""
    line = command.body.line
    found = await lookup.rows("pos.open_lines", command.instance, [line], ("key", "table_key")) if is_key(line) else {}
    table = found[line][0]["table_key"] if line in found else ""
    return msgspec.structs.replace(command, body=msgspec.structs.replace(command.body, table=table))


def line_refs(command: Command[Any]) -> tuple[StreamRef, ...]:
    return tab_refs([command.body.table])


async def line_facts(command: Command[Any], lookup: Lookup) -> SaleFacts:
    return await facts_of_tables(command, lookup, [command.body.table])


def find_line(states: States, line: str, table: str, faults: Faults) -> TabLine | None:
    """The open line, or None and a fault: no such item, or one that something else happened to since it was looked for."""
    if not table:
        faults.not_found("line", "line_not_found", id=known_as(line))
        return None
    found = tab_of(states, table).lines.get(line)
    if found is None or not found.is_open:
        faults.conflict("line", "line_moved_on", id=line)
        return None
    return found


def check_untouched(states: States, command: Command[Any]) -> None:
    """Raises ``precondition_failed`` if something else happened at the item's table since it was read."""
    body = command.body
    version = tab_of(states, body.table).version
    if body.if_match and body.table and item_tag(command.instance, body.table, version) not in body.if_match:
        raise DomainError(Kind.PRECONDITION_FAILED, "item_mismatch", {"id": known_as(body.line)})


def part_of(line: TabLine, asked: Decimal | None, path: str, faults: Faults) -> Decimal:
    """How much of an open line is meant; nothing named means all that is open."""
    if asked is None:
        return plain(line.open_quantity)
    quantity = check_quantity(asked, path, faults)
    if quantity is not None and quantity > line.open_quantity:
        faults.conflict(path, "line_quantity_exceeds_open", id=line.line.id, open=f"{line.open_quantity:f}")
    return quantity or NOTHING


def open_part(line: TabLine, currency: str) -> OrderLine:
    """A line as if only what is open of it had been ordered."""
    discount = times(line.line.unit_price, line.open_quantity, currency).minor - line.open_amount
    return msgspec.structs.replace(line.line, quantity=plain(line.open_quantity), total=line.open_amount, discount=discount)


def item_of(tab: Tab, line: TabLine, bears: OrderLine) -> TabItem:
    """``line`` as an event tells it: its history, and ``bears`` as what it is now."""
    held = tab.kitchen_state(msgspec.structs.replace(line, line=bears)) is KitchenState.HELD
    placed = line.placed
    return TabItem(line=bears, order=placed.order, staff=placed.staff, placed_at=placed.at, state=line.state, fired=line.fired, held=held)


# --- cancelling ---------------------------------------------------------------------------------------------------------------


def check_reason(reason: str | None, faults: Faults) -> None:
    if reason is None or not reason.strip():
        faults.invalid("reason", "required")
    else:
        check_text(reason, REASON_MAX_CHARS, "reason", faults)


def decide_cancel_line(states: States, command: Command[CancelLine], facts: SaleFacts) -> Decision:
    body = command.body
    faults = Faults()
    check_reason(body.reason, faults)
    check_untouched(states, command)
    line = find_line(states, body.line, body.table, faults)
    quantity = part_of(line, body.quantity, "quantity", faults) if line else NOTHING
    faults.refuse()
    assert line is not None
    event = cancelled(tab_of(states, body.table), line, quantity, body.reason, command, facts)
    return Decision({TAB.stream(body.table): (event,)})


def cancelled(
    tab: Tab, line: TabLine, quantity: Decimal, reason: str, command: Command[CancelLine] | Command[ChangeLine], facts: SaleFacts
) -> LineCancelled:
    amount = line.share_of(quantity)
    left = line.less(quantity, amount)
    return LineCancelled(
        table=command.body.table,
        line=line.line.id,
        quantity=quantity,
        amount=amount,
        open_quantity=plain(left.open_quantity),
        open_amount=left.open_amount,
        reason=reason.strip(),
        state=tab.kitchen_state(line),
        leaves=state_after(command.body.table, tab, {line.line.id: quantity}, facts),
        staff=command.principal.user,
        at=command.at,
    )


def reply_cancelled(states: States, command: Command[CancelLine], recorded: Sequence[Recorded]) -> CancelledItem:
    event: LineCancelled = recorded[0].data
    return CancelledItem(
        line=event.line,
        table=event.table,
        quantity=event.quantity,
        amount=event.amount,
        open_quantity=event.open_quantity,
        open_amount=event.open_amount,
        cancelled=CancelledPart(reason=event.reason, state=event.state, staff=event.staff, at=event.at),
    )


# --- changing -----------------------------------------------------------------------------------------------------------------


def decide_change_line(states: States, command: Command[ChangeLine], facts: SaleFacts) -> Decision:
    """What is open of the line becomes the line, with what was changed. Less of it is a cancellation of the rest and needs a reason, so
    that nothing leaves a table unexplained; more of it keeps price and discount, as long as the kitchen has not begun."""
    body = command.body
    faults = Faults()
    _check_change(body, faults)
    check_untouched(states, command)
    line = find_line(states, body.line, body.table, faults)
    quantity = _wanted(line, body, tab_of(states, body.table), faults)
    faults.refuse()
    assert line is not None
    currency = facts.settings.currency
    events: list[Event] = []
    if quantity < line.open_quantity:
        fewer = plain(line.open_quantity - quantity)
        events.append(cancelled(tab_of(states, body.table), line, fewer, body.reason or "", command, facts))
        line = line.less(fewer, line.share_of(fewer))
    changed = _priced(_described(open_part(line, currency), body), quantity, body, currency, faults)
    faults.refuse()
    item = item_of(tab_of(states, body.table), line, changed)
    events.append(LineChanged(table=body.table, item=item, staff=command.principal.user, at=command.at))
    return Decision({TAB.stream(body.table): events})


def _check_change(body: ChangeLine, faults: Faults) -> None:
    if body.note is not UNSET and body.note is not None:
        check_text(body.note, NOTE_MAX_CHARS, "note", faults)
    if body.course is not UNSET:
        check_int(body.course, 1, COURSE_MAX, "course", faults)
    if body.seat is not UNSET:
        check_int(body.seat, 1, SEAT_MAX, "seat", faults)
    percent, amount = body.discount_percent, body.discount_amount
    if percent is not UNSET and percent is not None:
        check_decimal(percent, PERCENT_PLACES, NOTHING, ALL_PERCENT, "discount_percent", faults)
        if amount is not UNSET and amount is not None:
            faults.invalid("discount_amount", "either_percent_or_amount")


def _wanted(line: TabLine | None, body: ChangeLine, tab: Tab, faults: Faults) -> Decimal:
    """How much is to be open."""
    if body.quantity is UNSET:
        return plain(line.open_quantity) if line else NOTHING
    quantity = check_quantity(body.quantity, "quantity", faults)
    if line is None or quantity is None:
        return NOTHING
    if quantity < line.open_quantity:
        check_reason(body.reason, faults)
    elif quantity > line.open_quantity and tab.kitchen_state(line) not in NOT_BEGUN:
        faults.conflict("quantity", "line_begun", id=line.line.id)
    return quantity


def _described(line: OrderLine, body: ChangeLine) -> OrderLine:
    named = {name: value for name in ("note", "course", "seat") if (value := getattr(body, name)) is not UNSET}
    return msgspec.structs.replace(line, **named)


def _priced(line: OrderLine, quantity: Decimal, body: ChangeLine, currency: str, faults: Faults) -> OrderLine:
    """The line with another quantity or discount; what nobody changed keeps its cents."""
    discounted = body.discount_percent is not UNSET or body.discount_amount is not UNSET
    if quantity == line.quantity and not discounted:
        return line
    full = times(line.unit_price, quantity, currency).minor
    if full > LINE_TOTAL_MAX_MINOR:
        faults.invalid("quantity", "amount_too_large", max=LINE_TOTAL_MAX_MINOR)
    percent, amount = line.discount_percent, max(0, min(line.discount, full))
    if discounted:
        percent = body.discount_percent if body.discount_percent is not UNSET else None
        amount = body.discount_amount if body.discount_amount is not UNSET and body.discount_amount is not None else 0
        check_int(amount, 0, full, "discount_amount", faults)
    if percent is not None:
        amount = round_half_up(full * percent / ALL_PERCENT)
    return msgspec.structs.replace(line, quantity=quantity, discount=amount, discount_percent=percent, total=full - amount)


def open_item(table: str, item: TabItem, at: datetime, version: int) -> OpenItem:
    return OpenItem(
        table=table,
        order=item.order,
        staff=item.staff,
        placed_at=item.placed_at,
        open_quantity=item.line.quantity,
        open_amount=item.line.total,
        line=item.line,
        state=KitchenState.HELD if item.held else item.state,
        state_at=at,
        version=version,
    )


def reply_changed(states: States, command: Command[ChangeLine], recorded: Sequence[Recorded]) -> OpenItem:
    event: LineChanged = recorded[-1].data
    return open_item(event.table, event.item, event.at, recorded[-1].version)


# --- commands -----------------------------------------------------------------------------------------------------------------

COMMANDS: Final = (
    CommandType(
        name="tab.change_line",
        body=ChangeLine,
        streams=line_refs,
        complete=at_its_table,
        facts=line_facts,
        decide=decide_change_line,
        reply=reply_changed,
        permission=ORDERS,
    ),
    CommandType(
        name="tab.cancel_line",
        body=CancelLine,
        streams=line_refs,
        complete=at_its_table,
        facts=line_facts,
        decide=decide_cancel_line,
        reply=reply_cancelled,
        permission=ORDERS,
    ),
)
