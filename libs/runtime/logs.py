"""One log line per fact: JSON for machines, aligned and coloured for a person at a terminal. Both go to stdout."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Final, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LEVELS: Final[Mapping[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

# Local variables hold passwords and tokens: a traceback never shows them.
WITHOUT_LOCALS: Final = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))

trace_id: ContextVar[str] = ContextVar("trace_id", default="")


def new_trace() -> str:
    """128 random bits; nothing rests on their being a UUID."""
    return os.urandom(16).hex()


def present_trace() -> str:
    """That of the request being answered, else a new one."""
    return trace_id.get() or new_trace()


@contextmanager
def traced(trace: str) -> Iterator[None]:
    """Every line logged inside, also by tasks started inside, carries ``trace``."""
    token = trace_id.set(trace)
    try:
        yield
    finally:
        trace_id.reset(token)


class Unshaken(structlog.PrintLogger):
    """A line that cannot be written, because the disk is full or nobody reads any more, is dropped: the work goes on without it."""

    def msg(self, message: str) -> None:
        with suppress(OSError):
            super().msg(message)

    log = debug = info = warn = warning = error = critical = exception = fatal = failure = err = msg


class _UnshakenHandler(logging.StreamHandler[TextIO]):
    """The same for other libraries' lines."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


def configure(service: str, level: str = "", *, terminal: bool | None = None) -> None:
    """Set up logging for this process. ``level``: debug, info, warning or error; default THEKE_LOG_LEVEL, else info.
    ``terminal`` None: look whether stdout is one. Lines of other libraries' loggers come out the same way from warning up."""
    chosen = LEVELS[level or os.environ.get("THEKE_LOG_LEVEL") or "info"]
    human = sys.stdout.isatty() if terminal is None else terminal

    def named(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
        line["service"] = service
        if trace := trace_id.get():
            line["trace"] = trace
        return line

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        named,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if human else "iso", utc=not human),
    ]
    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if human
        else [WITHOUT_LOCALS, structlog.processors.JSONRenderer(_json)]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(chosen),
        logger_factory=lambda *_: Unshaken(),
        cache_logger_on_first_use=False,
    )
    foreign = _UnshakenHandler(sys.stdout)
    foreign.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_without_meta(last)))
    logging.basicConfig(handlers=[foreign], level=max(chosen, logging.WARNING), force=True)


def _json(line: object, **_: object) -> str:
    return msgspec.json.encode(line, enc_hook=str).decode()


def _without_meta(last: list[Processor]) -> list[Processor]:
    return [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
