"""The coordinate check at large widths, with the control and the four planted bugs."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import torch
from _growth_cells import Cell, Place, texts

from luthier.base.errors import ArgumentError
from luthier.grow.coordinates import coordinate_check, summary
from luthier.grow.mu_plan import MuPlan, Options
from luthier.nets.data import Batches
from luthier.nets.training import next_token

#: heads of 64; start about 1 / sqrt(256)
WIDE = {"vocabulary": 256, "d_model": 256, "heads": 4, "kv_heads": 4, "d_head": 64, "d_ff": 512, "layers": 2,
        "context": 64, "init_std": 0.06}  # fmt: skip
TINY = {**WIDE, "d_model": 32, "heads": 2, "kv_heads": 2, "d_head": 16, "d_ff": 64}
LR = 2.0**-9  # a few times the tuned rate of width 256


def coordinates(cell: Cell, place: Place) -> list[dict]:
    """Key (what): "adamw", or the name of a planted bug."""
    (what,) = cell.key
    proxy = TINY if place.small else WIDE
    batches = Batches(texts(place.texts)[0], 8, 64)
    given: dict[str, Any] = {"lr": 2.0**-7 if place.small else LR, "device": place.device}
    given["loss"] = _autocast(place)
    if what == "adamw":
        given |= {"ratios": (1, 2, 4) if place.small else (1, 2, 4, 8, 16), "seeds": 1 if place.small else 3}
        plan = MuPlan.infer("refgpt", proxy=proxy)
    else:
        given |= {"ratios": (1, 2, 4) if place.small else (1, 2, 4, 8), "seeds": 1 if place.small else 2}
        given["control"] = False
        plan, given["prepare"] = _planted(what, proxy)
    began = time.time()
    try:
        found = coordinate_check(plan, batches, **given)
    except ArgumentError as error:
        return [{"part": cell.part, "key": [what], "verdict": "refused", "reasons": [str(error)]}]
    row = {
        "part": cell.part, "key": [what], "verdict": found.verdict, "reasons": list(found.reasons),
        "widths": [proxy["d_model"] * r for r in given["ratios"]], "seeds": given["seeds"], "lr": given["lr"],
        "losses": [list(r) for r in found.losses], "mup": summary(found.slopes), "standard": summary(found.control),
        "sizes": _sizes(found.slopes), "sizes_standard": _sizes(found.control), "seconds": time.time() - began,
    }  # fmt: skip
    return [row]


def _sizes(slopes: Any) -> dict[str, list[float]]:
    """After the last step: sizes by width of a few modules that are drawn."""
    last = max((s.step for s in slopes), default=0)
    drawn = ("model.layers.1", "lm_head", "model.layers.1.mlp.down_proj", "model.layers.0.self_attn#logits")
    return {
        f"{s.quantity} {s.module}": [float(v) for v in s.sizes] for s in slopes if s.step == last and s.module in drawn
    }


def _autocast(place: Place) -> Any:
    def loss(model: Any, batch: Any, moment: Any) -> torch.Tensor:
        with torch.autocast(place.device, dtype=torch.bfloat16, enabled=place.bf16):
            return next_token(model, batch, moment)

    return loss


def _planted(what: str, proxy: dict[str, Any]) -> tuple[MuPlan, Any]:
    plain = MuPlan.infer("refgpt", proxy=proxy)
    if what == "hidden rates":

        def rates(plan: MuPlan, model: Any) -> MuPlan:
            rows = {n: replace(r, role="input", m_in=1.0) if r.role == "hidden" else r for n, r in plan.rows.items()}
            return replace(plan, rows=rows)

        return plain, rates
    if what == "readout":

        def readout(plan: MuPlan, model: Any) -> MuPlan:
            model.lm_head.multiplier = 1.0
            return plan

        return plain, readout
    if what == "attention":

        def attention(plan: MuPlan, model: Any) -> MuPlan:
            for block in model.model.layers:
                block.self_attn.scale = 1 / math.sqrt(block.self_attn.head_dim)
            return plan

        delta = {**proxy, "d_model": 2 * proxy["d_model"], "d_head": 2 * proxy["d_head"], "d_ff": 3 * proxy["d_ff"]}
        return MuPlan.infer("refgpt", proxy=proxy, delta=delta, options=Options(zero_query=True)), attention
    delta = {**proxy, "d_model": 2 * proxy["d_model"], "heads": 2 * proxy["heads"], "kv_heads": 2 * proxy["kv_heads"]}
    return MuPlan.infer("refgpt", proxy=proxy, delta=delta), None  # the inner width is forgotten
