"""cli: the commands. They read flags, call the other rooms and print; no logic of their own.

Nothing heavy is imported before a command runs, so that `luthier --help` is quick.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line; ends the process with the exit code."""
    from luthier.cli._app import app

    app()


__all__ = ["main"]
