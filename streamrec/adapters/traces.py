"""Traces by OpenTelemetry: to a collector (an http address), to a file, or to the console; and each span as a
line of the log, which has the same ids."""

import threading
from pathlib import Path
from typing import Any

from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from streamrec import logs
from streamrec.config import Traces
from streamrec.errors import SetupError
from streamrec.traces import ROOT, trace_of

log = logs.get(__name__)
EVERY_MS = 1000


class _Ids(RandomIdGenerator):
    """The root of a trace has ids that every process knows, so that each can name it as its spans' parent."""

    def __init__(self) -> None:
        self._own = threading.local()

    def of_root(self, root: SpanContext) -> None:
        """The next span of this thread is this one."""
        self._own.root = root

    def generate_span_id(self) -> int:
        """See IdGenerator."""
        root, self._own.root = getattr(self._own, "root", None), None
        return root.span_id if root else super().generate_span_id()

    def generate_trace_id(self) -> int:
        """See IdGenerator."""
        root = getattr(self._own, "root", None)
        return root.trace_id if root else super().generate_trace_id()


class OtelTracer:
    """See streamrec.traces.Tracer. The root of a trace is that its event was collected."""

    on = True

    def __init__(self, settings: Traces, process: str) -> None:
        self._below = int(settings.share * 2**32)
        resource = Resource.create({"service.name": f"streamrec-{process}"})
        self._ids = _Ids()
        self._provider = TracerProvider(resource=resource, id_generator=self._ids)
        exporter = _exporter(settings.to)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=EVERY_MS))
        self._tracer = self._provider.get_tracer("streamrec")

    def follows(self, event_id: str) -> str:
        """See Tracer."""
        found = trace_of(event_id)
        return found if int(found[:8], 16) < self._below else ""

    def span(self, trace: str, name: str, start: float, end: float, **facts: Any) -> None:
        """See Tracer; what is no trace's id is dropped."""
        try:
            root = SpanContext(int(trace, 16), int(trace[:16], 16), True, TraceFlags(TraceFlags.SAMPLED))
        except ValueError:
            return
        context = Context() if name == ROOT else set_span_in_context(NonRecordingSpan(root))
        if name == ROOT:
            self._ids.of_root(root)
        span = self._tracer.start_span(name, context, otel.SpanKind.INTERNAL, facts, start_time=_ns(start))
        span.end(_ns(end))
        log.info("span", trace=trace, name=name, **facts)

    def close(self) -> None:
        """See Tracer."""
        self._provider.shutdown()


def _ns(at: float) -> int:
    return int(at * 1e9)


def _exporter(to: str) -> SpanExporter:
    """Raises SetupError."""
    if to.startswith(("http://", "https://")):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        return OTLPSpanExporter(endpoint=f"{to.rstrip('/')}/v1/traces")
    if to == "console":
        return ConsoleSpanExporter(formatter=_line)
    try:
        return ConsoleSpanExporter(out=Path(to).open("a", buffering=1), formatter=_line)
    except OSError as error:
        raise SetupError(f"STREAMREC_TRACES__TO: {to} cannot be written: {error.strerror}") from None


def _line(span: ReadableSpan) -> str:
    return f"{span.to_json(indent=None)}\n"
