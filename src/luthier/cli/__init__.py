"""cli: the commands. They read flags, call the other rooms and print.

Nothing heavy is imported before a command runs, so that `luthier --help` is quick.

Not here: logic: what a command computes belongs to the room that it computes for.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line; ends the process with the exit code."""
    import sys

    from luthier.cli._app import application

    application(sys.argv[1] if len(sys.argv) > 1 else None)()


__all__ = ["main"]
