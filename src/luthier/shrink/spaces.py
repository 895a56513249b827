"""Which sub-networks a search may name: presets of the papers and own ones, as ordinary spaces of luthier.

A configuration of the space and a `SubNetSpec` say the same; `decode` leads from one to the other. Depth is a whole
number: so many layers are kept, by the ranking of layers if there is one, else from the first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.nets.families import Sizes
from luthier.shrink.spec import LayerSpec, SubNetSpec
from luthier.space import Choice, Int, Space

PRESETS = ("small", "medium", "layer", "sublayer", "large", "width", "joint")
MULTIPLE = 8  # of neurons and channels: whole vector registers on processors (64 suits GPUs)
LARGEST = 4096  # bits of "large" that a search can name


@dataclass(frozen=True)
class NetSpace:
    """Sub-networks that a search may name.

    Args:
        name: The preset's.
        sizes: Of the super-network.
        space: The hyperparameters: "depth", "width", and "groups", "queries", "inter" for all layers, or
            "groups.3", ... for one.
        ranking: Layers, the most important first; empty: in their order.
    """

    name: str
    sizes: Sizes
    space: Space
    ranking: tuple[int, ...] = ()

    def decode(self, config: Mapping[str, Any]) -> SubNetSpec:
        """The sub-network that a configuration names; never an empty one: the most important layer keeps one unit."""
        sizes = self.sizes
        order = self.ranking or tuple(range(sizes.depth))
        kept = sorted(order[: int(config.get("depth", sizes.depth))])
        parts = [self._layer(config, layer) for layer in kept]
        spec = SubNetSpec.of(int(config.get("width", sizes.width)), kept, parts)
        if spec.layers:
            return spec
        least = LayerSpec(1, 1, 0) if f"attention.{order[0]}" in config else LayerSpec(1, 1, min(MULTIPLE, sizes.inter))
        if self.name in ("layer", "sublayer"):
            least = LayerSpec(sizes.groups, sizes.queries, sizes.inter)
        return SubNetSpec.of(spec.width, [order[0]], [least])

    def _layer(self, config: Mapping[str, Any], layer: int) -> LayerSpec:
        sizes = self.sizes

        def get(word: str, whole: int) -> int:
            return int(config.get(f"{word}.{layer}", config.get(word, whole)))

        groups: Any = get("groups", sizes.groups)
        inter: Any = get("inter", sizes.inter)
        if f"head.{layer}.0" in config:
            groups = tuple(g for g in range(sizes.groups) if config[f"head.{layer}.{g}"])
            inter = tuple(u for u in range(sizes.inter) if config[f"neuron.{layer}.{u}"])
        keep = config.get(f"keep.{layer}", True)
        if not (keep and config.get(f"attention.{layer}", True)):
            groups = 0
        if not (keep and config.get(f"mlp.{layer}", True)):
            inter = 0
        return LayerSpec(groups, get("queries", sizes.queries), inter)

    @property
    def largest(self) -> SubNetSpec:
        """The whole."""
        return self.decode({name: _end(domain, -1) for name, domain in self.space.items()})

    @property
    def smallest(self) -> SubNetSpec:
        """The least of every axis."""
        return self.decode({name: _end(domain, 0) for name, domain in self.space.items()})

    @property
    def ends(self) -> list[dict[str, Any]]:
        """Configurations to begin a search with: the largest, the smallest, the one in the middle."""
        return [{name: _end(domain, at) for name, domain in self.space.items()} for at in (-1, 0, 0.5)]

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """A random configuration: each axis uniformly.

        In "layer", "sublayer" and "large" the number of bits that are on is drawn first, uniformly, then which: fair
        coins would give networks of half the size only.
        """
        if self.name not in ("layer", "sublayer", "large"):
            return {name: _random(domain, rng) for name, domain in self.space.items()}
        bits = list(self.space)
        on = rng.permutation(len(bits))[: int(rng.integers(1, len(bits) + 1))]
        chosen = set(on.tolist())
        return {name: place in chosen for place, name in enumerate(bits)}

    def check_empty(self) -> None:
        """Refuse a space without an axis."""
        if not len(self.space):
            raise ArgumentError(f"space {self.name!r} has no axis. Allowed: one or more, such as inter.")


def _end(domain: Any, at: float) -> Any:
    if isinstance(domain, Choice):
        values = sorted(domain.values)
        return values[-1 if at == -1 else 0 if at == 0 else len(values) // 2]
    step = domain.step or 1
    low, high = int(domain.low), int(domain.high)
    return high if at == -1 else low if at == 0 else low + round((high - low) / 2 / step) * int(step)


def _random(domain: Any, rng: np.random.Generator) -> Any:
    if isinstance(domain, Choice):
        return domain.values[int(rng.integers(len(domain.values)))]
    low, high, step = int(domain.low), int(domain.high), int(domain.step or 1)
    if domain.log:
        value = math.exp(rng.uniform(math.log(low), math.log(high)))
        return low + round((value - low) / step) * step
    return low + step * int(rng.integers(0, (high - low) // step + 1))


def preset(
    sizes: Sizes, name: str, *, ranking: Sequence[int] = (), multiple: int = MULTIPLE, protect: bool = False
) -> NetSpace:
    """One of the papers' spaces.

    Args:
        sizes: Of the super-network.
        name: "small": depth, heads, neurons, all layers alike. "medium": heads and neurons of each layer. "layer": each
            layer or not. "sublayer": each attention and each feed-forward or not. "large": each head and each neuron
            or not. "width": as small, and the width. "joint": width and depth, heads and neurons of each layer.
        ranking: Layers, the most important first.
        multiple: Of neurons and channels; the model's own sizes bound it.
        protect: Keep the first and the last layer first.

    Raises:
        ArgumentError: no such space, or "large" for a model with too many units.

    Source: Klein et al. 2024 (small, medium, layer, large; seen in its code); Sukthanker et al. 2024 (width, joint).
    Differs: neurons and channels in multiples; no sub-network is empty; with grouped queries both groups and queries
        in a group are axes.
    """
    check("space", name, one_of=PRESETS)
    if not isinstance(sizes, Sizes):
        raise ArgumentError(f"sizes: a {type(sizes).__name__}. Allowed: those of a super-network, net.sizes.")
    multiple = check("multiple", multiple, at_least=1, whole=True)
    order = tuple(ranking) or tuple(range(sizes.depth))
    if protect:
        order = tuple(dict.fromkeys((0, sizes.depth - 1, *order)))
    layers = range(sizes.depth)
    axes: dict[str, Any] = {}
    if name in ("width", "joint"):
        axes["width"] = _numbers(sizes.width, multiple, least=_least_width(sizes, multiple))
    if name in ("small", "width", "joint"):
        axes["depth"] = Int(1, sizes.depth, default=sizes.depth)
    if name in ("small", "width"):
        axes["groups"] = Int(1, sizes.groups, default=sizes.groups)
        if sizes.queries > 1:
            axes["queries"] = Int(1, sizes.queries, default=sizes.queries)
        axes["inter"] = _numbers(sizes.inter, multiple)
    elif name in ("medium", "joint"):
        for layer in layers:
            axes[f"groups.{layer}"] = Int(0 if name == "medium" else 1, sizes.groups, default=sizes.groups)
            axes[f"inter.{layer}"] = _numbers(sizes.inter, multiple, zero=name == "medium")
        if sizes.queries > 1:
            axes["queries"] = Int(1, sizes.queries, default=sizes.queries)
    elif name == "layer":
        axes = {f"keep.{layer}": Choice(True, False) for layer in layers}
    elif name == "sublayer":
        axes = {f"{part}.{layer}": Choice(True, False) for layer in layers for part in ("attention", "mlp")}
    else:
        units = sizes.depth * (sizes.groups + sizes.inter)
        if units > LARGEST:
            raise ArgumentError(f"space 'large' has {units} bits here. Allowed: {LARGEST}. Take 'medium' or 'joint'.")
        for layer in layers:
            axes |= {f"head.{layer}.{g}": Choice(True, False) for g in range(sizes.groups)}
            axes |= {f"neuron.{layer}.{u}": Choice(True, False) for u in range(sizes.inter)}
    return NetSpace(name, sizes, Space({key: axis for key, axis in axes.items() if not _fixed(axis)}), order)


def custom(sizes: Sizes, axes: Mapping[str, Any], *, ranking: Sequence[int] = ()) -> NetSpace:
    """A space of one's own.

    Args:
        sizes: Of the super-network.
        axes: "width", "depth", "groups", "queries", "inter" (for all layers), "groups.3", "queries.3", "inter.3" (for
            one), "keep.3", "attention.3", "mlp.3" (True and False) to domains, or to lists of values.
        ranking: Layers, the most important first.

    Raises:
        ArgumentError: an axis is not known, or names more than the model has.
    """
    most = {"width": sizes.width, "depth": sizes.depth, "groups": sizes.groups}
    most |= {"queries": sizes.queries, "inter": sizes.inter, "keep": 1, "attention": 1, "mlp": 1}
    found = {}
    for key, axis in axes.items():
        word, _, layer = key.partition(".")
        check("axis", word, one_of=tuple(most))
        if layer and (not layer.isdigit() or int(layer) >= sizes.depth):
            raise ArgumentError(f"axis {key!r}. Allowed: layers 0 to {sizes.depth - 1}.")
        found[key] = Choice(*axis) if isinstance(axis, (list, tuple)) else axis
        if _end(found[key], -1) > most[word] or _end(found[key], 0) < 0:
            raise ArgumentError(f"axis {key!r} reaches {_end(found[key], -1)}. Allowed: 0 to {most[word]}.")
    return NetSpace("custom", sizes, Space(found), tuple(ranking) or tuple(range(sizes.depth)))


def _fixed(axis: Any) -> bool:
    return not isinstance(axis, Choice) and axis.low == axis.high


def _numbers(size: int, multiple: int, *, least: int | None = None, zero: bool = False) -> Int:
    """Whole multiples up to a size; where the size is none, multiples of what both share."""
    step = math.gcd(size, multiple)
    if size // step < 2:
        step = 1
    return Int(0 if zero else least or step, size, step=step if step > 1 else None, default=size)


def _least_width(sizes: Sizes, multiple: int) -> int:
    """A quarter of the width, in multiples: thinner streams lose everything at once."""
    step = math.gcd(sizes.width, multiple)
    return max(step, sizes.width // 4 // step * step)
