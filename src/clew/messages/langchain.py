"""Messages as LangChain's classes, where langchain-core is installed: it is imported inside these functions alone."""

from __future__ import annotations

from typing import Any, TypeAlias

from clew.errors import MissingDependency
from clew.messages.ids import new_id
from clew.messages.kinds import RemoveMessage, as_removal, check_role, is_dict, is_serialized
from clew.messages.merging import Batch
from clew.messages.plain import check, role_and_content

LangchainMessage: TypeAlias = Any
"""An instance of langchain_core.messages.BaseMessage, which is not imported here to say so."""


def read(messages: list[Any]) -> Batch:
    """Return the messages as LangChain's, each with an id; a LangChain message without one is given it.

    Raises:
        InvalidMessage: something is no message, or its role is one that nobody plays.
        MissingDependency: langchain-core is not installed.
    """
    try:
        from langchain_core.messages import BaseMessage, BaseMessageChunk
        from langchain_core.messages import RemoveMessage as LangchainRemoval
    except ModuleNotFoundError as error:
        raise _missing("messages in LangChain's form need langchain-core") from error
    usual = all(
        issubclass(t, BaseMessage) and not issubclass(t, (BaseMessageChunk, LangchainRemoval))
        for t in set(map(type, messages))
    )
    given: list[Any] = messages if usual else [as_removal(m) or _message(m) for m in messages]
    for message in [m for m in given if m.id is None]:
        _give_id(message)
    removals = not usual and RemoveMessage in map(type, given)
    return Batch(messages=given, ids=[message.id for message in given], has_removals=removals)


def _give_id(message: LangchainMessage) -> None:
    if message.id is None:
        message.id = new_id()


def _message(message: Any) -> LangchainMessage | RemoveMessage:
    from langchain_core.messages import BaseMessage, convert_to_messages, message_chunk_to_message

    if isinstance(message, BaseMessage):
        _give_id(message)  # before a chunk becomes a message: the same chunk given again keeps its id
        return message_chunk_to_message(message)
    (converted,) = convert_to_messages([_in_langchains_words(message)])
    return as_removal(converted) or converted


def _in_langchains_words(message: Any) -> dict[str, Any] | tuple[str, Any]:
    if not is_dict(message):
        return role_and_content(message)
    if is_serialized(message):
        if message["type"] != "constructor":  # LangChain's envelope, which names its class within
            check_role(message["type"])
        return message
    check(message)
    return {"content": "", **message}


def to_openai(messages: list[LangchainMessage]) -> list[LangchainMessage]:
    """Return LangChain messages with their content blocks in OpenAI's form. Ids and metadata are kept.

    Raises:
        ValueError: a block that has no form there.
        MissingDependency: langchain-core is older than 0.3.11.
    """
    return [part for message in messages for part in ([message] if _is_text(message) else _openai_parts(message))]


def _is_text(message: LangchainMessage) -> bool:
    return isinstance(message.content, str)


def _openai_parts(message: LangchainMessage) -> list[LangchainMessage]:
    try:
        from langchain_core.messages import convert_to_messages, convert_to_openai_messages
    except ImportError as error:
        raise _missing("format='langchain-openai' needs langchain-core>=0.3.11") from error
    parts = convert_to_messages(convert_to_openai_messages([message]))
    own = next((i for i, part in enumerate(parts) if part.type == message.type), 0)
    for i, part in enumerate(parts):
        if i != own:
            _give_id(part)
        elif part.type == message.type:
            changed = {name: getattr(part, name) for name in ("content", "tool_calls") if hasattr(part, name)}
            parts[i] = message.model_copy(update=changed)
        else:
            part.id = message.id
    return parts


def _missing(what: str) -> MissingDependency:
    return MissingDependency(f"{what}: pip install -U langchain-core")
