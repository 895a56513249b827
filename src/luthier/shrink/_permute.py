"""Reordering units without changing what a model computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from luthier.base.errors import ArgumentError
from luthier.nets.families import Layout, Sizes
from luthier.shrink._torch import nn, torch

Places = tuple[int, ...]


@dataclass(frozen=True)
class Order:
    """Where the units that come first, second, ... are now.

    Args:
        width: Places of channels; one order for the whole model, as the residual stream joins all layers.
        groups: Places of key/value heads, for each layer.
        queries: For each layer and each of its groups (as they are numbered now), places of its query heads.
        inter: Places of neurons, for each layer.
    """

    width: Places
    groups: tuple[Places, ...]
    queries: tuple[tuple[Places, ...], ...]
    inter: tuple[Places, ...]

    @classmethod
    def identity(cls, sizes: Sizes) -> Order:
        """Everything stays where it is."""
        groups = tuple(range(sizes.groups))
        queries = (tuple(range(sizes.queries)),) * sizes.groups
        every = range(sizes.depth)
        return cls(
            tuple(range(sizes.width)),
            tuple(groups for _ in every),
            tuple(queries for _ in every),
            tuple(tuple(range(sizes.inter)) for _ in every),
        )

    def check(self, sizes: Sizes) -> None:
        """Refuse what does not name every unit once.

        Raises:
            ArgumentError: naming the first list that does not.
        """
        named: list[tuple[str, Places, int]] = [("width", self.width, sizes.width)]
        if not len(self.groups) == len(self.queries) == len(self.inter) == sizes.depth:
            raise ArgumentError(f"order: lists for {len(self.groups)} layers. Allowed: one for each of {sizes.depth}.")
        for layer in range(sizes.depth):
            named.append((f"groups of layer {layer}", self.groups[layer], sizes.groups))
            named.append((f"inter of layer {layer}", self.inter[layer], sizes.inter))
            if len(self.queries[layer]) != sizes.groups:
                raise ArgumentError(
                    f"order: queries of layer {layer}. Allowed: a list for each of {sizes.groups} groups."
                )
            named += [(f"queries of layer {layer}", places, sizes.queries) for places in self.queries[layer]]
        for what, places, size in named:
            if sorted(places) != list(range(size)):
                raise ArgumentError(f"order: {what}. Allowed: each of 0 to {size - 1} once.")

    def heads(self, layer: int) -> Places:
        """Places of a layer's query heads, group by group."""
        queries = len(self.queries[layer][0])
        return tuple(g * queries + q for g in self.groups[layer] for q in self.queries[layer][g])

    def inverse(self) -> Order:
        """The order that takes this one back."""
        queries = []
        for layer, groups in enumerate(self.groups):
            # the group that stands at place i is the old groups[i]; its queries go back to where they were
            queries.append(tuple(_inverse(self.queries[layer][old]) for old in groups))
        return Order(
            _inverse(self.width),
            tuple(_inverse(groups) for groups in self.groups),
            tuple(queries),
            tuple(_inverse(inter) for inter in self.inter),
        )

    def after(self, first: Order) -> Order:
        """One order for `first` and then this one."""
        queries = []
        for layer in range(len(self.groups)):
            found: dict[int, Places] = {}
            for place, old in enumerate(first.groups[layer]):
                found[old] = _through(self.queries[layer][place], first.queries[layer][old])
            queries.append(tuple(found[group] for group in range(len(found))))
        return Order(
            _through(self.width, first.width),
            tuple(_through(own, old) for own, old in zip(self.groups, first.groups, strict=True)),
            tuple(queries),
            tuple(_through(own, old) for own, old in zip(self.inter, first.inter, strict=True)),
        )

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"width": self.width, "groups": self.groups, "queries": self.queries, "inter": self.inter}

    @classmethod
    def from_json(cls, data: Any) -> Order:
        """From plain data."""

        def frozen(value: Any) -> Any:
            return tuple(frozen(item) for item in value) if isinstance(value, list) else value

        return cls(*(frozen(list(data[name])) for name in ("width", "groups", "queries", "inter")))


def _inverse(places: Sequence[int]) -> Places:
    found = [0] * len(places)
    for new, old in enumerate(places):
        found[old] = new
    return tuple(found)


def _through(own: Sequence[int], first: Sequence[int]) -> Places:
    return tuple(first[place] for place in own)


def permute(model: nn.Module, layout: Layout, order: Order) -> None:
    """Reorder every parameter in place, each once."""
    sizes = layout.sizes
    with torch.no_grad():
        for entry in layout.unique():
            parameter = model.get_parameter(entry.name)
            new = parameter.detach()
            for dim, word in enumerate(entry.dims):
                rows = _rows(word, order, entry.layer, sizes)
                if rows is not None:
                    new = new.index_select(dim, rows.to(new.device))
            if new is not parameter:
                parameter.copy_(new)


def _rows(word: str, order: Order, layer: int | None, sizes: Sizes) -> torch.Tensor | None:
    if word == "width":
        return torch.tensor(order.width)
    if layer is None or sizes.of(word) is None:
        return None
    if word == "inter":
        return torch.tensor(order.inter[layer])
    heads = order.groups[layer] if word == "group" else order.heads(layer)
    size = sizes.head_dim * (3 if word == "interleaved" else 1)
    rows = (torch.tensor(heads)[:, None] * size + torch.arange(size)[None, :]).flatten()
    if word == "blocked":
        rows = torch.cat([rows + block * len(heads) * size for block in range(3)])
    return rows
