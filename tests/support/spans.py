"""What a test sees of a trace: the spans that have ended, by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from clew.integrations.opentelemetry import instrument, uninstrument


class Spans:
    """The spans that have ended while this process was traced."""

    def __init__(self) -> None:
        self._ended = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._ended))

    @property
    def all(self) -> list[ReadableSpan]:
        """All of them, first ended first."""
        return list(self._ended.get_finished_spans())

    @property
    def names(self) -> list[str]:
        """Their names, first ended first."""
        return [span.name for span in self.all]

    def of(self, name: str) -> list[ReadableSpan]:
        """Those of a name."""
        return [span for span in self.all if span.name == name]

    def the(self, name: str) -> ReadableSpan:
        """Return the only one of a name."""
        (span,) = self.of(name)
        return span

    def parent(self, span: ReadableSpan) -> str | None:
        """Return the name of the span above one."""
        if span.parent is None:
            return None
        (above,) = [other for other in self.all if id_of(other) == span.parent.span_id]
        return above.name

    def clear(self) -> None:
        """Forget them."""
        self._ended.clear()


def id_of(span: ReadableSpan) -> int:
    """Return what others name a span by."""
    assert span.context is not None
    return span.context.span_id


def told(span: ReadableSpan) -> dict[str, Any]:
    """Return what a span says."""
    return dict(span.attributes or {})


@contextmanager
def traced(**options: Any) -> Iterator[Spans]:
    """Trace this process for the length of a block."""
    spans = Spans()
    instrument(tracer_provider=spans.provider, **options)
    try:
        yield spans
    finally:
        uninstrument()
