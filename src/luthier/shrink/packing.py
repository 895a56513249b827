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

    Returns:
        One for each target; layers differ, so stock classes of transformers cannot express them.

    Source: Bercovich et al. 2024 (Puzzle): replaced blocks scored one by one, then an integer programme.
    Differs: a dynamic programme; the score is the task's loss; the width stays.
    Cost: 2 * depth * levels passes over the data, then O(depth * levels) a target.
    """
    levels = check("levels", levels, at_least=1, whole=True)
    sizes, costs, full = net.sizes, CostModel(net.layout), net.full
    whole = task.evaluate(net.model, batches)["loss"]
    total = costs.cost(full).parameters
    tried: list[list[int]] = []
    options: list[list[Option]] = []
    for layer in range(sizes.depth):
        for part, most in (("groups", sizes.groups), ("inter", sizes.inter)):
            counts = sorted({round(most * level / levels) for level in range(levels + 1)})
            listed = []
            for kept in counts:
                spec = _changed(full, layer, part, kept)
                loss = whole
                if kept < most:
                    with net.active(spec, dropout=False) as child:
                        loss = task.evaluate(child, batches)["loss"]
                listed.append((costs.cost(spec).parameters, loss - whole))
            least = listed[0][0]
            options.append([(cost - least, score) for cost, score in listed])
            tried.append(counts)
    rest = total - sum(listed[-1][0] for listed in options)
    return [_packed(full, tried, options, round(target * total) - rest) for target in targets]


def _packed(full: SubNetSpec, tried: list[list[int]], options: list[list[Option]], budget: int) -> SubNetSpec:
    picks = [tried[place][number] for place, number in enumerate(pack(options, budget))]
    queries = full.per_layer[0].queries
    parts = [LayerSpec(picks[2 * layer], queries, picks[2 * layer + 1]) for layer in range(len(full.layers))]
    spec = SubNetSpec.of(full.width, full.layers, parts)
    return spec if spec.layers else SubNetSpec.of(full.width, [0], [(1, queries, 0)])


def _changed(full: SubNetSpec, layer: int, part: str, kept: int) -> SubNetSpec:
    parts = list(full.per_layer)
    one = parts[layer]
    groups, inter = (kept, one.inter) if part == "groups" else (one.groups, kept)
    parts[layer] = LayerSpec(groups, one.queries, inter)
    return SubNetSpec.of(full.width, full.layers, parts)
