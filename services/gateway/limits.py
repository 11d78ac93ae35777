"""Every bound of the gateway, with its unit."""

from __future__ import annotations

from typing import Final

REQUEST_DEADLINE_S: Final = 10.0
LOGIN_DEADLINE_S: Final = 15.0
CLOSE_DEADLINE_S: Final = 30.0  # settling a shift, closing a day: sums over the log
MAIL_DEADLINE_S: Final = 25.0  # a mail server may take its time
NUMBER_MAX_DIGITS: Final = 18  # of a receipt
WARNINGS_MAX: Final = 20
SYNC_BODY_MAX_BYTES: Final = 4 * 1024 * 1024  # 1,000 commands of a till that was cut off
IDEMPOTENCY_KEY_MAX_CHARS: Final = 200
HEADER_VALUE_MAX_CHARS: Final = 64  # of Theke-Instance and Theke-Register
ID_MAX_CHARS: Final = 64
LANGUAGES_MAX_CHARS: Final = 200
EVENTS_DEFAULT: Final = 100  # of a batch
EVENTS_MAX: Final = 1_000
EVENTS_MAX_BYTES: Final = 4 * 1024 * 1024  # of a batch; one event always fits
EVENT_TYPES_MAX: Final = 50  # asked for at once
EVENTS_WAIT_MAX_S: Final = 30  # for the next event
EVENTS_WAITING_MAX: Final = 500  # clients at once, per gateway
EVENTS_LOOK_EVERY_S: Final = 5.0  # while one waits: hints can get lost
EVENTS_AGAIN_S: Final = 2.0  # when too many wait
BODY_WITHIN_S: Final = 20.0
FIRST_REQUEST_WITHIN_S: Final = 20.0  # of a new connection
PIECE_WITHIN_S: Final = 10.0  # a client that takes no piece of a long list for so long is left: it holds a snapshot open
LIST_WITHIN_S: Final = 600.0  # and one that takes them drop by drop
HEADER_MAX_BYTES: Final = 16 * 1024
KEEPALIVE_S: Final = 75.0
CLIENTS_KNOWN_MAX: Final = 20_000  # whose pace is remembered
RATE_BURST_S: Final = 10  # of the steady pace (THEKE_RATE_LIMIT) may come at once
SLOW_S: Final = 2.0  # a request that takes so long is worth a line
READY_ASK_WITHIN_S: Final = 1.0  # a service that says nothing for so long is not ready
SERVE_ON_S: Final = 0.5  # after a stop was asked for, so that clients see the end of the connection first
FINISH_WITHIN_S: Final = 0.8
