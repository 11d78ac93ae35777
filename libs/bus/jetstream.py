"""The few calls of JetStream's API that the relay needs, over the connection's own inbox."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from libs.bus import limits, subjects
from libs.bus.connection import Connection
from libs.bus.inbox import Inbox
from libs.domain.errors import DomainError, Kind, Param, unavailable

STREAM_NOT_FOUND: Final = 10059
STREAM_NAME_IN_USE: Final = 10058
NO_MESSAGE_FOUND: Final = 10037
WRONG_LAST_SEQUENCE: Final = 10071


class ApiError(msgspec.Struct, frozen=True):
    code: int
    err_code: int = 0
    description: str = ""


class _State(msgspec.Struct, frozen=True):
    last_seq: int
    first_seq: int = 0
    messages: int = 0


class StreamInfo(msgspec.Struct, frozen=True):
    """``config`` as the server holds it, ``state`` the sequences."""

    config: dict[str, Any]
    state: _State


class _Stored(msgspec.Struct, frozen=True):
    subject: str
    seq: int
    data: str = ""


class _Answer(msgspec.Struct, frozen=True):
    error: ApiError | None = None
    config: dict[str, Any] | None = None
    state: _State | None = None
    message: _Stored | None = None
    streams: list[str] | None = None
    total: int = 0


class Ack(msgspec.Struct, frozen=True):
    """What JetStream says to a published message."""

    stream: str = ""
    seq: int = 0
    error: ApiError | None = None


_answer_decoder = msgspec.json.Decoder(_Answer)
_ack_decoder = msgspec.json.Decoder(Ack)
_encoder = msgspec.json.Encoder()


def decode_ack(payload: bytes) -> Ack:
    return _ack_decoder.decode(payload)


def log_stream_config(service: str, instance: int, *, replicas: int = 1) -> dict[str, Any]:
    """How the stream of a log is declared. Nothing can be deleted from it; it keeps 30 days, older events are read from the log."""
    return {
        "name": subjects.log_stream(service, instance),
        "subjects": list(subjects.log_stream_subjects(service, instance)),
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_age": limits.RELAY_STREAM_MAX_AGE_DAYS * limits.DAY_NS,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_msgs_per_subject": -1,
        "num_replicas": replicas,
        "deny_delete": True,
        "deny_purge": True,
        "allow_direct": True,
    }


class JetStream:
    """Asks JetStream. Every call takes at most ``JETSTREAM_API_WITHIN_S`` and raises unavailable/jetstream_silent, /no_responders,
    /connection_lost, /bus_disconnected or unavailable/jetstream_refused (with its error code)."""

    def __init__(self, connection: Connection, inbox: Inbox) -> None:
        self._connection = connection
        self._inbox = inbox

    async def info(self, stream: str) -> StreamInfo | None:
        """The stream, or None if there is none."""
        answer = await self._ask(f"$JS.API.STREAM.INFO.{stream}", b"", expected=(STREAM_NOT_FOUND,))
        if answer.config is None or answer.state is None:
            return None
        return StreamInfo(answer.config, answer.state)

    async def names(self, service: str) -> list[str]:
        """The streams that take events of a service, of whatever instance."""
        found: list[str] = []
        while True:
            body = _encoder.encode({"offset": len(found), "subject": subjects.published_of(service)})
            answer = await self._ask("$JS.API.STREAM.NAMES", body, expected=())
            found += answer.streams or ()
            if not answer.streams or len(found) >= answer.total:
                return found

    async def declare(self, config: dict[str, Any]) -> StreamInfo:
        """The stream as ``config`` has it: made if it is missing, changed if it differs, left alone otherwise."""
        name = config["name"]
        info = await self.info(name)
        if info is not None and all(info.config.get(key) == value for key, value in config.items()):
            return info
        if info is None:
            return await self.create(config)
        return await self._write("UPDATE", {**info.config, **config})  # what it says beside that stays: where its life began

    async def create(self, config: dict[str, Any]) -> StreamInfo:
        """A stream that there must not be. With ``first_seq`` its first message gets that number."""
        return await self._write("CREATE", config)

    async def delete(self, stream: str) -> None:
        """The stream with its messages and all that follow it, if it is there."""
        await self._ask(f"$JS.API.STREAM.DELETE.{stream}", b"", expected=(STREAM_NOT_FOUND,))

    async def _write(self, verb: str, config: dict[str, Any]) -> StreamInfo:
        answer = await self._ask(f"$JS.API.STREAM.{verb}.{config['name']}", _encoder.encode(config), expected=(STREAM_NAME_IN_USE,))
        if answer.config is None or answer.state is None:  # somebody else made it just now, differently
            raise unavailable("jetstream_refused", code=STREAM_NAME_IN_USE)
        return StreamInfo(answer.config, answer.state)

    async def message(self, stream: str, sequence: int) -> bytes | None:
        """The payload of one message, or None if it is no longer there."""
        body = _encoder.encode({"seq": sequence})
        answer = await self._ask(f"$JS.API.STREAM.MSG.GET.{stream}", body, expected=(NO_MESSAGE_FOUND,))
        return None if answer.message is None else base64.b64decode(answer.message.data)

    async def unreached(self, subject: str) -> str:
        """Empty if somebody answers a request of JetStream's API by this name, else no_responders or jetstream_silent."""
        try:
            await self._answer(subject, b"")
        except DomainError as absence:
            if absence.reason in ("no_responders", "jetstream_silent"):
                return absence.reason
            raise
        return ""

    async def _ask(self, subject: str, body: bytes, *, expected: Sequence[int]) -> _Answer:
        answer = _answer_decoder.decode(await self._answer(subject, body))
        if answer.error is not None and answer.error.err_code not in expected:
            params: dict[str, Param] = {"code": answer.error.err_code, "description": answer.error.description}
            raise DomainError(Kind.UNAVAILABLE, "jetstream_refused", params, retry_after_s=limits.RELAY_RETRY_PAUSE_MAX_S)
        return answer

    async def _answer(self, subject: str, body: bytes) -> bytes:
        future: asyncio.Future[bytes | DomainError] = asyncio.get_running_loop().create_future()

        def arrive(outcome: bytes | DomainError, _reply: str) -> None:
            if not future.done():
                future.set_result(outcome)

        reply = self._inbox.expect(arrive)
        try:
            self._connection.send(subject, body, reply)
            async with asyncio.timeout(limits.JETSTREAM_API_WITHIN_S):
                outcome = await future
        except TimeoutError:
            raise unavailable("jetstream_silent") from None
        finally:
            self._inbox.forget(reply)
        if isinstance(outcome, DomainError):
            raise outcome
        return outcome
