"""NATS: its version and limits, its clock, and whether the streams are as the code declares them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import nats
from nats.errors import Error as NatsError

from libs.bus.jetstream import log_stream_config
from libs.bus.limits import BODY_MAX_BYTES
from libs.bus.subjects import log_stream
from libs.cli.checks.findings import Finding, error, fine, hint, warning
from libs.cli.checks.postgres import clock
from libs.domain.ids import instance_token

OLDEST: Final = (2, 14)  # the first in which a stream can begin at a position
CONNECT_TIMEOUT_S: Final = 3
ANSWER_WITHIN_S: Final = 3.0
STORE_LOW_SHARE: Final = 0.9
PAYLOAD_MIN_BYTES: Final = 2 * BODY_MAX_BYTES
FIXED: Final = ("storage", "retention")  # cannot be changed in a stream that is there


async def bus(url: str, logs: Mapping[str, Sequence[int]]) -> AsyncIterator[Finding]:
    """``logs``: service → instances that have a log."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):  # it would go on trying for minutes
            client = await nats.connect(url, allow_reconnect=False, connect_timeout=CONNECT_TIMEOUT_S, error_cb=_silent)
    except (OSError, NatsError, TimeoutError) as failure:
        said = f"NATS cannot be reached: {str(failure) or type(failure).__name__}"
        why = "services reach each other over it: without it tills reach nobody"
        yield error("nats", said, why, "start it, look at its log, or put THEKE_NATS_URL right")
        return
    try:
        for one in server(client._server_info):
            yield one
        try:
            account = await client.jetstream().account_info()
        except (NatsError, TimeoutError) as failure:
            why = "the copies of the logs for downstream systems are in it"
            yield error("nats", f"JetStream does not answer: {failure!r}", why, "configure `jetstream {}` and a disk for it")
            return
        for one in store(account.storage, account.limits.max_storage or -1):
            yield one
        told = False
        for service, instances in logs.items():
            for instance in instances:
                stream = log_stream(service, instance)
                answer = await _info(client, stream)
                if "ts" in answer and not told:
                    told = True
                    for one in clock("NATS", datetime.fromisoformat(answer["ts"].replace("Z", "+00:00"))):
                        yield one
                for one in as_declared(service, instance, answer.get("config")):
                    yield one
        yield fine("streams", f"{sum(map(len, logs.values()))} streams looked at")
    finally:
        await client.close()


async def _silent(_: Exception) -> None:
    """What goes wrong is a finding."""


async def _info(client: Any, stream: str) -> dict[str, Any]:
    message = await client.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=ANSWER_WITHIN_S)
    answer: dict[str, Any] = msgspec.json.decode(message.data)
    return answer


def server(info: Mapping[str, Any]) -> Iterator[Finding]:
    """What a server says of itself when one connects."""
    text = str(info.get("version", "0"))
    known = tuple(int(part) if part.isdigit() else 0 for part in text.split("-")[0].split(".")[:2])
    if known < OLDEST:
        why = "a log that begins a new life needs a stream that begins at a position"
        yield error("nats", f"NATS {text} is too old", why, f"move to {OLDEST[0]}.{OLDEST[1]} or newer")
    else:
        yield fine("nats", f"NATS {text}")
    if (most := int(info.get("max_payload", 0))) < PAYLOAD_MIN_BYTES:
        why = "larger messages close the connection with everything that is on it"
        yield error("nats", f"max_payload is {most:,} bytes", why, f"max_payload: {PAYLOAD_MIN_BYTES} in its configuration, then reload")


def store(used: int, most: int) -> Iterator[Finding]:
    """Bytes; ``most`` -1: as much as the disk has."""
    if most > 0 and used > STORE_LOW_SHARE * most:
        said = f"JetStream holds {used:,} of {most:,} bytes"
        yield warning("nats", said, "when it is full, copies stand still", "raise max_file_store, or give it a larger disk")
    else:
        yield fine("nats", f"JetStream holds {used:,} bytes")


def as_declared(service: str, instance: int, config: Mapping[str, Any] | None) -> Iterator[Finding]:
    """``config``: of the log's stream as the server has it, None if there is none."""
    stream = log_stream(service, instance)
    place = f"{service} {instance_token(instance)}"
    if config is None:
        why = f"events of {place} reach nobody downstream"
        yield warning(
            "streams", f"{stream} is not there", why, "the service makes it when it runs; if it does, `theke status` says why not"
        )
        return
    declared = log_stream_config(service, instance, replicas=int(config.get("num_replicas", 1)))
    other = [f"{name} is {config.get(name)!r} instead of {value!r}" for name, value in declared.items() if config.get(name) != value]
    if fixed := [name for name in FIXED if config.get(name) != declared[name]]:
        why = f"{', '.join(fixed)} cannot be changed in a stream that is there"
        yield error("streams", f"{stream}: {'; '.join(other)}", why, f"`nats stream rm {stream}`: it is made anew of the log")
    elif other:
        why = "somebody changed it past Theke"
        yield hint("streams", f"{stream}: {'; '.join(other)}", why, "nothing: the service declares it anew at its next start")
