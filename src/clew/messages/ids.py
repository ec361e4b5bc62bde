"""Ids for messages that came without one: inside a run, drawn from it, so that a replay gives the same; else random."""

from __future__ import annotations

import uuid

from clew.runner.frame import current


def new_id() -> str:
    """Return an id in the form of a random UUID."""
    frame = current.get()
    return str(uuid.uuid4()) if frame is None else frame.draw_id()
