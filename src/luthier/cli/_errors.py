"""From errors to words on standard error and exit codes.

0 done; 1 user error; 2 trials failed; 3 a check warns; 4 a check failed; 130 interrupted.
"""

from __future__ import annotations

import errno
import sys
import traceback
from typing import Any

import typer

from luthier.base.errors import LuthierError, TrialError

DONE, USER, FAILED, WARNS, WRONG, INTERRUPTED = 0, 1, 2, 3, 4, 130

#: Root of what the argument parser raises. Typer brings its own copy of click since 0.26, and used the package
#: before: a public subclass leads to both.
PARSER_ERROR: Any = typer.BadParameter.__mro__[2]


def explain(error: BaseException, *, debug: bool = False) -> int | None:
    """Say on standard error what went wrong.

    Args:
        error: What a command raised.
        debug: Show the traceback too.

    Returns:
        The exit code; None for what is not ours to explain (a defect: its traceback is wanted).
    """
    if isinstance(error, PARSER_ERROR):
        _print("error", _usage(error))
        return USER
    code, text = _words(error)
    if code is None:
        return None
    if debug:
        traceback.print_exception(error)
    _print("interrupted" if code == INTERRUPTED else "error", text)
    return code


def _words(error: BaseException) -> tuple[int | None, str]:
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, str(error) or "the command was ended before it was done."
    if isinstance(error, LuthierError):
        return FAILED if isinstance(error, TrialError) else USER, str(error)
    if isinstance(error, OSError) and error.errno != errno.EPIPE:
        place = "" if error.filename is None else f"{error.filename}: "
        return USER, (
            f"{place}{error.strerror or error}. Allowed: files that can be read, and a folder on a disk with room "
            "that can be written. Choose another, or make room."
        )
    return None, ""


def _usage(error: Any) -> str:
    text = str(error.format_message()).strip().replace("\n\t", " ").replace("\n", " ")
    text = text or "a command is missing."  # a group alone: its help stands above
    context = getattr(error, "ctx", None)
    hint = "" if context is None else f" See: {context.command_path} --help"
    return (text if text.endswith((".", "?")) else text + ".") + hint


def _print(word: str, text: str) -> None:
    sys.stdout.flush()
    print(f"{word}: {text}", file=sys.stderr, flush=True)
