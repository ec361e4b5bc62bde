"""Encryption of bytes at rest: sealed under a key and bound to a place, opened with a ring of keys or refused.

It knows keys, bytes and names of places, not what the bytes mean nor where they are kept. Sealed bytes are

    C1 01 | key's id, 8 bytes | salt, 16 bytes | AES-256-GCM ciphertext, tag of 16 bytes

No record begins with C1, which msgpack never uses. Each message has a key of its own, derived from one of the ring and
a random salt, so there is no number of messages after which a key wears out.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from clew.errors import InvalidOption, MissingDependency, UnreadableRecord

SEALED = b"\xc1\x01"
_KEY_BYTES, _ID_BYTES, _SALT_BYTES, _TAG_BYTES = 32, 8, 16, 16
_HEADER_BYTES = len(SEALED) + _ID_BYTES + _SALT_BYTES
_NONCE = bytes(12)  # used once: with a message's own key
Place = Sequence[str]


class _Key:
    """One key of a ring, and what is derived from it. No Struct: those show their fields."""

    __slots__ = ("id", "index", "secret")

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self.id = blake2b(key=secret, person=b"clew key id", digest_size=_ID_BYTES).digest()
        self.index = blake2b(key=secret, person=b"clew index", digest_size=_KEY_BYTES).digest()

    def of_message(self, salt: bytes) -> bytes:
        return blake2b(key=self.secret, salt=salt, person=b"clew message", digest_size=_KEY_BYTES).digest()


class EncryptionKeys:
    """A ring of keys: the first one encrypts, all of them decrypt.

    To change keys, put a new one first and keep the old ones as long as there are values that they encrypted.

    Args:
        keys: each 32 random bytes, or the text that `new_key` gives. At least one.

    Raises:
        InvalidOption: something that is no key, or no key at all.
        MissingDependency: the package `cryptography` is not installed.
    """

    def __init__(self, keys: Iterable[bytes | str]) -> None:
        if isinstance(keys, bytes | str):
            raise InvalidOption("keys are given as a list, as in EncryptionKeys([key]): the first one encrypts")
        self._ring = [_key(key) for key in keys]
        if not self._ring:
            raise InvalidOption("there is no key to encrypt with: give at least one, made by EncryptionKeys.new_key()")
        self._by_id = {key.id: key for key in self._ring}
        self._cipher = _cipher()
        # A store's terms recur: most of them are found here.
        self.hidden_terms = lru_cache(maxsize=65536)(self._hidden_terms)

    @staticmethod
    def new_key() -> str:
        """Return a new random key as text. Keep it where the database is not."""
        return base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode()

    @property
    def ids(self) -> list[str]:
        """What names the keys without telling them, that which encrypts first. Hexadecimal text."""
        return [key.id.hex() for key in self._ring]

    def seal(self, data: bytes, place: Place) -> bytes:
        """Encrypt bytes for one place.

        Args:
            data: what is to be kept.
            place: names that only this place has; the same are needed to open it.
        """
        key, salt = self._ring[0], os.urandom(_SALT_BYTES)
        header = SEALED + key.id + salt
        sealed: bytes = self._cipher(key.of_message(salt)).encrypt(_NONCE, data, header + _bytes_of(place))
        return header + sealed

    def open(self, sealed: bytes, place: Place) -> bytes:
        """Decrypt bytes that were sealed for a place.

        Raises:
            UnreadableRecord: they are not encrypted, or with a key that is not in the ring, or were changed, or were
                sealed for another place.
        """
        if not sealed.startswith(SEALED) or len(sealed) < _HEADER_BYTES + _TAG_BYTES:
            raise UnreadableRecord(
                f"{_told(place)} is not encrypted, although this database was opened with keys: it was put there "
                "without them, or changed"
            )
        header = sealed[:_HEADER_BYTES]
        id = header[len(SEALED) : -_SALT_BYTES]
        key = self._by_id.get(id)
        if key is None:
            given = ", ".join(each.id.hex() for each in self._ring)
            raise UnreadableRecord(
                f"{_told(place)} was encrypted with key {id.hex()}, which is not among those given ({given}): "
                "add it to EncryptionKeys([...])"
            )
        try:
            opened: bytes = self._cipher(key.of_message(header[-_SALT_BYTES:])).decrypt(
                _NONCE, sealed[_HEADER_BYTES:], header + _bytes_of(place)
            )
        except Exception as error:  # InvalidTag, of a package that is imported nowhere at the top of a file
            raise UnreadableRecord(
                f"{_told(place)} was changed since it was encrypted, or was moved there from another place"
            ) from error
        return opened

    def _hidden_terms(self, term: int) -> tuple[int, ...]:
        """Return what stands for the 32-bit hash of a word in an index, under each key, that which encrypts first."""
        data = term.to_bytes(4, "little")
        return tuple(
            int.from_bytes(blake2b(data, key=key.index, digest_size=4).digest(), "little") for key in self._ring
        )


def _key(given: object) -> _Key:
    secret = _secret(given)
    if len(secret) != _KEY_BYTES:
        raise InvalidOption("an encryption key is 32 random bytes, or text made by EncryptionKeys.new_key()")
    return _Key(secret)


def _secret(given: object) -> bytes:
    if isinstance(given, bytes):
        return given
    try:
        return base64.b64decode(given, altchars=b"-_", validate=True) if isinstance(given, str) else b""
    except (ValueError, binascii.Error):
        return b""  # not shown: it may be most of a key


def _cipher() -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise MissingDependency("encryption needs the package cryptography: pip install 'clew[encryption]'") from error
    return AESGCM


def _bytes_of(place: Place) -> bytes:
    """Return the names with their lengths, so that no two places look alike."""
    names = [name.encode("utf-8", "surrogatepass") for name in place]
    return b"".join(len(name).to_bytes(8, "big") + name for name in names)


def _told(place: Place) -> str:
    what, *where = place
    return f"{what} {', '.join(map(repr, where))}" if where else what
