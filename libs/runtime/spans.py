"""Spans for OpenTelemetry: where a request spent its time, in the gateway and in services, sent to a collector by OTLP over HTTP.

Off unless THEKE_OTLP_ENDPOINT says where to. Whether a request is followed is decided once, at the gateway, from its trace id, so every
gateway decides alike; a caller's ``traceparent`` that is sampled decides for itself. What is not followed costs a comparison: nothing
of OpenTelemetry is even loaded where there is no endpoint. Spans that cannot be sent are dropped, the queue is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import structlog

from libs.runtime.config import SettingInvalid, Settings
from libs.runtime.logs import trace_id

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = structlog.get_logger(__name__)

QUEUE_MAX_SPANS: Final = 2_048
SEND_EVERY_S: Final = 1.0
SEND_WITHIN_S: Final = 2.0
STOP_WITHIN_S: Final = 0.5
TRACE_DIGITS: Final = 32
EXTRA: Final = "THEKE_OTLP_ENDPOINT needs what `pip install theke[otel]` brings"

_span: ContextVar[str] = ContextVar("span", default="")  # the span that is being worked in, 16 hex digits

End = Callable[[Mapping[str, Any]], None]
"""Ends a span, with what became known of it."""


def carried(trace: str) -> str:
    """A trace as it goes over the bus: with the span that asks, if there is one."""
    span = _span.get()
    return f"{trace}-{span}" if span else trace


def trace_in(carried: str) -> str:
    """The trace of what came over the bus."""
    return carried[:TRACE_DIGITS]


class Spans:
    """``begin`` and what it returns; ``service`` names the process."""

    def __init__(self, provider: TracerProvider, share: float) -> None:
        from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context

        self._provider = provider
        self._tracer = provider.get_tracer("theke")
        self._limit = round(share * 2**32)
        self._kind = SpanKind.SERVER

        def parent(trace: str, span: str) -> Any:
            context = SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
            return set_span_in_context(NonRecordingSpan(context))

        self._parent = parent

    def follows(self, trace: str) -> bool:
        """Whether a request that nobody decided about is followed."""
        return int(trace[:8], 16) < self._limit

    def begin(self, name: str, trace: str, parent: str = "") -> End:
        """A span of ``trace`` from now on; what is asked meanwhile belongs to it."""
        token = trace_id.set(trace)
        span = self._tracer.start_span(name, context=self._parent(trace, parent) if parent else None, kind=self._kind)
        trace_id.reset(token)
        _span.set(f"{span.get_span_context().span_id:016x}")

        def end(known: Mapping[str, Any]) -> None:
            span.set_attributes(known)
            span.end()
            _span.set("")

        return end

    def begin_carried(self, name: str, came: str) -> End | None:
        """The span of a request from the bus, if who asked is followed."""
        trace, _, parent = came.partition("-")
        return self.begin(name, trace, parent) if parent else None

    async def stop(self) -> None:
        """Sends what is left, if that does not take long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_WITHIN_S):
                await asyncio.to_thread(self._provider.shutdown)


def open_spans(settings: Settings, service: str) -> Spans | None:
    """None if nobody is to be told. Raises SettingInvalid if the extra is not installed."""
    if not settings.otlp_endpoint:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON
    except ImportError:
        raise SettingInvalid(EXTRA) from None

    class OurTraces(RandomIdGenerator):
        """A span without a parent belongs to the trace that the request has anyway."""

        def generate_trace_id(self) -> int:
            return int(trace_id.get(), 16)

    provider = TracerProvider(
        sampler=ALWAYS_ON,
        resource=Resource.create({"service.name": f"theke-{service}"}),
        id_generator=OurTraces(),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=settings.otlp_endpoint, timeout=SEND_WITHIN_S)
    processor = BatchSpanProcessor(exporter, max_queue_size=QUEUE_MAX_SPANS, schedule_delay_millis=SEND_EVERY_S * 1000)
    provider.add_span_processor(processor)
    return Spans(provider, settings.trace_sample)
