"""Fuzz what reads kept bytes, guided by the coverage of the readers. By hand: `pip install atheris`, then

    python tests/security/fuzz.py [folder for what it finds] [-max_total_time=600]

Any bytes must give a value or UnreadableRecord. Anything else, a second for one input, or two gigabytes stop it.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris

sys.path[:0] = [str(Path(__file__).parents[1])]

with atheris.instrument_imports(include=["clew.codec", "clew.store.values", "clew.store.namespaces"]):
    from clew.codec.failures import decode_failure, encode_failure
    from clew.codec.growing import fold, last_pieces, unfold
    from clew.codec.values import decode, encode
    from clew.errors import UnreadableRecord
    from clew.store.namespaces import decode as decode_namespace
    from clew.store.values import decode_value
    from codec import recordable_types as app

FOLDED = fold({"said": ["x" * 300]}, {}, lambda: "x")
READERS: tuple[Callable[[bytes], Any], ...] = (
    decode, decode_failure, last_pieces, lambda data: unfold(data, FOLDED.chains), decode_value, decode_namespace,
)  # fmt: skip
SEEDS = [
    encode([app.Order(1, [app.Line("a", (1,))]), app.Point(1, {2}), app.Parcel(2), app.Access.READ, {(1, 2): 2**70}]),
    encode({"a": [b"x", 1.5, ..., range(3), slice(1), frozenset({1})], 2: app.Reading(1)}),
    encode_failure(app.Declined(1, code="x")),
    encode_failure(ExceptionGroup("several", [ValueError("a"), OSError(2, "b")])),
    FOLDED.frame,
    b'{"text": "a", "list": [1, null, 2.5]}',
]


def read_all(data: bytes) -> None:
    for read in READERS:
        try:
            read(data)
        except UnreadableRecord:
            continue


def main() -> None:
    folder = tempfile.mkdtemp() if len(sys.argv) < 2 or sys.argv[1].startswith("-") else sys.argv.pop(1)
    for number, seed in enumerate(SEEDS):
        Path(folder, f"seed-{number}").write_bytes(seed)
    options = [sys.argv[0], "-timeout=1", "-rss_limit_mb=2048", *sys.argv[1:], folder]
    atheris.Setup(options, read_all)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
