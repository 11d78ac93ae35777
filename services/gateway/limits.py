"""Every bound of the gateway, with its unit."""

from __future__ import annotations

from typing import Final

REQUEST_DEADLINE_S: Final = 10.0
LOGIN_DEADLINE_S: Final = 15.0
IDEMPOTENCY_KEY_MAX_CHARS: Final = 200
HEADER_MAX_BYTES: Final = 16 * 1024
KEEPALIVE_S: Final = 75.0
SERVE_ON_S: Final = 0.5  # after a stop was asked for, so that clients see the end of the connection first
FINISH_WITHIN_S: Final = 0.8
