"""What a caller may say beside the input: config and context, checked and merged."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict, is_typeddict

from clew.errors import UsageError


class RunnableConfig(TypedDict, total=False):
    """What a call of a workflow may be configured with; other keys are passed on.

    Keys:
        configurable: names the thread ("thread_id"), perhaps a checkpoint of it ("checkpoint_id"), and whatever the
            workflow wants to know. With "memory_as_of": "checkpoint" the run sees memory as it was at the checkpoint
            that it starts from, and what it writes itself; another checkpoint may be named there too.
        metadata: kept with the checkpoints, as far as it is scalar, or a UUID.
        tags: passed on.
        max_concurrency: how many calls of tasks may be under way at once.
        recursion_limit: accepted; it does not limit calls of tasks.
    """

    configurable: dict[str, Any]
    metadata: dict[str, Any]
    tags: list[str]
    max_concurrency: int | None
    recursion_limit: int
    callbacks: Any
    run_name: str
    run_id: Any


def merged(bound: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Merge the config of a call into the one that was bound: `configurable` and `metadata` by key, `tags` joined.

    Raises:
        UsageError: a part of it is of the wrong type.
    """
    result = dict(bound)
    if not given:
        return result  # what was bound was checked then
    for key, value in given.items():
        if key in ("configurable", "metadata"):
            if value is not None and not isinstance(value, Mapping):
                raise UsageError(f"config[{key!r}] must be a dict, not {value!r}")
            result[key] = {**(result.get(key) or {}), **(value or {})}
        elif key == "tags":
            if isinstance(value, str | Mapping) or not isinstance(value, Iterable | None):
                raise UsageError(f"config['tags'] must be a list of text, not {value!r}")
            result[key] = [*(result.get(key) or []), *(value or [])]
        else:
            result[key] = value
    _check(result)
    return result


def checked(config: object) -> Mapping[str, Any] | None:
    """Return what was given as a config.

    Raises:
        UsageError: it is no dict.
    """
    if config is not None and not isinstance(config, Mapping):
        raise UsageError(f'config must be a dict such as {{"configurable": {{"thread_id": "1"}}}}, not {config!r}')
    return config


def _check(config: Mapping[str, Any]) -> None:
    most = config.get("max_concurrency")
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise UsageError(f"config['max_concurrency'] must be a whole number from 1, not {most!r}")
    configurable = config.get("configurable") or {}
    thread_id, memory_as_of = configurable.get("thread_id"), configurable.get("memory_as_of")
    if not isinstance(memory_as_of, str | None) or memory_as_of == "":
        raise UsageError(
            f"config['configurable']['memory_as_of'] must be 'checkpoint' or a checkpoint_id, not {memory_as_of!r}"
        )
    if _has_no_text(thread_id) or isinstance(thread_id, bool | bytes | Mapping | list | tuple):
        raise UsageError(f"config['configurable']['thread_id'] must be text, a number or a UUID, not {thread_id!r}")


def _has_no_text(thread_id: object) -> bool:
    """Say whether the text of an object is where it lies in memory, which names no thread."""
    kind: Any = type(thread_id)
    return kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__


def context_for(schema: type[Any] | None, context: Any) -> Any:
    """Turn a dict into what `context_schema` says: a dataclass or a pydantic model; a TypedDict stays a dict.

    Raises:
        TypeError: a field of a dataclass is missing or unknown.
        pydantic.ValidationError: likewise for a pydantic model.
    """
    if schema is None or not isinstance(context, Mapping) or is_typeddict(schema):
        return context
    if dataclasses.is_dataclass(schema) or hasattr(schema, "model_validate"):
        return schema(**context)
    return context
