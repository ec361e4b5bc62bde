"""Bytes in fewer bytes: compressed with a dictionary of what they probably repeat; ids as what they spell.

Knows no table.
"""

from __future__ import annotations

import zlib

from clew.errors import UnreadableRecord

WINDOW_BYTES = 1 << 15  # how far back zlib refers
_MOST_BYTES = 1 << 17  # what is longer is kept as it is: other writers wait meanwhile
_RAW_DEFLATE = -15
_FASTEST = 1
_WORTH_IT = 0.95  # compressed bytes cost time whenever they are read

#: What encoded messages have in common. Rows in users' files refer to it: it must never change.
MESSAGES = (
    b"\x84\xa4name\xa4args\xa9tool_call\xb2invalid_tool_calls\x90\xaeusage_metadata\xc0\xactool_call_id\xa6status"
    b"\xa7success\xa8artifact\xc0\xd9(langchain_core.messages.tool:ToolMessage\xd9*langchain_core.messages.human:"
    b"HumanMessage\xd9$langchain_core.messages.ai:AIMessage\x94\x89\xa7content\xb1additional_kwargs\x80"
    b"\xb1response_metadata\x80\xa4type\xa5human\xa4name\xc0\xa2id\xd9$\x92\xa7content\xa2id\xaatool_calls\x80\xc0"
    b"\x83\xa4role\xa4tool\xa6system\x83\xa4role\xa4user\xa7content\xd9\xa2id\xd9$\x83\xa4role\xa9assistant"
    b"\xa7content\xda\x01\xa2id\xd9$"
)


def packed(data: bytes, dictionary: bytes) -> bytes | None:
    """Return bytes in fewer bytes, or None where there is little to gain, as of what is encrypted."""
    if len(data) > _MOST_BYTES:
        return None
    deflate = zlib.compressobj(
        _FASTEST, zlib.DEFLATED, _RAW_DEFLATE, zlib.DEF_MEM_LEVEL, zlib.Z_DEFAULT_STRATEGY, dictionary
    )
    fewer = deflate.compress(data) + deflate.flush()
    return fewer if len(fewer) < _WORTH_IT * len(data) else None


def unpacked(fewer: bytes, dictionary: bytes) -> bytes:
    """Return what was packed with the same dictionary.

    Raises:
        UnreadableRecord: the bytes are damaged.
    """
    inflate = zlib.decompressobj(_RAW_DEFLATE, dictionary)
    try:
        data = inflate.decompress(fewer, _MOST_BYTES)
    except zlib.error as error:
        raise UnreadableRecord(f"compressed bytes are damaged: {error}") from error
    if not inflate.eof:
        raise UnreadableRecord("compressed bytes are damaged: they do not end where they should")
    return data


def short_id(id: str) -> bytes | str:
    """Return an id as it is kept: one of hexadecimal digits as the bytes that they spell, which are half as many."""
    try:
        fewer = bytes.fromhex(id)
    except ValueError:
        return id
    return fewer if fewer.hex() == id else id


def long_id(kept: object) -> str:
    """Return the id that is kept so."""
    return kept.hex() if isinstance(kept, bytes) else str(kept)
