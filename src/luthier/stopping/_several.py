"""What `any` and `all` share: rules within a rule."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from luthier.base.errors import ArgumentError
from luthier.base.registry import check_own, load
from luthier.space.problem import Problem
from luthier.stopping._base import History, StoppingRule, Verdict

AGAIN = "again"  # marks a verdict that was given before, and stands


class Several(StoppingRule):
    """Several rules whose verdicts become one.

    A rule that is not due when another is has the verdict that it gave last. The least of their shares of the trials'
    time holds for the checks of all together; beyond it, those without a share still look.
    """

    several: ClassVar[bool] = True
    supports: ClassVar[frozenset[str]] = StoppingRule.supports | {"multi_objective"}  # each rule says so for itself

    def __init__(
        self, problem: Problem, *, seed: int, rules: Sequence[str | Mapping[str, Any]] = (), advise: bool = False
    ) -> None:
        super().__init__(problem, seed=seed, advise=advise)
        if isinstance(rules, str) or not rules:
            raise ArgumentError(
                f"stopping rule {self.name!r} with rules={rules!r}. Allowed: a list of rules. Write {{'name': "
                f"{self.name!r}, 'rules': ['plateau', {{'name': 'budget', 'trials': 100}}]}}."
            )
        self.rules = [build(problem, rule, seed=seed) for rule in rules]
        # what one rule wants for the study, all want
        self.traces = any(rule.traces for rule in self.rules)  # type: ignore[misc]
        self.eager = any(rule.eager for rule in self.rules)  # type: ignore[misc]
        self.cancels = any(rule.cancels for rule in self.rules)  # type: ignore[misc]
        self.share = min((rule.share for rule in self.rules if rule.share is not None), default=None)

    def due(self, history: History) -> bool:
        """When one of its rules is."""
        return any(rule.due(self._own(history, i)) for i, rule in enumerate(self.rules))

    def check(self, history: History) -> Verdict:
        """Ask those that are due."""
        said = []
        for i, rule in enumerate(self.rules):
            own = self._own(history, i)
            costly = history.frugal and rule.share is not None
            stands = rule.lasts and bool(own.verdicts) and own.verdicts[-1]["stop"]
            if rule.due(own) and not stands and (rule.several or not costly):
                verdict = rule.check(own)
            elif own.verdicts:
                last = of_data(own.verdicts[-1])
                verdict = replace(last, evidence={**last.evidence, AGAIN: True})
            elif costly:
                verdict = Verdict(False, dear(self.share), skipped=True)
            else:
                verdict = Verdict(False, "has not looked yet", skipped=True)
            said.append((rule.name, verdict))
        return self._join(said)

    def _own(self, history: History, i: int) -> History:
        """The history with what rule number `i` said before; what stands there again is one verdict, not two."""
        own = [one["rules"][i] for one in history.verdicts if "rules" in one]
        return replace(history, verdicts=[said for said in own if not said.get(AGAIN)])

    @abstractmethod
    def _join(self, said: list[tuple[str, Verdict]]) -> Verdict:
        """One verdict from those of the rules."""

    def _both(self, said: list[tuple[str, Verdict]], *, stop: bool) -> Verdict:
        reason = "; ".join(f"{name}: {verdict.reason}" for name, verdict in said)
        return Verdict(stop, reason, {"rules": [verdict.as_data() for _, verdict in said]})


def dear(share: float | None) -> str:
    """Why a rule does not look."""
    return f"a check would take more than {share or 0.0:.0%} of the trials' time"


def stops(data: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a recorded verdict says of stopping, and what those of the rules within it say."""
    return bool(data["stop"]), *(stops(one) for one in data.get("rules", ()))


def of_data(data: Mapping[str, Any]) -> Verdict:
    """A verdict as the log kept it."""
    evidence = {key: value for key, value in data.items() if key not in ("stop", "reason", "skipped")}
    return Verdict(bool(data["stop"]), str(data["reason"]), evidence, bool(data.get("skipped", False)))


def build(problem: Problem, spec: str | Mapping[str, Any], *, seed: int) -> StoppingRule:
    """A rule from its name, or from a mapping with its name and own arguments.

    Raises:
        ArgumentError: no such rule, or no such argument.
    """
    own = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = own.pop("name", None)
    if not isinstance(name, str):
        raise ArgumentError(f"stopping rule {spec!r} has no name. Write it as {{'name': 'plateau', 'trials': 30}}.")
    cls = load("stopping", name)
    check_own("stopping rule", name, cls, own)
    try:
        rule: StoppingRule = cls(problem, seed=seed, **own)
    except TypeError as error:
        raise ArgumentError(f"stopping rule {name!r}: {error}. See: luthier list stopping --verbose.") from error
    return rule
