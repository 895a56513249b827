"""Search without a search: score each change of each sub-layer by itself, and pack the best ones into a size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.shrink.cost import CostModel
from luthier.shrink.spec import LayerSpec, SubNetSpec
from luthier.shrink.supernet import SuperNet
from luthier.shrink.tasks import Batch, Task

UNITS = 20000  # of size in which a pack is counted; sizes are rounded up, so no budget is broken
Option = tuple[int, float]  # parameters, score


def pack(options: Sequence[Sequence[Option]], budget: int) -> list[int]:
    """One option of each list, with the least sum of scores that a budget allows.

    Args:
        options: For each place its options: what they cost, and how bad they are.
        budget: Most that all may cost together.

    Returns:
        The number of the option taken at each place.

    Raises:
        ArgumentError: the cheapest options cost more; what they cost is told.

    Cost: O(places * options * 20000).
    """
    least = sum(min(cost for cost, _ in listed) for listed in options)
    if least > budget:
        raise ArgumentError(f"budget={budget:,}. Allowed: at least {least:,}, what the cheapest options cost.")
    unit = max(1, -(-budget // UNITS))
    size = budget // unit
    best = np.zeros(size + 1)
    picks = np.zeros((len(options), size + 1), dtype=np.int64)
    for place, listed in enumerate(options):
        after = np.full(size + 1, np.inf)
        for number, (cost, score) in enumerate(listed):
            units = -(-cost // unit)
            if units > size:
                continue
            tried = np.full(size + 1, np.inf)
            tried[units:] = best[: size + 1 - units] + score
            better = tried < after
            after[better] = tried[better]
            picks[place][better] = number
        best = after
    if not np.isfinite(best[size]):  # rounding up has made the cheapest too dear
        return [min(range(len(listed)), key=lambda i: listed[i][0]) for listed in options]
    left, found = size, [0] * len(options)
    for place in reversed(range(len(options))):
        found[place] = int(picks[place][left])
        left -= -(-options[place][found[place]][0] // unit)
    return found


def knapsack(
    net: SuperNet, task: Task, batches: Sequence[Batch], targets: Sequence[float], *, levels: int = 4
) -> list[SubNetSpec]:
    """The best sub-network of each size, if what changes cost in loss simply added up.

    Each sub-layer is tried at several sizes, with all others whole; by how much the loss rises is its score.

    Args:
        net: The super-network, its units in order of importance.
        task: Whose loss counts.
        batches: Data.
        targets: Shares of the full number of parameters.
        levels: Sizes between nothing and all at which each sub-layer is tried.

    Raises:
        ArgumentError: a target below the smallest possible; its share is told before anything is tried.

    Returns:
        One for each target; layers differ, so stock classes of transformers cannot express them.

    Source: Bercovich et al. 2024 (Puzzle): replaced blocks scored one by one, then an integer programme.
    Differs: a dynamic programme; the score is the task's loss; the width stays.
    Cost: 2 * depth * levels passes over the data, then O(depth * levels) a target.
    """
    levels = check("levels", levels, at_least=1, whole=True)
    sizes, costs, full = net.sizes, CostModel(net.layout), net.full
    total = costs.cost(full).parameters
    tried = [
        sorted({round(most * level / levels) for level in range(levels + 1)})
        for _ in range(sizes.depth)
        for most in (sizes.groups, sizes.inter)
    ]
    empty = [0] * len(tried)
    least = min(costs.cost(_taken(full, alone)).parameters for alone in _alone(tried, empty))
    for target in targets:
        check("target", target, above=0, at_most=1)
        if round(target * total) < least:
            raise ArgumentError(
                f"target={target:g}: {target * total:,.0f} parameters. The smallest possible here has {least:,}, a "
                f"share of {least / total:.3f}. Ask for more, or search a space with a width ('width', 'joint')."
            )
    options: list[list[Option]] = []
    with net.active(full, dropout=False) as child:
        whole = task.evaluate(child, batches)["loss"]
    for place, counts in enumerate(tried):
        listed = []
        for kept in counts:
            spec = _changed(full, *divmod(place, 2), kept)
            loss = whole
            if spec != full:
                with net.active(spec, dropout=False) as child:
                    loss = task.evaluate(child, batches)["loss"]
            listed.append((costs.cost(spec).parameters, loss - whole))
        options.append([(cost - listed[0][0], score) for cost, score in listed])
    rest = total - sum(listed[-1][0] for listed in options)
    found = []
    for target in targets:
        budget = round(target * total)
        numbers = pack(options, budget - rest)
        if not any(numbers):  # nothing at all is no network: the best that has one sub-layer, and is small enough
            fit = [a for a in _alone(tried, numbers) if costs.cost(_taken(full, a)).parameters <= budget]
            found.append(_taken(full, min(fit, key=lambda picks: _score(options, tried, picks))))
        else:
            found.append(_taken(full, [tried[place][number] for place, number in enumerate(numbers)]))
    return found


def _alone(tried: list[list[int]], empty: list[int]) -> list[list[int]]:
    """What keeps a single sub-layer, of each size that is tried."""
    return [
        [*empty[:place], kept, *empty[place + 1 :]] for place, counts in enumerate(tried) for kept in counts if kept
    ]


def _score(options: list[list[Option]], tried: list[list[int]], picks: list[int]) -> float:
    return sum(options[place][tried[place].index(kept)][1] for place, kept in enumerate(picks))


def _taken(full: SubNetSpec, picks: list[int]) -> SubNetSpec:
    """The sub-network that keeps so many groups, and neurons, of each layer in turn."""
    queries = full.per_layer[0].queries
    parts = [LayerSpec(picks[2 * layer], queries, picks[2 * layer + 1]) for layer in range(len(full.layers))]
    return SubNetSpec.of(full.width, full.layers, parts)


def _changed(full: SubNetSpec, layer: int, part: int, kept: int) -> SubNetSpec:
    """The whole, but for a layer's groups (part 0) or neurons (part 1)."""
    parts = list(full.per_layer)
    one = parts[layer]
    groups, inter = (one.groups, kept) if part else (kept, one.inter)
    parts[layer] = LayerSpec(groups, one.queries, inter)
    return SubNetSpec.of(full.width, full.layers, parts)
