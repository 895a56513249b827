"""Who descends from whom: trials that started from other trials' checkpoints, as in population-based training."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from luthier.base.records import Event, Trial
from luthier.report._axes import axes
from luthier.report._clock import Clock
from luthier.report._runs import Run, runs
from luthier.report._source import StudyView
from luthier.report._values import clean, value_of
from luthier.report.trials import plain


def genealogy(study: StudyView) -> dict[str, Any]:
    """Trials as segments of a population's members, and how the best one came about.

    The log does not say whom a clone replaced. It is taken to be the member that has been without a trial longest
    (stopped by the scheduler, failed or diverged); where the scheduler set members aside and did not let them go on,
    the first of them; a clone that finds no empty place is a new member. `pbt` works in this order.

    Args:
        study: The study.

    Returns:
        `objective`, `goal`, `fidelity` (names) and `full` (the whole resource), the latter two None without a
        fidelity; `members`, how many lanes there are; `segments`, one for each trial that was started, with trial,
        parent, lane, from and to (resource), value (the last one, None without), outcome and config; `links`, one for
        each clone, with trial, parent, resource, and lane of both (from_lane, to_lane); `lineage`, the trials from a
        founder to the incumbent; `schedule`, one entry for each hyperparameter that the trials do not all share, with
        axis (as in `report.parallel`) and steps along the lineage: trial, from, to and value. Without clones
        everything but the names is empty.
    """
    problem = study.problem
    objective, fidelity = problem.objectives[0], problem.fidelity
    head = {
        "objective": objective.name,
        "goal": objective.goal,
        "fidelity": None if fidelity is None else fidelity.name,
        "full": None if fidelity is None else clean(fidelity.high),
    }
    trials = {trial.number: trial for trial in study.trials}
    if not any(trial.parent is not None for trial in trials.values()):
        return {**head, "members": 0, "segments": [], "links": [], "lineage": [], "schedule": []}
    events = study.events()
    found = runs(events, Clock(events))
    first = {run.trial: run for run in reversed(found)}
    lanes = _lanes(events, trials, _dropped(study, found))
    segments = [
        {
            "trial": n,
            "parent": trials[n].parent,
            "lane": lanes[n],
            "from": clean(first[n].after),
            "to": clean(max([first[n].after, *(r.resource or 0.0 for r in trials[n].reports)])),
            "value": value_of(trials[n], objective),
            "outcome": trials[n].status.value,
            "config": {name: plain(value) for name, value in trials[n].config.items()},
        }
        for n in sorted(lanes)
    ]
    by_trial = {segment["trial"]: segment for segment in segments}
    line = _lineage(study.best, trials)
    return {
        **head,
        "members": 1 + max(lanes.values(), default=-1),
        "segments": segments,
        "links": [_link(segment, lanes) for segment in segments if segment["parent"] in lanes],
        "lineage": line,
        "schedule": _schedule(study, [by_trial[n] for n in line if n in by_trial]),
    }


def _lanes(events: Sequence[Event], trials: Mapping[int, Trial], dropped: Collection[int]) -> dict[int, int]:
    """The member to which each trial that was started belongs, in the order of first starts."""
    lanes: dict[int, int] = {}
    free: list[tuple[int, bool]] = []  # lanes, and whether their trial is only at rest
    count = 0
    last_pause = {event.trial: i for i, event in enumerate(events) if event.kind == "paused"}
    for i, event in enumerate(events):
        n = event.trial
        if n is None or n not in trials:
            continue
        if event.kind == "started" and n not in lanes:
            if trials[n].parent is not None and free:
                # a population that decides about all at once fills places in their order, else the longest empty first
                taken = min(free) if any(resting for _, resting in free) else free[0]
                free.remove(taken)
                lanes[n] = taken[0]
            else:
                lanes[n] = count
                count += 1
        elif n in lanes and _leaves(event):
            free.append((lanes[n], False))
        elif n in lanes and n in dropped and last_pause.get(n) == i:
            free.append((lanes[n], True))
    return lanes


def _dropped(study: StudyView, found: Sequence[Run]) -> set[int]:
    """Trials whose last run paused, and which the scheduler did not let go on."""
    last = {run.trial: run.outcome for run in found}
    went_on = {int(row["trial"]): bool(row["promoted"]) for row in study.rungs()}
    return {n for n, outcome in last.items() if outcome == "paused" and not went_on.get(n, True)}


def _leaves(event: Event) -> bool:
    """Whether an end makes room for another: not that of who has come to the end, or may go on."""
    if event.kind == "finished":
        return bool(event.data.get("status", "completed") == "diverged")
    if event.kind == "stopped":
        return bool(event.data.get("reason", "scheduler") == "scheduler")
    return event.kind == "failed"


def _link(segment: dict[str, Any], lanes: Mapping[int, int]) -> dict[str, Any]:
    return {
        "trial": segment["trial"],
        "parent": segment["parent"],
        "resource": segment["from"],
        "from_lane": lanes[segment["parent"]],
        "to_lane": segment["lane"],
    }


def _lineage(leader: Trial | None, trials: Mapping[int, Trial]) -> list[int]:
    """Trials from a founder to the incumbent; empty without one."""
    line: list[int] = []
    n = None if leader is None else leader.number
    while n is not None and n in trials:
        line.append(n)
        n = trials[n].parent
    return line[::-1]


def _schedule(study: StudyView, line: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each hyperparameter was along a lineage: a segment counts until the next one branches off."""
    if not line:
        return []
    ends = [segment["from"] for segment in line[1:]] + [line[-1]["to"]]
    found = []
    for axis in axes(study.problem, study.trials):
        if len({trial.config.get(axis.name) for trial in study.trials}) < 2:
            continue
        steps = [
            {"trial": s["trial"], "from": s["from"], "to": end, "value": s["config"].get(axis.name)}
            for s, end in zip(line, ends, strict=True)
        ]
        found.append({"axis": axis.as_dict(), "steps": steps})
    return found
