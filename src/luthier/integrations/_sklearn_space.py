"""What scikit-learn's users search, as a space: distributions and lists of any objects among it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from luthier.base.errors import ArgumentError, SpaceError, did_you_mean
from luthier.space.domain import Domain
from luthier.space.domains import Choice, Fixed, Float, Int, Ordinal
from luthier.space.space import Space
from luthier.space.values import is_number, is_value, plain

_FORM = (
    "Allowed: luthier's domains, lists of values, and scipy.stats.uniform, loguniform or randint, by the names that "
    "estimator.get_params() knows, such as {'alpha': Float(1e-3, 1e3, log=True), 'fit_intercept': [True, False]}."
)


class Parameters:
    """A space of an estimator's parameters.

    A list may hold what no domain can, such as tuples, functions and estimators: the space has texts in their place,
    and `params` gives the objects back.

    Args:
        given: A Space, or a mapping of names to domains, lists and distributions.
        estimator: The estimator; its own parameters are the default configuration as far as they lie in the space.

    Raises:
        ArgumentError, SpaceError: it is something else, or names a parameter that the estimator lacks.
    """

    def __init__(self, given: Any, estimator: Any) -> None:
        if not isinstance(given, Mapping):
            raise ArgumentError(f"space={given!r:.200}. {_FORM} For alternatives use when=, not a list of spaces.")
        if not len(given):
            raise ArgumentError(f"space is empty. {_FORM}")
        known = estimator.get_params(deep=True)
        for name in given:
            if str(name).partition("__")[0] not in known:
                raise ArgumentError(
                    f"space names {name!r}, which {type(estimator).__name__} lacks. {did_you_mean(str(name), known)}"
                )
        self._objects: dict[str, dict[Any, Any]] = {}
        if isinstance(given, Space):
            space = given
        else:
            space = Space({str(name): self._domain(str(name), value) for name, value in given.items()})
        self.space = self._with_defaults(space, known)

    def params(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """What to give to the estimator's `set_params`."""
        return {name: self._objects.get(name, {}).get(value, value) for name, value in config.items()}

    def _domain(self, name: str, value: Any) -> Domain:
        if isinstance(value, Domain):
            return value
        if hasattr(value, "support") and hasattr(value, "dist"):
            return _from_scipy(name, value)
        if isinstance(value, str) or not (isinstance(value, Sequence) or hasattr(value, "tolist")):
            raise ArgumentError(f"space: {name}={value!r:.200}. {_FORM} For one value write [{value!r:.60}].")
        bounds = isinstance(value, tuple) and len(value) > 1 and all(is_number(plain(one)) for one in value[:2])
        if bounds and (len(value) == 2 or isinstance(value[2], str)):  # as scikit-optimize writes ranges
            low, high = (plain(one) for one in value[:2])
            raise ArgumentError(
                f"space: {name}={value!r:.200}: a range, or two values? Allowed: Float({low!r}, {high!r}) or Int(...) "
                f"for what lies between, with log=True for ratios; {[low, high]!r} for these two."
            )
        values = [plain(one) for one in (value.tolist() if hasattr(value, "tolist") else value)]
        if values and not all(is_value(one) for one in values):
            values = self._named(name, values)
        if len(values) == 1:
            return Fixed(values[0])
        rising = all(is_number(one) for one in values) and values == sorted(values)
        return Ordinal(*values) if rising else Choice(*values)

    def _named(self, name: str, values: Sequence[Any]) -> list[Any]:
        """Texts that stand for objects."""
        objects = self._objects.setdefault(name, {})
        found: list[Any] = []
        for one in values:
            label = one if is_value(one) else _label(one)
            if label in objects:
                label = f"{label} #{len(found)}"
            objects[label] = one
            found.append(label)
        return found

    def _with_defaults(self, space: Space, known: Mapping[str, Any]) -> Space:
        """The space whose default is the estimator as it is, where it lies in the space and the user says nothing."""
        stored = space.to_dict()
        for entry in stored["hyperparameters"]:
            name = entry["name"]
            if "default" in entry or entry["type"] == "fixed" or name not in known:
                continue
            value = self._label_of(name, known[name])
            if is_value(value) and space[name].contains(value):
                entry["default"] = space[name].accept(value, name=name)
        try:
            return Space.from_dict(stored)
        except SpaceError:  # the estimator's own parameters are a combination that the space forbids
            return space

    def _label_of(self, name: str, value: Any) -> Any:
        for label, other in self._objects.get(name, {}).items():
            if other is value or (isinstance(other, (tuple, str)) and other == value):
                return label
        return plain(value)


def _label(value: Any) -> str:
    """A short text for an object; equal in every process, so that a study finds itself again."""
    if isinstance(value, (list, tuple, dict)):
        return repr(value)
    word = getattr(value, "__qualname__", None)  # a function or class: its repr holds an address
    return str(word) if word is not None else " ".join(repr(value).split())


def _from_scipy(name: str, value: Any) -> Domain:
    low, high = (float(bound) for bound in value.support())
    word = value.dist.name
    if word == "randint":
        return Int(int(low), int(high))
    if word in ("uniform", "loguniform", "reciprocal"):
        return Float(low, high, log=word != "uniform")
    raise ArgumentError(f"space: {name} is scipy.stats.{word}. {_FORM}")
