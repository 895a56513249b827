"""The encoding of a space: matrices of codes in the unit cube, which hyperparameters are active, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from luthier.base.errors import SpaceError, did_you_mean
from luthier.base.records import Configuration
from luthier.space.columns import Column, column
from luthier.space.conditions import Condition, parents
from luthier.space.domain import Domain
from luthier.space.domains import Fixed
from luthier.space.rules import Compiler, Rule
from luthier.space.values import Array, Mask, plain

_MISSING = object()
#: Random rows drawn before a space counts as (almost) wholly forbidden; acceptance below 1 in this many fails.
MOST_DRAWS = 20_000


def ordered(conditions: Mapping[str, Condition], names: Sequence[str]) -> list[str]:
    """Conditional hyperparameters, every one after those that its condition mentions.

    Args:
        conditions: Hyperparameter to condition.
        names: Every hyperparameter, in the space's order.

    Raises:
        SpaceError: an unknown name, a reference to itself, or a circle.
    """
    for name, condition in conditions.items():
        for parent in sorted(parents(condition)):
            if parent == name:
                raise SpaceError(
                    f"hyperparameter {name!r}: its condition '{condition}' refers to itself. "
                    "Let it depend on another hyperparameter.",
                    name=name,
                )
            if parent not in names:
                others = [other for other in names if other != name]
                hint = did_you_mean(parent, others) if others else f"Add {parent!r} to the space, or leave out `when`."
                raise SpaceError(
                    f"hyperparameter {name!r}: its condition '{condition}' names {parent!r}, which is not there. "
                    f"{hint}",
                    name=name,
                )
    done: list[str] = []
    path: list[str] = []

    def visit(name: str) -> None:
        if name in done or name not in conditions:
            return
        if name in path:
            circle = " -> ".join([*path[path.index(name) :], name])
            raise SpaceError(
                f"hyperparameter {name!r}: the conditions form a circle, {circle}. Take one `when` away.", name=name
            )
        path.append(name)
        for parent in sorted(parents(conditions[name])):
            visit(parent)
        path.pop()
        done.append(name)

    for name in names:
        visit(name)
    return done


def _nothing_left(have: int, tried: int) -> SpaceError:
    return SpaceError(
        f"forbid leaves (almost) nothing: {have} of {tried} random configurations were allowed. "
        "Relax forbid, or list the allowed combinations as one Choice."
    )


class Encoding:
    """Codes of a space. Rows are (d,) vectors in [0, 1], one column for every hyperparameter that is not fixed.

    Args:
        domains: Every hyperparameter, valid.
        conditions: Those that are conditional, canonical.
        forbidden: Clauses, canonical.
    """

    def __init__(
        self, domains: Mapping[str, Domain], conditions: Mapping[str, Condition], forbidden: Sequence[Condition]
    ) -> None:
        self.domains = domains
        self.names = tuple(domains)
        encoded: dict[str, Column] = {}
        for name, domain in domains.items():
            found = column(domain)
            if found is not None:
                encoded[name] = found
        self.columns = encoded
        self.places = {name: place for place, name in enumerate(encoded)}
        self._list = list(encoded.values())
        self._slots = {name: slot for slot, name in enumerate(self.names)}
        self._encoded_slots = [self._slots[name] for name in encoded]
        compiler = Compiler(domains, encoded)
        self.rules: list[tuple[int, Rule]] = [
            (self._slots[name], compiler.rule(conditions[name])) for name in ordered(conditions, self.names)
        ]
        self._conditional = dict(self.rules)
        self.clauses: list[Rule] = [compiler.rule(clause) for clause in forbidden]
        self.default_row = np.array([found.default for found in self._list], dtype=float)
        self._quick = [(name, self._getter(name)) for name in self.names]
        mentioned = set().union(*(parents(rule) for rule in (*conditions.values(), *forbidden)))
        #: Columns that conditions or clauses look at.
        self.decisive = {place for name, place in self.places.items() if name in mentioned}
        self._pivots = [(place, self._list[place]) for place in sorted(self.decisive)]
        self.has_prior = any(found.prior is not None for found in self._list)

    def _getter(self, name: str) -> tuple[int, Any]:
        found = self.columns.get(name)
        domain = self.domains[name]
        if found is None:
            assert isinstance(domain, Fixed)
            return -1, domain.value
        return self.places[name], found.value

    # -- matrices --

    def numeric(self, rows: Array) -> Array:
        """Each column snapped, whether active or not; (n, d) -> (n, d)."""
        snapped = np.empty_like(rows)
        for place, found in enumerate(self._list):
            snapped[:, place] = found.snap(rows[:, place])
        return snapped

    def on(self, snapped: Array) -> Mask:
        """Which hyperparameters are active, fixed ones included; (n, d) -> (n, hyperparameters)."""
        found = np.ones((len(snapped), len(self.names)), dtype=bool)
        for slot, rule in self.rules:
            found[:, slot] = rule.mask(snapped, found)
        return found

    def encoded(self, on: Mask) -> Mask:
        """The encoded hyperparameters' part of `on`; (n, hyperparameters) -> (n, d)."""
        return on[:, self._encoded_slots]

    def settled(self, snapped: Array, on: Mask) -> Array:
        """Inactive columns set to the default's code; (n, d), (n, d) -> (n, d)."""
        return np.where(self.encoded(on), snapped, self.default_row) if self.rules else snapped

    def allowed(self, snapped: Array, on: Mask) -> Mask:
        """Rows that no clause forbids; (n, d) -> (n,)."""
        found = np.ones(len(snapped), dtype=bool)
        for clause in self.clauses:
            found &= ~clause.mask(snapped, on)
        return found

    def warp(self, rows: Array) -> Array:
        """Uniform rows to rows distributed as the priors say; (n, d) -> (n, d), not snapped."""
        if not self.has_prior:
            return rows
        return np.column_stack([found.warp(rows[:, place]) for place, found in enumerate(self._list)])

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Random rows that are allowed, snapped, inactive columns at the default; (n, d).

        Raises:
            SpaceError: the clauses forbid (almost) everything.
        """
        found: list[Array] = []
        have, tried, size = 0, 0, n
        while have < n:
            rows = self.numeric(self.warp(rng.random((size, len(self._list)))))
            on = self.on(rows)
            rows = self.settled(rows, on)
            if self.clauses:
                rows = rows[self.allowed(rows, on)]
            found.append(rows)
            have, tried = have + len(rows), tried + size
            if have < n and tried > MOST_DRAWS and have * MOST_DRAWS < tried:
                raise _nothing_left(have, tried)
            # as many as the acceptance seen so far asks for, with a little more
            size = min(MOST_DRAWS, 16 + int(1.2 * (n - have) * (tried + 1) / (have + 1)))
        return np.concatenate(found)[:n] if found else np.empty((0, len(self._list)))

    def decode(self, snapped: Array, on: Mask) -> list[Configuration]:
        """Configurations of snapped rows; (n, d) codes and (n, d) which of them are active."""
        n = len(snapped)
        if not self.names:
            return [Configuration() for _ in range(n)]
        listed: list[Sequence[Any]] = []
        for _name, (place, get) in self._quick:
            listed.append([get] * n if place < 0 else self._list[place].values(snapped[:, place]))
        names = self.names
        if not self.rules:
            return [Configuration(zip(names, row, strict=True)) for row in zip(*listed, strict=True)]
        return [
            Configuration({name: value for name, value, active in zip(names, row, active_row, strict=True) if active})
            for row, active_row in zip(zip(*listed, strict=True), on.tolist(), strict=True)
        ]

    def encode(self, configs: Sequence[Mapping[str, Any]]) -> tuple[Array, Mask]:
        """Rows of configurations and which of their columns are given; (n, d) and (n, d)."""
        rows = np.empty((len(configs), len(self._list)))
        given = np.ones(rows.shape, dtype=bool)
        for place, (name, found) in enumerate(self.columns.items()):
            try:
                values = [config[name] for config in configs]
            except KeyError:
                values = [config.get(name, _MISSING) for config in configs]
                given[:, place] = [value is not _MISSING for value in values]
                rows[:, place] = found.default
                values = [value for value in values if value is not _MISSING]
            if values:
                rows[given[:, place], place] = self._codes(name, found, values)
        return rows, given

    def _codes(self, name: str, found: Column, values: list[Any]) -> Array:
        try:
            return found.codes(values)
        except (KeyError, TypeError, ValueError):
            domain = self.domains[name]
            return found.codes([domain.accept(plain(value), name=name, where="encode") for value in values])

    # -- one row --

    def quick(self, rng: np.random.Generator) -> Configuration:
        """One random configuration: `decode(draw(1, rng))` without matrices; the space has no priors.

        Raises:
            SpaceError: the clauses forbid (almost) everything.
        """
        if not self.rules and not self.clauses:
            row = rng.random(len(self._list)).tolist()
            return Configuration([(name, get if place < 0 else get(row[place])) for name, (place, get) in self._quick])
        for _ in range(MOST_DRAWS):
            row = rng.random(len(self._list)).tolist()
            codes = self._decisive_codes(row)
            on = self.on_row(codes)
            if not any(clause.holds(codes, on) for clause in self.clauses):
                return self._quick_row(row, on)
        raise _nothing_left(0, MOST_DRAWS)

    def decode_one(self, row: list[float]) -> Configuration:
        """`decode` of one row of positions, without matrices."""
        return self._quick_row(row, self.on_row(self._decisive_codes(row)) if self.rules else [])

    def _decisive_codes(self, row: list[float]) -> list[float]:
        """Codes of one row where conditions and clauses look; defaults elsewhere."""
        codes: list[float] = self.default_row.tolist()
        for place, found in self._pivots:
            codes[place] = found.code_at(row[place])
        return codes

    def _quick_row(self, row: list[float], on: list[bool]) -> Configuration:
        if not self.rules:
            return Configuration([(name, get if place < 0 else get(row[place])) for name, (place, get) in self._quick])
        return Configuration(
            [
                (name, get if place < 0 else get(row[place]))
                for (name, (place, get)), active in zip(self._quick, on, strict=True)
                if active
            ]
        )

    def on_row(self, codes: Sequence[float]) -> list[bool]:
        """`on` for one row."""
        found = [True] * len(self.names)
        for slot, rule in self.rules:
            found[slot] = rule.holds(codes, found)
        return found

    def fill(
        self, given: Mapping[str, Any], *, where: str, fill: bool, conditions: Mapping[str, Condition]
    ) -> Configuration:
        """A complete configuration of canonical values.

        Args:
            given: Canonical values by name.
            where: Who gave them, for messages.
            fill: Take defaults for what is missing and drop what is inactive.
            conditions: For messages.

        Raises:
            SpaceError: an active hyperparameter is missing, or an inactive one given.
        """
        values = dict(given)
        codes = self.default_row.tolist()
        on = [True] * len(self.names)
        order = [slot for slot in range(len(self.names)) if slot not in self._conditional]
        for slot in [*order, *self._conditional]:
            name = self.names[slot]
            rule = self._conditional.get(slot)
            on[slot] = rule is None or rule.holds(codes, on)
            if not on[slot]:
                if name in values and not fill:
                    self._refuse_inactive(name, values, where, conditions)
                values.pop(name, None)
                continue
            domain = self.domains[name]
            if name not in values:
                if not fill and not isinstance(domain, Fixed):
                    raise SpaceError(
                        f"{where} lacks hyperparameter {name!r}. Allowed: {domain.allowed}. "
                        f"Give it a value; its default is {domain.default!r}.",
                        name=name,
                    )
                values[name] = domain.default
            if self.places.get(name, -1) in self.decisive:  # no condition looks at the others
                codes[self.places[name]] = float(self.columns[name].codes([values[name]])[0])
        return Configuration([(name, values[name]) for name, active in zip(self.names, on, strict=True) if active])

    def _refuse_inactive(
        self, name: str, values: Mapping[str, Any], where: str, conditions: Mapping[str, Condition]
    ) -> None:
        condition = conditions[name]
        here = ", ".join(
            f"{parent}={values[parent]!r}" if parent in values else f"{parent} is inactive"
            for parent in self.names
            if parent in parents(condition)
        )
        raise SpaceError(
            f"{where}: {name}={values[name]!r} is given but inactive: it needs {condition}, here {here}. Leave it out.",
            name=name,
        )
