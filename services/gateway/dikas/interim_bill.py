"""An interim bill (Zwischenrechnung) as text for a receipt printer: what is open, and in so many words no receipt."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from libs.contracts.pos.floor import InterimBill
from libs.texts.catalogue import Language, Text
from services.gateway.dikas import shapes

WIDTH: Final = 42  # characters of an 80 mm roll
AMOUNT_WIDTH: Final = 11

TITLE: Final = Text("ZWISCHENRECHNUNG", "INTERIM BILL")
NO_RECEIPT: Final = Text("Kein Beleg - nicht bezahlt", "Not a receipt - not paid")
TABLE: Final = Text("Tisch {name}", "Table {name}")
SEAT: Final = Text("Platz {seat}", "Seat {seat}")
PRINTED: Final = Text("{printed}. Ausdruck  {at}", "Print no. {printed}  {at}")
DISCOUNT: Final = Text("  Rabatt", "  Discount")
TOTAL: Final = Text("Offen {currency}", "Open {currency}")
TAX: Final = Text("  enthält {rate} % USt", "  includes {rate} % VAT")


def interim_bill_text(bill: InterimBill, table: str, language: Language) -> str:
    """Lines of WIDTH characters at most, each ended by a newline."""

    def said(text: Text, **params: str | int) -> str:
        return text(language, params)

    where = said(TABLE, name=table) + (f"  {said(SEAT, seat=bill.seat)}" if bill.seat is not None else "")
    lines = [
        said(TITLE).center(WIDTH).rstrip(),
        said(NO_RECEIPT).center(WIDTH).rstrip(),
        where[:WIDTH],
        said(PRINTED, printed=bill.printed, at=shapes.moment(bill.at)),
        "-" * WIDTH,
    ]
    for line in bill.lines:
        full = line.total + line.discount
        lines.append(_row(f"{_plain(shapes.quantity(line.quantity), language)} x {line.name}", full, language))
        if line.discount:
            lines.append(_row(said(DISCOUNT), -line.discount, language))
    lines += ["-" * WIDTH, _row(said(TOTAL, currency=bill.currency), bill.gross, language)]
    lines += [_row(said(TAX, rate=_plain(shapes.quantity(tax.rate), language)), tax.tax, language) for tax in bill.taxes]
    lines += ["", said(NO_RECEIPT).center(WIDTH).rstrip()]
    return "\n".join(lines) + "\n"


def _plain(number: Decimal, language: Language) -> str:
    text = f"{number:f}"
    return text.replace(".", ",") if language is Language.GERMAN else text


def _row(text: str, minor: int, language: Language) -> str:
    amount = _plain(shapes.amount(minor), language).rjust(AMOUNT_WIDTH)
    room = WIDTH - len(amount)
    return f"{text[:room]:<{room}}{amount}"
