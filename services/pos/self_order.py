"""The code on a table by which its guests order themselves: a token that names instance and table and that only Theke can make."""

from __future__ import annotations

import base64
import hmac
import secrets as random
from hashlib import sha256
from typing import Final

import msgspec

from libs.bus.server import Request
from libs.bus.subjects import Call
from libs.contracts.pos.commands import TableKey
from libs.contracts.pos.floor import SelfOrderKey
from libs.contracts.pos.permissions import TABLES
from libs.domain.errors import DomainError, Kind, not_found
from libs.projections.tables import Statement, Tables
from libs.runtime.dispatcher import decoded, principal_of
from libs.runtime.secrets import Secrets
from libs.runtime.service import Host

KEY_NAME: Final = "self-order key"
KEY_BYTES: Final = 32
MAC_BYTES: Final = 16
TOKEN_MAX_CHARS: Final = 200

_TABLE = Statement("select t.key from {pos.tables} t where t.instance = $1 and t.key = $2")


class SelfOrderTokens:
    """``<instance>.<table>`` and a MAC over it, in base64url. The same table has the same token for ever, so a printed code stays good."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def token(self, instance: int, table: str) -> str:
        text = f"{instance}.{table}".encode()
        return base64.urlsafe_b64encode(self._mac(text) + text).decode().rstrip("=")

    def read(self, token: str) -> tuple[int, str]:
        """(instance, table). Raises ``unauthenticated``."""
        try:
            if len(token) > TOKEN_MAX_CHARS:
                raise ValueError
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            mac, text = raw[:MAC_BYTES], raw[MAC_BYTES:]
            if not hmac.compare_digest(mac, self._mac(text)):
                raise ValueError
            instance, _, table = text.decode().partition(".")
            return int(instance), table
        except ValueError:
            raise DomainError(Kind.UNAUTHENTICATED, "table_code_invalid") from None

    def _mac(self, text: bytes) -> bytes:
        return hmac.new(self._key, text, sha256).digest()[:MAC_BYTES]


class SelfOrderCodes:
    """Answers ``qry.pos.self_order_key``."""

    def __init__(self, tokens: SelfOrderTokens, tables: Tables) -> None:
        self._tokens = tokens
        self._tables = tables

    async def key(self, request: Request) -> bytes:
        principal = principal_of(request)
        if not principal.may(TABLES, write=False):
            raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": TABLES})
        table = decoded(request.body, TableKey).table
        if await self._tables.fetch_one(_TABLE, principal.instance, table) is None:
            raise not_found("table_not_found", id=table)
        return msgspec.msgpack.encode(SelfOrderKey(table=table, token=self._tokens.token(principal.instance, table)))


async def open_codes(host: Host) -> None:
    """Every replica finds the same key; the first one makes it."""
    secrets = Secrets(host.log_dsn, host.service.name)
    await secrets.open()
    host.on_stop(secrets.close)
    tokens = SelfOrderTokens(await secrets.keep(0, KEY_NAME, random.token_bytes(KEY_BYTES)))
    host.server.register(Call.QUERY, "self_order_key", SelfOrderCodes(tokens, host.tables).key)
