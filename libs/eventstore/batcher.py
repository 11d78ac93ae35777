"""Group commit. While one append is in flight, commands gather; the next append takes them all, in one statement and one fsync.

A command is decided when its batch is formed, on the newest state of its streams. Commands to one stream therefore wait their turn and
never collide inside a process; a conflict with another process is retried until the command's deadline.

What a refusal rests on may be stale: a state from the cache, or the command's own earlier success. So before a command is refused its
streams are read again, and then its id is looked up: only a refusal on the newest state is final, and only if the command had not been
done by then. In the other order another process could do it in between. A final refusal is noted in the log: an older attempt at the same
command, still under way in another process or held up on its way there, is turned away as ``superseded``.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextvars import copy_context
from typing import Any

import asyncpg
import msgspec
import structlog

from libs.domain.decider import Claim, Command, CommandType, Decision, StreamRef
from libs.domain.errors import DomainError, Kind, unavailable
from libs.domain.events import Event, Recorded
from libs.domain.ids import derived
from libs.eventstore.codec import EVENT_MAX_BYTES, Meta, UnknownEvent, encode
from libs.eventstore.log import CLOSED, Known, Log, LogUnreachable, Outcome
from libs.eventstore.measures import Appending
from libs.eventstore.states import StateCache

log = structlog.get_logger(__name__)

BATCH_MAX_COMMANDS = 512
BATCH_MAX_BYTES = 4 * 1024 * 1024
QUEUE_MAX_COMMANDS = 4_096
COMMAND_MAX_EVENTS = 4_096
COMMAND_MAX_BYTES = BATCH_MAX_BYTES
RETRY_PAUSE_S = 0.05
STANDSTILL_RETRY_S = 60.0  # until an operator decided
EVENT_STATE_BYTES = 200  # what an event that was read adds to a state, roughly


class Done(msgspec.Struct, frozen=True):
    """What became of a command: its events, and its streams' states right after them. ``duplicate``: it had been done before."""

    recorded: tuple[Recorded, ...]
    states: dict[str, Any]
    last: int
    duplicate: bool = False


class Submission:
    """A command on its way through the batcher. ``deadline`` is a time of the event loop's clock, in seconds; lines about it are logged
    in the ``context`` it came in, with what is followed there."""

    __slots__ = ("command", "context", "deadline", "facts", "fingerprint", "future", "refs", "type")

    def __init__(self, type_: CommandType, command: Command[Any], facts: Any, fingerprint: bytes, deadline: float) -> None:
        self.type = type_
        self.command = command
        self.facts = facts
        self.fingerprint = fingerprint
        self.deadline = deadline
        self.context = copy_context()
        self.refs: tuple[StreamRef, ...] = type_.streams(command)
        self.future: asyncio.Future[Done] = asyncio.get_running_loop().create_future()

    def refuse(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def resolve(self, done: Done) -> None:
        if not self.future.done():
            self.future.set_result(done)


class _Draft:
    """A decided command, ready to be appended."""

    __slots__ = ("bytes", "decision", "encoded", "ids", "rests", "starts", "submission")

    def __init__(self, submission: Submission, decision: Decision, starts: dict[str, tuple[int, Any]]) -> None:
        self.submission = submission
        self.decision = decision
        self.starts = starts
        reads = {ref.name for ref in submission.refs if ref.reads}
        assert reads.isdisjoint(decision.writes), f"{submission.type.name} writes what it said it only reads"
        self.encoded: dict[str, list[bytes]] = {stream: [_encoded(event) for event in events] for stream, events in decision.writes.items()}
        self.bytes = sum(len(data) for datas in self.encoded.values() for data in datas)
        if self.bytes > COMMAND_MAX_BYTES:
            raise DomainError(Kind.TOO_LARGE, "event_too_large", {"limit_kib": COMMAND_MAX_BYTES // 1024})
        self.ids = [derived(submission.command.id, ordinal) for ordinal in range(sum(map(len, decision.writes.values())))]
        self.rests = {stream: _rests(submission, decision, starts, stream) for stream in decision.writes}


def _encoded(event: Event) -> bytes:
    data = encode(event)
    if len(data) > EVENT_MAX_BYTES:
        raise DomainError(Kind.TOO_LARGE, "event_too_large", {"limit_kib": EVENT_MAX_BYTES // 1024})
    return data


class Batcher:
    """The only writer of a process to a service's log."""

    def __init__(self, log_: Log, cache: StateCache | None = None) -> None:
        self._log = log_
        self._cache = StateCache() if cache is None else cache
        self._waiting: dict[int, deque[Submission]] = {}
        self._count = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._measures = Appending(log_.schema)
        self.batches = 0
        self.commands = 0

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"batcher {self._log.schema}")

    async def stop(self) -> None:
        """Finishes what is queued, then ends."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def queued(self) -> int:
        return self._count

    async def submit(self, type_: CommandType, command: Command[Any], facts: Any, fingerprint: bytes, *, timeout: float) -> Done:
        """Decides and appends a command. Raises DomainError: the decider's refusal, ``key_misuse``, ``claim_taken``, or unavailable
        (queue full, deadline passed, log unreachable; in the last case it may have been stored: repeat it with the same id)."""
        if self._closing:
            raise unavailable("shutting_down")
        if self._count >= QUEUE_MAX_COMMANDS:
            raise unavailable("overloaded")
        submission = Submission(type_, command, facts, fingerprint, asyncio.get_running_loop().time() + timeout)
        self._enqueue(submission)
        return await submission.future

    async def refuse(self, type_: CommandType, command: Command[Any], fingerprint: bytes, refusal: DomainError) -> Done:
        """What became of a command that was done before; else it is refused for what its facts say. Raises the refusal, or ``key_misuse``
        if its id was used for something else."""
        found = (await self._known([(command, refusal)]))[0]
        if found is None:
            raise refusal
        submission = Submission(type_, command, None, fingerprint, 0)
        await self._repeat(submission, found)
        return await submission.future

    def _enqueue(self, submission: Submission, *, first: bool = False) -> None:
        queue = self._waiting.setdefault(submission.command.instance, deque())
        queue.appendleft(submission) if first else queue.append(submission)
        self._count += 1
        self._wake.set()

    async def _run(self) -> None:
        while True:
            while self._count == 0:
                if self._closing:
                    return
                self._wake.clear()
                await self._wake.wait()
            batch = self._take()
            try:
                await self._commit(batch)
            except Exception:  # nobody may wait for ever
                log.exception("batch failed", schema=self._log.schema, commands=len(batch))
                for submission in batch:
                    submission.refuse(unavailable("internal"))
            self._cache.trim()

    def _take(self) -> list[Submission]:
        """The next batch, round robin over instances: a command id and a stream that is written occur once in it; what is only read
        may be read by many."""
        now = asyncio.get_running_loop().time()
        batch: list[Submission] = []
        written: set[tuple[int, object]] = set()
        read: set[tuple[int, object]] = set()
        blocked: dict[int, deque[Submission]] = {}
        queues = deque(self._waiting.items())
        while queues and len(batch) < BATCH_MAX_COMMANDS:
            instance, queue = queues.popleft()
            submission = queue.popleft()
            writes = {(instance, submission.command.id), *((instance, ref.name) for ref in submission.refs if not ref.reads)}
            reads = {(instance, ref.name) for ref in submission.refs if ref.reads}
            if submission.future.done() or submission.deadline <= now:
                submission.refuse(unavailable("timeout"))
                self._count -= 1
            else:
                if written.isdisjoint(writes) and written.isdisjoint(reads) and read.isdisjoint(writes):
                    batch.append(submission)
                    self._count -= 1
                else:
                    blocked.setdefault(instance, deque()).append(submission)
                written |= writes  # of a blocked one too: later commands of its streams stay behind it
                read |= reads
            if queue:
                queues.append((instance, queue))
        for instance, kept in blocked.items():
            self._waiting[instance].extendleft(reversed(kept))
        self._waiting = {instance: queue for instance, queue in self._waiting.items() if queue}
        return batch

    async def _commit(self, batch: list[Submission]) -> None:
        try:
            if await self._log.renewed():
                self._cache.clear()
            await self._load(batch, refresh=False)
            drafts, refused = self._decide(batch)
            if refused:
                drafts += await self._reconsider(refused)
            drafts = self._fit(drafts)
            if drafts:
                await self._append(drafts)
        except LogUnreachable as error:
            await self._again(batch, str(error))
        except Exception as error:
            await self._apart(batch, error)

    async def _apart(self, batch: Sequence[Submission], error: Exception) -> None:
        """A stream that cannot be folded fails the batch it is in, but not its neighbours: each command goes alone. Those that were
        stored before the fault meet their own outcome."""
        for submission in batch:
            for ref in submission.refs:
                self._cache.drop(submission.command.instance, ref.name)
        if len(batch) > 1:
            for submission in batch:
                if not submission.future.done():
                    await self._commit([submission])
            return
        [submission] = batch
        if isinstance(error, UnknownEvent):
            log.error("newer events in the log, stepping back", schema=self._log.schema, unknown=str(error))
            submission.refuse(unavailable("newer_events"))
        else:
            submission.context.run(log.error, "command failed", command=submission.type.name, id=str(submission.command.id), exc_info=error)
            submission.refuse(unavailable("internal"))

    async def _again(self, batch: Sequence[Submission], why: str) -> None:
        """The log was away or busy: what is not settled goes back to the head of the queue, with the same ids."""
        log.warning("append will be repeated", schema=self._log.schema, commands=len(batch), why=why)
        self._measures.repeated.inc()
        self._cache.clear()
        for submission in reversed(batch):
            if not submission.future.done():
                self._enqueue(submission, first=True)
        await asyncio.sleep(RETRY_PAUSE_S)

    async def _load(self, batch: Sequence[Submission], *, refresh: bool) -> bool:
        """Brings the streams of these commands into the cache; with ``refresh`` also asks whether cached ones moved.
        Returns whether anything was newer than the cache knew."""
        wanted: dict[tuple[int, str], tuple[StreamRef, int]] = {}
        for submission in batch:
            instance = submission.command.instance
            for ref in submission.refs:
                cached = self._cache.get(instance, ref.name)
                if refresh or (cached is None and not ref.new):
                    wanted[instance, ref.name] = (ref, cached[0] if cached else 0)
        if not wanted:
            return False
        moved, shrunk = False, False
        loaded = await self._log.load([(instance, name, after) for (instance, name), (_, after) in wanted.items()])
        for ((instance, name), (ref, after)), stream in zip(wanted.items(), loaded, strict=True):
            cached = self._cache.get(instance, name)
            if cached is not None and stream.head == cached[0]:
                continue
            if stream.head < after:  # the log lost its tail, and with it what the cache knows
                self._cache.drop(instance, name)
                shrunk = True
                continue
            moved = moved or stream.head != after
            # a rest may lie behind the cached version: then the events, if there are any, start there, from the initial state
            if cached is not None and stream.events and stream.events[0].version == cached[0] + 1:
                state = cached[1]
            else:
                self._cache.drop(instance, name)
                state = ref.aggregate.initial
            for event in stream.events:
                state = ref.aggregate.evolve(state, event)
            self._cache.put(instance, name, stream.head, state, EVENT_STATE_BYTES * len(stream.events))
        if shrunk:
            await self._load(batch, refresh=refresh)
        return moved or shrunk

    def _starts(self, submission: Submission) -> dict[str, tuple[int, Any]]:
        instance = submission.command.instance
        starts = {}
        for ref in submission.refs:
            known = None if ref.new else self._cache.get(instance, ref.name)
            starts[ref.name] = known or (0, ref.aggregate.initial)
        return starts

    def _decide(self, batch: Sequence[Submission]) -> tuple[list[_Draft], list[tuple[Submission, Exception]]]:
        """Drafts, and what could not be decided. Any error may mean no more than that the command was done before: a state that holds
        its events already need not bear them twice."""
        drafts: list[_Draft] = []
        refused: list[tuple[Submission, Exception]] = []
        for submission in batch:
            starts = self._starts(submission)
            states = {name: state for name, (_, state) in starts.items()}
            try:
                decision = submission.type.decide(states, submission.command, submission.facts)
                if sum(map(len, decision.writes.values())) > COMMAND_MAX_EVENTS:
                    raise DomainError(Kind.TOO_LARGE, "too_many_events", {"limit": COMMAND_MAX_EVENTS})
                drafts.append(_Draft(submission, decision, starts))
            except Exception as error:
                refused.append((submission, error))
        return drafts, refused

    async def _reconsider(self, refused: list[tuple[Submission, Exception]]) -> list[_Draft]:
        """A refusal is final only if its streams have not moved, and the command is not known after that was seen."""
        drafts: list[_Draft] = []
        if await self._load([submission for submission, _ in refused], refresh=True):
            drafts, refused = self._decide([submission for submission, _ in refused])
        if not refused:
            return drafts
        known = await self._known([(submission.command, error) for submission, error in refused])
        for (submission, error), found in zip(refused, known, strict=True):
            if found is not None:
                await self._repeat(submission, found)
            elif isinstance(error, DomainError):
                submission.refuse(error)
            else:
                name, id_ = submission.type.name, str(submission.command.id)
                submission.context.run(log.error, "decider failed", command=name, id=id_, exc_info=error)
                submission.refuse(unavailable("internal"))
        return drafts

    async def _known(self, refused: Sequence[tuple[Command[Any], Exception]]) -> list[Known | None]:
        """What the log knows of these commands. Final refusals are noted there, of those that it does not know."""
        asked: dict[bool, list[int]] = {True: [], False: []}
        for ix, (_, error) in enumerate(refused):
            asked[isinstance(error, DomainError) and error.kind is not Kind.UNAVAILABLE].append(ix)
        known: list[Known | None] = [None] * len(refused)
        for final, indices in asked.items():
            if indices:
                wanted = [(refused[ix][0].instance, refused[ix][0].id) for ix in indices]
                found = await (self._log.refuse if final else self._log.find_commands)(wanted)
                for ix, one in zip(indices, found, strict=True):
                    known[ix] = one
        return known

    def _fit(self, drafts: list[_Draft]) -> list[_Draft]:
        """Keeps a batch below its bytes and free of claims that touch each other; the rest waits for the next one."""
        fitting: list[_Draft] = []
        later: list[Submission] = []
        claimed: set[tuple[int, str, str]] = set()
        total = 0
        for draft in drafts:
            instance = draft.submission.command.instance
            claims = {(instance, c.scope, c.value) for c in (*draft.decision.take, *draft.decision.give_up)}
            total += draft.bytes
            if fitting and (total > BATCH_MAX_BYTES or not claimed.isdisjoint(claims)):
                later.append(draft.submission)
                total -= draft.bytes
            else:
                fitting.append(draft)
                claimed |= claims
        for submission in reversed(later):
            self._enqueue(submission, first=True)
        return fitting

    async def _append(self, drafts: Sequence[_Draft]) -> None:
        began = time.perf_counter()
        try:
            outcomes = await self._log.append(_arrays(drafts))
        except (asyncpg.PostgresError, asyncpg.DataError) as error:
            await self._one_by_one(drafts, error)
            return
        self.batches += 1
        self.commands += len(drafts)
        self._measure(time.perf_counter() - began, outcomes)
        for draft, outcome in zip(drafts, outcomes, strict=True):
            await self._settle(draft, outcome)

    def _measure(self, seconds: float, outcomes: Sequence[Outcome]) -> None:
        measures = self._measures
        measures.seconds.observe(seconds)
        measures.commands.observe(len(outcomes))
        measures.lock.observe(outcomes[0].waited)
        for code, count in Counter(outcome.outcome for outcome in outcomes).items():
            measures.settled[code].inc(count)

    async def _one_by_one(self, drafts: Sequence[_Draft], error: Exception) -> None:
        """One command's bad value must not fail its neighbours."""
        if len(drafts) == 1:
            submission = drafts[0].submission
            submission.context.run(log.error, "append refused by the database", command=submission.type.name, error=str(error))
            submission.refuse(unavailable("internal"))
            return
        for draft in drafts:
            await self._append([draft])

    async def _settle(self, draft: _Draft, outcome: Outcome) -> None:
        submission = draft.submission
        command = submission.command
        match outcome.outcome:
            case "a":
                submission.resolve(self._appended(draft, outcome))
            case "d":
                await self._repeat(submission, Known(submission.fingerprint, outcome.first, outcome.last))
            case "m":
                submission.refuse(DomainError(Kind.UNPROCESSABLE, "key_misuse"))
            case "r":
                await self._superseded(draft)
            case "c":
                submission.refuse(await self._closed(command.instance))
            case "t":
                submission.refuse(await self._taken(draft))
            case _ if any(ref.new for ref in submission.refs) and await self._exists(submission):
                await self._refuse_unless_known(submission, DomainError(Kind.CONFLICT, "already_exists"))
            case _:
                for ref in submission.refs:
                    self._cache.drop(command.instance, ref.name)
                self._enqueue(submission, first=True)

    async def _taken(self, draft: _Draft) -> DomainError:
        """The refusal, naming the first of the command's claims that somebody holds."""
        return _claim_taken((*await self._held(draft), *draft.decision.take, *draft.decision.give_up)[0])

    async def _held(self, draft: _Draft) -> list[Claim]:
        """Those of the claims it would take that somebody has now."""
        instance = draft.submission.command.instance
        holders = await self._log.holders([(instance, claim.scope, claim.value) for claim in draft.decision.take])
        return [claim for claim, holder in zip(draft.decision.take, holders, strict=True) if holder is not None]

    async def _superseded(self, draft: _Draft) -> None:
        """It was refused while this attempt was under way. What would be refused now too is told so: it may be the same attempt,
        asked for again since its answer was lost. All else is not asked for again on somebody's behalf, who may have given up long ago."""
        if held := await self._held(draft):
            await self._refuse_unless_known(draft.submission, _claim_taken(held[0]))
        else:
            draft.submission.refuse(DomainError(Kind.UNAVAILABLE, "superseded"))

    async def _closed(self, instance: int) -> DomainError:
        """Why nothing is appended. What is known of a log that contradicts its copy may be what it lost."""
        if await self._log.closed_because(instance) == CLOSED:
            return DomainError(Kind.GONE, "instance_closed")
        self._cache.drop_instance(instance)
        return unavailable("log_stands_still", STANDSTILL_RETRY_S)

    async def _exists(self, submission: Submission) -> bool:
        """Whether a stream that was to be new is there: a repeat long after its command was forgotten."""
        new = [(submission.command.instance, ref.name, 0) for ref in submission.refs if ref.new]
        return any(stream.head > 0 for stream in await self._log.load(new))

    async def _refuse_unless_known(self, submission: Submission, refusal: DomainError) -> None:
        """What is in its way may be this command itself, done by another process since its own append was turned away: that was looked at
        first, so its id is found now."""
        found = (await self._known([(submission.command, refusal)]))[0]
        if found is not None:
            await self._repeat(submission, found)
        else:
            submission.refuse(refusal)

    def _appended(self, draft: _Draft, outcome: Outcome) -> Done:
        submission = draft.submission
        command = submission.command
        numbers = iter(outcome.numbers)
        events: list[Recorded] = []
        states: dict[str, Any] = {}
        ordinal = 0
        for ref in submission.refs:
            states[ref.name] = draft.starts[ref.name][1]
        for stream, written in draft.decision.writes.items():
            version, state = draft.starts[stream]
            aggregate = next(ref.aggregate for ref in submission.refs if ref.name == stream)
            for event in written:
                version += 1
                recorded = Recorded(
                    instance=command.instance,
                    position=outcome.first + ordinal,
                    stream=stream,
                    version=version,
                    id=draft.ids[ordinal],
                    type=event.TYPE,
                    data=event,
                    at=outcome.at,
                    number=next(numbers) if event.series() is not None else None,
                    actor=command.principal.user,
                    command=command.id,
                    schema_version=event.VERSION,
                )
                ordinal += 1
                events.append(recorded)
                state = aggregate.evolve(state, recorded)
            states[stream] = state
            if draft.rests[stream]:
                self._cache.drop(command.instance, stream)  # what came before weighs nothing any more
            self._cache.put(command.instance, stream, version, state, sum(map(len, draft.encoded[stream])))
        return Done(tuple(events), states, outcome.last)

    async def _repeat(self, submission: Submission, known: Known) -> None:
        """The command was done before: its answer is rendered again from its streams, folded up to where it left them."""
        if known.fingerprint != submission.fingerprint:
            submission.refuse(DomainError(Kind.UNPROCESSABLE, "key_misuse"))
            return
        instance = submission.command.instance
        count = known.last - known.first + 1
        events = await self._log.read(instance, known.first - 1, count) if count > 0 else []
        states: dict[str, Any] = {}
        for ref in submission.refs:
            state = ref.aggregate.initial
            for event in await self._log.read_stream(instance, ref.name, known.last):
                state = ref.aggregate.evolve(state, event)
            states[ref.name] = state
        submission.resolve(Done(tuple(events), states, known.last, duplicate=True))


def _claim_taken(claim: Claim) -> DomainError:
    return DomainError(Kind.CONFLICT, "claim_taken", {"scope": claim.scope, "value": claim.value})


def _arrays(drafts: Sequence[_Draft]) -> list[Sequence[Any]]:
    """The batch as the arrays that the ``append`` function takes."""
    commands: list[tuple[Any, ...]] = []
    writes: list[tuple[Any, ...]] = []
    events: list[tuple[Any, ...]] = []
    claims: list[tuple[Any, ...]] = []
    for ix, draft in enumerate(drafts, start=1):
        command, decision = draft.submission.command, draft.decision
        commands.append((command.instance, command.id, draft.submission.fingerprint, command.began))
        notes = _notes(command, decision)
        ids = iter(draft.ids)
        for stream, written in decision.writes.items():
            meta = notes.get(stream, notes[""])
            writes.append((ix, stream, draft.starts[stream][0], len(written), draft.rests[stream]))
            for offset, (event, data) in enumerate(zip(written, draft.encoded[stream], strict=True), start=1):
                events.append((len(writes), offset, next(ids), event.TYPE, event.VERSION, event.series(), data, meta))
        for ref in draft.submission.refs:
            if ref.name not in decision.writes:  # only read: it must not have moved either
                writes.append((ix, ref.name, draft.starts[ref.name][0], 0, False))
        holder = next(iter(decision.writes), "")
        claims += [(ix, claim.scope, claim.value, claim.stream or holder, True) for claim in decision.take]
        claims += [(ix, claim.scope, claim.value, claim.stream or holder, False) for claim in decision.give_up]
    return [*_columns(commands, 4), *_columns(writes, 5), *_columns(events, 8), *_columns(claims, 5)]


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * width


def _notes(command: Command[Any], decision: Decision) -> dict[str, bytes]:
    """What the events of a stream say beside their data; without a stream what all others say. A claim is noted where its holder is."""
    claims: dict[str, list[str]] = {"": []}
    for claim in decision.take:
        claims.setdefault(claim.stream, []).append(f"+{claim.scope}:{claim.value}")
    for claim in decision.give_up:
        claims.setdefault(claim.stream, []).append(f"-{claim.scope}:{claim.value}")
    return {stream: encode(Meta(actor=command.principal.user, command=command.id, claims=tuple(noted))) for stream, noted in claims.items()}


def _rests(submission: Submission, decision: Decision, starts: dict[str, tuple[int, Any]], stream: str) -> bool:
    """Whether the stream is at rest after this write. Numbers are not known yet, so no state of such an aggregate may need them."""
    aggregate = next(ref.aggregate for ref in submission.refs if ref.name == stream)
    if aggregate.at_rest is None:
        return False
    command = submission.command
    version, state = starts[stream]
    for event in decision.writes[stream]:
        version += 1
        state = aggregate.evolve(state, Recorded(command.instance, 0, stream, version, command.id, event.TYPE, event, command.at))
    return bool(aggregate.at_rest(state))
