"""Every bound of the bus, with its unit. A wait, a queue or a size that is not here does not exist."""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
DAY_NS: Final = 24 * 60 * 60 * 1_000_000_000

# Sizes. The server counts headers towards its max_payload (1 MiB); half of it leaves room for every envelope.
BODY_MAX_BYTES: Final = 512 * KIB  # one request body, one reply body, one chunk of a large reply
OUTBOUND_MAX_BYTES: Final = 16 * MIB  # written but not yet taken by the socket; beyond: unavailable
OUTBOUND_EASY_BYTES: Final = 1 * MIB  # large replies wait until less than this is outstanding

# Connection.
CONNECT_WITHIN_S: Final = 10.0  # the first connection, all attempts together
CONNECT_ATTEMPT_S: Final = 1
RECONNECT_FIRST_WAIT_MAX_S: Final = 0.05
RECONNECT_WAIT_MIN_S: Final = 0.05
RECONNECT_WAIT_MAX_S: Final = 0.25
PING_EVERY_S: Final = 1
PINGS_UNANSWERED_MAX: Final = 2  # a silent server is left after about three seconds
FLUSH_WITHIN_S: Final = 1
ERROR_LOG_EVERY_S: Final = 5.0  # repeated connection errors are logged at most this often

# Requests, at the client.
CLIENT_IN_FLIGHT_MAX: Final = 2048
RETRY_PAUSE_MIN_S: Final = 0.01
RETRY_PAUSE_MAX_S: Final = 0.25
REPEAT_AFTER_S: Final = 1.5  # silence after which a request is sent again under the same id; doubles each time

# Requests, at the server.
COMMANDS_IN_FLIGHT_MAX: Final = 1024
QUERIES_IN_FLIGHT_MAX: Final = 256
STREAMS_IN_FLIGHT_MAX: Final = 32
OVERLOADED_RETRY_AFTER_S: Final = 0.05
OVERDUE_SWEEP_EVERY_S: Final = 0.25
DRAIN_WITHIN_S: Final = 3.0

# How old a request is (see ages.py).
SENDERS_KNOWN_MAX: Final = 1024
TRANSIT_WINDOW_MS: Final = 10_000

# Large replies.
STREAM_WINDOW_CHUNKS: Final = 8
OUTBOUND_LOOK_EVERY_S: Final = 0.002

# Relay.
RELAY_WINDOW_ROWS: Final = 1000
RELAY_WINDOW_BYTES: Final = 4 * MIB
RELAY_WINDOWS_UNDER_WAY: Final = 2  # so that the server need not wait for the next one
RELAY_RENDERED_AT_ONCE: Final = 100  # rows; half a millisecond
RELAY_ACK_WITHIN_S: Final = 2.0
RELAY_SWEEP_EVERY_S: Final = 0.25
RELAY_RETRY_PAUSE_MIN_S: Final = 0.01
RELAY_RETRY_PAUSE_MAX_S: Final = 0.25
RELAY_INSTANCES_AT_ONCE: Final = 8
RELAY_LOOKS_AT_ONCE: Final = 6  # of these, streams nobody wants to publish to; the rest is for those somebody does
RELAY_HEADS_SEEN_MAX: Final = 1200  # five minutes of sweeps; how late a copy is
RELAY_SOURCE_WITHIN_S: Final = 10.0
RELAY_STREAM_MAX_AGE_DAYS: Final = 30
JETSTREAM_API_WITHIN_S: Final = 2.0
KEEPER_WITHIN_S: Final = 5.0

# What downstream systems of one instance may take.
DOWNSTREAM_CONNECTIONS_MAX: Final = 50
DOWNSTREAM_SUBSCRIPTIONS_MAX: Final = 1_000
DOWNSTREAM_CONSUMERS_MAX: Final = 200
