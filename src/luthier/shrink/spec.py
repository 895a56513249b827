"""What a sub-network is: how much of each part of the super-network it keeps."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from luthier.base.errors import ArgumentError
from luthier.nets.families import Sizes

Kept = int | tuple[int, ...]  # the first so many, or these


def count(kept: Kept) -> int:
    """How many units are kept."""
    return kept if isinstance(kept, int) else len(kept)


def canonical(kept: Any) -> Kept:
    """Places as a number where they are the first ones, else as an ascending tuple."""
    if isinstance(kept, (list, tuple)):
        places = tuple(sorted({int(place) for place in kept}))
        return len(places) if places == tuple(range(len(places))) else places
    return int(kept)


@dataclass(frozen=True)
class LayerSpec:
    """What is kept of one layer.

    Args:
        groups: Key/value heads with their queries: the first so many, or the places of those kept. 0: the attention
            sub-layer is left out whole, its norm and biases included.
        queries: Query heads of each group kept (1 where every head has its own keys and values).
        inter: Neurons of the feed-forward sub-layer. 0: it is left out whole.
    """

    groups: Kept
    queries: Kept
    inter: Kept

    @property
    def heads(self) -> int:
        """Query heads kept."""
        return count(self.groups) * count(self.queries)


@dataclass(frozen=True)
class SubNetSpec:
    """One sub-network of a super-network: hashable, and equal where the networks are.

    Args:
        width: Of the residual stream: the first so many channels.
        layers: Numbers of the layers kept, ascending.
        per_layer: What is kept of each of these.
    """

    width: int
    layers: tuple[int, ...]
    per_layer: tuple[LayerSpec, ...]

    @classmethod
    def of(cls, width: int, layers: Sequence[int], per_layer: Sequence[Sequence[Any] | LayerSpec]) -> SubNetSpec:
        """The canonical specification: layers that keep nothing are gone, what is left out whole is 0.

        Args:
            width: Channels kept.
            layers: Layers kept.
            per_layer: (groups, queries, inter) of each.
        """
        kept = []
        for layer, parts in zip(layers, per_layer, strict=True):
            if isinstance(parts, LayerSpec):
                parts = (parts.groups, parts.queries, parts.inter)
            groups, queries, inter = (canonical(part) for part in parts)
            if count(groups) == 0 or count(queries) == 0:
                groups, queries = 0, 0
            if count(groups) or count(inter):
                kept.append((int(layer), LayerSpec(groups, queries, inter if count(inter) else 0)))
        kept.sort(key=lambda one: one[0])
        return cls(int(width), tuple(layer for layer, _ in kept), tuple(spec for _, spec in kept))

    @classmethod
    def full(cls, sizes: Sizes) -> SubNetSpec:
        """The super-network itself."""
        layer = LayerSpec(sizes.groups, sizes.queries, sizes.inter)
        return cls(sizes.width, tuple(range(sizes.depth)), (layer,) * sizes.depth)

    @classmethod
    def uniform(
        cls,
        sizes: Sizes,
        *,
        width: int | None = None,
        layers: Sequence[int] | None = None,
        groups: Kept | None = None,
        queries: Kept | None = None,
        inter: Kept | None = None,
    ) -> SubNetSpec:
        """A sub-network whose layers are all alike; what is not named stays as it is."""
        kept = range(sizes.depth) if layers is None else layers
        one = (
            sizes.groups if groups is None else groups,
            sizes.queries if queries is None else queries,
            sizes.inter if inter is None else inter,
        )
        return cls.of(sizes.width if width is None else width, list(kept), [one] * len(kept))

    @property
    def is_uniform(self) -> bool:
        """Whether all layers have the same sizes, and none leaves a sub-layer out."""
        shapes = {(count(one.groups), count(one.queries), count(one.inter)) for one in self.per_layer}
        return len(shapes) == 1 and 0 not in next(iter(shapes))

    def check(self, sizes: Sizes) -> SubNetSpec:
        """The specification itself, if it is one of a super-network of these sizes.

        Raises:
            ArgumentError: it belongs to another model; the first part that does not fit is named.
        """
        problems = []
        if not 1 <= self.width <= sizes.width:
            problems.append(f"width={self.width}, the model has {sizes.width}")
        if not self.layers:
            problems.append("no layer is kept; at least one sub-layer must be")
        if self.layers and (self.layers[0] < 0 or self.layers[-1] >= sizes.depth):
            problems.append(f"layers={list(self.layers)}, the model has {sizes.depth}")
        if any(after <= before for before, after in itertools.pairwise(self.layers)):
            problems.append(f"layers={list(self.layers)}, each may be kept once, in ascending order")
        for layer, one in zip(self.layers, self.per_layer, strict=True):
            for name, kept, most in (
                ("groups", one.groups, sizes.groups),
                ("queries", one.queries, sizes.queries),
                ("inter", one.inter, sizes.inter),
            ):
                outside = kept > most or kept < 0 if isinstance(kept, int) else kept[0] < 0 or kept[-1] >= most
                if outside:
                    problems.append(f"layer {layer}: {name}={kept}, the model has {most}")
        if problems:
            raise ArgumentError(
                f"this specification is not one of this model: {problems[0]}. Allowed: parts of the model that it was "
                "made for. `luthier shrink inspect MODEL` shows its sizes."
            )
        return self

    def to_json(self) -> dict[str, Any]:
        """As plain data."""

        def plain(kept: Kept) -> int | list[int]:
            return kept if isinstance(kept, int) else list(kept)

        return {
            "width": self.width,
            "layers": list(self.layers),
            "per_layer": [[plain(p.groups), plain(p.queries), plain(p.inter)] for p in self.per_layer],
        }

    @classmethod
    def from_json(cls, data: Any) -> SubNetSpec:
        """From plain data, or its text.

        Raises:
            ArgumentError: it is not a specification.
        """
        try:
            data = json.loads(data) if isinstance(data, (str, bytes)) else data
            return cls.of(data["width"], data["layers"], data["per_layer"])
        except (KeyError, TypeError, ValueError) as error:
            raise ArgumentError(
                f"this is no specification of a sub-network ({error!r}). Allowed: JSON with width, layers, and "
                "per_layer, a list of [groups, queries, inter]."
            ) from None

    def __str__(self) -> str:
        def words(kept: Sequence[int]) -> str:
            return str(kept[0]) if len(set(kept)) == 1 else f"{min(kept)}-{max(kept)}"

        heads = words([p.heads for p in self.per_layer]) if self.per_layer else "0"
        inter = words([count(p.inter) for p in self.per_layer]) if self.per_layer else "0"
        return f"{len(self.layers)} layers, width {self.width}, heads {heads}, inter {inter}"
