"""Late depth growth: most steps with few blocks at the constant rate, then all of them, and the cooldown.

One schedule runs through both parts, the text goes on where it was, and what was there keeps its optimiser state; new
blocks start without one.

Source: zero- and one-layer progressive training (arXiv 2511.04981), by abstract: one expansion late under WSD.
Differs: when to grow is a share of the steps that is given, not found.
Cost: share x a shallow run + (1 - share) x a deep one.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from luthier.base.checks import check, check_fields
from luthier.base.errors import ArgumentError, CostWarning
from luthier.grow.factories import layers_knob
from luthier.grow.growing import Growth, grow
from luthier.grow.hyper import Hyper
from luthier.grow.layouts import layout
from luthier.grow.ledger import Ledger
from luthier.grow.moments import moments_of
from luthier.grow.mu_plan import MuPlan
from luthier.grow.runs import Added, count, name_of, run, tokens_of
from luthier.nets._torch import nn
from luthier.nets.checkpoints import read
from luthier.nets.data import Tokens
from luthier.nets.schedules import WSD, Stretch
from luthier.nets.training import History, Hook


@dataclass(frozen=True, kw_only=True)
class Late:
    """When and how a model becomes deep.

    Args:
        share: Of the steps before it does. 0.7 leaves a third of what is left for mixing before the usual cooldown of
            a fifth begins; the paper grows at about 0.8.
        layers: Blocks before: 0 or 1.
        depth: What new blocks are: "random", "stack", "interpolate" or "identity".
        equal: What stays as in a run of the deep model from scratch: "tokens" (then it is cheaper), or "flops" (then it
            sees more tokens).
    """

    share: float = 0.7
    layers: int = 1
    depth: str = "random"
    equal: str = "tokens"

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        check("share", self.share, above=0, below=1)
        check_fields(self, "layers", at_least=0, whole=True)
        check("equal", self.equal, one_of=("tokens", "flops"))


def run_late(
    plan: MuPlan,
    hyper: Hyper,
    text: Tokens,
    held_out: Tokens,
    *,
    late: Late,
    tokens: int | str,
    folder: str | Path,
    seed: int = 0,
    ledger: Ledger | str | Path | None = None,
    hooks: Sequence[Hook] = (),
    device: str = "cpu",
) -> tuple[History, nn.Module]:
    """Train a plan's target, the first part with fewer blocks.

    Args:
        plan: The deep target's.
        hyper: With what; the depth rule should be "none", for the first part has another depth.
        text: Tokens to train on.
        held_out: Tokens of `val_loss`.
        late: When and how.
        tokens: Of a run from scratch (see `Late.equal`), or "20x": so many for each parameter outside of tables.
        folder: Of the deep part; the shallow one is its `shallow`. Both are resumed.
        seed: Of start, data and growth.
        ledger: Two entries: `base` (shallow) and `growth`.
        hooks: Called with every record of both parts.
        device: Where.

    Returns:
        The history of the deep part (`flops` and `tokens` of both parts), and the model.

    Raises:
        ArgumentError: fewer blocks than before, or too few tokens for both parts.
    """
    knob, deep = layers_knob(plan.model), layout(plan).sizes.layers  # sizes may leave the number to the model's own
    if late.layers >= deep:
        raise ArgumentError(f"layers={late.layers}: the target has {deep}. Allowed: fewer.")
    tokens = tokens_of(tokens, count(plan, hyper.length).inner)
    shallow = plan.for_target({**plan.target, knob: late.layers})
    small, large = (count(p, hyper.length).flops_per_token for p in (shallow, plan))
    each = hyper.batch * hyper.length
    total = tokens // each
    if late.equal == "flops":
        total = int(total * large / (late.share * small + (1 - late.share) * large))
    cut = round(late.share * total)
    if not 0 < cut < total:
        raise ArgumentError(f"tokens={tokens}: {total} steps, {cut} of them shallow. Allowed: some of each.")
    whole, place = WSD(hyper.warmup, hyper.cooldown), Path(folder)
    ledger = Ledger.open(ledger) if isinstance(ledger, str | Path) else ledger
    before_it, _ = run(
        shallow, hyper, text, held_out, tokens=cut * each, folder=place / "shallow", seed=seed, purpose="base",
        name=f"{place.name}-shallow", ledger=ledger, hooks=hooks, schedule=Stretch(whole, 0, total), device=device,
    )  # fmt: skip
    seconds = float(before_it.records[-1]["seconds"])
    base = f"{place.name}-shallow" if ledger is None else name_of(ledger, f"{place.name}-shallow", seconds)
    source = read(place / "shallow")
    how = Growth(operator="zeropad", depth=late.depth, seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CostWarning)  # it is about width
        grown = grow(
            source.weights(), shallow, plan, how, moments=moments_of(source), force=True, where=str(source.folder)
        )
    before = {"tokens": cut * each, "flops": small * cut * each}
    return run(
        plan, hyper, text, held_out, tokens=(total - cut) * each, folder=place, seed=seed, purpose="growth",
        name=place.name, ledger=ledger, data_start=cut * hyper.batch, hooks=[Added(before), *hooks],
        growth=grown.factor, grown_from=base, model=grown.model().to(device),
        schedule=Stretch(whole, cut, total), moments=grown.moments, device=device,
    )  # fmt: skip
