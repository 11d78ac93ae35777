"""Asking and answering while everything works, and what each side refuses."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID, uuid4

import pytest

from libs.bus import envelope, limits, subjects
from libs.bus.client import Reply
from libs.bus.envelope import RequestEnvelope
from libs.bus.server import Request
from libs.bus.subjects import Call
from libs.domain.errors import DomainError, FieldError, Kind, unavailable

AT = datetime(2026, 3, 1, 18, 0, tzinfo=UTC)


async def echo(request: Request) -> bytes:
    return request.body


async def for_ever(_request: Request) -> bytes:
    await asyncio.Event().wait()
    return b""


async def test_what_the_caller_says_reaches_the_handler_and_its_answer_comes_back(bus) -> None:
    seen: list[Request] = []

    async def handler(request: Request) -> bytes:
        seen.append(request)
        return b"answer"

    server, client = await bus.server(), await bus.client()
    server.register(Call.COMMAND, "pay", handler)
    await server.start()
    command_id = uuid4()
    reply = await client.request(
        subjects.command(bus.service, "pay"),
        b"\x00body\xff",
        instance=17,
        principal=b"who",
        command_id=command_id,
        deadline=5.0,
        trace="t-1",
        at=AT,
    )
    assert reply == Reply(b"answer", projection_behind=False)
    (request,) = seen
    assert (request.subject, request.instance, request.principal) == (f"cmd.{bus.service}.pay", 17, b"who")
    assert (request.command_id, request.at, request.trace, request.body) == (command_id, AT, "t-1", b"\x00body\xff")
    assert 0 < request.left() <= 5.0


async def test_a_refusal_arrives_with_kind_reason_params_and_fields(bus) -> None:
    refusal = DomainError(
        Kind.UNPROCESSABLE,
        "cannot_pay",
        {"table": "7", "open": 350},
        fields=(FieldError("items[0].quantity", "too_many", {"max": 3}),),
    )

    async def handler(_request: Request) -> bytes:
        raise refusal

    server, client = await bus.server(), await bus.client()
    server.register(Call.COMMAND, "pay", handler)
    await server.start()
    with pytest.raises(DomainError) as raised:
        await client.request(subjects.command(bus.service, "pay"), b"", instance=1, deadline=5.0, trace="t")
    error = raised.value
    assert (error.kind, error.reason, dict(error.params)) == (refusal.kind, refusal.reason, dict(refusal.params))
    assert (error.fields, error.retry_after_s) == (refusal.fields, None)
    assert server.counts.refused == 1


async def test_a_write_that_stands_before_its_tables_says_so(bus) -> None:
    async def handler(_request: Request) -> Reply:
        return Reply(b"receipt", projection_behind=True)

    server, client = await bus.server(), await bus.client()
    server.register(Call.COMMAND, "pay", handler)
    await server.start()
    reply = await client.request(subjects.command(bus.service, "pay"), b"", instance=1, deadline=5.0, trace="t")
    assert reply == Reply(b"receipt", projection_behind=True)


async def test_a_defect_says_nothing_of_itself_and_is_not_repeated(bus) -> None:
    async def handler(_request: Request) -> bytes:
        raise RuntimeError("secret detail")

    server, client = await bus.server(), await bus.client()
    server.register(Call.COMMAND, "pay", handler)
    await server.start()
    with pytest.raises(DomainError) as raised:
        await client.request(subjects.command(bus.service, "pay"), b"", instance=1, deadline=5.0, trace="t")
    assert (raised.value.kind, raised.value.reason, dict(raised.value.params)) == (Kind.UNAVAILABLE, "internal", {})
    assert (server.counts.failed, client.counts.repeated) == (1, 0)


async def test_the_deadline_is_kept_when_the_answer_does_not_come(bus) -> None:
    server, client = await bus.server(), await bus.client()
    server.register(Call.COMMAND, "pay", for_ever)
    await server.start()
    started = time.monotonic()
    with pytest.raises(DomainError) as raised:
        await client.request(subjects.command(bus.service, "pay"), b"", instance=1, deadline=0.3, trace="t")
    assert 0.29 <= time.monotonic() - started < 1.5
    assert (raised.value.kind, raised.value.reason) == (Kind.UNAVAILABLE, "timeout")
    assert (client.in_flight, client.counts.timed_out, server.in_flight) == (0, 1, 1)


def old_request(sent_s_ago: float, *, left_s: float = 1.0, wall_off_s: float = 0.0) -> bytes:
    """A request as it was sent that long ago by a client whose wall clock is off."""
    left_ms = int(left_s * 1000)
    sent_at_ms = int((time.time() - sent_s_ago + wall_off_s) * 1000)
    return envelope.encode(
        RequestEnvelope(
            version=envelope.VERSION,
            trace="t",
            deadline_ms=sent_at_ms + left_ms,
            left_ms=left_ms,
            sent_ms=int((time.monotonic() - sent_s_ago) * 1000),
            instance=1,
            principal=None,
            command_id=None,
            at=AT,
            body=b"old" if sent_s_ago else b"fresh",
        )
    )


async def test_requests_nobody_waits_for_any_more_are_dropped_without_work(bus, eventually) -> None:
    bodies: list[bytes] = []

    async def handler(request: Request) -> bytes:
        bodies.append(request.body)
        return b""

    server, connection = await bus.server(), await bus.connection()
    server.register(Call.COMMAND, "pay", handler)
    await server.start()
    for number, payload in enumerate([old_request(0), old_request(5.0), old_request(0)]):
        connection.send(subjects.command(bus.service, "pay"), payload, f"_INBOX.{bus.service}.{number}")
    await eventually(lambda: len(bodies) == 2)
    assert (bodies, server.counts.expired) == ([b"fresh", b"fresh"], 1)


@pytest.mark.parametrize("wall_off_s", [-3600.0, 3600.0])
async def test_a_client_with_a_wrong_clock_is_served(bus, eventually, wall_off_s: float) -> None:
    server, connection = await bus.server(), await bus.connection()
    server.register(Call.COMMAND, "pay", echo)
    await server.start()
    for number in range(3):
        payload = old_request(0, wall_off_s=wall_off_s)
        connection.send(subjects.command(bus.service, "pay"), payload, f"_INBOX.{bus.service}.{number}")
    await eventually(lambda: server.counts.answered == 3)
    assert server.counts.expired == 0


async def test_a_repeat_is_as_old_as_what_it_repeats(bus) -> None:
    """What was refused meanwhile is not to be done by it."""
    began: list[float] = []

    async def handler(request: Request) -> bytes:
        began.append(request.began)
        if len(began) < 3:
            raise unavailable("busy", 1.0)
        return b""

    server, client = await bus.server(), await bus.client()
    server.register(Call.COMMAND, "pay", handler)
    await server.start()
    before = time.monotonic()
    await client.request(subjects.command(bus.service, "pay"), b"", instance=1, deadline=10.0, trace="t")
    assert len(began) == 3
    assert all(abs(one - before) < 0.9 for one in began), [one - before for one in began]


async def test_a_request_is_as_old_as_the_one_who_asks_says(bus) -> None:
    """It came to the gateway some time ago, which asked somebody else first."""
    began: list[float] = []

    async def handler(request: Request) -> bytes:
        began.append(request.began)
        return b""

    server, client = await bus.server(), await bus.client()
    server.register(Call.COMMAND, "pay", handler)
    await server.start()
    since = time.monotonic() - 3.0
    await client.request(subjects.command(bus.service, "pay"), b"", instance=1, deadline=5.0, trace="t", began=since)
    assert since - 0.01 <= began[0] <= since + 2.0


async def test_a_request_that_lay_in_front_of_a_frozen_service_is_as_old_as_that(bus, eventually) -> None:
    began: dict[bytes, float] = {}

    async def handler(request: Request) -> bytes:
        began[request.body] = request.began
        return b""

    server, connection = await bus.server(), await bus.connection()
    server.register(Call.COMMAND, "pay", handler)
    await server.start()
    before = time.monotonic()
    for number, payload in enumerate([old_request(0), old_request(5.0, left_s=10.0)]):
        connection.send(subjects.command(bus.service, "pay"), payload, f"_INBOX.{bus.service}.{number}")
    await eventually(lambda: len(began) == 2)
    assert began[b"fresh"] >= before - 0.01
    assert before - 5.1 < began[b"old"] < before - 4.0


async def test_a_request_waits_for_a_service_that_is_still_starting(bus) -> None:
    seen: list[UUID | None] = []

    async def handler(request: Request) -> bytes:
        seen.append(request.command_id)
        return b"here"

    client = await bus.client()
    command_id = uuid4()
    asking = asyncio.create_task(
        client.request(subjects.command(bus.service, "pay"), b"", instance=1, command_id=command_id, deadline=10.0, trace="t")
    )
    await asyncio.sleep(0.3)
    assert not asking.done()
    server = await bus.server()
    server.register(Call.COMMAND, "pay", handler)
    await server.start()
    assert (await asking).body == b"here"
    assert seen == [command_id]
    assert client.counts.repeated >= 1


async def test_a_service_that_never_comes_is_unavailable_before_the_deadline(bus) -> None:
    client = await bus.client()
    started = time.monotonic()
    with pytest.raises(DomainError) as raised:
        await client.request(subjects.command(bus.service, "pay"), b"", instance=1, deadline=0.5, trace="t")
    assert time.monotonic() - started < 1.5
    assert (raised.value.kind, raised.value.reason) == (Kind.UNAVAILABLE, "no_responders")


async def test_unavailable_is_asked_again_under_the_same_id_and_not_too_early(bus) -> None:
    seen: list[tuple[UUID | None, datetime, float]] = []

    async def handler(request: Request) -> bytes:
        seen.append((request.command_id, request.at, time.monotonic()))
        if len(seen) < 3:
            raise unavailable("conflict_with_replica", retry_after_s=0.2)
        return b"done"

    server, client = await bus.server(), await bus.client()
    server.register(Call.COMMAND, "pay", handler)
    await server.start()
    command_id = uuid4()
    reply = await client.request(subjects.command(bus.service, "pay"), b"", instance=1, command_id=command_id, deadline=10.0, trace="t")
    assert reply.body == b"done"
    assert {(at[0], at[1]) for at in seen} == {(command_id, seen[0][1])}
    assert all(later[2] - earlier[2] >= 0.19 for earlier, later in pairwise(seen))


async def test_a_retry_after_beyond_the_deadline_is_told_at_once(bus) -> None:
    async def handler(_request: Request) -> bytes:
        raise unavailable("held", retry_after_s=60.0)

    server, client = await bus.server(), await bus.client()
    server.register(Call.COMMAND, "pay", handler)
    await server.start()
    started = time.monotonic()
    with pytest.raises(DomainError) as raised:
        await client.request(subjects.command(bus.service, "pay"), b"", instance=1, deadline=10.0, trace="t")
    assert (raised.value.reason, raised.value.retry_after_s) == ("held", 60.0)
    assert time.monotonic() - started < 5.0


async def test_a_repeat_of_what_is_being_worked_on_is_not_worked_on_twice(bus, monkeypatch) -> None:
    monkeypatch.setattr(limits, "REPEAT_AFTER_S", 0.05)
    calls = 0

    async def handler(_request: Request) -> bytes:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.5)
        return b"slow"

    server, client = await bus.server(), await bus.client()
    server.register(Call.COMMAND, "pay", handler)
    await server.start()
    reply = await client.request(subjects.command(bus.service, "pay"), b"", instance=1, deadline=10.0, trace="t")
    assert (reply.body, calls) == (b"slow", 1)
    assert server.counts.repeated >= 1


async def test_a_client_that_left_cancels_its_query_but_never_its_command(bus, eventually) -> None:
    finished: list[str] = []
    go_on = asyncio.Event()

    async def handler(request: Request) -> bytes:
        await go_on.wait()
        finished.append(request.subject)
        return b""

    server, client = await bus.server(), await bus.client()
    server.register(Call.COMMAND, "pay", handler)
    server.register(Call.QUERY, "tables", handler)
    await server.start()
    command, query = subjects.command(bus.service, "pay"), subjects.query(bus.service, "tables")
    asking = [asyncio.create_task(client.request(subject, b"", instance=1, deadline=10.0, trace="t")) for subject in (command, query)]
    await eventually(lambda: server.in_flight == 2)
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert all(task.cancelled() for task in asking)
    await eventually(lambda: server.counts.cancelled == 1)
    go_on.set()
    await eventually(lambda: server.in_flight == 0)
    assert finished == [command]
    assert client.in_flight == 0


async def test_a_query_past_its_deadline_does_not_go_on_working(bus, eventually) -> None:
    server, client = await bus.server(), await bus.client()
    server.register(Call.QUERY, "tables", for_ever)
    await server.start()
    with pytest.raises(DomainError):
        await client.request(subjects.query(bus.service, "tables"), b"", instance=1, deadline=0.1, trace="t")
    await eventually(lambda: server.in_flight == 0)
    assert server.counts.cancelled == 1


async def test_a_client_has_a_bound_of_requests_in_flight(bus, eventually) -> None:
    server, client = await bus.server(), await bus.client(in_flight_max=3)
    server.register(Call.COMMAND, "pay", for_ever)
    await server.start()
    ask = subjects.command(bus.service, "pay")
    asking = [asyncio.create_task(client.request(ask, b"", instance=1, deadline=10.0, trace="t")) for _ in range(3)]
    await eventually(lambda: client.in_flight == 3)
    started = time.monotonic()
    with pytest.raises(DomainError) as raised:
        await client.request(ask, b"", instance=1, deadline=10.0, trace="t")
    assert (raised.value.kind, raised.value.reason) == (Kind.UNAVAILABLE, "too_many_requests")
    assert raised.value.retry_after_s is not None
    assert time.monotonic() - started < 1.0
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert client.in_flight == 0


async def test_commands_beyond_the_bound_are_turned_away_while_queries_are_served(bus, eventually, monkeypatch) -> None:
    go_on = asyncio.Event()

    async def slow(_request: Request) -> bytes:
        await go_on.wait()
        return b"late"

    server, client = await bus.server(commands_max=2), await bus.client()
    server.register(Call.COMMAND, "pay", slow)
    server.register(Call.QUERY, "tables", echo)
    await server.start()
    ask = subjects.command(bus.service, "pay")
    asking = [asyncio.create_task(client.request(ask, b"", instance=1, deadline=10.0, trace="t")) for _ in range(2)]
    await eventually(lambda: server.in_flight == 2)
    with monkeypatch.context() as patience:
        patience.setattr(limits, "OVERLOADED_RETRY_AFTER_S", 20.0)  # later than the deadline, so that it is asked once
        with pytest.raises(DomainError) as raised:
            await client.request(ask, b"", instance=1, deadline=10.0, trace="t")
    assert (raised.value.kind, raised.value.reason, raised.value.retry_after_s) == (Kind.UNAVAILABLE, "overloaded", 20.0)
    table = await client.request(subjects.query(bus.service, "tables"), b"7", instance=1, deadline=5.0, trace="t")
    assert table.body == b"7"
    waiting = asyncio.create_task(client.request(ask, b"", instance=1, deadline=10.0, trace="t"))
    await eventually(lambda: client.counts.repeated >= 1 and server.counts.overloaded >= 2)
    go_on.set()
    assert [reply.body for reply in await asyncio.gather(*asking, waiting)] == [b"late"] * 3


async def test_a_thousand_slow_requests_hold_up_no_fast_one_and_none_is_dropped(bus, eventually) -> None:
    go_on = asyncio.Event()

    async def slow(request: Request) -> bytes:
        await go_on.wait()
        return request.body

    server, client = await bus.server(), await bus.client()
    server.register(Call.COMMAND, "slow", slow)
    server.register(Call.COMMAND, "fast", echo)
    await server.start()
    count = limits.COMMANDS_IN_FLIGHT_MAX - 1
    ask = subjects.command(bus.service, "slow")
    asking = [
        asyncio.create_task(client.request(ask, str(number).encode(), instance=1, deadline=30.0, trace="t")) for number in range(count)
    ]
    await eventually(lambda: server.in_flight == count)
    fast = await client.request(subjects.command(bus.service, "fast"), b"!", instance=1, deadline=5.0, trace="t")
    assert fast.body == b"!"
    go_on.set()
    assert [reply.body for reply in await asyncio.gather(*asking)] == [str(number).encode() for number in range(count)]


async def test_bodies_are_measured_before_they_are_sent(bus) -> None:
    async def big(_request: Request) -> bytes:
        return b"x" * (limits.BODY_MAX_BYTES + 1)

    server, client = await bus.server(), await bus.client()
    server.register(Call.COMMAND, "echo", echo)
    server.register(Call.QUERY, "big", big)
    await server.start()
    ask = subjects.command(bus.service, "echo")
    full = b"x" * limits.BODY_MAX_BYTES
    reply = await client.request(ask, full, instance=1, principal=b"p" * 65536, deadline=10.0, trace="t")
    assert reply.body == full
    with pytest.raises(DomainError) as asked:
        await client.request(ask, full + b"x", instance=1, deadline=10.0, trace="t")
    assert (asked.value.kind, asked.value.reason) == (Kind.TOO_LARGE, "request_too_large")
    with pytest.raises(DomainError) as answered:
        await client.request(subjects.query(bus.service, "big"), b"", instance=1, deadline=10.0, trace="t")
    assert (answered.value.kind, answered.value.reason) == (Kind.TOO_LARGE, "reply_too_large")
    assert (await client.request(ask, b"still here", instance=1, deadline=5.0, trace="t")).body == b"still here"


async def test_replicas_share_the_work_and_one_that_drains_loses_nothing(bus, eventually) -> None:
    done: list[bytes] = []

    async def handler(request: Request) -> bytes:
        await asyncio.sleep(0.002)
        done.append(request.body)
        return request.body

    servers = [await bus.server(), await bus.server()]
    client = await bus.client()
    for server in servers:
        server.register(Call.COMMAND, "pay", handler)
        await server.start()
    ask = subjects.command(bus.service, "pay")
    answers: list[bytes] = []

    async def till(number: int) -> None:
        for turn in range(50):
            body = f"{number}-{turn}".encode()
            answers.append((await client.request(ask, body, instance=1, deadline=10.0, trace="t")).body)

    tills = asyncio.gather(*(till(number) for number in range(16)))
    await eventually(lambda: all(server.counts.answered > 20 for server in servers))
    assert await servers[0].drain() == 0
    before = servers[0].counts.answered
    await tills
    assert servers[0].counts.answered == before
    assert sorted(answers) == sorted(done) == sorted(f"{n}-{t}".encode() for n in range(16) for t in range(50))


async def test_draining_finishes_commands_within_a_time_and_cancels_queries(bus, eventually) -> None:
    server, client = await bus.server(), await bus.client()
    server.register(Call.COMMAND, "pay", for_ever)
    server.register(Call.QUERY, "tables", for_ever)
    await server.start()
    asking = [
        asyncio.create_task(client.request(subject, b"", instance=1, deadline=20.0, trace="t"))
        for subject in (subjects.command(bus.service, "pay"), subjects.query(bus.service, "tables"))
    ]
    await eventually(lambda: server.in_flight == 2)
    assert await server.drain(within=0.2) == 1
    assert server.counts.cancelled == 1
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)


async def test_bytes_that_are_no_request_are_answered_and_harm_nobody(bus, eventually) -> None:
    server, client, connection = await bus.server(), await bus.client(), await bus.connection()
    server.register(Call.COMMAND, "echo", echo)
    await server.start()
    answers: list[bytes] = []
    await connection.listen(f"_INBOX.{bus.service}.answer", lambda _subject, _reply, payload, _header: answers.append(payload))
    await connection.settle()
    ask = subjects.command(bus.service, "echo")
    connection.send(ask, b"\xff\x00garbage", f"_INBOX.{bus.service}.answer")
    connection.send(ask, b"")
    connection.send(subjects.cancel(bus.service), b"\xff\xfe")
    await eventually(lambda: len(answers) == 1)
    refusal = envelope.decode_reply(answers[0]).refusal
    assert refusal is not None
    assert refusal.reason == "envelope_unknown"
    assert (await client.request(ask, b"ok", instance=1, deadline=5.0, trace="t")).body == b"ok"


async def test_no_answer_is_sent_where_its_asker_may_not_write_himself(bus, eventually) -> None:
    """The bus does not check a request's reply subject: whoever answers would publish there in the asker's place."""
    server, client, connection = await bus.server(), await bus.client(), await bus.connection()
    server.register(Call.COMMAND, "echo", echo)
    await server.start()
    heard: list[bytes] = []
    await connection.listen(f"cmd.{bus.service}.elsewhere", lambda _subject, _reply, payload, _header: heard.append(payload))
    await connection.settle()
    ask = subjects.command(bus.service, "echo")
    connection.send(ask, b"\xff\x00garbage", f"cmd.{bus.service}.elsewhere")
    assert (await client.request(ask, b"ok", instance=1, deadline=5.0, trace="t")).body == b"ok"
    await eventually(lambda: server.counts.misdirected == 1)
    await connection.settle()
    assert heard == []


async def test_nobody_can_cancel_a_command(bus, eventually) -> None:
    go_on = asyncio.Event()

    async def handler(_request: Request) -> bytes:
        await go_on.wait()
        return b"paid"

    server, connection = await bus.server(), await bus.connection()
    server.register(Call.COMMAND, "pay", handler)
    await server.start()
    inbox = f"_INBOX.{bus.service}.1"
    connection.send(subjects.command(bus.service, "pay"), old_request(0, left_s=10.0), inbox)
    await eventually(lambda: server.in_flight == 1)
    connection.send(subjects.cancel(bus.service), inbox.encode())
    await connection.settle()
    await server._connection.settle()
    go_on.set()
    await eventually(lambda: server.in_flight == 0)
    assert (server.counts.answered, server.counts.cancelled) == (1, 0)
