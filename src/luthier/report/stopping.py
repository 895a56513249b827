"""What the stopping rules said over the trials, and the numbers that they compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from luthier.base.records import Event
from luthier.report._source import StudyView
from luthier.report._values import clean

_ENDS = frozenset({"finished", "failed", "stopped", "paused"})


def stopping(study: StudyView) -> dict[str, Any]:
    """The verdicts of each rule.

    Args:
        study: The study.

    Returns:
        `rules`, one for each rule that has spoken, in the order of the study's: `rule`, `place` among them, `advise`,
        `stop` and `reason` of its last word, `first_stop`, the ended trials when it first said that the study may end
        (None: it has not); `traced`, whether it tells all that it found, and not only what is new; and `rows`, one a
        verdict that compared two numbers: `trials` that had ended, `bound`, what may be left to gain (never below 0),
        `threshold`, below which that is not worth it (None where it was not known), and `stop`. `objective`, the name
        of the first one.
    """
    found: dict[int, dict[str, Any]] = {}
    over: dict[int, None] = {}
    for event in study.events():
        if event.kind in _ENDS and event.trial is not None:
            over[event.trial] = None
        elif event.kind == "verdict":
            _take(found.setdefault(event.data["place"], _rule(event)), event.data, len(over))
    return {"objective": study.problem.objectives[0].name, "rules": [found[place] for place in sorted(found)]}


def _rule(event: Event) -> dict[str, Any]:
    data = event.data
    known = {"rule": str(data["rule"]), "place": data["place"], "advise": bool(data["advise"])}
    return {**known, "first_stop": None, "traced": False, "rows": []}


def _take(rule: dict[str, Any], data: Mapping[str, Any], trials: int) -> None:
    if not data.get("skipped") or "reason" not in rule:
        rule["stop"], rule["reason"] = bool(data["stop"]), str(data["reason"])
    if data["stop"] and rule["first_stop"] is None:
        rule["first_stop"] = trials
    rule["traced"] |= "results" in data
    bound = clean(data.get("bound"))
    if bound is not None and not data.get("skipped"):
        threshold = clean(data.get("threshold"))
        rule["rows"].append(
            {"trials": trials, "bound": max(0.0, bound), "threshold": threshold, "stop": bool(data["stop"])}
        )


def words(rule: Mapping[str, Any]) -> str:
    """The last word of a rule in a line: "regret: you may stop: ..."."""
    state = "not yet" if not rule["stop"] else "you may stop" if rule["advise"] else "stopped the study"
    return f"{rule['rule']}: {state}: {rule['reason']}"


def compared(rules: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rules that tell all that they found, and compared two numbers more than once: what a picture can show."""
    return [rule for rule in rules if rule["traced"] and sum(row["threshold"] is not None for row in rule["rows"]) > 1]
