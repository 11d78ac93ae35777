"""Auth's records, as the engine runs them."""

from __future__ import annotations

from typing import Final

from libs.contracts.auth.events import USER_EVENTS
from libs.contracts.auth.records import USER
from libs.records.engine import Records

USERS: Final = Records(USER, USER_EVENTS)
