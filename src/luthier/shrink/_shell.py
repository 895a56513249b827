"""A sub-network as modules of its own that share the super-network's weights: views where a prefix is kept.

A shell is a copy of the module tree, not of the weights. Its parameters are slices of the super-network's, taken anew
whenever it is entered, so gradients flow to the super-network and nothing global is switched. Hugging Face's own
forward functions run in it, so norms see the kept channels only, and attention scales are those of the full model.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from luthier.nets.families import Layout
from luthier.shrink._stubs import Stub
from luthier.shrink._torch import nn, torch
from luthier.shrink.spec import LayerSpec, SubNetSpec, count

Slot = tuple[Any, Any, str, Any, str]  # see `_slots`
Taken = Any  # int: the first so many; LongTensor: these; None: all


class Shell:
    """One sub-network on the super-network's weights.

    Args:
        model: The super-network.
        layout: Its layout.
        spec: What to keep.
    """

    def __init__(self, model: nn.Module, layout: Layout, spec: SubNetSpec) -> None:
        self.spec = spec
        copies: dict[int, nn.Module] = {}
        self.model = _copy(model, copies)
        self._slots = _slots(model, self.model, layout, spec)
        _shape_modules(self.model, layout, spec)
        _configure(model, layout, spec, copies.values())
        self.refresh()
        _count_features(self.model)

    def refresh(self, adapters: Any = None) -> nn.Module:
        """Take the slices of the super-network's present parameters.

        Args:
            adapters: What adds to them (`Lora`), sliced alike.
        """
        for own, source, key, takes, name in self._slots:
            tensor = source[key]
            for dim, taken in takes:
                if isinstance(taken, int):
                    tensor = tensor.narrow(dim, 0, taken)
                else:
                    tensor = tensor.index_select(dim, taken.to(tensor.device))
            more = None if adapters is None else adapters.delta(name, takes)
            own[key] = tensor if more is None else tensor + more
        return self.model


def names(layout: Layout, spec: SubNetSpec) -> dict[str, str]:
    """Names of a sub-network's parameters -> names in the super-network; its layers are numbered anew."""
    place = {layer: i for i, layer in enumerate(spec.layers)}
    found = {}
    for entry in layout.entries.values():
        if entry.layer is None:
            found[entry.name] = entry.name
        elif entry.layer in place and keeps(spec.per_layer[place[entry.layer]], entry.part):
            found[f"{layout.layer_path(place[entry.layer])}.{entry.inside}"] = entry.name
    return found


def keeps(layer: LayerSpec, part: str) -> bool:
    """Whether a layer has a sub-layer."""
    return count(layer.groups if part == "attention" else layer.inter) > 0


def takes(dims: tuple[str, ...], layout: Layout, spec: SubNetSpec, layer: int | None) -> list[tuple[int, Taken]]:
    """What is taken of each dimension of a parameter; dimensions kept whole are left out."""
    found = []
    one = None if layer is None else spec.per_layer[spec.layers.index(layer)]
    for dim, word in enumerate(dims):
        taken = _taken(word, layout, spec.width, one)
        if taken is not None:
            found.append((dim, taken))
    return found


def _taken(word: str, layout: Layout, width: int, layer: LayerSpec | None) -> Taken:
    sizes = layout.sizes
    if word == "width":
        return None if width == sizes.width else width
    if layer is None or sizes.of(word) is None:
        return None
    if word == "inter":
        if layer.inter == sizes.inter:
            return None
        return layer.inter if isinstance(layer.inter, int) else torch.tensor(layer.inter)
    size = sizes.head_dim * (3 if word == "interleaved" else 1)
    if word == "group":
        heads, all_heads = _places(layer.groups), sizes.groups
    else:
        heads, all_heads = kept_heads(layer, sizes.queries), sizes.heads
    if len(heads) == all_heads:
        return None
    if heads == list(range(len(heads))) and word != "blocked":
        return len(heads) * size
    rows = (torch.tensor(heads)[:, None] * size + torch.arange(size)[None, :]).flatten()
    if word == "blocked":
        rows = torch.cat([rows + block * all_heads * size for block in range(3)])
    return rows


def _places(kept: Any) -> list[int]:
    return list(range(kept)) if isinstance(kept, int) else list(kept)


def kept_heads(layer: LayerSpec, queries: int) -> list[int]:
    """Numbers of the query heads kept, group by group."""
    return [group * queries + query for group in _places(layer.groups) for query in _places(layer.queries)]


def _copy(module: nn.Module, copies: dict[int, nn.Module]) -> nn.Module:
    """A module tree of its own on the same parameters and buffers."""
    if id(module) in copies:
        return copies[id(module)]
    new = module.__class__.__new__(module.__class__)
    copies[id(module)] = new
    for key, value in module.__dict__.items():
        # not copy.copy, which goes through pickling's ways for an ordered dict: twenty times slower, for every module
        new.__dict__[key] = value.copy() if key.startswith("_") and isinstance(value, dict) else value
    for name, child in module._modules.items():
        new._modules[name] = None if child is None else _copy(child, copies)
    return new


def _slots(model: nn.Module, shell: nn.Module, layout: Layout, spec: SubNetSpec) -> list[Slot]:
    """(own parameters, the super-network's, name in both, what is taken, full name) of each parameter that is kept."""
    kept = set(names(layout, spec).values())
    found = []
    sources, owns = (dict(one.named_modules(remove_duplicate=False)) for one in (model, shell))
    for entry in layout.entries.values():
        if entry.name in kept:
            key = entry.name.rpartition(".")[2]
            source, own = sources[entry.module], owns[entry.module]
            found.append(
                (
                    own._parameters,
                    source._parameters,
                    key,
                    takes(entry.dims, layout, spec, entry.layer),
                    entry.tied or entry.name,
                )
            )
    return found


def _shape_modules(shell: nn.Module, layout: Layout, spec: SubNetSpec) -> None:
    """Leave out what is left out, and tell modules their sizes."""
    family = layout.family
    head_dim = layout.sizes.head_dim
    layers = shell.get_submodule(layout.path(family.layers))
    for place, layer, one in zip(range(len(spec.layers)), spec.layers, spec.per_layer, strict=True):
        module: Any = layers._modules[str(layer)]
        for path, attributes in family.patches.items():
            values = {"heads": one.heads, "queries": count(one.queries), "query": one.heads * head_dim}
            for attribute, word in attributes.items():
                setattr(module.get_submodule(path), attribute, values[word])
        for inner in module.modules():
            if getattr(inner, "layer_idx", None) is not None:
                inner.layer_idx = place
        for part, stubs in (("attention", family.without_attention), ("mlp", family.without_mlp)):
            if not keeps(one, part):
                for path, word in stubs.items():
                    parent, _, name = path.rpartition(".")
                    module.get_submodule(parent)._modules[name] = Stub(word)
    kept = [layers._modules[str(layer)] for layer in spec.layers]
    layers._modules.clear()
    layers._modules.update({str(place): module for place, module in enumerate(kept)})


def _count_features(shell: nn.Module) -> None:
    """Numbers of features that modules keep beside their weights: norms and transposed layers compute by them."""
    module: Any
    for module in shell.modules():
        weight = module._parameters.get("weight")
        if weight is None:
            continue
        if isinstance(module, nn.LayerNorm):
            module.normalized_shape = tuple(weight.shape)
        elif isinstance(module, nn.Linear):
            module.out_features, module.in_features = weight.shape
        elif isinstance(module, nn.Embedding):
            module.num_embeddings, module.embedding_dim = weight.shape
        elif hasattr(module, "nf"):
            module.nx, module.nf = weight.shape


def _configure(model: nn.Module, layout: Layout, spec: SubNetSpec, copies: Any) -> None:
    """A configuration of its own, for the parts of transformers that read sizes there (caches, generation)."""
    config = child_config(model.config, layout, spec)
    for module in copies:
        if module.__dict__.get("config") is model.config:
            module.__dict__["config"] = config


def child_config(config: Any, layout: Layout, spec: SubNetSpec) -> Any:
    """The parent's configuration with a sub-network's sizes; of layers that differ the largest."""
    family, sizes = layout.family, layout.sizes
    child = copy.deepcopy(config)
    largest: Mapping[str, int] = {
        "width": spec.width,
        "depth": len(spec.layers),
        "heads": max((one.heads for one in spec.per_layer), default=0) or sizes.heads,
        "groups": max((count(one.groups) for one in spec.per_layer), default=0) or sizes.groups,
        "head_dim": sizes.head_dim,
        "inter": max((count(one.inter) for one in spec.per_layer), default=0) or sizes.inter,
    }
    for word, name in family.sizes.items():
        setattr(child, name, largest[word])
    for name in family.per_layer:
        listed = getattr(config, name, None)
        if isinstance(listed, list) and len(listed) == sizes.depth:
            setattr(child, name, [listed[layer] for layer in spec.layers])
    return child
