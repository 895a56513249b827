"""Command lines with placeholders."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from string import Formatter
from typing import Any

from luthier.base.errors import ArgumentError, did_you_mean

#: Placeholders that are no hyperparameters.
RESERVED = ("seed", "split_seed", "trial", "resource", "checkpoint", "folder")
_FORMATTER = Formatter()
_BARE_FLAG = re.compile(r"--?[A-Za-z][^=\s]*$")


class Template:
    """A command line such as `python train.py --lr {lr} --layers {layers}`.

    `{name}` is replaced by a value, `{name:.3g}` by a formatted one; `{{` and `}}` are braces. An argument whose
    placeholder has no value (an inactive hyperparameter, no checkpoint yet) is left out, and with it a bare flag
    right before it: of `--opt sgd --momentum {momentum}` nothing but `--opt sgd` remains. Write `--x={x}` or
    `--x {x}`, both work.

    Args:
        text: The command line, or its arguments.
        shell: Whether a shell will read it: values are quoted, and "argument" means whatever blanks separate. Inside
            quotes of the command line itself only values that need no quotes can stand.

    Raises:
        ArgumentError: it is empty, its quotes or braces do not match, or a placeholder is no plain name.
    """

    def __init__(self, text: str | Sequence[str], *, shell: bool) -> None:
        self.text, self.shell = text, shell
        shown = text if isinstance(text, str) else shlex.join(text)
        self._where = f"command {shown!r}"
        self._parts = self._split(text)
        if not any(part.strip() for part in self._parts):
            raise ArgumentError("the command is empty. Write one such as 'python train.py --lr {lr}'.")
        self._used = [self._names(part) for part in self._parts]
        self._quoted = _quoted(self._parts) if shell else [False] * len(self._parts)

    def _split(self, text: str | Sequence[str]) -> list[str]:
        if not isinstance(text, str):
            return [str(part) for part in text]
        if self.shell:
            return re.split(r"(\s+)", text.strip())
        try:
            return shlex.split(text)
        except ValueError as error:
            raise ArgumentError(f"{self._where}: {error}. Close every quote, or put a backslash before it.") from None

    def _names(self, part: str) -> frozenset[str]:
        advice = "Allowed: {name} of a hyperparameter; write {{ and }} for braces."
        try:
            names = [name for _, name, _, _ in _FORMATTER.parse(part) if name is not None]
        except ValueError as error:
            raise ArgumentError(f"{self._where}: {error}. {advice}") from None
        for name in names:
            if not name or name.isdigit():
                raise ArgumentError(f"{self._where}: placeholder {{{name}}} has no name. {advice}")
        return frozenset(names)

    @property
    def names(self) -> list[str]:
        """All placeholders, in order."""
        return list(dict.fromkeys(name for used in self._used for name in sorted(used)))

    @property
    def program(self) -> str | None:
        """The program, None where a shell or a placeholder decides it."""
        return None if self.shell or self._used[0] else self._parts[0].replace("{{", "{").replace("}}", "}")

    def check(self, known: Collection[str]) -> None:
        """Refuse placeholders that nothing will fill.

        Raises:
            ArgumentError: with the nearest name.
        """
        for name in self.names:
            if name not in known and name not in RESERVED:
                raise ArgumentError(
                    f"{self._where}: placeholder {{{name}}} is no hyperparameter. "
                    f"{did_you_mean(name, [*known, *RESERVED])} Write {{{{ and }}}} for braces."
                )

    def fill(self, values: Mapping[str, Any]) -> list[str]:
        """The arguments, with values in place; for a shell, one piece of text.

        Args:
            values: Name to value; None, or no entry, leaves the argument out.
        """
        missing = {name for name in self.names if values.get(name) is None}
        filled: list[str] = []
        flag_at: int | None = None  # where in `filled` a bare flag stands that the next argument may take along
        for part, used, quoted in zip(self._parts, self._used, self._quoted, strict=True):
            if self.shell and not part.strip():
                filled.append(part)
            elif used & missing:
                if flag_at is not None:
                    del filled[flag_at:]
                flag_at = None
            else:
                flag_at = len(filled) if not used and _BARE_FLAG.match(part) else None
                filled.append(self._format(part, values, quoted))
        return ["".join(filled)] if self.shell else filled

    def _format(self, part: str, values: Mapping[str, Any], quoted: bool) -> str:
        pieces: list[str] = []
        for literal, name, layout, conversion in _FORMATTER.parse(part):
            pieces.append(literal)
            if name is not None:
                value = _FORMATTER.convert_field(values[name], conversion)
                try:
                    text = format(value, layout) if layout else _text(value)
                except (TypeError, ValueError) as error:
                    raise ArgumentError(
                        f"{self._where}: {{{name}:{layout}}} cannot show {value!r} ({error}). Mend the format."
                    ) from None
                safe = shlex.quote(text) if self.shell else text
                if quoted and safe != text:
                    raise ArgumentError(
                        f"{self._where}: {{{name}}} stands inside quotes, and the value {text!r} needs its own. "
                        "Take the quotes away, values are quoted already; or pass it without a shell."
                    )
                pieces.append(safe)
        return "".join(pieces)


def _text(value: Any) -> str:
    # repr of a float gives back exactly that float
    return repr(value) if type(value) is float else str(value)


def _quoted(parts: Sequence[str]) -> list[bool]:
    """Which pieces of a shell's command line hold a placeholder inside quotes."""
    found, open_quote = [], ""
    for part in parts:
        inside = False
        for literal, name, _, _ in _FORMATTER.parse(part):
            for mark in re.findall(r"\\.|['\"]", literal):
                if not open_quote and len(mark) == 1:
                    open_quote = mark
                elif mark == open_quote:
                    open_quote = ""
            inside = inside or (name is not None and bool(open_quote))
        found.append(inside)
    return found
