"""How a plan is inferred: two models compared, a third one placed beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from luthier.base.errors import ArgumentError
from luthier.grow import roles
from luthier.grow._narrow import Narrow, Note
from luthier.grow._starts import Starts
from luthier.grow.factories import Factory, delta_of, following, full_sizes, kind_of
from luthier.grow.roles import Layers, Slot
from luthier.grow.tables import ALPHA, Row, deviation
from luthier.nets._torch import nn

if TYPE_CHECKING:
    from luthier.grow.mu_plan import Options

#: Last maps of residual branches, by architecture.
_WRITERS: Mapping[str, tuple[str, ...]] = {
    "refgpt": (r"\.o_proj$", r"\.down_proj$"),
    "gpt2": (r"\.c_proj$",),
    "gpt_neox": (r"attention\.dense$", r"dense_4h_to_h$"),
    "bert": (),  # its norms stand after the sums: a branch's size does not matter there
    "roberta": (),
}
_FUSED = re.compile(r"(c_attn|query_key_value|in_proj|qkv|Wqkv)(\.|_|$)")


def infer(
    make: Factory,
    word: str,
    proxy: Mapping[str, Any],
    delta: Mapping[str, Any] | None,
    target: Mapping[str, Any] | None,
    options: Options,
    overrides: Mapping[str, str],
    writers: Sequence[str] | None,
) -> dict[str, Any]:
    """The fields of a plan."""
    proxy = full_sizes(word, proxy)
    delta = delta_of(word, proxy) if delta is None else following(word, proxy, delta)
    target = dict(proxy) if target is None else following(word, _without_derived(word, proxy, target), target)
    models = [roles.on_meta(make, sizes) for sizes in (proxy, delta, target)]
    small, changed, large = (roles.slots(model) for model in models)
    if small.keys() != changed.keys():
        raise ArgumentError(f"delta: has other tensors than the proxy: {sorted(small.keys() ^ changed.keys())[:3]}.")
    layers = Layers(roles.lists(models[0]), roles.lists(models[2]))
    starts = Starts(make, proxy)
    rows: dict[str, Row] = {}
    notes: list[Note] = []
    for name, slot in large.items():
        template, ratio = layers.template(name)
        if template not in small:
            raise ArgumentError(f"target: tensor {name!r} is like none of the proxy's. Allowed: the same architecture.")
        rows[name] = _row(slot, small[template], changed[template], ratio, starts, options, overrides)
    rows = Narrow(rows, small, changed, options, overrides).settled(notes)
    if not any(row.m_in != 1 or row.m_out != 1 or roles.grown(small[r], changed[r]) for r, row in _by_template(rows)):
        raise ArgumentError("delta: equal to the proxy in every tensor, so that no dimension is known to grow.")
    patterns = tuple(writers) if writers is not None else _WRITERS.get(kind_of(word), _WRITERS["refgpt"])
    multipliers = _multipliers(models[2], rows, layers, options, patterns, notes)
    scales = _scales(models[0], models[2], layers, options, notes)
    _remarks(models[2], rows, notes, options)
    notes += _kept(rows, starts.seeded)
    return {
        "model": word,
        "proxy": proxy,
        "delta": delta,
        "target": target,
        "options": options,
        "rows": rows,
        "multipliers": multipliers if options.parametrization == "mup" else {},
        "scales": scales if options.parametrization == "mup" else {},
        "overrides": dict(overrides),
        "writers": patterns,
        "notes": tuple(notes),
    }


def widened(proxy: Mapping[str, Any], delta: Mapping[str, Any], ratio: float) -> dict[str, Any]:
    """Sizes of a target whose every width-like size is `ratio` times the proxy's: numbers, and those in lists.

    Raises:
        ArgumentError: one would not be whole, or is none that can be multiplied.
    """
    found = dict(proxy)
    for name, changed in delta.items():
        if name in proxy:
            found[name] = _times(name, proxy[name], changed, ratio)
        elif ratio != 1:
            raise ArgumentError(f"ratio={ratio:g}: {name} is in the delta alone. Name it in the proxy too.")
    return found


def _times(name: str, own: Any, changed: Any, ratio: float) -> Any:
    if own == changed or ratio == 1:
        return own
    if isinstance(own, list | tuple) and isinstance(changed, list | tuple) and len(own) == len(changed):
        return type(own)(_times(f"{name}[{i}]", a, changed[i], ratio) for i, a in enumerate(own))
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in (own, changed)):
        raise ArgumentError(
            f"ratio={ratio:g}: {name} is {own!r} in the proxy and {changed!r} in the delta, and cannot be multiplied. "
            "Allowed: numbers and lists of them; or name a target's sizes yourself (plan.for_target)."
        )
    wide = own * ratio
    if isinstance(own, float) or isinstance(changed, float):
        return wide
    if abs(wide - round(wide)) > 1e-9 or round(wide) < 1:
        raise ArgumentError(f"ratio={ratio:g}: {name} would be {wide:g}. Allowed: ratios that keep it whole.")
    return round(wide)


def _without_derived(word: str, proxy: Mapping[str, Any], target: Mapping[str, Any]) -> dict[str, Any]:
    """The proxy's sizes, less those that follow from one that the target changes."""
    if kind_of(word) != "refgpt" or "d_model" not in target or target["d_model"] == proxy["d_model"]:
        return dict(proxy)
    ratio = target["d_model"] / proxy["d_model"]
    found = dict(proxy)
    for name in ("heads", "kv_heads", "d_ff"):  # heads of a fixed width grow in number, the inner width with the outer
        if name not in target:
            wide = proxy[name] * ratio
            if abs(wide - round(wide)) > 1e-9:
                raise ArgumentError(
                    f"d_model={target['d_model']}: {name} would be {wide:g}. Name it in the target too."
                )
            found[name] = round(wide)
    return found


def _by_template(rows: Mapping[str, Row]) -> list[tuple[str, Row]]:
    return [(row.template, row) for row in rows.values()]


def _row(
    slot: Slot, small: Slot, changed: Slot, ratio: float, starts: Starts, options: Options, overrides: Mapping[str, str]
) -> Row:
    dims = roles.grown(small, changed)
    wrong = [i for i, (a, b) in enumerate(zip(small.shape, slot.shape, strict=True)) if a != b and i not in dims]
    if wrong:
        raise ArgumentError(
            f"target: dimension {wrong[0]} of {slot.name!r} is {slot.shape[wrong[0]]} and {small.shape[wrong[0]]} "
            "in the proxy, but the delta left it alone. Change the size behind it in the delta too, or keep it here."
        )
    role, out, into = roles.role_of(small, dims, roles.override(slot.name, overrides))
    m_in = 1.0 if into is None else slot.shape[into] / small.shape[into]
    m_out = 1.0 if out is None else slot.shape[out] / small.shape[out]
    kind, sigma = starts.of(small)
    value = sigma
    if kind == "normal" and slot.kind == "bias":
        kind, sigma, value = "constant", 0.0, 0.0  # the table's start, whatever the module's own
    elif kind == "normal" and options.parametrization == "mup":
        value = deviation(role, sigma, m_in)
        untied = role == "readout" and not slot.aliases
        if (untied and options.zero_readout) or (options.zero_query and roles.QUERY.search(slot.name)):
            kind, value = "constant", 0.0
    elif kind == "own" and options.zero_query and roles.QUERY.search(slot.name):
        kind, value = "constant", 0.0
    return Row(
        name=slot.name,
        template=small.name,
        role=role,
        kind=slot.kind,
        shape=slot.shape,
        proxy_shape=small.shape,
        m_in=m_in,
        m_out=m_out,
        depth=ratio,
        start=kind,
        sigma=sigma,
        value=value,
        aliases=slot.aliases,
    )


def _multipliers(
    model: nn.Module,
    rows: Mapping[str, Row],
    layers: Layers,
    options: Options,
    writers: Sequence[str],
    notes: list[Note],
) -> dict[str, tuple[float, str]]:
    found: dict[str, tuple[float, str]] = {}
    modules = dict(model.named_modules())
    for name, row in rows.items():
        if row.kind != "weight":
            continue
        for full in (name, *row.aliases):
            path = full.rpartition(".")[0]
            if isinstance(modules[path], nn.Embedding):
                if options.alpha_in != 1 and "pos" not in path.rpartition(".")[2]:
                    found[path] = (options.alpha_in, "after")
            elif row.role == "readout":
                found[path] = (options.alpha_out / row.m_in, "before")
            elif row.role == "input" and row.aliases:  # tied: the embedding's row, the readout's multiplier
                found[path] = (options.alpha_out / row.m_out, "before")
                notes.append(("MU06", "note", path, f"shares {name}: one row, role input, multiplier on the logits."))
    alpha = ALPHA[options.depth]
    if layers.ratio and alpha is None and options.parametrization == "mup":
        notes.append(
            ("MU09", "warning", "", "depth differs from the proxy's and depth='none': rates may not transfer.")
        )
    if alpha is not None and layers.ratio:
        scaled_any = False
        for path in modules:
            _, ratio = layers.template(f"{path}.weight")
            if ratio != 1 and any(re.search(pattern, path) for pattern in writers):
                found[path] = (ratio**-alpha, "after")
                scaled_any = True
        if not scaled_any:
            raise ArgumentError(
                f"writers={list(writers)!r}: no module of a branch is found, and depth={options.depth!r} scales "
                "branches. Name the last map of each branch by a pattern, such as r'\\.o_proj$'."
            )
    return found


def _scales(
    proxy: nn.Module, target: nn.Module, layers: Layers, options: Options, notes: list[Note]
) -> dict[str, tuple[str, float]]:
    own = {path: (module, word, width) for path, module, word, width in roles.attentions(proxy)}
    found: dict[str, tuple[str, float]] = {}
    for path, module, word, width in roles.attentions(target):
        template = layers.template(f"{path}.x")[0].rpartition(".")[0]
        if template not in own:
            continue
        other, _, before = own[template]
        if width == before and options.alpha_attention == 1:
            continue
        if not word:
            words = "the width of a head grows and its scale cannot be set. Grow the number of heads instead."
            notes.append(("MU07", "error", path, words))
            continue
        base = float(getattr(other, word)) if width != before else float(getattr(module, word))
        found[path] = (word, options.alpha_attention * base * (before / width))
    return found


def _kept(rows: Mapping[str, Row], seeded: bool) -> list[Note]:
    """What is said of starts that are the function's own (MU05)."""
    found: list[Note] = []
    own = [row for row in rows.values() if row.start == "own"]
    unscaled = [row for row in own if row.kind == "weight" and row.role in ("hidden", "bottleneck") and row.m_in != 1]
    for level, some, words in (
        ("note", [r for r in own if r not in unscaled], "that start stays, at every width."),
        ("warning", unscaled, "that start stays, and is not scaled to the width. If it should be, draw it at random."),
    ):
        if some:
            more = f" (and {len(some) - 1} more)" if len(some) > 1 else ""
            found.append(("MU05", level, some[0].name, f"the function starts it alike in every build{more}: {words}"))
    vectors = [row for row in rows.values() if row.kind in ("vector", "gain") and row.start == "normal"]
    if seeded and vectors:
        words = (
            "the function seeds its own numbers, so that a start which is meant cannot be told from one that is drawn: "
            "it is drawn anew. Seed before the function is called, not in it."
        )
        found.append(("MU05", "warning", vectors[0].name, words))
    return found


def _remarks(model: nn.Module, rows: Mapping[str, Row], notes: list[Note], options: Options) -> None:
    rate = max((m.p for m in model.modules() if isinstance(m, nn.Dropout)), default=0.0)
    if rate > 0:
        notes.append(("MU09", "note", "", f"dropout {rate:g}: depends on the model's size, does not transfer."))
    fused = [name for name, row in rows.items() if _FUSED.search(name) and row.kind == "weight"]
    if fused and options.zero_query:
        notes.append(("MU08", "warning", fused[0], "queries, keys and values in one tensor: zero_query left it alone."))
    elif fused:
        notes.append(("MU08", "note", fused[0], "queries, keys and values in one tensor: one role fits all three."))
    gains = [n for n, p in model.named_parameters() if n in rows and rows[n].kind == "gain" and p.requires_grad]
    if gains:
        notes.append(("MU09", "note", gains[0], "norm gains are trained: some find that this breaks transfer."))
