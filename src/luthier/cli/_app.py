"""The application: its commands, and the one place where an error becomes an exit code."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from luthier import __version__
from luthier.base.errors import LuthierWarning
from luthier.cli._errors import INTERRUPTED, PARSER_ERROR, explain
from luthier.cli._options import DEBUG

#: Command -> the module of this room that holds it, under the same name.
COMMANDS = {
    "tune": "tune",
    "resume": "resume",
    "show": "show",
    "report": "report",
    "serve": "serve",
    "list": "list_",
    "doctor": "doctor",
    "replay": "replay",
    "convert": "convert",
    "stop-when": "stop_when",
    "demo": "demo",
    "bench": "bench",
    "grow": "grow",
    "shrink": "shrink",
}


class Commands(TyperGroup):
    """The group of all commands: errors are explained in one line, and exit codes are as documented."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; every error that is ours ends in an exit code."""
        try:
            return super().invoke(ctx)
        except (Exception, KeyboardInterrupt) as error:
            code = explain(error, debug=bool(ctx.meta.get(DEBUG)))
            if code is None:
                raise
            raise typer.Exit(code) from None

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Parse, run, and leave with the exit code."""
        try:
            code = super().main(
                args=args,
                prog_name=prog_name,
                complete_var=complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
        except PARSER_ERROR as error:
            code = explain(error)
        except typer.Abort:
            code = INTERRUPTED
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else 0)


def _start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """Tune a model, grow it, shrink it, and bench every choice. Start with: luthier demo."""
    warnings.showwarning = _warn
    if version:
        print(f"luthier {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        text = context.get_help()  # with rich it is printed at once, and the text is empty
        if text:
            print(text)


_plain_warning = warnings.showwarning


def _warn(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    """One line for a warning of ours, the usual form for others."""
    if issubclass(category, LuthierWarning):
        print(f"warning: {message}", file=sys.stderr, flush=True)
    else:
        _plain_warning(message, category, *place, **more)


def application(name: str | None = None) -> typer.Typer:
    """The application with all commands, or with one alone.

    To read the flags of all commands takes longer than most of what they do before they work, and a command line needs
    those of the command that it names.

    Args:
        name: The command; one that is not there stands for all, and "--version" for none.
    """
    app = typer.Typer(
        cls=Commands,
        name="luthier",
        help="Tune a model, grow it, shrink it, and bench every choice.",
        context_settings={"help_option_names": ["-h", "--help"]},
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True)(_start)
    wanted = () if name == "--version" else (name,) if name in COMMANDS else COMMANDS
    for one in wanted:
        home = importlib.import_module(f"luthier.cli.{COMMANDS[one]}")
        found = getattr(home, COMMANDS[one])
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=one)
        else:
            app.command(one)(found)
    return app


def __getattr__(name: str) -> Any:
    """`app`: the application with all commands, made when it is asked for."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = application()
    return found
