"""Traces runs with OpenTelemetry: spans for runs, tasks, attempts, memory, models and tools, for any backend.

What each span is called and says is in `opentelemetry_spans`. Here is how spans begin, nest, end and find each other.
"""

from __future__ import annotations

import importlib
import sys
from asyncio import CancelledError
from collections.abc import Mapping
from contextvars import Token
from typing import NamedTuple

from clew.errors import MissingDependency, RunStopped, Suspended
from clew.integrations.opentelemetry_spans import at_begin, at_end, name_of
from clew.observing import Activity, ModelCall, WatchedMemory, WatchedRun, WatchedSubmission, observe

try:
    from opentelemetry import context, trace
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, TracerProvider
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError as error:
    raise MissingDependency("traces need opentelemetry-api: pip install 'clew[otel]'") from error

_KINDS: dict[type, SpanKind] = {
    ModelCall: SpanKind.CLIENT,
    WatchedMemory: SpanKind.CLIENT,
    WatchedSubmission: SpanKind.PRODUCER,
}
# Not the global propagator, whose baggage is not for a database.
_propagator = TraceContextTextMapPropagator()


def instrument(*, content: bool = False, models: bool = True, tracer_provider: TracerProvider | None = None) -> None:
    """Trace every run of this process from now on.

    Args:
        content: whether spans hold what runs, tasks, models and tools were given and gave back, and what was searched
            for. Such things are often private, so they are left out by default.
        models: whether calls of models get spans. Say False where another instrumentation, of OpenAI's client say,
            makes spans of the same calls.
        tracer_provider: the global one by default.
    """
    provider = tracer_provider or trace.get_tracer_provider()
    observe(_Tracing(provider.get_tracer("clew"), content=content, models=models))


def uninstrument() -> None:
    """Trace no more."""
    observe(None)


class _Begun(NamedTuple):
    """A span under way, and what gives the context its earlier span back."""

    span: Span
    token: Token[Context]


class _Tracing:
    """Makes a span of every activity.

    Args:
        tracer: makes spans.
        content: see `instrument`.
        models: see `instrument`.
    """

    def __init__(self, tracer: Tracer, *, content: bool, models: bool) -> None:
        self._tracer = tracer
        self._content = content
        self._models = models

    def begun(self, activity: Activity) -> _Begun | None:
        """See Observer.begun."""
        if self._models:
            _hear_langchain()
        elif isinstance(activity, ModelCall):
            return None
        attributes = at_begin(activity, content=self._content)
        kind = _KINDS.get(type(activity), SpanKind.INTERNAL)
        span = self._tracer.start_span(name_of(activity), kind=kind, attributes=attributes)
        within = trace.set_span_in_context(span)
        if isinstance(activity, WatchedRun | WatchedSubmission):
            _propagator.inject(activity.leaves, within)
        return _Begun(span, context.attach(within))

    def ended(self, activity: Activity, begun: _Begun | None, error: BaseException | None) -> None:
        """See Observer.ended."""
        if begun is None:
            return
        context.detach(begun.token)
        try:
            if begun.span.is_recording():
                _finish(begun.span, activity, error, content=self._content)
        finally:
            begun.span.end()


def _finish(span: Span, activity: Activity, error: BaseException | None, *, content: bool) -> None:
    span.set_attributes(at_end(activity, content=content))
    if isinstance(activity, WatchedRun):
        for left in activity.follows:
            _link(span, left)
        for question in activity.interrupts:
            asked = {"clew.interrupt.value": repr(question.value)} if content else {}
            span.add_event("clew.interrupt", {"clew.interrupt.id": question.id, **asked})
        span.set_attribute("clew.run.status", _status(activity, error))
    if isinstance(error, Suspended):
        span.add_event("clew.suspended")  # it waits for an answer: no error
    elif error is not None and not isinstance(error, RunStopped | CancelledError | GeneratorExit):
        span.record_exception(error)
        span.set_attribute("error.type", _class_name(type(error)))
        span.set_status(Status(StatusCode.ERROR, str(error)))


def _class_name(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _status(run: WatchedRun, error: BaseException | None) -> str:
    if isinstance(error, RunStopped | CancelledError | Suspended):
        return "stopped"
    if error is not None:
        return "failed"
    return "interrupted" if run.has_stopped else "done"


def _link(span: Span, left: Mapping[str, str]) -> None:
    found = trace.get_current_span(_propagator.extract(left, Context())).get_span_context()
    if found.is_valid:
        span.add_link(found)


def _hear_langchain() -> None:
    """Hear LangChain's chat models, as soon as the program has loaded LangChain."""
    if "langchain_core" in sys.modules:
        importlib.import_module("clew.integrations.langchain_models")


__all__ = ["instrument", "uninstrument"]
