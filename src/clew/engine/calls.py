"""The journal of a run as a tree: which call was made inside which, by the keys of the calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct, field

from clew.engine.identity import CALL, FAILURE, TRACE
from clew.engine.questions import Question
from clew.engine.records import Record


class Node(Struct, kw_only=True):
    """A call, with those made inside it.

    Args:
        key: its key; "" for the run itself.
        record: its outcome, or None where there is none yet.
        question: what it asked, where it waits for an answer.
        below: the calls made inside it, in the order in which they began.
    """

    key: str
    record: Record | None = None
    question: Question | None = None
    below: list[Node] = field(default_factory=list)

    @property
    def began_s(self) -> float:
        """When it began, seconds since the epoch, as far as that is known; what waits comes last."""
        if self.record is not None:
            return self.record.started_s
        return min((node.began_s for node in self.below), default=float("inf"))


def call_tree(records: Iterable[Record], waiting: Sequence[Question]) -> Node:
    """Return the calls of a run, of which the outermost are below one node that stands for the run.

    A call that is not recorded yet is there if something below it is.

    Args:
        records: the run's journal.
        waiting: the run's questions that wait.
    """
    nodes = {"": Node(key="")}
    for record in records:
        if record.name not in (CALL, TRACE, FAILURE):  # those stand for no call
            _node(nodes, record.key).record = record
    for question in waiting:
        _node(nodes, question.key).question = question
    for node in nodes.values():
        node.below.sort(key=lambda inner: inner.began_s)
    return nodes[""]


def _node(nodes: dict[str, Node], key: str) -> Node:
    node = nodes.get(key)
    if node is None:
        node = nodes[key] = Node(key=key)
        _node(nodes, _caller(key)).below.append(node)
    return node


def _caller(key: str) -> str:
    """Return the key of the call inside which a call was made, "" if it was made by the run's own body."""
    *path, _ = key.split("/")
    while path and path[-1].startswith("~"):  # a branch is no call
        path.pop()
    return "/".join(path)
