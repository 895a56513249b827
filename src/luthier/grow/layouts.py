"""Which dimension of each tensor is what, and where a grown tensor's numbers come from.

Dimensions have the words of `luthier.nets.families`: "width", "query" (heads times width of a head), "group" (key and
value heads), "inter", "blocked" (queries, keys, values one after the other), "interleaved" (by head); others are fixed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from luthier.base.errors import ArgumentError
from luthier.grow import roles
from luthier.grow.factories import kind_of
from luthier.grow.mu_plan import MuPlan

NEW = -1  # in a map: a unit that the source does not have

#: RefGPT: the last parts of a tensor's name -> dimensions of its weight, output first.
_REFGPT: Mapping[str, tuple[str, str]] = {
    "embed_tokens": ("vocabulary", "width"),
    "embed_positions": ("positions", "width"),
    "q_proj": ("query", "width"),
    "k_proj": ("group", "width"),
    "v_proj": ("group", "width"),
    "o_proj": ("width", "query"),
    "gate_proj": ("inter", "width"),
    "up_proj": ("inter", "width"),
    "down_proj": ("width", "inter"),
    "lm_head": ("vocabulary", "width"),
}


@dataclass(frozen=True)
class Sizes:
    """What grows.

    Args:
        width: Of the residual stream.
        heads: Query heads.
        groups: Key and value heads.
        head: Width of a head.
        inter: Inner width of the feed-forward part.
        layers: Blocks.
        rotary: Queries and keys are turned in pairs (i, i + head/2).
        turned: How many of a head's units are, from its beginning, in pairs (i, i + turned/2); None: all of them.
    """

    width: int
    heads: int
    groups: int
    head: int
    inter: int
    layers: int
    rotary: bool
    turned: int | None = None


@dataclass(frozen=True)
class Part:
    """One tensor.

    Args:
        dims: What its dimensions are.
        out: Which of them is the output; vectors: 0.
        into: Which is the input; None for vectors, and for tables that are looked up.
        layer: Number of its block; None outside.
        kind: "table", "readout", "query", "writer", "norm" or "" (any other).
        module: Path of its module.
    """

    dims: tuple[str, ...]
    out: int
    into: int | None
    layer: int | None
    kind: str
    module: str


@dataclass(frozen=True)
class Layout:
    """All tensors of a plan's target, and its sizes."""

    sizes: Sizes
    parts: Mapping[str, Part]
    layers: str


def layout(plan: MuPlan) -> Layout:
    """The layout of a plan's target.

    Raises:
        ArgumentError: an architecture whose dimensions are not known.
    """
    kind = kind_of(plan.model)
    if kind == "refgpt":
        return _refgpt(plan)
    if not kind:
        raise ArgumentError(
            f"model={plan.model or 'a function'!r}: growth has to know heads and inner widths. Allowed: 'refgpt', or a "
            "family of transformers ('hf:llama')."
        )
    return _family(plan)


def _refgpt(plan: MuPlan) -> Layout:
    from luthier.nets.refgpt import RefConfig

    c = RefConfig.of(dict(plan.target))
    parts = {}
    for name, row in plan.rows.items():
        module, _, leaf = name.rpartition(".")
        last = module.rpartition(".")[2]
        found = re.match(r"model\.layers\.(\d+)\.", name)
        layer = int(found[1]) if found else None
        if last not in _REFGPT:
            parts[name] = Part(("width",), 0, None, layer, "norm", module)
            continue
        dims = _REFGPT[last]
        table = last.startswith("embed")
        kinds = {"q_proj": "query", "o_proj": "writer", "down_proj": "writer", "lm_head": "readout"}
        word = "table" if table else kinds.get(last, "")
        if leaf == "bias":
            parts[name] = Part(dims[:1], 0, None, layer, word, module)
        else:
            parts[name] = Part(dims, 1 if table else 0, None if table else 1, layer, word, module)
        assert len(parts[name].dims) == len(row.shape)
    rotary = c.positions == "rope"
    return Layout(Sizes(c.d_model, c.heads, c.n_kv, c.head, c.ff, c.layers, rotary), parts, "model.layers")


def _family(plan: MuPlan) -> Layout:
    from luthier.nets import families

    model: Any = roles.on_meta(plan._factory(), plan.target)
    found = families.layout(model)
    s = found.sizes
    rotary = "position_embedding_type" not in vars(found.family) and any(
        word in found.family.name for word in ("llama", "mistral", "qwen", "neox", "granite")
    )
    share = (getattr(model.config, "rope_parameters", None) or {}).get("partial_rotary_factor", 1.0)
    turned = int(s.head_dim * share) if rotary and share < 1 else None
    parts = {}
    modules = dict(model.named_modules())
    for name in plan.rows:
        entry = found.entries[name]
        module = name.rpartition(".")[0]
        transposed = type(modules[module]).__name__ == "Conv1D"
        table = type(modules[module]).__name__.endswith("Embedding")
        matrix = len(entry.dims) == 2
        out = 1 if table or (transposed and matrix) else 0
        into = None if table or not matrix else 1 - out
        writer = any(re.search(pattern, module) for pattern in plan.writers)
        query = re.search(r"(q_proj|query)$", module)
        norm = not matrix and "norm" in type(modules[module]).__name__.lower()
        head = matrix and entry.part == "head" and not table and entry.dims[0] not in ("width",)
        word = "table" if table else "writer" if writer else "query" if query else "norm" if norm else ""
        parts[name] = Part(entry.dims, out, into, entry.layer, "readout" if head else word, module)
    path = found.path(found.family.layers)
    return Layout(Sizes(s.width, s.heads, s.groups, s.head_dim, s.inter, s.depth, rotary, turned), parts, path)


# -- maps: for each unit of the target, which unit of the source it comes from, or NEW --


def padded(small: Sizes, large: Sizes) -> dict[str, np.ndarray]:
    """Old units keep their place in their group, new ones come behind; pairs of rotary heads are spread.

    Raises:
        ArgumentError: heads that cannot be placed.
    """
    heads, groups = _head_maps(small, large, tile=False)
    inner = _inside(small, large)
    return _maps(heads, groups, inner, _behind(small.width, large.width), _behind(small.inter, large.inter), small.head)


def tiled(small: Sizes, large: Sizes) -> dict[str, np.ndarray]:
    """Every unit is repeated a whole number of times; heads as wholes.

    Raises:
        ArgumentError: a size that is no whole multiple, or wider heads.
    """
    for name in ("width", "heads", "inter"):
        if getattr(large, name) % getattr(small, name):
            raise ArgumentError(
                f"duplicate: {name} {getattr(small, name)} to {getattr(large, name)}. Allowed: whole multiples; for "
                "others use operator='szp'."
            )
    if large.head != small.head:
        raise ArgumentError(
            f"duplicate: heads of {small.head} to {large.head}. Allowed: more heads of the same width (rotary "
            "positions and the scale of attention stay as they are)."
        )
    heads, groups = _head_maps(small, large, tile=True)
    width, inter = np.arange(large.width) % small.width, np.arange(large.inter) % small.inter
    return _maps(heads, groups, np.arange(small.head), width, inter, small.head)


def _behind(small: int, large: int) -> np.ndarray:
    return np.where(np.arange(large) < small, np.arange(large), NEW)


def _head_maps(small: Sizes, large: Sizes, *, tile: bool) -> tuple[np.ndarray, np.ndarray]:
    """Of query heads and of key heads."""
    q, wide = small.heads // small.groups, large.heads // large.groups
    if large.heads == small.heads and large.groups > small.groups and large.groups % small.groups == 0:
        return np.arange(large.heads), np.arange(large.groups) // (large.groups // small.groups)  # keys repeated
    if wide < q:
        raise ArgumentError(
            f"heads {small.heads}/{small.groups} to {large.heads}/{large.groups}: fewer query heads per key head. "
            "Allowed: as many or more; or more key heads alone, a whole multiple."
        )
    groups = np.arange(large.groups) % small.groups if tile else _behind(small.groups, large.groups)
    if tile and (large.groups % small.groups or wide % q):
        raise ArgumentError(
            f"duplicate: heads {small.heads}/{small.groups} to {large.heads}/{large.groups}. Allowed: whole multiples."
        )
    group, rank = np.divmod(np.arange(large.heads), wide)
    old = rank % q if tile else rank
    return np.where((groups[group] != NEW) & (old < q), groups[group] * q + old, NEW), groups


def _inside(small: Sizes, large: Sizes) -> np.ndarray:
    """Within a head: behind, or with rotary positions pair i at place k i, where its frequency is the same."""
    if large.head == small.head or not small.rotary:
        return _behind(small.head, large.head)
    old, new = small.turned or small.head, large.turned or large.head
    if new % old:
        raise ArgumentError(
            f"heads of {small.head} to {large.head} with {old} and {new} rotary units. Allowed: a whole multiple, so "
            "that old pairs keep their frequencies; or more heads of the same width."
        )
    k = new // old
    found = np.full(large.head, NEW)
    for i in range(old // 2):
        found[k * i], found[k * i + new // 2] = i, i + old // 2
    found[new : new + small.head - old] = np.arange(old, small.head)  # what is not turned
    return found


def _maps(
    heads: np.ndarray, groups: np.ndarray, inner: np.ndarray, width: np.ndarray, inter: np.ndarray, head: int
) -> dict[str, np.ndarray]:
    def spread(units: np.ndarray) -> np.ndarray:
        both = units[:, None] * head + inner[None, :]
        return np.where((units[:, None] == NEW) | (inner[None, :] == NEW), NEW, both).ravel()

    query = spread(heads)
    old = int((heads.max() + 1) * head)
    blocked = np.concatenate([np.where(query == NEW, NEW, query + i * old) for i in range(3)])
    triple = [spread(np.where(heads == NEW, NEW, 3 * heads + i)).reshape(len(heads), -1) for i in range(3)]
    mixed = np.concatenate(triple, axis=1).ravel()
    return {
        "width": width,
        "query": query,
        "group": spread(groups),
        "inter": inter,
        "blocked": blocked,
        "interleaved": mixed,
        "head": inner,
    }


def counts(source: np.ndarray) -> np.ndarray:
    """For each unit of the target: how many copies its source has (1 for new ones)."""
    known = source[source != NEW]
    often = np.bincount(known, minlength=int(source.max()) + 1)
    return np.where(source == NEW, 1, often[np.where(source == NEW, 0, source)])


# -- depth --


def _stack(i: int, small: int, large: int) -> int:
    return i % small


def _interpolate(i: int, small: int, large: int) -> int:
    return i * small // large


def _behind_layers(i: int, small: int, large: int) -> int:
    return i if i < small else NEW


#: Word -> (target's layer, source's layers, target's layers) -> source's layer, or NEW.
DEPTHS: Mapping[str, Callable[[int, int, int], int]] = {
    "stack": _stack,
    "interpolate": _interpolate,
    "identity": _behind_layers,
    "random": _behind_layers,
}
