"""Replay: compute every decision of a log anew, and compare it with what was decided then."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from luthier.base.records import Configuration, Decision, Event, pairs
from luthier.study._definition import Definition
from luthier.study._engine import Engine


@dataclass
class Replay:
    """What a replay found.

    Args:
        proposals: Configurations computed anew.
        decisions: Reports whose answer was computed anew.
        verdicts: Words of stopping rules computed anew.
        differences: One line for each that came out otherwise.
    """

    proposals: int = 0
    decisions: int = 0
    verdicts: int = 0
    differences: list[str] = field(default_factory=list)


def replay(definition: Definition, events: Sequence[Event]) -> Replay:
    """Fold the log step by step and recompute each decision from what had been seen when it was made.

    Decisions are visited in the order of what they had seen: with several drivers that need not be the order in
    which they were written.

    Args:
        definition: The study as it was made.
        events: Its whole log.

    Returns:
        Counts and differences; none are expected with the versions that wrote the log and one thread.
    """
    found = Replay()
    order = [event.seq for event in events]
    judged = [e for e in events if e.kind in ("paused", "stopped") and e.seen is not None]
    answers: dict[int | None, Event] = {e.seen: e for e in judged}
    last = _last_words(events)
    made = sorted(
        (e for e in events if e.kind in ("asked", "started", "verdict") and e.seen is not None),
        key=lambda e: (e.seen, e.seq),
    )
    starts = {e.trial: e for e in reversed(events) if e.kind == "started"}  # the first one of each trial
    engine = Engine(definition, lambda head: list(events[: bisect.bisect_right(order, head)]))
    at = 0
    for event in made:
        while at < len(events) and events[at].seq <= (event.seen or 0):
            _fold(engine, events[at], answers, last, found)
            at += 1
        if event.kind == "asked":
            _asked(engine, event, starts.get(event.trial), found)
        elif event.kind == "verdict":
            _judged(engine, event, found)
        else:  # a start that is a decision of its own: a trial that goes on
            _promoted(engine, event, found)
    for event in events[at:]:
        _fold(engine, event, answers, last, found)
    return found


def _last_words(events: Sequence[Event]) -> set[int]:
    """Reports written together with the end of their trial (a result told or returned): nobody waited for an answer."""
    return {
        report.seq
        for report, end in pairwise(events)
        if report.kind == "reported"
        and (end.trial, end.seq) == (report.trial, report.seq + 1)
        and end.seen is None
        and end.kind in ("finished", "failed", "stopped", "paused", "lost")
    }


def _fold(engine: Engine, event: Event, answers: dict[int | None, Event], last: set[int], found: Replay) -> None:
    engine.fold(event)
    if event.kind != "reported" or event.trial is None or engine.state.trials[event.trial].origin == "added":
        return  # what was measured elsewhere was not answered here
    if event.seq in last:
        found.decisions += 1
        return
    found.decisions += 1
    decided = engine.pending.get(event.trial)
    now = decided[1] if decided is not None and decided[0] == event.seq else Decision.CONTINUE
    then = answers.get(event.seq)
    was = Decision.CONTINUE if then is None else {"paused": Decision.PAUSE, "stopped": Decision.STOP}[then.kind]
    if now is not was:
        found.differences.append(
            f"event {event.seq}: trial {event.trial} was answered {was.value!r}, replay says {now.value!r}"
        )


def _asked(engine: Engine, event: Event, start: Event | None, found: Replay) -> None:
    data: dict[str, Any] = event.data
    if data["origin"] == "added" or event.trial is None:
        return
    found.proposals += 1
    was = Configuration(data["config"])
    if "initial" in data:
        now = engine.today(engine.definition.initial[data["initial"]][1])
    elif "queued" in data:
        now = engine.today(engine.state.queue.get(data["queued"], was))
    else:
        everything = range(len(engine.definition.initial))  # what others had taken is not in the log that was seen
        proposal = engine.new_job(event.trial, taken=everything, skip=engine.state.queue)
        if proposal is None:
            found.differences.append(f"trial {event.trial}: was {_text(was)}, replay proposes nothing")
            return
        now = proposal.job.config
        then = {} if start is None else start.data
        for word, was_it, is_it in (
            ("a clone of", data.get("parent"), proposal.job.parent),
            ("started from", then.get("checkpoint"), proposal.job.checkpoint),
            ("granted", then.get("until"), proposal.job.until),
        ):
            if start is not None and was_it != is_it:
                found.differences.append(f"trial {event.trial}: {word} {was_it}, replay says {is_it}")
                return
    if now != was:
        found.differences.append(f"trial {event.trial}: was {_text(was)}, replay proposes {_text(now)}")


def _judged(engine: Engine, event: Event, found: Replay) -> None:
    if event.data["skipped"]:
        return  # for its cost: nothing was computed
    found.verdicts += 1
    now = engine.judge.again(event.data["place"], frugal=event.data.get("frugal", False)).as_data()
    for key, value in now.items():
        was = event.data.get(key)
        if was != value:
            found.differences.append(
                f"event {event.seq}: rule {event.data['rule']!r} said {key} {was!r}, replay says {value!r}"
            )
            return


def _promoted(engine: Engine, event: Event, found: Replay) -> None:
    found.proposals += 1
    job = engine.continue_job()
    now = None if job is None else (job.trial, job.until)
    was = (event.trial, event.data.get("until"))
    if now != was:
        found.differences.append(f"event {event.seq}: trial and resource were {was}, replay says {now}")


def _text(config: Configuration) -> str:
    return "{" + ", ".join(pairs(config)) + "}"
