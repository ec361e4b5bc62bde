"""Namespaces as bytes: every prefix a range, whatever the labels."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clew.store.namespaces import below, decode, encode, path_range

labels = st.text(st.characters(exclude_categories=["Cs"]) | st.just("\x00"), min_size=1, max_size=4)
namespaces = st.lists(labels, max_size=4).map(tuple)


@given(namespaces)
def test_a_path_gives_its_namespace_back(namespace: tuple[str, ...]) -> None:
    assert decode(encode(namespace)) == namespace


@given(namespaces, namespaces)
def test_a_range_holds_exactly_what_lies_below(namespace: tuple[str, ...], prefix: tuple[str, ...]) -> None:
    start, end = path_range(prefix)
    assert (start <= encode(namespace) < end) == below(namespace, prefix)


@given(namespaces, namespaces, labels)
def test_a_label_is_never_half_of_another(namespace: tuple[str, ...], rest: tuple[str, ...], more: str) -> None:
    start, end = path_range((*namespace, "a"))
    assert start <= encode((*namespace, "a", *rest)) < end
    assert not start <= encode((*namespace, "a" + more)) < end
