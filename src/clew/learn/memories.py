"""The tasks that read and write memory: what may be meant by facts, the changes at once, and the same taken back."""

from __future__ import annotations

from collections.abc import Sequence

from clew import PutOp, RetryPolicy, SearchItem, SearchOp, get_store, task
from clew.errors import VersionConflict
from clew.learn.changes import Change, Changed, Learned, Undone
from clew.learn.comparing import Known

_CANDIDATES = 8  # for each fact


@task
def search(namespace: tuple[str, ...], contents: Sequence[str], changes: Sequence[Change]) -> list[Known]:
    """Return the memories that are nearest to some facts, as if the changes were made already."""
    asked = [SearchOp(namespace, limit=_CANDIDATES, query=content, refresh_ttl=False) for content in contents]
    pending = [PutOp(namespace, change.key, change.after) for change in changes]
    found: dict[str, Known] = {}
    for items in get_store().execute(asked, pending=pending):
        for item in items if isinstance(items, list) else []:
            if isinstance(item, SearchItem) and _is_in(namespace, item):
                found[item.key] = Known(key=item.key, value=item.value, version=item.version)
    return list(found.values())


@task
def write(namespace: tuple[str, ...], changes: Sequence[Change]) -> None:
    """Make all changes, or none where a memory is no longer what it was compared as."""
    for change in changes:
        get_store().put(namespace, change.key, change.after, if_version=change.before_version)


@task(retry_policy=RetryPolicy(retry_on=VersionConflict))
def take_back(learned: Learned) -> Undone:
    """Give memories the values that they had before, but for those that somebody changed since."""
    store, changes, conflicts = get_store(), list[Change](), list[Changed]()
    for change in learned.changes:
        item = store.get(learned.namespace, change.key, refresh_ttl=False)
        now, version = (item.value, item.version) if item else (None, 0)
        if now == change.before:
            continue
        if version != change.after_version:
            conflicts.append(Changed(change=change, now=now))
        else:
            store.put(learned.namespace, change.key, change.before, if_version=version)
            changes.append(change)
    return Undone(run=learned.run, namespace=learned.namespace, changes=changes, conflicts=conflicts)


def _is_in(namespace: tuple[str, ...], item: SearchItem) -> bool:
    """Say whether a memory is for a learner to change: not what lies below, nor what has no "content"."""
    return item.namespace == namespace and isinstance(item.value.get("content"), str)
