"""Run one case for one system in this process, and print its figure as a line of JSON."""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import time

from bench.cases import CASES
from bench.peers import PEERS


def main(case_name: str, system: str, folder: str) -> None:
    """Measure.

    Args:
        case_name: one of CASES.
        system: one of PEERS.
        folder: where files may be made; for "disk" a folder on a disk.
    """
    case = next(case for case in CASES if case.name == case_name)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        peer = PEERS[system](case.where, place, os.environ.get("BENCH_POSTGRES", ""))
        if not hasattr(peer, case.method) or not peer.can(case.where):
            print(json.dumps({"figure": None}))
            return
        gc.collect()
        began = time.perf_counter()
        figure = getattr(peer, case.method)(**case.arguments)
        print(json.dumps({"figure": figure * case.scale, "took_s": time.perf_counter() - began}))


if __name__ == "__main__":
    main(*sys.argv[1:4])
