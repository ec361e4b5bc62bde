"""A value that grows at the end costs what was added, and every old value can still be read."""

from __future__ import annotations

import copy
import enum
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.codec.allowed import allow
from clew.codec.growing import Chain, Folded, Path, beginning, fold, joined, last_pieces, unfold
from clew.engine.records import Piece
from clew.errors import NotRecordable, UnreadableRecord


class Shelf:
    """Keeps folded values as a database does: frames, and pieces by id."""

    def __init__(self) -> None:
        self.pieces: dict[str, Piece] = {}
        self.frames: list[bytes] = []
        self.written: list[int] = []
        self._ids = itertools.count()
        self._chains: Mapping[Path, Chain] = {}

    def go_on_from(self, place: int) -> Any:
        """Read an old value back, from which the next one grows."""
        frame = self.frames[place]
        self._chains = {path: joined(self._chain(last)) for path, last in last_pieces(frame).items()}
        return unfold(frame, self._chains)

    def put(self, value: Any) -> Folded:
        folded = fold(value, self._chains, lambda: f"p{next(self._ids)}")
        self.pieces.update((piece.id, piece) for piece in folded.added)
        self.frames.append(folded.frame)
        self.written.append(len(folded.frame) + sum(len(piece.body) for piece in folded.added))
        self._chains = folded.chains
        return folded

    def read(self, place: int) -> Any:
        frame = self.frames[place]
        return unfold(frame, {path: joined(self._chain(last)) for path, last in last_pieces(frame).items()})

    def _chain(self, last: str | None) -> list[Piece]:
        chain: list[Piece] = []
        while last is not None:
            chain.insert(0, self.pieces[last])
            last = chain[0].before
        return chain


def message(number: int) -> dict[str, str]:
    return {"role": "user", "id": str(number), "content": f"{number} " + "x" * 390}


@pytest.mark.parametrize("shape", [lambda m: m, lambda m: {"messages": m, "turn": len(m)}, lambda m: {"a": {"b": m}}])
def test_a_turn_costs_what_it_adds(shape: Callable[[list[Any]], Any]) -> None:
    shelf, messages = Shelf(), list[Any]()
    for turn in range(300):
        messages = [*messages, message(2 * turn), message(2 * turn + 1)]
        shelf.put(shape(messages))
    said = sum(len(str(one)) for one in messages)
    assert sum(shelf.written) < 1.2 * said
    assert shelf.written[-1] < 1.1 * shelf.written[10]


def test_every_old_value_can_be_read() -> None:
    shelf, values = Shelf(), [[message(n) for n in range(length)] for length in (0, 1, 2, 5, 40, 70_000 // 300)]
    for value in values:
        shelf.put(value)
    assert [shelf.read(place) for place in range(len(values))] == values


def test_a_change_in_the_middle_keeps_what_comes_before_it() -> None:
    shelf, messages = Shelf(), [message(n) for n in range(10)]
    for length in (4, 7, 10):
        shelf.put(messages[:length])
    changed = [*messages[:8], message(99), messages[9]]
    folded = shelf.put(changed)
    assert shelf.read(3) == changed
    assert shelf.read(2) == messages
    assert folded.added[0].count == 3  # those of the piece that holds the change


def test_a_list_that_shrinks_or_starts_anew_is_kept() -> None:
    shelf = Shelf()
    values = [
        [message(n) for n in range(9)],
        [message(n) for n in range(5, 9)],
        [message(7)],
        [],
        [message(n) for n in range(3)],
    ]
    for value in values:
        shelf.put(value)
    assert [shelf.read(place) for place in range(len(values))] == values


@pytest.mark.parametrize("most", [4, 20, 70_000 // 300])
def test_the_beginnings_of_a_list_are_the_lists_that_it_grew_from(most: int) -> None:
    shelf, whole = Shelf(), Chain(data=b"", links=())
    for length in range(1, most):
        whole = shelf.put([message(n) for n in range(length)]).chains[()]
    for place, frame in enumerate(shelf.frames):
        last = last_pieces(frame)[()]
        begun = beginning(whole, last)
        assert begun is not None
        assert unfold(frame, {(): begun}) == shelf.read(place)
    assert beginning(whole, "elsewhere") is None


def test_an_unchanged_value_adds_no_piece() -> None:
    shelf, value = Shelf(), {"messages": [message(n) for n in range(5)]}
    shelf.put(value)
    assert not shelf.put(value).added


def test_the_value_itself_is_left_alone() -> None:
    value = {"messages": [message(n) for n in range(5)], "other": {"list": [message(1), message(2)]}}
    copy = {"messages": list(value["messages"]), "other": {"list": [message(1), message(2)]}}
    Shelf().put(value)
    assert value == copy


def test_what_cannot_be_recorded_is_named_by_its_place() -> None:
    with pytest.raises(NotRecordable, match=r"result\['messages'\]\[1\]"):
        fold({"messages": [message(1), print]}, {}, lambda: "p")


def test_a_missing_piece_is_told() -> None:
    folded = fold([message(1), message(2)], {}, lambda: "p")
    with pytest.raises(UnreadableRecord, match="missing"):
        unfold(folded.frame, {})


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_an_unreadable_record(data: bytes) -> None:
    try:
        last_pieces(data)
        unfold(data, {})
    except UnreadableRecord:
        pass


elements = st.one_of(st.integers(), st.text(max_size=3), st.tuples(st.integers()), st.just("long " * 60))
lists = st.lists(elements, max_size=12)
values = st.one_of(
    lists, st.dictionaries(st.sampled_from("abc"), st.one_of(lists, st.integers()), max_size=3), elements
)


@given(st.lists(values, max_size=6))
def test_any_sequence_of_values_can_be_read_back(sequence: list[Any]) -> None:
    shelf = Shelf()
    for value in sequence:
        shelf.put(value)
    assert [shelf.read(place) for place in range(len(sequence))] == sequence


edits = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["append", "extend", "change", "retype", "cut", "insert", "swap"])),
    max_size=12,
)


@given(edits)
def test_any_edits_of_any_earlier_value_are_noticed_and_leave_the_earlier_ones_alone(
    edits: list[tuple[int, str]],
) -> None:
    shelf, numbers = Shelf(), itertools.count()
    kept = [[message(next(numbers)) for _ in range(3)]]
    shelf.put(kept[0])
    for back, edit in edits:
        origin = max(len(kept) - 1 - back, 0)
        value = shelf.go_on_from(origin)
        assert value == kept[origin]
        _edit(value, edit, next(numbers))
        shelf.put(value)
        kept.append(copy.deepcopy(value))
    read = [shelf.read(place) for place in range(len(kept))]
    assert read == kept
    assert repr(read) == repr(kept)  # types, too: 1 is True, and 1.0


def _edit(messages: list[Any], edit: str, number: int) -> None:
    """Change a list in place, as a workflow may."""
    place = number % max(len(messages), 1)
    if edit == "append" or not messages:
        messages.append(message(number))
    elif edit == "extend":
        messages += [message(number), message(-number), message(number)]
    elif edit == "change":
        messages[place]["content"] += "!"
    elif edit == "retype":
        messages[place]["mark"] = (True, 1, 1.0)[number % 3]
    elif edit == "cut":
        del messages[place:]
    elif edit == "insert":
        messages.insert(place, message(number))
    else:
        messages[0], messages[place] = messages[place], messages[0]


class Mark(enum.StrEnum):
    USER = "user"


@pytest.mark.parametrize(
    "change",
    [
        lambda first: first.update(role=Mark.USER),
        lambda first: first.update(tags=("a",)),
        lambda first: first.update(id=0, flag=True),
        lambda first: first.update(role=first.pop("role")),
    ],
    ids=["a type", "a tuple", "a number", "the order of keys"],
)
def test_a_change_that_compares_equal_is_noticed(change: Callable[[Any], None]) -> None:
    allow(Mark)
    shelf = Shelf()
    shelf.put([{**message(1), "tags": ["a"], "id": 0.0, "flag": 1}, message(2)])
    value = shelf.go_on_from(0)
    change(value[0])
    shelf.put(value)
    assert repr(shelf.read(1)) == repr(value)
    assert repr(shelf.read(0)) != repr(value)


def test_a_list_under_a_key_that_is_no_utf_8_is_kept() -> None:
    shelf = Shelf()
    value: Any = {"\ud800": [], "plain": []}
    for number in range(40):
        value = copy.deepcopy(value)
        for messages in value.values():
            messages.append(message(number))
        shelf.put(value)
    assert shelf.read(39) == value


@pytest.mark.parametrize("depth", [0, 1, 4, 8])
def test_a_list_is_kept_as_what_it_adds_however_deep_it_lies(depth: int) -> None:
    shelf, messages = Shelf(), list[Any]()
    for number in range(60):
        messages.append(message(number))
        value: Any = copy.deepcopy(messages)
        for level in range(depth):
            value = {f"level {level}": value}
        shelf.put(value)
    assert shelf.written[-1] < 2 * shelf.written[20]
    assert shelf.read(59) == value
