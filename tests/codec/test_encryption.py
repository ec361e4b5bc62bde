"""Sealed bytes: opened for their place with a key of the ring, refused in every other case."""

from __future__ import annotations

import base64
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew import EncryptionKeys
from clew.codec.growing import last_pieces
from clew.codec.values import decode, encode
from clew.errors import InvalidOption, MissingDependency, UnreadableRecord

OLD, NEW, OTHER = (EncryptionKeys.new_key() for _ in range(3))
KEYS = EncryptionKeys([OLD])
names = st.lists(st.text(max_size=4), min_size=1, max_size=3).map(tuple)


@given(st.binary(max_size=200), names)
def test_what_was_sealed_for_a_place_is_opened_there(data: bytes, place: tuple[str, ...]) -> None:
    assert KEYS.open(KEYS.seal(data, place), place) == data


@given(names, names)
def test_what_was_sealed_for_another_place_is_refused(place: tuple[str, ...], other: tuple[str, ...]) -> None:
    if place != other:
        with pytest.raises(UnreadableRecord, match="changed since it was encrypted, or was moved"):
            KEYS.open(KEYS.seal(b"x", place), other)


def test_names_of_a_place_do_not_run_into_each_other() -> None:
    with pytest.raises(UnreadableRecord):
        KEYS.open(KEYS.seal(b"x", ("ab", "c")), ("a", "bc"))


def test_every_flipped_bit_and_every_cut_is_refused() -> None:
    sealed = KEYS.seal(b"a value", ("place",))
    for at in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(UnreadableRecord):
            KEYS.open(bytes(changed), ("place",))
    for length in range(len(sealed)):
        with pytest.raises(UnreadableRecord):
            KEYS.open(sealed[:length], ("place",))


@given(st.binary(max_size=100))
def test_any_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(UnreadableRecord, match="not encrypted"):
        KEYS.open(data, ("place",))
    with pytest.raises(UnreadableRecord):
        KEYS.open(KEYS.seal(b"", ("place",))[:26] + data, ("place",))


def test_another_key_is_refused_and_both_are_named() -> None:
    with pytest.raises(UnreadableRecord, match=r"key [0-9a-f]{16}, which is not among those given \([0-9a-f]{16}\)"):
        EncryptionKeys([OTHER]).open(KEYS.seal(b"x", ("place",)), ("place",))


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    turned = EncryptionKeys([NEW, OLD])
    assert turned.open(KEYS.seal(b"old", ("p",)), ("p",)) == b"old"
    assert EncryptionKeys([NEW]).open(turned.seal(b"new", ("p",)), ("p",)) == b"new"
    with pytest.raises(UnreadableRecord):
        KEYS.open(turned.seal(b"new", ("p",)), ("p",))


def test_equal_values_look_different_each_time() -> None:
    assert len({KEYS.seal(b"same", ("p",)) for _ in range(100)}) == 100


def test_words_are_hidden_in_the_same_way_under_each_key() -> None:
    turned = EncryptionKeys([NEW, OLD])
    assert turned.hidden_terms(7) == (*EncryptionKeys([NEW]).hidden_terms(7), *KEYS.hidden_terms(7))
    assert len({*turned.hidden_terms(7), 7}) == 3


@pytest.mark.parametrize("read", [decode, last_pieces])
def test_a_reader_without_keys_is_told_that_the_record_is_encrypted(read: object) -> None:
    with pytest.raises(UnreadableRecord, match="is encrypted"):
        read(KEYS.seal(encode({"a": 1}), ("p",)))  # type: ignore[operator]


@pytest.mark.parametrize(
    "keys",
    [
        [],
        ["short"],
        [b"x" * 31],
        [b"x" * 33],
        [NEW[:-1]],
        [NEW, "é" * 44],
        [None],
        NEW,
        b"x" * 32,
        [base64.b64encode(b"x" * 16).decode()],
    ],
    ids=lambda keys: type(keys).__name__,
)
def test_what_is_no_key_is_refused_and_not_shown(keys: object) -> None:
    with pytest.raises(InvalidOption) as refused:
        EncryptionKeys(keys)  # type: ignore[arg-type]
    assert NEW[:8] not in str(refused.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(MissingDependency, match=r"clew\[encryption\]"):
        EncryptionKeys([OLD])


def test_keys_are_not_shown() -> None:
    secret = base64.urlsafe_b64decode(OLD)
    for shown in (repr(KEYS), repr(vars(KEYS)), repr(KEYS._ring)):
        assert OLD not in shown
        assert repr(secret)[2:-1] not in shown
