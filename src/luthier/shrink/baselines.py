"""What others do at the same size: one specification each, to be trained on its own for as many steps.

Each takes units by an importance ranking and needs no permuted model: it names places.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from luthier.base.errors import ArgumentError
from luthier.shrink.cost import CostModel
from luthier.shrink.importance import Ranking
from luthier.shrink.spec import SubNetSpec
from luthier.shrink.supernet import SuperNet


def uniform(net: SuperNet, ranking: Ranking, target: float) -> SubNetSpec:
    """Every layer keeps the same share of heads and neurons, those that rank highest.

    With a ranking by "magnitude", "activation" or "random" this is magnitude, activation-ranked or random pruning.

    Args:
        net: The super-network, in the order that the ranking is of.
        ranking: Importance.
        target: Share of the full number of parameters, in (0, 1].

    Raises:
        ArgumentError: the target is smaller than the smallest that this way can reach; that is told.
    """
    sizes, order = net.sizes, ranking.order(net.sizes.groups)

    def at(share: float) -> SubNetSpec:
        groups, inter = max(1, round(share * sizes.groups)), max(1, round(share * sizes.inter))
        parts = [
            (sorted(order.groups[i][:groups]), sizes.queries, sorted(order.inter[i][:inter]))
            for i in range(sizes.depth)
        ]
        return SubNetSpec.of(sizes.width, range(sizes.depth), parts)

    return _reaching(net, at, target)


def flap(net: SuperNet, ranking: Ranking, target: float) -> SubNetSpec:
    """One threshold for all layers, on scores standardised within each layer: layers keep different shares.

    Args:
        net: The super-network.
        ranking: By "flap" for the paper's score; any other works.
        target: Share of the full number of parameters.

    Source: An et al. 2024 (FLAP), adaptive structure search, as in its code: attention and feed-forward standardised
        by themselves, then ranked together.
    Differs: a head weighs as one unit and a neuron as one, each by its parameters; no bias is made up for here
        (`repair` does better).
    """
    sizes = net.sizes
    heads = ranking.heads.reshape(sizes.depth, sizes.groups, -1).sum(axis=2)
    scores = [_standard(heads), _standard(ranking.inter)]
    pooled = np.sort(np.concatenate([s.ravel() for s in scores]))

    def at(share: float) -> SubNetSpec:
        cut = pooled[min(len(pooled) - 1, int((1 - share) * len(pooled)))] if share < 1 else -np.inf
        parts = []
        for layer in range(sizes.depth):
            kept = [np.flatnonzero(s[layer] >= cut) for s in scores]
            for place, s in enumerate(scores):
                if not len(kept[place]):
                    kept[place] = np.array([int(s[layer].argmax())])
            parts.append((kept[0].tolist(), sizes.queries, kept[1].tolist()))
        return SubNetSpec.of(sizes.width, range(sizes.depth), parts)

    return _reaching(net, at, target)


def layer_drop(net: SuperNet, ranking: Ranking, target: float) -> SubNetSpec:
    """Whole layers, the least important first.

    Args:
        net: The super-network.
        ranking: Whose order of layers counts.
        target: Share of the full number of parameters.
    """
    sizes = net.sizes

    def at(share: float) -> SubNetSpec:
        kept = sorted(ranking.layer_order[: max(1, round(share * sizes.depth))])
        return SubNetSpec.uniform(sizes, layers=kept)

    return _reaching(net, at, target)


def _standard(scores: Any) -> Any:
    spread = scores.std(axis=1, keepdims=True)
    return (scores - scores.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)


def _reaching(net: SuperNet, at: Callable[[float], SubNetSpec], target: float) -> SubNetSpec:
    """The largest of a family of ever larger sub-networks that is not larger than the target."""
    if not 0 < target <= 1:
        raise ArgumentError(f"target={target!r}. Allowed: a share of the parameters, above 0 and at most 1.")
    costs = CostModel(net.layout)

    def parameters(spec: SubNetSpec) -> int:
        return int(costs.parameters(costs.arrays([spec]))[0])

    full = parameters(net.full)
    least = at(0.0)
    if parameters(least) > target * full:
        raise ArgumentError(
            f"target={target}: {target * full:,.0f} parameters. The smallest possible here has "
            f"{parameters(least):,}, a share of {parameters(least) / full:.3f}. Ask for more, or cut the width too."
        )
    low, high, best = 0.0, 1.0, least
    if parameters(at(1.0)) <= target * full:
        return at(1.0)
    for _ in range(40):
        middle = (low + high) / 2
        spec = at(middle)
        if parameters(spec) <= target * full:
            low, best = middle, spec
        else:
            high = middle
    return best
