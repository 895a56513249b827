"""What a family says about itself: the names of its parameters, and which dimension of each is what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Dimensions that a sub-network may have less of. "query": heads x head size; "group": key/value heads x head size;
#: "blocked": [Q, K, V], each of all heads; "interleaved": [q, k, v] of head 0, then of head 1, ...
ELASTIC = ("width", "query", "group", "inter", "blocked", "interleaved")

#: Words that a part's text may begin with, and the parameters behind them: suffix -> places of its dimensions.
_KINDS: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "linear": {"weight": (0, 1), "bias": (0,)},
    "conv1d": {"weight": (0, 1), "bias": (1,)},
    "norm": {"weight": (0,), "bias": (0,)},
    "embedding": {"weight": (0, 1)},
    "vector": {"": (0,)},
}


@dataclass(frozen=True)
class Family:
    """One architecture: what its models call their parts.

    A part is written as its kind and its dimensions: "linear OUT IN", "conv1d IN OUT" (transposed weights),
    "norm WIDTH", "embedding ROWS WIDTH", "vector X". Dimensions in `ELASTIC` can be cut, other words stand for fixed
    ones.

    Args:
        name: Its name.
        types: Values of `config.model_type` that it covers.
        prefix: Attribute that holds the trunk in a model with a head.
        layers: Path of the list of layers, from the trunk.
        trunk: Parts outside of the layers, by path from the trunk.
        attention: Parts of a layer's attention sub-layer, its norm included, by path from the layer.
        mlp: Parts of a layer's feed-forward sub-layer, its norm included.
        heads: Parts beside the trunk, in any of the family's models.
        without_attention: What stands where a layer's attention is left out: path to a word of `stubs`.
        without_mlp: The same for the feed-forward sub-layer.
        patches: Path in a layer to attributes that count heads: "heads", "queries" (per group), "query" (x head size).
        sizes: Names in the configuration: width, depth, heads, inter, and where they exist groups and head_dim.
        coupled: Whether the stock configuration fixes head size = width / heads.
        per_layer: Lists in the configuration with an entry for each layer.
        causal: Whether tokens see earlier ones only.
        position_offset: Rows of the position table that no token uses.
        depth_scaled: Name in the configuration that, when true, scales attention by the layer's number.
    """

    name: str
    types: tuple[str, ...]
    prefix: str
    layers: str
    trunk: Mapping[str, str]
    attention: Mapping[str, str]
    mlp: Mapping[str, str]
    heads: Mapping[str, str]
    without_attention: Mapping[str, str]
    without_mlp: Mapping[str, str]
    patches: Mapping[str, Mapping[str, str]]
    sizes: Mapping[str, str]
    coupled: bool = False
    per_layer: tuple[str, ...] = ()
    causal: bool = True
    position_offset: int = 0
    depth_scaled: str = ""

    def parameters(self, path: str, text: str) -> dict[str, tuple[str, ...]]:
        """Names of a part's parameters with the dimensions of each."""
        kind, *dims = text.split()
        return {
            f"{path}.{suffix}".rstrip("."): tuple(dims[place] for place in places)
            for suffix, places in _KINDS[kind].items()
        }
