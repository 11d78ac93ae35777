"""``pytest -p tests.faults``: ordinary tests of the house, while reads, appends and answers fail at random. ``--faults SEED`` repeats the
dice, not the moments. No test may notice: whoever asked has asked again.

Left alone are answers in pieces. The bus does not ask for those again; a list that is cut short shows as such to the client."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, Final

import pytest

from libs.bus.server import Server
from libs.eventstore.connections import Connections
from libs.eventstore.log import Log, LogUnreachable, Outcome

READ: Final = 0.02  # share of loans of a connection that find no server
APPEND_BEFORE: Final = 0.025  # share of appends that are not stored,
APPEND_AFTER: Final = 0.05  # or are stored and nobody learns of it
ANSWER: Final = 0.02  # share of answers that are lost, each a pause of the bus

_answered_whole: ContextVar[bool] = ContextVar("answered_whole", default=False)


class Faults:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.met: Counter[str] = Counter()
        self._dice = random.Random(seed)

    def _strikes(self, what: str, share: float) -> bool:
        strikes = self._dice.random() < share
        self.met[what] += strikes
        return strikes

    def set_up(self) -> None:
        take, append, whole, answer = Connections._take, Log.append, Server._whole, Server._answer

        async def flaky_take(connections: Connections) -> Any:
            if _answered_whole.get() and self._strikes("reads", READ):
                raise ConnectionRefusedError("nobody there for a moment")
            return await take(connections)

        async def flaky_append(log: Log, arrays: Sequence[Sequence[Any]]) -> list[Outcome]:
            if self._strikes("appends not stored", APPEND_BEFORE):
                raise LogUnreachable("lost on the way there")
            outcomes = await append(log, arrays)
            if self._strikes("appends stored", APPEND_AFTER):
                raise LogUnreachable("lost on the way back")
            return outcomes

        async def marked(server: Server, *arguments: Any) -> bytes:
            _answered_whole.set(True)
            return await whole(server, *arguments)

        def flaky_answer(server: Server, reply: str, payload: bytes) -> None:
            if not (_answered_whole.get() and self._strikes("answers", ANSWER)):
                answer(server, reply, payload)

        # for the whole run, before any test: nothing puts them back, so no fixture could
        Connections._take = flaky_take  # type: ignore[method-assign]
        Log.append = flaky_append  # type: ignore[method-assign]
        Server._whole = marked  # type: ignore[method-assign]
        Server._answer = flaky_answer  # type: ignore[method-assign]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", type=int, default=None, metavar="SEED", help="which reads, appends and answers fail")


def pytest_configure(config: pytest.Config) -> None:
    seed = config.getoption("--faults")
    faults = Faults(random.randrange(1_000_000) if seed is None else seed)
    faults.set_up()
    config.stash[_FAULTS] = faults


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    faults = config.stash[_FAULTS]
    met = ", ".join(f"{count} {what}" for what, count in sorted(faults.met.items())) or "none"
    terminalreporter.write_line(f"faults with seed {faults.seed}: {met}")


_FAULTS = pytest.StashKey[Faults]()
