"""The `clew` command. It shows; whatever happens, happens below the public names."""

from __future__ import annotations


def main() -> None:
    """Run the `clew` command, or say what to install for it."""
    try:
        from clew.cli.app import app
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        raise SystemExit("clew: the command needs typer and rich: pip install 'clew[cli]'") from error
    app(prog_name="clew")
