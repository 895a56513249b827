"""Whether earlier tasks lead astray: what they lead to expect of today's trials is compared with what came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from luthier.models.gp import Squares
from luthier.models.quantile import normal_scores
from luthier.searchers._kernel_features import KernelFeatures
from luthier.searchers.transfer._history import EarlierTask
from luthier.space.values import Array

#: Distance of two expected normal scores from which it is clear which of the trials was to be the better one: the best
#: of a task are closer to each other than that, and their order is chance.
CLEAR = 1.0
#: Comparisons that have to speak against the earlier tasks: one may be bad luck.
FEWEST = 2
#: Trials of an earlier task from which the rank of a configuration that it did not try is read off.
NEIGHBOURS = 3


class Trust(NamedTuple):
    """How today's trials agree with earlier tasks.

    Args:
        agree: Pairs of trials of which the one that was clearly expected to be better is better.
        against: Pairs of which it is worse.
    """

    agree: int = 0
    against: int = 0

    @property
    def broken(self) -> bool:
        """Whether the earlier tasks lead astray: more clear comparisons speak against them than for them."""
        return self.against >= FEWEST and self.against > self.agree

    def __str__(self) -> str:
        return f"{self.against} of {self.agree + self.against} clear comparisons speak against them"


def compare(expected: Array, merit: Array) -> Trust:
    """Judge what was expected by what came.

    Only pairs count of which one was expected to be better by `CLEAR` or more: a default, a random or a user's own
    trial against points that were good before. Where nothing but such points was told, nothing is known, and the
    earlier tasks are trusted. Ranks alone are compared, so that no change of scale between tasks matters. More trials
    may restore what was broken.

    Args:
        expected: (n,) normal scores that earlier tasks lead to expect, less is better.
        merit: (n,) what orders today's trials, less is better.

    Returns:
        The counts; O(n^2).
    """
    clear = expected[:, None] <= expected[None, :] - CLEAR
    better, worse = merit[:, None] < merit[None, :], merit[:, None] > merit[None, :]
    return Trust(int((clear & better).sum()), int((clear & worse).sum()))


def expected(tasks: Sequence[EarlierTask], features: KernelFeatures, rows: Array) -> Array:
    """Normal scores that configurations had on earlier tasks, or would have had by their nearest neighbours there.

    Args:
        tasks: One or more; their scores are averaged.
        features: Of rows.
        rows: (n, d) snapped rows.

    Returns:
        (n,), less is better.
    """
    Z = features(rows)
    found = np.zeros(len(rows))
    for task in tasks:
        score = normal_scores(task.values)
        known = features(task.rows)
        squares = Squares(features.categorical).scaled(Z, known, np.ones(Z.shape[1]))  # (n, trials)
        near = np.argsort(squares, axis=1, kind="stable")[:, :NEIGHBOURS]
        weight = 1.0 / (np.take_along_axis(squares, near, axis=1) + 1e-9)  # where it was tried, its own score counts
        found += (weight * score[near]).sum(axis=1) / weight.sum(axis=1)
    return found / max(len(tasks), 1)
