"""What tills did while they were cut off, brought in afterwards."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from libs.contracts.pos.commands import Order, Receipt
from libs.domain.errors import FieldError

ITEMS_PER_REQUEST_MAX: Final = 100  # between gateway and pos; whole uploads are cut up
CLIENT_AHEAD_MAX: Final = timedelta(minutes=5)  # a till's clock may be fast by so much
CLIENT_BEHIND_MAX: Final = timedelta(days=90)

SyncKind = Literal["sell", "place_order", "pay_table", "void", "refund"]


class SyncItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A command as a till recorded it. ``id`` is the till's own for it and makes a repeat harmless; ``body`` the command (msgpack);
    ``number`` the receipt's, if the register numbers its receipts itself.

    Where a body names an order's line or a receipt that was made offline too, it may write ``@<id>/<index>`` and ``@<id>``.
    """

    id: str
    kind: SyncKind
    client_at: datetime
    body: msgspec.Raw
    number: int | None = None


class Sync(msgspec.Struct, frozen=True, kw_only=True):
    """In the order they happened."""

    register: str
    items: tuple[SyncItem, ...]


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    reason: str
    params: dict[str, str | int]
    fields: tuple[FieldError, ...]


class Synced(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one: exactly one of the three."""

    id: str
    receipt: Receipt | None = None
    order: Order | None = None
    refusal: Refusal | None = None


class SyncAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """In the order of the request."""

    items: tuple[Synced, ...]
