"""What was paid on a transaction, and how far that settles it."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from libs.domain.events import Event, event
from libs.domain.resources import Column, ColumnType, Join, Resource

SETTLED: Final = (3, 4, 8, 9)  # invoices and credits, billing and procurement: what is paid and dunned
OUTGOING: Final = (4, 8)  # where money leaves the house; clients write it with either sign
COUNTED: Final = (1, 3)  # a payment that is completed or booked
IN_FORCE: Final = (1, 3)  # a notice that is booked or closed
CENT: Final = Decimal("0.01")

BOOKED, CANCELLED, CLOSED = 1, 3, 4
PARTLY_PAID, PARTLY_PAID_CANCELLED, PARTLY_PAID_CLOSED, PAID, OVERPAID = 17, 18, 19, 20, 21
# what a transaction was, and is again when nothing is paid; drafts and what is on hold are settled by nothing
UNPAID: Final = {
    BOOKED: BOOKED, PARTLY_PAID: BOOKED, PAID: BOOKED, OVERPAID: BOOKED,
    CANCELLED: CANCELLED, PARTLY_PAID_CANCELLED: CANCELLED,
    CLOSED: CLOSED, PARTLY_PAID_CLOSED: CLOSED,
}  # fmt: skip
PARTLY: Final = {BOOKED: PARTLY_PAID, CANCELLED: PARTLY_PAID_CANCELLED, CLOSED: PARTLY_PAID_CLOSED}


@event("settlement.changed")
class SettlementChanged(Event, frozen=True, kw_only=True):
    """What was paid on a transaction is ``by`` more than before, or less, and ``total`` now: these payments came, went or changed.
    Amounts are in the transaction's currency, major units, as its payments say them."""

    transaction: int
    payments: tuple[int, ...]
    by: Decimal
    total: Decimal


def due(netamount: Decimal | None, tax: Decimal | None) -> Decimal:
    """What is to be paid, to the cent. The discount is in the net amount already."""
    return ((netamount or Decimal(0)) + (tax or Decimal(0))).quantize(CENT, ROUND_HALF_UP)


def settled(type_: int, status: int, amount: Decimal, paid: Decimal) -> int:
    """The status of a transaction of which ``amount`` is due and on which ``paid`` was paid: a pure function that changes nothing twice."""
    if type_ not in SETTLED or status not in UNPAID:
        return status
    paid = paid.quantize(CENT, ROUND_HALF_UP)
    if amount < 0:
        amount, paid = -amount, -paid
    if type_ in OUTGOING:
        paid = abs(paid)
    unpaid = UNPAID[status]
    if paid <= 0:
        return unpaid
    if paid < amount or unpaid == CANCELLED:  # what was cancelled stays so, whatever was paid
        return PARTLY[unpaid]
    return PAID if paid == amount else OVERPAID


def _paid(what: str, alias: str) -> str:
    return (
        f"(select {what} from {{billing.payments}} {alias} where {alias}.instance = $1 and {alias}.transaction = @.id "
        f"and {alias}.status in {COUNTED})"
    )


def _dunned(what: str, link: str, notice: str) -> str:
    """``what``: an expression over ``notice``, the notices in force that name the transaction."""
    return (
        f"(select {what} from {{billing.dunning2transactions}} {link} "
        f"join {{billing.dunning}} {notice} on {notice}.instance = $1 and {notice}.id = {link}.dunning "
        f"where {link}.instance = $1 and {link}.transaction = @.id and {notice}.status in {IN_FORCE})"
    )


_DUE: Final = "round(@.netamount + @.tax, 2)"

# transactions once more: a row for each, with what follows from payments and notices; nothing here is stored
SETTLEMENTS: Final = Resource(
    name="settlements",
    table="billing.transactions",
    type="transaction",
    read=("billing", "procurement", "production"),
    owner_group="ownergroup",
    columns=(
        Column(name="ID", type=ColumnType.INTEGER, sql="@.id", doc="of the transaction"),
        Column(name="account", type=ColumnType.INTEGER, sql="@.account", doc="customer or supplier"),
        Column(name="currency", type=ColumnType.TEXT, sql="@.currency", doc="ISO 4217"),
        Column(name="due", type=ColumnType.NUMBER, sql=_DUE, doc="net amount and tax"),
        Column(name="duedate", type=ColumnType.TIME, sql="@.duedate"),
        Column(name="dunned", type=ColumnType.INTEGER, sql=_dunned("count(*)", "l", "n"), doc="notices in force: booked or closed"),
        Column(name="dunneddate", type=ColumnType.TIME, sql=_dunned("max(m.date)", "k", "m"), doc="of the last of them"),
        Column(name="dunningfees", type=ColumnType.NUMBER, sql=_dunned("coalesce(sum(h.fee), 0)", "g", "h"), doc="of all of them"),
        Column(name="open", type=ColumnType.NUMBER, sql=f"({_DUE} - {_paid('coalesce(sum(q.amount), 0)', 'q')})", doc="due less paid"),
        Column(name="paid", type=ColumnType.NUMBER, sql=_paid("coalesce(sum(p.amount), 0)", "p"), doc="by payments completed or booked"),
        Column(name="paiddate", type=ColumnType.TIME, sql=_paid("max(r.date)", "r"), doc="of the last of them"),
        Column(name="status", type=ColumnType.INTEGER, sql="@.status", doc="as in transactions"),
        Column(name="transactionnum", type=ColumnType.TEXT, sql="@.transactionnum"),
        Column(name="type", type=ColumnType.INTEGER, sql="@.type", doc="as in transactions; 3, 4, 8 and 9 are settled"),
    ),
    joins={"account": Join(resource="accounts", on="@.id = t.account")},
)
