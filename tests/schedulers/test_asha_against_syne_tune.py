"""Asha's decisions beside Syne Tune's, on 20 streams of reports that `tests/data/make_asha_fixture.py` recorded.

The streams are replayed: trials start, report, pause, go on and end as Syne Tune had it, and Asha is asked at every
step what it would have said. The tools round "the best 1/eta of n results" differently, as `ours` and `theirs` state:
we down (algorithm 2 of the paper), they up, by a quantile. Asha's decision must be Syne Tune's wherever the rounding
does not part the result in question, and must not be where it does. With `share="quantile"` every decision is theirs.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from pathlib import Path

import pytest

from luthier.base.records import Configuration, Decision, Fidelity, Job, Objective, Report, Status
from luthier.schedulers.asha import Asha
from luthier.space.domains import Float
from luthier.space.problem import Problem
from luthier.space.space import Space
from luthier.testing._drive import Uniform

FIXTURE = json.loads((Path(__file__).parents[1] / "data" / "asha_syne_tune.json").read_text(encoding="utf-8"))
CONFIG = Configuration(x=0.5)
SAID = {Decision.CONTINUE: "c", Decision.STOP: "s", Decision.PAUSE: "p"}
#: Decisions at rungs (stopping) or questions of free workers (promotion): the same, and parted by the rounding.
AGREE = {
    "0.13.0 promotion": (795, 127),
    "0.13.0 stopping": (718, 83),
    "0.16.0 stopping": (727, 124),
}


def ours(n, eta, promotes):
    """How many of n results go on: the best floor(n / eta); when stopping, all while there are fewer than eta."""
    return n if n < eta and not promotes else n // eta


def theirs(n, eta, level, after, release):
    """Results whose rank (from 0) is at most this go on.

    0.13: values up to the quantile, interpolated, of level/after, which is 1/eta except at a shortened last step; the
    first result has no quantile: it goes on when stopping, and stays when promoting. 0.16: rank / n up to 1/eta.
    """
    return n / eta if release == "0.16.0" else (n - 1) * level / after


class Replay:
    """One stream, run through Asha as Syne Tune ran it."""

    def __init__(self, stream, release, promotes, share="floor"):
        self.eta, self.release, self.promotes, self.share = stream["eta"], release, promotes, share
        problem = Problem(Space(x=Float(0.0, 1.0)), (Objective("loss"),), fidelity=Fidelity("epoch", 1, stream["high"]))
        self.asha = Asha(
            problem, Uniform(problem, seed=0), seed=0, eta=self.eta, grace=stream["grace"],
            type="promotion" if promotes else "stopping", share=share,
        )  # fmt: skip
        self.after = dict(zip(self.asha.levels, self.asha.levels[1:], strict=False))
        self.values = {level: [] for level in self.after}  # sorted results of each rung
        self.resting = {level: {} for level in self.after}  # value -> trial
        self.epochs = {}
        self.counts = Counter()
        for word in stream["events"].split():
            self.step(word)

    def parts(self, level, value):
        """Whether the two limits part a value at a rung."""
        if self.share == "quantile":
            return False
        values = self.values[level]
        n, rank = len(values), bisect_left(values, value)
        they = (n > 1 or not self.promotes) and rank <= theirs(n, self.eta, level, self.after[level], self.release)
        return they != (rank < ours(n, self.eta, self.promotes))

    def step(self, word):
        if word == "+" or word[0] == "^":
            trial, until = map(int, word[1:].split(":")) if word != "+" else (len(self.epochs), None)
            self.asked(trial, until)
            self.epochs.setdefault(trial, 0)
            first = self.asha.levels[0] if self.promotes else None
            self.asha.on_start(Job(trial, CONFIG, until if word != "+" else first))
            return
        trial, _, value = word[:-1].partition(":")
        self.reported(int(trial), int(value), word[-1])

    def asked(self, trial, until):
        """A free worker: their answer was this trial, up to there (None: a new one)."""
        if not self.promotes:
            return
        job = self.asha.next_job()
        mine = (job.trial, job.until) if job else None
        if until is None:
            assert mine is None, f"they start a new trial, we promote {mine}"
            self.counts["agree"] += 1
            return
        level = next(low for low, high in self.after.items() if high == until)
        value = min(self.resting[level])
        assert self.resting[level].pop(value) == trial
        agree = mine == (trial, until)
        assert agree != self.parts(level, value), f"trial {trial} to {until}: we say {mine}, {self.values[level]}"
        self.counts["agree" if agree else "differ"] += 1

    def reported(self, trial, value, said):
        self.epochs[trial] += 1
        epoch = self.epochs[trial]
        decision = SAID[self.asha.on_report(Report(trial, epoch, {"loss": float(value)}))]
        level = epoch if epoch in self.values else None
        if level is not None:
            self.values[level].insert(bisect_left(self.values[level], value), value)
            self.resting[level][value] = trial
        if said == "e":
            assert decision == "c", "at the full resource a trial ends by itself"
            self.asha.on_end(trial, Status.COMPLETED)
        elif self.promotes or level is None:
            assert decision == said, f"trial {trial} at {epoch}: {decision}, not {said}"
        else:
            agree = decision == said
            assert agree != self.parts(level, value), f"trial {trial} at {epoch}: {decision}, they say {said}"
            self.counts["agree" if agree else "differ"] += 1
            self.asha._over.discard(trial)  # where we would have stopped, and they did not, the replay goes on
        if said in "sp":
            self.asha.on_end(trial, Status.STOPPED if said == "s" else Status.PAUSED)


@pytest.mark.parametrize("name", sorted(AGREE))
def test_decisions(name):
    release, kind = name.split()
    assert len(FIXTURE[name]) == 20
    counts = Counter()
    for stream in FIXTURE[name]:
        counts += Replay(stream, release, kind == "promotion").counts
    assert (counts["agree"], counts["differ"]) == AGREE[name]


@pytest.mark.parametrize("kind", ["promotion", "stopping"])
def test_by_the_quantile_every_decision_is_syne_tunes(kind):
    counts = Counter()
    for stream in FIXTURE[f"0.13.0 {kind}"]:
        counts += Replay(stream, "0.13.0", kind == "promotion", "quantile").counts
    assert (counts["agree"], counts["differ"]) == (sum(AGREE[f"0.13.0 {kind}"]), 0)
