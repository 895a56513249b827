"""Growth: a large model's start values made from a small model's, tensor by tensor.

    szp        W = lambda pad(W_small) + the target's own start values      the paper's; lambda 0.4, 0.2 beyond growth 2
    zeropad    pad alone; `exact=True` corrects the norms (never trains well by itself: new units have no gradient)
    duplicate  every unit repeated k times, what reads them divided by k     the same function, exactly

Depth: "stack" repeats the layers in order, "interpolate" each in place, "identity" adds blocks that do nothing yet,
"random" adds blocks as the plan starts them.

Source: szp: Warmstarting for Scaling Language Models (arXiv 2411.07340), as its public experiments show it; duplicate:
    Net2Net, HyperCloning; corrections of padding under norms, and the spreading of rotary pairs: derived, and tested
    here to rounding error.
Differs: the paper's operator code was not seen. One rule for all tensors here: shrink towards the mean of the start
    (1 for norm gains), noise as the target's plan starts each tensor.
Cost: one read of the source, one model's memory for the target.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, CostWarning
from luthier.base.seeds import check_seed
from luthier.grow import _exact
from luthier.grow.diagnostics import check_fingerprint, validate
from luthier.grow.layouts import DEPTHS, NEW, Layout, Part, counts, layout, padded, tiled
from luthier.grow.mu_plan import MuPlan, start
from luthier.grow.tables import Row
from luthier.nets import checkpoints
from luthier.nets._torch import nn, torch

OPERATORS = ("szp", "zeropad", "duplicate")
WARN, REFUSE = 2.0, 8.0  # growth factors: most reliable up to 2, an upper bound is reported beyond (arXiv 2605.13405)


@dataclass(frozen=True, kw_only=True)
class Growth:
    """How to grow.

    Args:
        operator: "szp", "zeropad" or "duplicate".
        lam: How much of the source stays under szp, 0 to 1. 0.4 is what the paper's runs use; 0.2 beyond growth 2.
        noise: Times the plan's start values: 1 is szp's own; for duplicate a share that breaks the symmetry of copies
            (0 leaves them equal for ever).
        readout: "stored": as it is; "effective": times m_target / m_source, so that old units give the same logits.
        depth: What new layers are.
        exact: Correct norms under zeropad, so that the function stays; logits are compared on a few tokens, and what
            does not stay is refused.
        perturb_readout: Noise on a readout that the plan starts at zero too.
        seed: Of the noise: the target's start values of the same seed.
    """

    operator: str = "szp"
    lam: float = 0.4
    noise: float | None = None
    readout: str = "stored"
    depth: str = "stack"
    exact: bool = False
    perturb_readout: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        check("operator", self.operator, one_of=OPERATORS)
        check("lam", self.lam, at_least=0, at_most=1)
        check("readout", self.readout, one_of=("stored", "effective"))
        check("depth", self.depth, one_of=DEPTHS)
        check_seed(self.seed)
        if self.exact and self.operator == "szp":
            raise ArgumentError(
                "exact=True with operator='szp': it shrinks and adds noise, so that no function stays. Allowed: "
                "'zeropad' or 'duplicate'."
            )
        if self.noise is not None:
            check("noise", self.noise, at_least=0)

    @property
    def share(self) -> float:
        """Noise, in units of the plan's start."""
        return (1.0 if self.operator == "szp" else 0.0) if self.noise is None else self.noise

    @property
    def keeps(self) -> float:
        """What the source is multiplied by."""
        return self.lam if self.operator == "szp" else 1.0

    @property
    def corrects(self) -> bool:
        """Whether norms are corrected for padding."""
        return self.exact and self.operator == "zeropad"

    def data(self) -> dict[str, Any]:
        """As JSON."""
        return {**vars(self), "noise": self.share}


@dataclass(frozen=True)
class Grown:
    """What growth has made.

    Args:
        plan: The target's plan.
        weights: Its tensors by name.
        growth: How.
        factor: Parameters of the target / parameters of the source (embeddings and readout left out).
        provenance: One mapping a tensor: where its numbers come from.
        moments: Optimiser state by tensor, when it was carried.
        source: Where the source lies.
    """

    plan: MuPlan
    weights: Mapping[str, torch.Tensor] = field(repr=False)
    growth: Growth
    factor: float
    provenance: tuple[dict[str, Any], ...] = field(repr=False)
    moments: Mapping[str, Mapping[str, torch.Tensor]] | None = field(default=None, repr=False)
    source: str = ""

    def model(self, dtype: torch.dtype | None = None) -> nn.Module:
        """The target with these values."""
        model = self.plan.build(seed=self.growth.seed, dtype=dtype)
        own = dict(model.named_parameters())
        with torch.no_grad():
            for name, tensor in self.weights.items():
                own[name].copy_(tensor)
        return model

    def carry(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Put the carried moments into an optimiser of the model.

        Raises:
            ArgumentError: none were carried.
        """
        if self.moments is None:
            raise ArgumentError("moments: none were carried. Grow with optimiser_state='carry'.")
        from luthier.grow.moments import put

        put(self.moments, model, optimiser)

    def save(self, folder: str | Path) -> checkpoints.Checkpoint:
        """Write it as a checkpoint, with plan, provenance, how it was grown, and carried moments.

        Raises:
            ArgumentError: something else is there.
        """
        from luthier.grow._keeping import save

        return save(self, folder)


def grow(
    weights: Mapping[str, torch.Tensor] | nn.Module,
    source: MuPlan,
    target: MuPlan,
    growth: Growth | None = None,
    *,
    moments: Mapping[str, Mapping[str, torch.Tensor]] | None = None,
    force: bool = False,
    reason: str | None = None,
    where: str = "",
) -> Grown:
    """Make the start of a large model from a small one.

    Args:
        weights: The small model's tensors, or the model.
        source: Its plan.
        target: The large model's plan, of the same proxy.
        growth: How; None: szp as in the paper.
        moments: Optimiser state of the source by tensor, to carry it (duplicate only, Adam).
        force: Grow beyond a factor of 8.
        reason: Why plans of different proxies are right here.
        where: Where the source lies, for the record.

    Raises:
        ArgumentError: sizes that do not fit the operator, a smaller target, missing or extra tensors, numbers that are
            not finite, a target's plan with an error, or a factor beyond 8.
    """
    how = growth or Growth()
    weights = weights.state_dict() if isinstance(weights, nn.Module) else weights
    check_fingerprint(target, source.fingerprint, reason=reason)
    validate(target)
    small, large = layout(source), layout(target)
    _check(weights, source, small, large)
    factor = _inner(target, large) / max(_inner(source, small), 1)
    _guard(factor, force)
    plain = weights
    if how.corrects:
        weights = _exact.centred(weights, source, small)
        _exact.check_eps(source, target, large.sizes.width / small.sizes.width)
    maps = (tiled if how.operator == "duplicate" else padded)(small.sizes, large.sizes)
    made = _Maker(weights, source, target, small, large, maps, how)
    found = {name: made.tensor(name) for name in target.rows}
    carried = None
    if moments is not None:
        from luthier.grow.moments import carry

        carried = carry(moments, made)
    grown = Grown(target, found, how, factor, tuple(made.provenance), carried, where)
    if how.exact:
        _exact.check_logits(source, plain, grown.model(torch.float64))
    return grown


class _Maker:
    """Makes each tensor of the target, and writes down how."""

    def __init__(
        self,
        weights: Mapping[str, torch.Tensor],
        source: MuPlan,
        target: MuPlan,
        small: Layout,
        large: Layout,
        maps: Mapping[str, np.ndarray],
        growth: Growth,
    ) -> None:
        self.weights, self.source, self.target = weights, source, target
        self.small, self.large, self.maps, self.growth = small, large, maps, growth
        self.provenance: list[dict[str, Any]] = []
        self.preserves = growth.operator == "duplicate" or growth.exact
        tied = any(part.kind == "table" and target.rows[name].aliases for name, part in large.parts.items())
        self.lifted = _exact.last_norm(large) if tied and growth.corrects else None

    def origin(self, name: str) -> str | None:
        """The source's tensor that a target's tensor comes from; None: it is new."""
        part = self.large.parts[name]
        if part.layer is None:
            return name
        own, count = self.small.sizes.layers, self.large.sizes.layers
        if own == count:
            return name
        layer = NEW if own == 0 else DEPTHS[self.growth.depth](part.layer, own, count)
        path = self.large.layers
        return None if layer == NEW else f"{path}.{layer}.{name.removeprefix(f'{path}.{part.layer}.')}"

    def tensor(self, name: str) -> torch.Tensor:
        row, part, how = self.target.rows[name], self.large.parts[name], self.growth
        origin = self.origin(name)
        own = self._noise(row)
        if origin is None:
            silent = how.depth == "identity" and part.kind == "writer"
            self._note(row, None, "zero" if silent else "start", 0.0, 1.0)
            return torch.zeros(tuple(row.shape)) if silent else start(row, how.seed)
        if how.keeps == 0 and how.share == 1:
            self._note(row, origin, how.operator, 0.0, how.share)
            return start(row, how.seed)
        old = self.weights[origin].detach().cpu()
        mean = row.value if row.start == "constant" else 0.0
        block = self.take(old, part, mean if part.kind == "norm" else 0.0)
        block = (block * self.factor(name, origin)).to(old.dtype)  # factors by row are float64
        if how.corrects and part.kind == "norm":
            block = block * self.correction(name, row)
        self._note(row, origin, how.operator, how.keeps, how.share)
        if how.keeps != 1:
            block = mean + how.keeps * (block - mean)
        return block if own is None else block + own.to(block.dtype)

    def take(self, old: torch.Tensor, part: Part, fill: float) -> torch.Tensor:
        """Numbers of the source at their places, the readers of copies divided, `fill` at new places."""
        found = old
        for place, dim in enumerate(part.dims):
            if dim not in self.maps:
                continue
            units = self.maps[dim]
            index = torch.from_numpy(np.where(units == NEW, 0, units))
            found = found.index_select(place, index)
            shape = [1] * found.ndim
            shape[place] = -1
            if (units == NEW).any():
                found = torch.where(torch.from_numpy(units == NEW).view(shape), torch.full_like(found, fill), found)
            if self.growth.operator == "duplicate" and place == part.into:
                found = found / torch.from_numpy(counts(units)).view(shape).to(found.dtype)
        return found

    def factor(self, name: str, origin: str) -> float | torch.Tensor:
        """What keeps the effective value although multipliers differ."""
        part, how = self.large.parts[name], self.growth
        old, new = _exact.multiplier(self.source, origin), _exact.multiplier(self.target, name)
        if part.kind == "readout" or (part.kind == "table" and self.target.rows[name].aliases):
            if part.into is None and part.kind != "table":
                return 1.0  # a readout's bias is not multiplied
            if part.kind == "table":
                return self.tied(name, origin, old / new) if self.preserves else 1.0
            # take() has divided it by the copies
            return old / new if how.readout == "effective" or self.preserves else 1.0
        if not self.preserves:
            return 1.0
        return old / new * _exact.queries(part, self.large.sizes, self.scale(origin, part))

    def scale(self, origin: str, part: Part) -> float:
        """Attention's scale before / after, for tensors that hold queries."""
        holds = part.kind == "query" or part.dims[part.out] in ("blocked", "interleaved")
        return _exact.scale_ratio(self.source, self.target, origin, part) if holds else 1.0

    def tied(self, name: str, origin: str, shared: float) -> float:
        """A table that is the readout too: its embedding's number decides, the readout's has to follow."""
        needed = self.lift(name, origin) / shared
        copies = self.large.sizes.width / self.small.sizes.width
        if self.growth.operator == "duplicate" and abs(needed - copies) > 1e-9 * copies:
            raise ArgumentError(
                "duplicate: embedding and readout are tied, and the readout's multiplier does not fall with the width. "
                "Allowed: a muP plan of the target (multiplier alpha / m), or an untied source."
            )
        return shared

    def lift(self, name: str, origin: str) -> float:
        """The readout's number before / after."""
        return _exact.multiplier(self.source, origin, readout=True) / _exact.multiplier(self.target, name, readout=True)

    def correction(self, name: str, row: Row) -> float:
        """What a norm's gain or bias is multiplied by, so that padding does not change what comes after."""
        part = self.large.parts[name]
        found = 1 / _exact.norm_ratio(part, self.small.sizes, self.large.sizes) if row.kind == "gain" else 1.0
        if self.lifted is not None and part.module == self.lifted.rpartition(".")[0]:
            table = next(n for n, p in self.large.parts.items() if p.kind == "table" and self.target.rows[n].aliases)
            origin = self.origin(table) or table
            shared = _exact.multiplier(self.source, origin) / _exact.multiplier(self.target, table)
            found *= self.lift(table, origin) / shared
        return found

    def _noise(self, row: Row) -> torch.Tensor | None:
        share = self.growth.share
        readout = row.role == "readout" and row.kind == "weight"
        if (
            share == 0
            or row.kind != "weight"
            or (row.start == "constant" and not (readout and self.growth.perturb_readout))
        ):
            return None
        noisy = replace(row, start="normal", value=row.sigma) if row.start == "constant" else row
        return start(noisy, self.growth.seed) * share

    def _note(self, row: Row, origin: str | None, rule: str, keeps: float, share: float) -> None:
        part = self.large.parts[row.name]
        new = {d: f"{int((self.maps[d] == NEW).sum())} of {len(self.maps[d])} new" for d in part.dims if d in self.maps}
        noise = share * row.value if row.start == "normal" else 0.0
        self.provenance.append(
            {"tensor": row.name, "from": origin, "rule": rule, "lambda": keeps, "noise_std": noise, "units": new}
        )


def _check(weights: Mapping[str, torch.Tensor], source: MuPlan, small: Layout, large: Layout) -> None:
    aliases = {alias for row in source.rows.values() for alias in row.aliases}
    missing, extra = sorted(source.rows.keys() - weights.keys()), sorted(weights.keys() - source.rows.keys() - aliases)
    extra = [name for name in extra if "rotary" not in name and not name.endswith(("inv_freq", ".attn.bias"))]
    if missing or extra:
        raise ArgumentError(
            f"source: missing {missing[:3]}, too many {extra[:3]}. Allowed: the tensors of its own plan (tied and "
            "untied readouts differ)."
        )
    if small.parts.keys() and large.parts.keys():
        untied = {n for n, p in small.parts.items() if p.kind == "readout"} ^ {
            n for n, p in large.parts.items() if p.kind == "readout"
        }
        if untied:
            raise ArgumentError("source and target: one has a tied readout, the other not. Allowed: both alike.")
    for name, row in source.rows.items():
        if tuple(weights[name].shape) != tuple(row.shape):
            raise ArgumentError(f"source: {name!r} has shape {tuple(weights[name].shape)}, its plan says {row.shape}.")
        if not torch.isfinite(weights[name]).all():
            raise ArgumentError(
                f"source: {name!r} has numbers that are not finite. Allowed: a run that did not diverge."
            )
    for word in ("width", "heads", "groups", "head", "inter", "layers"):
        a, b = getattr(small.sizes, word), getattr(large.sizes, word)
        if b < a:
            raise ArgumentError(f"target: {word} {b} is smaller than the source's {a}. To make models smaller: shrink.")


def _inner(plan: MuPlan, own: Layout) -> int:
    return sum(math.prod(r.shape) for n, r in plan.rows.items() if own.parts[n].kind not in ("table", "readout"))


def _guard(factor: float, force: bool) -> None:
    if factor > REFUSE and not force:
        raise ArgumentError(
            f"growth by {factor:.3g} in parameters: beyond {REFUSE:g} no gain was ever found. Allowed: up to "
            f"{REFUSE:g}; force it, or grow in two stages."
        )
    if factor > WARN * 1.25:  # a doubling of width and inner width alone is a little more than its aim
        warnings.warn(
            CostWarning(
                f"growth by {factor:.3g} in parameters: 2 is the most reliable, gains fade beyond and with many tokens "
                "per parameter. lambda 0.2 is better than 0.4 there."
            ),
            stacklevel=3,
        )
