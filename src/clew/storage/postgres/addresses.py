"""Where a PostgreSQL database is: reads addresses, and shows them without what is secret."""

from __future__ import annotations

import importlib.util
from collections.abc import Hashable
from typing import Any

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
    """

    conninfo: str
    shown: str
    place: Hashable


def read_address(url: str) -> Address:
    """Read an address, "postgresql://…" or "host=… dbname=…".

    Raises:
        InvalidOption: it is none. The message does not repeat it, for it may hold a password.
        MissingDependency: psycopg or its pool is not installed.
    """
    psycopg = driver()
    if importlib.util.find_spec("psycopg_pool") is None:
        raise _missing()
    try:
        said: dict[str, Any] = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise InvalidOption(
            "this is no address of a PostgreSQL database; write postgresql://user@host:5432/name"
        ) from None  # libpq's own message repeats it
    place = {name: said[name] for name in _PLACE if said.get(name)}
    conninfo = psycopg.conninfo.make_conninfo("", **(_PATIENCE | said))
    return Address(conninfo, _shown(place), tuple(place.items()))


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


def _shown(place: dict[str, Any]) -> str:
    user = f"{place['user']}@" if "user" in place else ""
    host = place.get("host") or place.get("hostaddr") or place.get("service") or ""
    port = f":{place['port']}" if "port" in place else ""
    return f"postgresql://{user}{host}{port}/{place.get('dbname', '')}"
