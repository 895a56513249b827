"""What keeps a model's function through growth: multipliers, norms over more units, and a look at the logits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from luthier.base.errors import ArgumentError
from luthier.grow import roles
from luthier.grow.layouts import Layout, Part, Sizes
from luthier.grow.mu_plan import MuPlan
from luthier.nets._torch import nn, torch

EPSILONS = ("norm_eps", "rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps")
VOCABULARIES = ("vocabulary", "vocab_size")
ROUNDING = 1e-4  # of the largest logit; families take norms in float32, whatever the weights are
WORSE = 4.0  # times the weights' own precision, where that is coarser


def multiplier(plan: MuPlan, name: str, *, readout: bool = False) -> float:
    """The number on a tensor's module; of a tied tensor the embedding's, or the readout's."""
    aliases = plan.rows[name].aliases
    for full in aliases if readout and aliases else (name,):
        module = full.rpartition(".")[0]
        if module in plan.multipliers:
            number, side = plan.multipliers[module]
            return number if side == "after" or full.endswith("weight") else 1.0
    return 1.0


def scale_ratio(source: MuPlan, target: MuPlan, origin: str, part: Part) -> float:
    """Attention's scale in the source / in the target: queries are multiplied by it to keep the logits."""

    def own(plan: MuPlan, path: str) -> float:
        if path in plan.scales:
            return plan.scales[path][1]
        model = roles.on_meta(plan._factory(), plan.target)
        return next((float(getattr(m, word)) for p, m, word, _ in roles.attentions(model) if p == path and word), 1.0)

    return own(source, origin.rpartition(".")[0].rpartition(".")[0]) / own(target, part.module.rpartition(".")[0])


def queries(part: Part, sizes: Sizes, ratio: float) -> torch.Tensor | float:
    """What a tensor is multiplied by so that its queries alone are multiplied by a ratio: a number, or one a row."""
    word = part.dims[part.out]
    if ratio == 1 or (part.kind != "query" and word not in ("blocked", "interleaved")):
        return 1.0
    if part.kind == "query":
        return ratio
    shares = torch.ones(3, sizes.heads, sizes.head, dtype=torch.float64)
    shares[0] = ratio
    rows = shares if word == "blocked" else shares.transpose(0, 1)
    shape = [1] * len(part.dims)
    shape[part.out] = -1
    return rows.reshape(shape)


def norm_ratio(part: Part, small: Sizes, large: Sizes) -> float:
    """What a norm's output grows by when zeros stand behind its units: the root of how many more there are."""
    word = {"width": "width", "head": "head"}.get(part.dims[0])
    return 1.0 if word is None else math.sqrt(getattr(large, word) / getattr(small, word))


def last_norm(own: Layout) -> str:
    """The one norm before a tied readout, whose gain takes what the shared table cannot.

    Raises:
        ArgumentError: there is not one.
    """
    found = [n for n, part in own.parts.items() if part.kind == "norm" and part.layer is None and n.endswith("weight")]
    if len(found) != 1:
        raise ArgumentError(
            f"exact: embedding and readout are tied, and of the norms outside of blocks ({found}) it is not known "
            "which one is before the readout. Allowed: an untied readout, or operator='duplicate'."
        )
    return found[0]


def check_eps(source: MuPlan, target: MuPlan, k: float) -> None:
    """Norms over k times the units need an epsilon that is k times smaller.

    Raises:
        ArgumentError: the target has another one.
    """
    small, large = (_config(plan) for plan in (source, target))
    name = next((n for n in EPSILONS if getattr(small, n, None) is not None), None)
    if name is None:
        return  # the logits tell
    own, given = float(getattr(small, name)), float(getattr(large, name))
    if abs(given - own / k) > 1e-9 * own:
        raise ArgumentError(
            f"exact: the norms' epsilon has to be divided by {k:g} too; the source has {own:g}, the target {given:g}. "
            f"Give the target {name}={own / k!r}."
        )


def _config(plan: MuPlan) -> Any:
    return getattr(roles.on_meta(plan._factory(), plan.target), "config", None)


def centred(weights: Mapping[str, torch.Tensor], plan: MuPlan, own: Layout) -> dict[str, torch.Tensor]:
    """Under LayerNorm: what is written to the stream has mean zero, which LayerNorm does not see.

    Raises:
        ArgumentError: a table is the readout too.
    """
    found = dict(weights)
    if not any(part.kind == "norm" and name.endswith("bias") for name, part in own.parts.items()):
        return found  # RMSNorm does see it, and does not need it
    for name, part in own.parts.items():
        if part.kind in ("table", "writer") and part.dims[part.out] == "width":
            if plan.rows[name].aliases:
                raise ArgumentError("exact: a tied table cannot be centred. Allowed: RMSNorm, or an untied readout.")
            found[name] = weights[name] - weights[name].mean(dim=part.out, keepdim=True)
    return found


def check_logits(source: MuPlan, weights: Mapping[str, torch.Tensor], grown: nn.Module) -> None:
    """Refuse a grown model (float64) whose logits are not its source's.

    Raises:
        ArgumentError: with what was measured.
    """
    small = source.build(dtype=torch.float64)
    own = dict(small.named_parameters())
    config = getattr(small, "config", None)
    most = next((int(n) for word in VOCABULARIES if (n := getattr(config, word, None))), 2)
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, most, size=(2, 8)))
    with torch.no_grad():
        for name in source.rows:
            own[name].copy_(weights[name])
        outs = [model.eval()(ids) for model in (small, grown)]
        a, b = (out if isinstance(out, torch.Tensor) else out.logits for out in outs)
    coarse = max(torch.finfo(weights[name].dtype).eps for name in source.rows)
    largest, apart = float(a.abs().max()), float((a - b).abs().max())
    if not apart <= max(ROUNDING, WORSE * coarse) * max(largest, 1e-12):
        raise ArgumentError(
            f"exact: the grown model's logits differ from its source's by {apart:.3g}, the largest is {largest:.3g}: "
            "this architecture, or this way for it to grow, is not kept by padding. Allowed: more heads of the same "
            "width, depth='identity', operator='duplicate', or no exact=True."
        )
