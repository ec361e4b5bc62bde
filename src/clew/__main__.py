"""`python -m clew`: the `clew` command."""

from __future__ import annotations

from clew.cli import main

if __name__ == "__main__":
    main()
