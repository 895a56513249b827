"""Statistics of comparisons: over tasks and seeds, never over pooled pairs of task and seed.

Arrays have the axes (methods, tasks, seeds) unless said otherwise; smaller is better. Tests take one number for each
task and refuse fewer than six tasks: see `FEWEST`.

One file is one idea: `ranks` (ranks, Friedman, critical difference), `pairs` (Wilcoxon, Holm, shift, sign test),
`single` (one task: permutation, Cliff's delta), `bootstrap` (interquartile mean, intervals), `curves` (regret over
the budget, profiles), `improvement` (probability of improvement), `random_search` (random search as a yardstick),
`equivalence` (practically the same?) and `mixed` (a linear mixed model).
"""

from luthier.bench.statistics._guards import FEWEST
from luthier.bench.statistics.bootstrap import (
    DRAWS,
    Band,
    aggregate,
    hierarchical,
    inside,
    interquartile_mean,
    interval,
)
from luthier.bench.statistics.curves import (
    CLIP,
    EPSILON,
    MOMENTS,
    NOTHING_YET,
    anytime,
    at,
    log_regret,
    normalised,
    profile,
)
from luthier.bench.statistics.equivalence import ROPE, Posterior, equivalence_p, signed_rank_posterior
from luthier.bench.statistics.improvement import improvement, improvement_by_task, improvement_matrix
from luthier.bench.statistics.mixed import Difference, Mixed, mixed_model
from luthier.bench.statistics.pairs import (
    Contrast,
    SignTest,
    adjust,
    against,
    contrast,
    contrasts,
    hodges_lehmann,
    holm,
    matched_pairs,
    pairwise,
    shift_interval,
    sign_test,
    walsh,
    wilcoxon_p,
)
from luthier.bench.statistics.random_search import RandomPool, speed_up
from luthier.bench.statistics.ranks import (
    Friedman,
    cliques,
    critical_difference,
    friedman,
    nemenyi_q,
    paired_ranks,
    unpaired_ranks,
)
from luthier.bench.statistics.single import MaxStatistic, cliffs_delta, max_statistic, permutation

__all__ = [
    "CLIP",
    "DRAWS",
    "EPSILON",
    "FEWEST",
    "MOMENTS",
    "NOTHING_YET",
    "ROPE",
    "Band",
    "Contrast",
    "Difference",
    "Friedman",
    "MaxStatistic",
    "Mixed",
    "Posterior",
    "RandomPool",
    "SignTest",
    "adjust",
    "against",
    "aggregate",
    "anytime",
    "at",
    "cliffs_delta",
    "cliques",
    "contrast",
    "contrasts",
    "critical_difference",
    "equivalence_p",
    "friedman",
    "hierarchical",
    "hodges_lehmann",
    "holm",
    "improvement",
    "improvement_by_task",
    "improvement_matrix",
    "inside",
    "interquartile_mean",
    "interval",
    "log_regret",
    "matched_pairs",
    "max_statistic",
    "mixed_model",
    "nemenyi_q",
    "normalised",
    "paired_ranks",
    "pairwise",
    "permutation",
    "profile",
    "shift_interval",
    "sign_test",
    "signed_rank_posterior",
    "speed_up",
    "unpaired_ranks",
    "walsh",
    "wilcoxon_p",
]
