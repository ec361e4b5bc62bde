"""The tables of procrastinate, which carries wake-ups to workers, and `clew_wake`, the only function that sends one.

They lie beside ours, and are made and brought up to date with them, from what the installed package itself brings.
Nothing of procrastinate is imported here, and a process that only submits does not need it.
"""

from __future__ import annotations

import importlib.util
import os
import re

from clew.errors import MissingDependency, SchemaMismatch

#: By what a worker knows a wake-up.
TASK = "clew.wake"

# A wake-up that is there already, and that no worker has taken yet, is enough: whoever takes it finds this work, too.
# One that was taken does not count, so that none is lost while a run is under way.
_WAKE = """
CREATE OR REPLACE FUNCTION clew_wake(of_thread bigint) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $wake$
DECLARE
    queue text := (SELECT clew_name_of(current_schema()::text, workflow) FROM clew_threads WHERE id = of_thread);
BEGIN
    PERFORM * FROM (
        {defer}
    ) AS sent;
EXCEPTION WHEN unique_violation THEN
    NULL;
END $wake$;
"""
_JOB = f"ARRAY[ROW(queue, '{TASK}', 0, NULL, of_thread::text, jsonb_build_object('thread', of_thread), NULL)]"


def made_by() -> str | None:
    """Return the name of the newest migration of the installed procrastinate, or None if there is none installed."""
    folder = _folder()
    return None if folder is None else _migrations(folder)[-1]


def scripts(at: str | None) -> list[str]:
    """Return the SQL that makes the tables or brings them up to date; nothing if that is not needed.

    Args:
        at: what `made_by` was when they were made, or None if they were not.

    Raises:
        MissingDependency: they were not made, and procrastinate is not installed.
        SchemaMismatch: this procrastinate does not say how a job is sent.
    """
    folder = _folder()
    if folder is None:
        if at is None:
            raise MissingDependency("PostgreSQL needs procrastinate to make its tables: pip install 'clew[postgres]'")
        return []
    if at is None:
        return [_text(folder, "schema.sql"), _wake(folder)]
    newer = [name for name in _migrations(folder) if name > at]
    return [*(_text(folder, "migrations", name) for name in newer), _wake(folder)] if newer else []


def _wake(folder: str) -> str:
    """Return our function around procrastinate's own statement, in which the number of its function changes."""
    found = re.search(r"^-- defer_jobs --\n(?:-- .*\n)*([^;]+);", _text(folder, "queries.sql"), re.MULTILINE)
    if found is None or found[1].count("%(jobs)s") != 1:
        raise SchemaMismatch("this procrastinate is not known: pip install 'clew[postgres]'")
    return _WAKE.format(defer=found[1].replace("%(jobs)s", _JOB).strip())


def _folder() -> str | None:
    spec = importlib.util.find_spec("procrastinate")  # which does not import it: that would take half a second
    places = None if spec is None else spec.submodule_search_locations
    return os.path.join(places[0], "sql") if places else None


def _migrations(folder: str) -> list[str]:
    return sorted(name for name in os.listdir(os.path.join(folder, "migrations")) if name.endswith(".sql"))


def _text(*path: str) -> str:
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()
