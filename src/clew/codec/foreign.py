"""Types of numpy and pydantic that are recorded without being allowed one by one. Neither package is imported until
a recorded value needs it.

The codes and the shapes of the parts are kept in users' databases: add new ones, never change old ones.
"""

from __future__ import annotations

import re
from typing import Any

from clew.codec.parts import exactly, numbers
from clew.codec.writing import Kind, Refusal, Writer

_DTYPE = r"[<>|=][biufcSUMm][0-9]{1,9}(\[[0-9]*[A-Za-z]{1,7}\])?"
_SCALAR_NAMES = (
    "bool", "bool_", "int8", "int16", "int32", "int64", "longlong", "uint8", "uint16", "uint32", "uint64", "ulonglong",
    "float16", "float32", "float64", "longdouble", "complex64", "complex128", "clongdouble",
    "str_", "bytes_", "datetime64", "timedelta64",
)  # fmt: skip
_URLS = (
    "AnyUrl", "AnyHttpUrl", "HttpUrl", "AnyWebsocketUrl", "WebsocketUrl", "FileUrl", "FtpUrl", "PostgresDsn",
    "CockroachDsn", "AmqpDsn", "RedisDsn", "MongoDsn", "KafkaDsn", "NatsDsn", "MySQLDsn", "MariaDBDsn",
    "ClickHouseDsn", "SnowflakeDsn",
)  # fmt: skip


def _pack_array(value: Any, writer: Writer, depth: int) -> Any:
    return [_dtype_text(value.dtype), list(value.shape), value.tobytes()]


def _unpack_array(parts: Any) -> Any:
    import numpy

    dtype, shape, content = parts[0], numbers(parts[1]), exactly(bytes, parts[2])
    # Copied: what frombuffer gives cannot be written to.
    return numpy.frombuffer(content, _dtype(dtype)).reshape(shape).copy() if content else _empty(dtype, shape)


def _empty(dtype: Any, shape: Any) -> Any:
    import numpy

    kind = _dtype(dtype)
    if kind.itemsize and 0 not in shape:
        raise ValueError("an array without content has an empty shape")
    if not kind.itemsize:
        raise ValueError("an array has items of no size")
    return numpy.empty(shape, kind)


def _pack_number(value: Any, writer: Writer, depth: int) -> Any:
    return [_dtype_text(value.dtype), value.tobytes()]


def _unpack_number(parts: Any) -> Any:
    import numpy

    kind, content = _dtype(parts[0]), exactly(bytes, parts[1])
    if not kind.itemsize:
        return kind.type()
    (number,) = numpy.frombuffer(content, kind)
    return number


def _dtype_text(dtype: Any) -> str:
    text: str = dtype.str
    if not re.fullmatch(_DTYPE, text):
        raise Refusal(
            f": numpy values of dtype {dtype} cannot be recorded; "
            "use numbers, texts or times, one array for each column"
        )
    return text


def _dtype(text: Any) -> Any:
    import numpy

    if not re.fullmatch(_DTYPE, text):
        raise ValueError(f"no array holds {text!r}")
    return numpy.dtype(text)


def _pack_secret(value: Any, writer: Writer, depth: int) -> Any:
    return [type(value).__name__, writer.value(value.get_secret_value(), depth)]


def _unpack_secret(parts: Any) -> Any:
    import pydantic

    name, content = parts
    of: Any = {"SecretStr": pydantic.SecretStr, "SecretBytes": pydantic.SecretBytes}[name]
    if type(content) is not (str if name == "SecretStr" else bytes):
        raise ValueError(f"a {name} does not hold a {type(content).__name__}")
    return of(content)


def _pack_url(value: Any, writer: Writer, depth: int) -> Any:
    return [type(value).__name__, str(value)]


def _unpack_url(parts: Any) -> Any:
    import pydantic

    name, text = parts
    if name not in _URLS:
        raise ValueError(f"no URL type {name!r}")
    return getattr(pydantic, name)(exactly(str, text))


_NUMBER = Kind(41, _pack_number, _unpack_number)
SECRET = Kind(42, _pack_secret, _unpack_secret)
_URL = Kind(43, _pack_url, _unpack_url)
FOREIGN: dict[str, Kind] = {
    "numpy:ndarray": Kind(40, _pack_array, _unpack_array),
    **{f"numpy:{name}": _NUMBER for name in _SCALAR_NAMES},
    "pydantic.types:SecretStr": SECRET,
    "pydantic.types:SecretBytes": SECRET,
    **{f"pydantic.networks:{name}": _URL for name in _URLS},
}
