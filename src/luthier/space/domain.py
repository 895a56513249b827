"""The base of all domains: the values that one hyperparameter may take.

A domain does not know its hyperparameter's name, so its constructor accepts anything; `Domain.check(name)`
judges it, and `Space` calls that for every hyperparameter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, NoReturn

from luthier.base.errors import SpaceError
from luthier.space.conditions import parse_condition
from luthier.space.priors import prior_to_json
from luthier.space.values import plain

#: How a tuned value goes to a larger model: by muP, as rate times decay, or not at all (see `luthier.grow`).
TRANSFERS = ("mup", "wd", "none")


class Domain(ABC):
    """The values that one hyperparameter may take; it cannot be changed once made.

    Attributes:
        when: The condition as the user wrote it, None for "always active".
        default: The value of the default configuration.
        transfer: How a tuned value goes to a larger model, one of `TRANSFERS`; None: by its name. A note for
            `luthier.grow`: searchers do not look at it.
    """

    kind: ClassVar[str]
    when: Any
    default: Any
    transfer: Any = None

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise TypeError(f"a domain cannot be changed; make a new {type(self).__name__}(...)")

    def _set(self, **fields: Any) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def _set_when(self, when: Any, transfer: Any = None) -> None:
        self._set(transfer=plain(transfer))
        try:
            self._set(when=None if when is None else parse_condition(when, ""))
        except SpaceError:
            self._set(when=when)  # `check` refuses it, with the hyperparameter's name

    def refuse(self, name: str, text: str) -> NoReturn:
        """Raise SpaceError about hyperparameter `name`."""
        raise SpaceError(f"hyperparameter {name!r}: {text}", name=name)

    def check(self, name: str) -> None:
        """Judge the arguments.

        Args:
            name: The hyperparameter's name, for the message.

        Raises:
            SpaceError: saying what is wrong and what to do.
        """
        if self.when is not None:
            parse_condition(self.when, name)  # what the constructor could not read is still as the user wrote it
        if self.transfer is not None and self.transfer not in TRANSFERS:
            self.refuse(name, f"transfer={self.transfer!r}. Allowed: {', '.join(map(repr, TRANSFERS))}.")
        self._check(name)

    @abstractmethod
    def _check(self, name: str) -> None: ...

    @abstractmethod
    def _fit(self, value: Any) -> tuple[bool, Any]:
        """Whether a plain value belongs here, and its canonical form."""

    @property
    @abstractmethod
    def allowed(self) -> str:
        """What may be given, in words."""

    @abstractmethod
    def _arguments(self) -> Iterator[tuple[str, Any]]:
        """Arguments that differ from their defaults; positional ones have an empty name."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The domain as JSON-able values; `luthier.space.serial.domain_from_dict` reads them."""

    def _common(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        prior = getattr(self, "prior", None)
        if prior is not None:
            found["prior"] = prior_to_json(prior)
        if self.when is not None:
            found["when"] = self.when.to_json() if hasattr(self.when, "to_json") else repr(self.when)
        if self.transfer is not None:
            found["transfer"] = self.transfer
        return found

    def _hint(self, value: Any) -> str:
        return "Use an allowed value, or widen the space."

    def contains(self, value: Any) -> bool:
        """Whether a value belongs to this domain."""
        return self._fit(plain(value))[0]

    def accept(self, value: Any, *, name: str, where: str = "configuration") -> Any:
        """The canonical form of a value (an int for `Int` even when 3.0 is given, no numpy scalars).

        Args:
            value: What was given.
            name: The hyperparameter's name, for the message.
            where: Who gave it, for the message.

        Raises:
            SpaceError: the value does not belong to this domain.
        """
        given = plain(value)
        fits, canonical = self._fit(given)
        if not fits:
            raise SpaceError(
                f"{where}: {name}={given!r} does not fit. Allowed: {self.allowed}. {self._hint(given)}", name=name
            )
        return canonical

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Domain):
            return NotImplemented
        return repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        parts = [f"{name}={value!r}" if name else repr(value) for name, value in self._arguments()]
        if self.when is not None:
            parts.append(f"when={self.when!r}")
        if self.transfer is not None:
            parts.append(f"transfer={self.transfer!r}")
        return f"{type(self).__name__}({', '.join(parts)})"
