"""Space: all configurations that a study may try."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from luthier.base.errors import SpaceError, did_you_mean
from luthier.base.records import Configuration
from luthier.space import compare, counting, moves
from luthier.space.conditions import Condition, parse_condition
from luthier.space.domain import Domain
from luthier.space.encoding import Encoding, ordered
from luthier.space.forbidden import parse_clause
from luthier.space.rules import settle
from luthier.space.serial import domains_from_list
from luthier.space.values import Array, Mask


class Space(Mapping[str, Domain]):
    """All configurations that a study may try: a read-only mapping from names to domains, in the given order.

    Searchers see it as the unit cube, one column for every hyperparameter that is not `Fixed`. Each value owns
    part of its column's interval, and a uniform number hits equally likely values equally often (logarithmically
    spaced ones by their share of the logarithmic range). Every value has one code:
    choice or level i of K is (i + 0.5) / K, a number its relative position in the range (of logarithms).
    Rows made of codes are called snapped; an inactive column holds its default's code.

    Args:
        mapping: Names to domains, for names that are no Python identifiers.
        forbid: Combinations that are not allowed: mappings of names to a value or a list of values (forbidden
            when all match), relations such as ("batch", ">", "width"), or conditions.
        **domains: Names to domains.

    Raises:
        SpaceError: a domain, condition or clause is wrong; the message names the hyperparameter.

    Attributes:
        names: Every hyperparameter.
        domains: Name to domain.
        conditions: Name to condition, of the conditional ones; empty without any.
        forbidden: The clauses, as conditions under which a configuration is forbidden.
        columns: Names of the encoded hyperparameters, in the order of the columns.
        dimensions: Number of encoded columns.
        kinds: "float", "int", "ordinal" or "choice", one a column.
        levels: Number of distinct values, one a column, 0 for a continuous one.
    """

    def __init__(
        self, mapping: Mapping[str, Domain] | None = None, /, *, forbid: Iterable[Any] = (), **domains: Domain
    ) -> None:
        found: dict[str, Domain] = dict(_named(mapping))
        for name, domain in domains.items():
            if name in found:
                raise SpaceError(f"hyperparameter {name!r} is given twice. Take one away.", name=name)
            found[name] = domain
        for name, domain in found.items():
            _check_entry(name, domain)
        self.domains: dict[str, Domain] = found
        self.names: tuple[str, ...] = tuple(found)
        parsed = {name: parse_condition(domain.when, name) for name, domain in found.items() if domain.when is not None}
        ordered(parsed, self.names)  # every name exists: only then can values be looked at
        self.conditions: dict[str, Condition] = {
            name: settle(condition, found, f"hyperparameter {name!r}") for name, condition in parsed.items()
        }
        if isinstance(forbid, (str, Mapping)):
            raise SpaceError(f"forbid={forbid!r}. Allowed: a list of clauses. Write forbid=[{forbid!r}].")
        self.forbidden: tuple[Condition, ...] = tuple(
            parse_clause(clause, number, found) for number, clause in enumerate(forbid, 1)
        )
        self._encoding = Encoding(found, self.conditions, self.forbidden)
        encoded = self._encoding.columns
        self.columns: tuple[str, ...] = tuple(encoded)
        self.dimensions: int = len(encoded)
        self.kinds: tuple[str, ...] = tuple(column.kind for column in encoded.values())
        self.levels: tuple[int, ...] = tuple(column.levels for column in encoded.values())
        self._check_default()

    def _check_default(self) -> None:
        if self.forbidden:
            self._refuse_forbidden(
                self.default(), "the default configuration", "Set default=... on one of them, or relax forbid."
            )

    # -- mapping --

    def __getitem__(self, name: str) -> Domain:
        return self.domains[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    # -- configurations --

    def default(self) -> Configuration:
        """The configuration of all defaults, inactive hyperparameters left out."""
        return self._encoding.fill({}, where="default", fill=True, conditions=self.conditions)

    def sample(self, n: int, rng: np.random.Generator) -> list[Configuration]:
        """Random configurations, as the priors say (uniform without), none forbidden.

        Args:
            n: How many, >= 0.
            rng: Source of randomness; gives the same as `decode(sample_unit(n, rng))`.

        Raises:
            SpaceError: `forbid` leaves (almost) nothing.
        """
        if n == 1 and not self._encoding.has_prior:  # the random searcher's hot path
            return [self._encoding.quick(rng)]
        return self.decode(self._encoding.draw(n, rng))

    def check(self, config: Mapping[str, Any], where: str = "configuration", *, fill: bool = False) -> Configuration:
        """A user's configuration, judged and made canonical (ints for `Int`, Python values for numpy's).

        `Fixed` hyperparameters may be left out. An inactive hyperparameter must be left out, since a value that
        is never used is most often a mistake; with `fill` it is dropped.

        Args:
            config: Names to values.
            where: Who gave it, for the message ("trial 3", "first[0]").
            fill: Take defaults for missing hyperparameters and drop inactive ones.

        Returns:
            The configuration, in the space's order.

        Raises:
            SpaceError: an unknown name, a value outside, a missing or an inactive hyperparameter, or a forbidden
                combination.
        """
        values: dict[str, Any] = {}
        for name, value in config.items():
            if name not in self.domains:
                raise SpaceError(
                    f"{where} has hyperparameter {name!r}, which the space lacks. "
                    f"{did_you_mean(str(name), self.names)}",
                    name=str(name),
                )
            values[name] = self.domains[name].accept(value, name=name, where=where)
        found = self._encoding.fill(values, where=where, fill=fill, conditions=self.conditions)
        self._refuse_forbidden(found, where, "Change one of them.")
        return found

    def _refuse_forbidden(self, config: Configuration, where: str, hint: str) -> None:
        if not self.forbidden:
            return
        rows, _ = self.encode([config])
        on = self._encoding.on(rows)
        for number, (clause, rule) in enumerate(zip(self.forbidden, self._encoding.clauses, strict=True), 1):
            if rule.mask(rows, on)[0]:
                raise SpaceError(f"{where} is forbidden: {clause} (forbid clause {number}). {hint}")

    # -- encoding --

    def sample_unit(self, n: int, rng: np.random.Generator) -> Array:
        """Random snapped rows, as the priors say, none forbidden; (n, d) in [0, 1].

        Raises:
            SpaceError: `forbid` leaves (almost) nothing.
        """
        return self._encoding.draw(n, rng)

    def warp(self, U: Array) -> Array:
        """Uniform positions, such as quasi-random ones, moved to follow the priors; (n, d) -> (n, d)."""
        return self._encoding.warp(np.asarray(U, dtype=float))

    def snap(self, U: Array) -> Array:
        """Positions moved to the codes of the values they stand for; (n, d) -> (n, d).

        `snap(U)` equals `encode(decode(U))[0]` exactly, and snapping again changes nothing.
        """
        rows = self._encoding.numeric(np.asarray(U, dtype=float))
        return self._encoding.settled(rows, self._encoding.on(rows)) if self.conditions else rows

    def active(self, U: Array) -> Mask:
        """Which columns are active in each row; (n, d) -> (n, d)."""
        if not self.conditions:
            return np.ones(np.shape(U), dtype=bool)
        return self._encoding.encoded(self._encoding.on(self._encoding.numeric(np.asarray(U, dtype=float))))

    def allowed(self, U: Array) -> Mask:
        """Which rows `forbid` leaves; (n, d) -> (n,)."""
        if not self.forbidden:
            return np.ones(len(U), dtype=bool)
        rows = self._encoding.numeric(np.asarray(U, dtype=float))
        return self._encoding.allowed(rows, self._encoding.on(rows))

    def encode(self, configs: Sequence[Mapping[str, Any]]) -> tuple[Array, Mask]:
        """Configurations as snapped rows.

        Nothing is judged, so that configurations of a similar space can be encoded: names that the space lacks
        are ignored, and numbers outside go to the nearest bound.

        Args:
            configs: Names to values; a missing name counts as inactive.

        Returns:
            (n, d) codes in [0, 1] with the default's code where inactive, and the (n, d) mask of active columns.

        Raises:
            SpaceError: a choice that is not there, or text for a number.
        """
        return self._encoding.encode(configs)

    def decode(self, X: Array) -> list[Configuration]:
        """Configurations that positions stand for, inactive hyperparameters left out; (n, d) -> n."""
        rows = np.asarray(X, dtype=float)
        if len(rows) == 1:
            return [self._encoding.decode_one(rows[0].tolist())]
        rows = self._encoding.numeric(rows)
        return self._encoding.decode(rows, self._encoding.on(rows))

    @property
    def default_row(self) -> Array:
        """Codes of the defaults; (d,)."""
        return self._encoding.default_row.copy()

    def unit_keys(self, U: Array) -> list[bytes]:
        """A key for each snapped row, equal for equal configurations; (n, d) -> n, for sets and dictionaries."""
        rows = np.ascontiguousarray(U, dtype=float)
        return [row.tobytes() for row in rows]

    def perturb(self, U: Array, rng: np.random.Generator, *, changes: int = 2, step: float = 0.2) -> Array:
        """Rows near given ones: 1 to `changes` active hyperparameters get another value.

        Numbers and ordinals move by a normal step and at least one level; a choice becomes another one, all
        alike. Hyperparameters that become active draw a random value. A row whose neighbours are forbidden
        stays as it is.

        Args:
            U: (n, d) snapped rows.
            rng: Source of randomness.
            changes: Most hyperparameters changed in a row, >= 1.
            step: Standard deviation of a number's step, in the unit interval.

        Returns:
            (n, d) snapped rows.
        """
        return moves.perturb(self._encoding, np.asarray(U, dtype=float), rng, changes=changes, step=step)

    # -- size --

    @cached_property
    def _size(self) -> tuple[int | None, bool]:
        return counting.size(self._encoding, self.levels)

    @property
    def size(self) -> int | None:
        """Number of distinct configurations, None for infinitely many; see `size_is_exact`."""
        return self._size[0]

    @property
    def size_is_exact(self) -> bool:
        """Whether `size` is exact; False: conditions or `forbid` are too many to count, and it is an upper bound."""
        return self._size[1]

    def all_rows(self, limit: int = 100_000) -> Array:
        """Every distinct configuration as a snapped row; (size, d).

        Args:
            limit: Most combinations of values to go through.

        Raises:
            SpaceError: the space is infinite or larger.
        """
        return counting.all_rows(self._encoding, self.levels, limit)

    # -- comparison --

    def widen(self, other: Space) -> Space:
        """Judge whether `other` contains every configuration of this space, defaults filled in, and return it.

        Allowed: wider bounds, more choices, steps that keep the old values, other defaults and priors, new
        hyperparameters, conditions and clauses that are looser or gone, a `Fixed` that becomes a range.

        Raises:
            SpaceError: naming the hyperparameter that is narrower or changed.
        """
        compare.check_wider(self, other)
        return other

    def difference(self, other: Space) -> list[str]:
        """What differs, one line each, such as "lr: high 0.1 here, 0.5 there"; empty for equal spaces."""
        return compare.difference(self, other)

    # -- storage --

    def to_dict(self) -> dict[str, Any]:
        """The space as JSON-able values; `from_dict` gives back an equal one."""
        found: dict[str, Any] = {
            "hyperparameters": [{"name": name, **domain.to_dict()} for name, domain in self.domains.items()]
        }
        if self.forbidden:
            found["forbid"] = [clause.to_json() for clause in self.forbidden]
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Space:
        """The reverse of `to_dict`.

        Raises:
            SpaceError: the form is not known, or the content wrong.
        """
        return cls(domains_from_list(data.get("hyperparameters")), forbid=data.get("forbid", ()))

    def to_json(self) -> str:
        """`to_dict` as text; equal for equal spaces."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Space.from_dict, (self.to_dict(),))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Space):
            return NotImplemented
        return self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.to_json())

    def __repr__(self) -> str:
        keywords = all(name.isidentifier() and name != "forbid" for name in self.names)
        lines = [f"    {name}={d!r}," if keywords else f"        {name!r}: {d!r}," for name, d in self.domains.items()]
        if not keywords:
            lines = ["    {", *lines, "    },"]
        if self.forbidden:
            lines.append(f"    forbid={list(self.forbidden)!r},")
        return "\n".join(["Space(", *lines, ")"]) if lines else "Space()"


def _named(mapping: Any) -> Mapping[str, Domain]:
    if mapping is not None and not isinstance(mapping, Mapping):
        raise SpaceError(
            f"space {mapping!r}. Allowed: names and domains. Write Space(lr=Float(1e-4, 1.0)), or a mapping "
            '{"lr": Float(1e-4, 1.0)}.'
        )
    found: Mapping[str, Domain] = mapping or {}
    return found


def _check_entry(name: Any, domain: Any) -> None:
    if not isinstance(name, str) or not name:
        raise SpaceError(f"hyperparameter name {name!r}. Allowed: text that is not empty. Rename it.")
    if not isinstance(domain, Domain):
        raise SpaceError(
            f"hyperparameter {name!r}: {domain!r} is no domain. "
            "Use Float(low, high), Int(low, high), Choice(*values), Ordinal(*values) or Fixed(value).",
            name=name,
        )
    domain.check(name)
