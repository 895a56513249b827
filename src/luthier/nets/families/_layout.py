"""What each parameter of one model is: read from its family, checked against its shapes, nothing left over."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from luthier.base.errors import ArgumentError
from luthier.nets.families._family import Family

Model = Any  # transformers.PreTrainedModel; transformers is optional


@dataclass(frozen=True)
class Sizes:
    """The sizes of a model that sub-networks may have less of.

    Args:
        width: Of the residual stream.
        depth: Layers.
        heads: Query heads of a layer.
        groups: Key/value heads of a layer; `heads` is a multiple.
        head_dim: Size of a head.
        inter: Width of the feed-forward sub-layer.
    """

    width: int
    depth: int
    heads: int
    groups: int
    head_dim: int
    inter: int

    @property
    def queries(self) -> int:
        """Query heads of each group."""
        return self.heads // self.groups

    def of(self, dim: str) -> int | None:
        """Length of a dimension of the full model; None for one that is fixed."""
        query = self.heads * self.head_dim
        known = {"width": self.width, "query": query, "group": self.groups * self.head_dim, "inter": self.inter}
        return {**known, "blocked": 3 * query, "interleaved": 3 * query}.get(dim)


@dataclass(frozen=True)
class Entry:
    """One parameter.

    Args:
        name: Its full name in the model.
        dims: What its dimensions are.
        shape: Its shape.
        part: "trunk", "attention", "mlp" or "head".
        layer: Number of its layer; None outside of the layers.
        inside: Its name inside its layer (or the trunk, or the model).
        tied: Name of the parameter that it is the same as, if it is not the first to be named.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    part: str
    layer: int | None
    inside: str
    tied: str | None = None

    @property
    def module(self) -> str:
        """Full name of the module that holds it."""
        return self.name.rpartition(".")[0]


@dataclass(frozen=True)
class Layout:
    """What each parameter of a model is.

    Args:
        family: Its family.
        sizes: Its sizes.
        entries: All parameters by name, tied ones under each of their names.
        trunk: Path of the trunk in the model; empty if the model is one.
    """

    family: Family
    sizes: Sizes
    entries: Mapping[str, Entry]
    trunk: str

    def unique(self) -> Iterator[Entry]:
        """Parameters, each once."""
        return (entry for entry in self.entries.values() if entry.tied is None)

    def path(self, inside: str) -> str:
        """Path in the model of something in the trunk."""
        return f"{self.trunk}.{inside}" if self.trunk else inside

    def layer_path(self, layer: int) -> str:
        """Path in the model of a layer."""
        return self.path(f"{self.family.layers}.{layer}")


def sizes_of(config: Any, family: Family) -> Sizes:
    """Sizes as a configuration gives them."""

    def get(what: str) -> Any:
        return getattr(config, family.sizes[what], None) if what in family.sizes else None

    width, heads = int(get("width")), int(get("heads"))
    inter, groups, head_dim = get("inter"), get("groups"), get("head_dim")
    return Sizes(
        width=width,
        depth=int(get("depth")),
        heads=heads,
        groups=int(groups or heads),
        head_dim=int(head_dim or width // heads),
        inter=int(inter or 4 * width),  # GPT-2 leaves it out when it is four widths
    )


def read(model: Model, family: Family) -> Layout:
    """The layout of a model.

    Raises:
        ArgumentError: parameters that the family does not know, that are missing, or that have another shape; all are
            named, and nothing is ever left out in silence.
    """
    sizes = sizes_of(model.config, family)
    trunk = family.prefix if hasattr(model, family.prefix) and family.prefix else ""
    entries: dict[str, Entry] = {}
    first: dict[int, str] = {}
    unknown, wrong = [], []
    for name, parameter in model.named_parameters(remove_duplicate=False):
        found = _match(name, trunk, family)
        if found is None:
            unknown.append(name)
            continue
        dims, part, layer, inside = found
        shape = tuple(parameter.shape)
        expected = tuple(sizes.of(dim) for dim in dims)
        if len(shape) != len(dims) or any(e not in (None, s) for e, s in zip(expected, shape, strict=False)):
            wrong.append(f"{name} {shape}")
        known = first.setdefault(id(parameter), name)
        entries[name] = Entry(name, dims, shape, part, layer, inside, None if known == name else known)
    _complain(model, family, sizes, entries, unknown, wrong)
    return Layout(family, sizes, entries, trunk)


def _complain(
    model: Model, family: Family, sizes: Sizes, entries: Mapping[str, Entry], unknown: list[str], wrong: list[str]
) -> None:
    where = f"{type(model).__name__} (family {family.name!r})"
    if unknown:
        raise ArgumentError(
            f"{where}: {len(unknown)} parameters could not be matched: {_some(unknown)}. Allowed: models whose "
            "parameters the family names all. Describe it with luthier.nets.families.register(Family(...))."
        )
    if wrong:
        raise ArgumentError(
            f"{where}: {len(wrong)} parameters have not the shape that its configuration says: {_some(wrong)}. "
            "Was it pruned already? Allowed: a model as its configuration describes it; extract it anew, or start from "
            "the original."
        )
    missing = []
    for layer in range(sizes.depth):
        have = {e.inside.rpartition(".")[0] for e in entries.values() if e.layer == layer}
        missing += [f"layer {layer}: {path}" for path in (*family.attention, *family.mlp) if path not in have]
    if missing:
        raise ArgumentError(f"{where}: parts were not found: {_some(missing)}. Allowed: models that have them all.")


def _some(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f", and {len(names) - 6} more" if len(names) > 6 else "")


def _match(name: str, trunk: str, family: Family) -> tuple[tuple[str, ...], str, int | None, str] | None:
    """Dimensions, part, layer, and the name inside its layer, trunk or model."""
    inner = name[len(trunk) + 1 :] if trunk and name.startswith(trunk + ".") else name
    in_trunk = not trunk or inner != name
    layer = re.match(rf"{re.escape(family.layers)}\.(\d+)\.(.+)$", inner) if in_trunk else None
    if layer is not None:
        number, inside = int(layer[1]), layer[2]
        for part, table in (("attention", family.attention), ("mlp", family.mlp)):
            dims = _look(inside, table, family)
            if dims is not None:
                return dims, part, number, inside
        return None
    for part, table in (
        ("trunk", family.trunk if in_trunk else {}),
        ("head", {} if trunk and in_trunk else family.heads),
    ):
        dims = _look(inner, table, family)
        if dims is not None:
            return dims, part, None, inner
    return None


def _look(inside: str, table: Mapping[str, str], family: Family) -> tuple[str, ...] | None:
    for path in (inside.rpartition(".")[0], inside):
        if path in table:
            return family.parameters(path, table[path]).get(inside)
    return None
