"""Where a PostgreSQL database is: reads addresses, and shows them without what is secret."""

from __future__ import annotations

import importlib.util
from collections.abc import Hashable
from typing import Any
from urllib.parse import quote, unquote

from msgspec import Struct

from clew.errors import InvalidOption, MissingDependency

# A link that was cut is noticed within half a minute instead of hours, unless the address says otherwise.
_PATIENCE = {
    "application_name": "clew", "connect_timeout": "10", "keepalives_idle": "10", "keepalives_interval": "5",
    "keepalives_count": "3", "tcp_user_timeout": "20000",
}  # fmt: skip
_PLACE = ("host", "hostaddr", "port", "dbname", "user", "service")


class Address(Struct, frozen=True):
    """An address that was read.

    Args:
        conninfo: what libpq is given, with the password.
        shown: for people, without it.
        place: equal for addresses of the same database.
        schema: what holds the tables, if the address says so.
    """

    conninfo: str
    shown: str
    place: Hashable
    schema: str | None = None


def read_address(url: str) -> Address:
    """Read an address, "postgresql://…" or "host=… dbname=…"; the first may name a schema: "postgresql://…?schema=…".

    Raises:
        InvalidOption: it is none. The message does not repeat it, for it may hold a password.
        MissingDependency: psycopg or its pool is not installed.
    """
    psycopg = driver()
    if importlib.util.find_spec("psycopg_pool") is None:
        raise _missing()
    url, schema = _without_schema(url)
    try:
        said: dict[str, Any] = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise InvalidOption(
            "this is no address of a PostgreSQL database; write postgresql://user@host:5432/name"
        ) from None  # libpq's own message repeats it
    place = {name: said[name] for name in _PLACE if said.get(name)}
    conninfo = psycopg.conninfo.make_conninfo("", **(_PATIENCE | said))
    return Address(conninfo, _shown(place, schema), tuple(place.items()), schema)


def driver() -> Any:
    """Return psycopg.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        import psycopg
    except ImportError as error:
        raise _missing() from error
    return psycopg


def _missing() -> MissingDependency:
    return MissingDependency("PostgreSQL needs psycopg and its pool: pip install 'clew[postgres]'")


def _without_schema(url: str) -> tuple[str, str | None]:
    """Take out of an address what libpq does not know: the schema."""
    before, _, query = url.rpartition("?")
    options = query.split("&")
    for option in options:
        name, _, value = option.partition("=")
        if before and name == "schema":
            options.remove(option)
            return "?".join(filter(None, (before, "&".join(options)))), unquote(value)
    return url, None


def _shown(place: dict[str, Any], schema: str | None) -> str:
    user = f"{place['user']}@" if "user" in place else ""
    host = place.get("host") or place.get("hostaddr") or place.get("service") or ""
    port = f":{place['port']}" if "port" in place else ""
    within = "" if schema is None else f"?schema={quote(schema)}"
    return f"postgresql://{user}{host}{port}/{place.get('dbname', '')}{within}"
