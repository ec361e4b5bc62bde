"""Clew: durable workflows with memory, in plain Python.

Write workflows:        entrypoint, task, TaskFuture, interrupt, sleep, asleep
Ask the running one:    get_store, get_config, get_stream_writer, stream_message, get_runtime, Runtime
Answer and look:        Command, Interrupt, StateSnapshot, Output
Leave work to others:   Worker, Handle, Limit, recover, arecover, Recovered
Say how:                RetryPolicy, TimeoutPolicy, CachePolicy, RunnableConfig, StreamWriter
Keep threads:           Database, EncryptionKeys, SqliteSaver, PostgresSaver, InMemorySaver
Keep memories:          Database, SqliteStore, PostgresStore, InMemoryStore, BaseStore, Item, SearchItem, the operations
Keep results:           InMemoryCache, SqliteCache, PostgresCache
Be watched:             watched, ModelCall, ToolUse, AgentTurn
Merge messages:         add_messages, RemoveMessage, REMOVE_ALL_MESSAGES
Errors:                 clew.errors draws the tree
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clew.codec.encryption import EncryptionKeys
    from clew.configs import RunnableConfig
    from clew.context import (
        StreamWriter,
        asleep,
        get_config,
        get_runtime,
        get_store,
        get_stream_writer,
        interrupt,
        sleep,
        stream_message,
    )
    from clew.database import Database
    from clew.engine.caching import CachePolicy
    from clew.engine.limits import TimeoutPolicy
    from clew.engine.pacing import Limit
    from clew.engine.questions import Command, Interrupt
    from clew.engine.retry import RetryPolicy
    from clew.engine.state import StateSnapshot
    from clew.entrypoints import entrypoint
    from clew.errors import (
        ClewError,
        Conflict,
        InvalidNamespaceError,
        InvalidResume,
        NodeCancelledError,
        NodeTimeoutError,
        NotInWorkflow,
        NotRecordable,
        ReplayMismatch,
        RunCancelled,
        RunStopped,
        SetAside,
        ThreadBusy,
    )
    from clew.messages import REMOVE_ALL_MESSAGES, RemoveMessage, add_messages
    from clew.moving import Moved, aexport_lines, aimport_lines, export_lines, import_lines
    from clew.observing import AgentTurn, ModelCall, ToolUse, watched
    from clew.runner.futures import TaskFuture
    from clew.runner.launching import Output
    from clew.runner.recovering import Recovered
    from clew.runner.runtime import ExecutionInfo, Runtime
    from clew.storage.base import Checkpointer
    from clew.storage.cache import BaseCache
    from clew.storage.inmemory.cache import InMemoryCache
    from clew.storage.inmemory.items import InMemoryStore
    from clew.storage.inmemory.journals import InMemorySaver
    from clew.storage.inmemory.journals import InMemorySaver as MemorySaver
    from clew.storage.postgres.cache import PostgresCache
    from clew.storage.postgres.items_store import PostgresStore
    from clew.storage.postgres.items_store import PostgresStore as AsyncPostgresStore
    from clew.storage.postgres.journals import PostgresSaver
    from clew.storage.postgres.journals import PostgresSaver as AsyncPostgresSaver
    from clew.storage.sqlite.cache import SqliteCache
    from clew.storage.sqlite.items_store import SqliteStore
    from clew.storage.sqlite.items_store import SqliteStore as AsyncSqliteStore
    from clew.storage.sqlite.journals import SqliteSaver
    from clew.storage.sqlite.journals import SqliteSaver as AsyncSqliteSaver
    from clew.store.base import BaseStore
    from clew.store.operations import (
        GetOp,
        HistoryOp,
        Item,
        ItemVersion,
        ListNamespacesOp,
        MatchCondition,
        PutOp,
        SearchItem,
        SearchOp,
    )
    from clew.submission import Handle
    from clew.tasks import Task, task
    from clew.upkeep import Erased, Pruned, aerase, aprune, erase, prune
    from clew.workers import Worker, arecover, recover
    from clew.workflow import Workflow

# Where each name lives. A name is loaded when it is first used, so that importing clew costs next to nothing.
_HOMES = {
    "clew.codec.encryption": "EncryptionKeys",
    "clew.configs": "RunnableConfig",
    "clew.context": "StreamWriter asleep get_config get_runtime get_store get_stream_writer interrupt sleep "
    "stream_message",
    "clew.database": "Database",
    "clew.engine.caching": "CachePolicy",
    "clew.engine.limits": "TimeoutPolicy",
    "clew.engine.pacing": "Limit",
    "clew.engine.questions": "Command Interrupt",
    "clew.engine.retry": "RetryPolicy",
    "clew.engine.state": "StateSnapshot",
    "clew.entrypoints": "entrypoint",
    "clew.errors": "ClewError Conflict InvalidNamespaceError InvalidResume NodeCancelledError NodeTimeoutError "
    "NotInWorkflow NotRecordable ReplayMismatch RunCancelled RunStopped SetAside ThreadBusy",
    "clew.messages": "REMOVE_ALL_MESSAGES RemoveMessage add_messages",
    "clew.moving": "Moved aexport_lines aimport_lines export_lines import_lines",
    "clew.observing": "AgentTurn ModelCall ToolUse watched",
    "clew.runner.futures": "TaskFuture",
    "clew.runner.launching": "Output",
    "clew.runner.recovering": "Recovered",
    "clew.runner.runtime": "ExecutionInfo Runtime",
    "clew.storage.base": "Checkpointer",
    "clew.storage.cache": "BaseCache",
    "clew.storage.inmemory.cache": "InMemoryCache",
    "clew.storage.inmemory.items": "InMemoryStore",
    "clew.storage.inmemory.journals": "InMemorySaver",
    "clew.storage.postgres.cache": "PostgresCache",
    "clew.storage.postgres.items_store": "PostgresStore",
    "clew.storage.postgres.journals": "PostgresSaver",
    "clew.storage.sqlite.cache": "SqliteCache",
    "clew.storage.sqlite.items_store": "SqliteStore",
    "clew.storage.sqlite.journals": "SqliteSaver",
    "clew.store.base": "BaseStore",
    "clew.store.operations": "GetOp HistoryOp Item ItemVersion ListNamespacesOp MatchCondition PutOp SearchItem "
    "SearchOp",
    "clew.submission": "Handle",
    "clew.tasks": "Task task",
    "clew.upkeep": "Erased Pruned aerase aprune erase prune",
    "clew.workers": "Worker arecover recover",
    "clew.workflow": "Workflow",
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names.split()}
# One class serves both colours; these are the names that people may know.
_ALIASES = {
    "MemorySaver": "InMemorySaver",
    "AsyncSqliteStore": "SqliteStore",
    "AsyncSqliteSaver": "SqliteSaver",
    "AsyncPostgresSaver": "PostgresSaver",
    "AsyncPostgresStore": "PostgresStore",
}


def __getattr__(name: str) -> Any:
    attribute = _ALIASES.get(name, name)
    if attribute not in _MODULES:
        raise AttributeError(f"module 'clew' has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(_MODULES[attribute]), attribute)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_ALIASES})


__all__ = [
    "REMOVE_ALL_MESSAGES", "AgentTurn", "AsyncPostgresSaver", "AsyncPostgresStore", "AsyncSqliteSaver",
    "AsyncSqliteStore", "BaseCache", "BaseStore", "CachePolicy", "Checkpointer", "ClewError", "Command", "Conflict",
    "Database", "EncryptionKeys", "Erased", "ExecutionInfo", "GetOp", "Handle", "HistoryOp", "InMemoryCache",
    "InMemorySaver", "InMemoryStore", "Interrupt", "InvalidNamespaceError", "InvalidResume", "Item", "ItemVersion",
    "Limit", "ListNamespacesOp", "MatchCondition", "MemorySaver", "ModelCall", "Moved", "NodeCancelledError",
    "NodeTimeoutError", "NotInWorkflow", "NotRecordable", "Output", "PostgresCache", "PostgresSaver", "PostgresStore",
    "Pruned", "PutOp", "Recovered", "RemoveMessage", "ReplayMismatch", "RetryPolicy", "RunCancelled", "RunStopped",
    "RunnableConfig", "Runtime", "SearchItem", "SearchOp", "SetAside", "SqliteCache", "SqliteSaver", "SqliteStore",
    "StateSnapshot", "StreamWriter", "Task", "TaskFuture", "ThreadBusy", "TimeoutPolicy", "ToolUse", "Worker",
    "Workflow", "add_messages", "aerase", "aexport_lines", "aimport_lines", "aprune", "arecover", "asleep",
    "entrypoint", "erase", "export_lines", "get_config", "get_runtime", "get_store", "get_stream_writer",
    "import_lines", "interrupt", "prune", "recover", "sleep", "stream_message", "task", "watched",
]  # fmt: skip
