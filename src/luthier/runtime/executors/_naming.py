"""Hyperparameters that a program names while it runs (define-by-run)."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any, NoReturn

from luthier.base.errors import SpaceError
from luthier.base.records import Configuration
from luthier.runtime.executors._base import Launch
from luthier.runtime.executors._channel import Channel

_UNSET = object()  # None is a value that a choice may hold


class Naming:
    """The part of `Run` that names hyperparameters: the study answers with a value, the same for the same name."""

    __slots__ = ("_answers", "_channel", "_launch", "config")

    def __init__(self, launch: Launch, channel: Channel) -> None:
        #: The configuration; hyperparameters named while running join it.
        self.config: Configuration = launch.config
        self._launch, self._channel = launch, channel
        self._answers: dict[str, tuple[Any, Any]] = {}  # name -> domain and value

    if not TYPE_CHECKING:  # else every attribute would be there for a type checker

        def __getattr__(self, name: str) -> NoReturn:
            hint = ""
            if not name.startswith("_") and name != "config" and name in self.config:
                hint = f" The hyperparameter is in its configuration: run.config[{name!r}]."
            raise AttributeError(f"a Run has no attribute {name!r}.{hint}")

        def __getitem__(self, name: object) -> NoReturn:
            raise TypeError(f"a Run is no mapping. Hyperparameters are in its configuration: run.config[{name!r}].")

    def float(
        self,
        name: str,
        low: builtins.float,
        high: builtins.float,
        *,
        log: bool = False,
        step: builtins.float | None = None,
        default: builtins.float | None = None,
    ) -> builtins.float:
        """A real hyperparameter named while running; see `luthier.Float`."""
        from luthier.space.domains import Float

        value: builtins.float = self._ask(name, Float(low, high, log=log, step=step, default=default))
        return value

    def int(
        self,
        name: str,
        low: builtins.int,
        high: builtins.int,
        *,
        log: bool = False,
        step: builtins.int | None = None,
        default: builtins.int | None = None,
    ) -> builtins.int:
        """A whole-numbered hyperparameter named while running; see `luthier.Int`."""
        from luthier.space.domains import Int

        value: builtins.int = self._ask(name, Int(low, high, log=log, step=step, default=default))
        return value

    def choice(self, name: str, *values: Any, default: Any = _UNSET) -> Any:
        """One of several values without order, named while running; see `luthier.Choice`."""
        from luthier.space.domains import Choice

        return self._ask(name, Choice(*values) if default is _UNSET else Choice(*values, default=default))

    def ordinal(self, name: str, *values: Any, default: Any = _UNSET) -> Any:
        """One of several ordered values, named while running; see `luthier.Ordinal`."""
        from luthier.space.domains import Ordinal

        return self._ask(name, Ordinal(*values) if default is _UNSET else Ordinal(*values, default=default))

    def _ask(self, name: str, domain: Any) -> Any:
        if not self._launch.open_space:
            if name in self.config:
                return self.config[name]
            has = ", ".join(repr(known) for known in self.config)
            raise SpaceError(
                f"hyperparameter {name!r}: trial {self._launch.trial} has {{{has}}}, and the study's space is declared."
                " Declare it there (or check that it is active: `'name' in run.config`); to name hyperparameters "
                "while running use Study(None, ...).",
                name=name,
            )
        answer = self._answers.get(name)
        if answer is not None and answer[0] == domain:
            return answer[1]
        value = self._channel.suggest(name, domain)
        self._answers[name] = (domain, value)
        self.config = Configuration({**self.config, name: value})
        return value
