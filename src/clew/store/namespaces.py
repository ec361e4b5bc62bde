"""What a namespace is, when one lies below another, and its bytes. Nothing of items or databases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice, takewhile

from clew.errors import InvalidNamespaceError, UnreadableRecord
from clew.store.operations import MatchCondition, Namespace

RESERVED = "langgraph"
_END, _ESCAPED, _ABOVE = b"\x00", b"\x00\xff", b"\xff"


def check_namespace(namespace: object, *, new: bool = False) -> Namespace:
    """Give the namespace as a tuple of labels.

    Args:
        namespace: a tuple or list of non-empty texts without periods, at least one.
        new: also refuse the reserved first label; reading below it is fine.

    Raises:
        InvalidNamespaceError: it is none.
    """
    labels = check_labels(namespace)
    if not labels:
        raise InvalidNamespaceError('the namespace is empty: give at least one label, as in ("memories", user_id)')
    if new and labels[0] == RESERVED:
        raise InvalidNamespaceError(f"the namespace {labels!r} begins with {RESERVED!r}, which is reserved")
    return labels


def check_labels(path: object, *, what: str = "namespace") -> Namespace:
    """Give a prefix, a suffix or a namespace as a tuple of labels, possibly empty.

    Raises:
        InvalidNamespaceError: it is no tuple or list, or one of its labels is no usable text.
    """
    if not isinstance(path, tuple) and (isinstance(path, str) or not isinstance(path, Sequence)):
        raise InvalidNamespaceError(
            f"a {what} is a tuple of text, not {path!r}: write ({path!r},)"
            if isinstance(path, str)
            else f"a {what} is a tuple of text, not {type(path).__name__}: {path!r}"
        )
    labels = tuple(path)
    try:
        return _checked(labels)
    except TypeError:  # one of them cannot be hashed, so it is no text
        return _check_each(labels)


def check_pattern(path: object) -> Namespace:
    """Give the path of a MatchCondition as labels; a single text is one label."""
    return check_labels((path,) if isinstance(path, str) else path, what="pattern")


def _check_each(labels: tuple[object, ...]) -> Namespace:
    return tuple(_check_label(label, labels) for label in labels)


_checked = lru_cache(maxsize=4096)(_check_each)


def _check_label(label: object, namespace: tuple[object, ...]) -> str:
    if not isinstance(label, str):
        raise InvalidNamespaceError(f"label {label!r} of namespace {namespace!r} is not text: turn it into a str")
    if not label:
        raise InvalidNamespaceError(f"namespace {namespace!r} has an empty label")
    if "." in label:
        raise InvalidNamespaceError(f"label {label!r} of namespace {namespace!r} contains a period ('.')")
    try:
        label.encode()
    except UnicodeEncodeError as error:
        raise InvalidNamespaceError(f"label {label!r} cannot be written as UTF-8: {error.reason}") from error
    return str.__str__(label)


def below(namespace: Namespace, prefix: Namespace) -> bool:
    """Say whether the namespace is the prefix or lies below it, label by label."""
    return namespace[: len(prefix)] == prefix


@lru_cache(maxsize=4096)
def encode(namespace: Namespace) -> bytes:
    """Give bytes that sort like the labels and of which those of every prefix are the beginning.

    Every label ends with 00; a 00 inside a label is 00 FF. UTF-8 has no byte FF, so nothing else looks like it.
    """
    return b"".join(label.encode().replace(_END, _ESCAPED) + _END for label in namespace)


@lru_cache(maxsize=4096)
def decode(path: bytes) -> Namespace:
    """Undo `encode`.

    Raises:
        UnreadableRecord: the bytes are no namespace.
    """
    labels = path.replace(_ESCAPED, _ABOVE).split(_END)[:-1]
    try:
        return tuple(label.replace(_ABOVE, _END).decode() for label in labels)
    except UnicodeDecodeError as error:
        raise UnreadableRecord(f"a kept namespace is damaged: {error}") from error


def path_range(prefix: Namespace) -> tuple[bytes, bytes]:
    """Give the first path at or below the prefix, and the first after all of them."""
    start = encode(prefix)
    return start, start + _ABOVE


def list_matching(
    namespaces: Iterable[Namespace],
    conditions: Sequence[MatchCondition],
    max_depth: int | None,
    limit: int,
    offset: int,
) -> list[Namespace]:
    """Give the distinct namespaces that meet all conditions, cut to `max_depth` labels, sorted, one page of them."""
    met = (n for n in namespaces if all(_meets(n, condition) for condition in conditions))
    return sorted({n[:max_depth] for n in met})[offset : offset + limit]


def list_walking(
    walk: Callable[[tuple[bytes, bytes]], Iterable[Namespace]],
    conditions: Sequence[MatchCondition],
    max_depth: int | None,
    limit: int,
    offset: int,
) -> list[Namespace]:
    """Give what `list_matching` gives, looking at no more namespaces than the page needs.

    Args:
        walk: gives the namespaces in a range of paths, sorted.
    """
    return list(islice(_distinct(walk, conditions, max_depth), offset, offset + limit))


def _distinct(
    walk: Callable[[tuple[bytes, bytes]], Iterable[Namespace]],
    conditions: Sequence[MatchCondition],
    max_depth: int | None,
) -> Iterator[Namespace]:
    start, end = path_range(max((_plain_start(c) for c in conditions), key=len, default=()))
    more = True
    while more:
        more = False
        for namespace in walk((start, end)):
            if all(_meets(namespace, condition) for condition in conditions):
                yield namespace[:max_depth]
                if max_depth is not None and len(namespace) >= max_depth:
                    # Whatever lies below is cut to the same labels: go on behind it.
                    start, more = path_range(namespace[:max_depth])[1], True
                    break


def _plain_start(condition: MatchCondition) -> Namespace:
    """Give the labels that every namespace which meets the condition begins with."""
    return tuple(takewhile(lambda label: label != "*", condition.path)) if condition.match_type == "prefix" else ()


def _meets(namespace: Namespace, condition: MatchCondition) -> bool:
    pattern = tuple(condition.path)
    if len(pattern) > len(namespace):
        return False
    start = 0 if condition.match_type == "prefix" else len(namespace) - len(pattern)
    return all(p in ("*", label) for p, label in zip(pattern, namespace[start:], strict=False))
