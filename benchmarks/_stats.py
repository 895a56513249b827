"""The statistics that these scripts use: luthier's own."""

from luthier.bench.statistics import (
    DRAWS,
    FEWEST,
    against,
    friedman,
    hodges_lehmann,
    holm,
    interquartile_mean,
    interval,
    paired_ranks,
)

__all__ = [
    "DRAWS",
    "FEWEST",
    "against",
    "friedman",
    "hodges_lehmann",
    "holm",
    "interquartile_mean",
    "interval",
    "paired_ranks",
]
