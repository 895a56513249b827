"""Closed forms of what a sub-network costs, counted by hand on a small Llama that is never built. Needs no torch."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from luthier.nets.families._layout import read
from luthier.nets.families.llama import FAMILY
from luthier.shrink.cost import CostModel
from luthier.shrink.spec import SubNetSpec

WIDTH, DEPTH, HEADS, GROUPS, HEAD, INTER, WORDS = 48, 3, 6, 3, 8, 40, 97
LAYER = {
    "input_layernorm": (WIDTH,),
    "self_attn.q_proj": (HEADS * HEAD, WIDTH),
    "self_attn.k_proj": (GROUPS * HEAD, WIDTH),
    "self_attn.v_proj": (GROUPS * HEAD, WIDTH),
    "self_attn.o_proj": (WIDTH, HEADS * HEAD),
    "post_attention_layernorm": (WIDTH,),
    "mlp.gate_proj": (INTER, WIDTH),
    "mlp.up_proj": (INTER, WIDTH),
    "mlp.down_proj": (WIDTH, INTER),
}


def net(*, tied, family=FAMILY, more=None):
    """The layout of such a model, from names and shapes."""
    shapes = {"model.embed_tokens.weight": (WORDS, WIDTH), "model.norm.weight": (WIDTH,)}
    layer = {**LAYER, **(more or {})}
    shapes |= {f"model.layers.{i}.{part}.weight": shape for i in range(DEPTH) for part, shape in layer.items()}
    parameters = {name: SimpleNamespace(shape=shape) for name, shape in shapes.items()}
    table = parameters["model.embed_tokens.weight"]
    parameters["lm_head.weight"] = table if tied else SimpleNamespace(shape=(WORDS, WIDTH))
    config = SimpleNamespace(
        hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS,
        num_key_value_heads=GROUPS, head_dim=HEAD, intermediate_size=INTER,
    )  # fmt: skip
    model = SimpleNamespace(
        config=config, model=None, named_parameters=lambda remove_duplicate=True: parameters.items()
    )
    return read(model, family)


ATTENTION = 48 * 48 + 2 * 24 * 48 + 48 * 48  # queries, keys and values, output
MLP = 3 * 48 * 40


@pytest.mark.parametrize("tied", [True, False])
def test_the_whole_by_hand(tied):
    costs = CostModel(net(tied=tied), bytes_each=2)
    found = costs.cost(SubNetSpec.of(48, [0, 1, 2], [(3, 2, 40)] * 3), tokens=10)
    assert found.non_embedding == 3 * (ATTENTION + MLP + 2 * 48) + 48 + (0 if tied else 97 * 48)
    assert found.parameters == found.non_embedding + 97 * 48
    # the head is applied whether it is tied or not; each token meets ten, in two products of six heads of 8
    assert found.macs == 97 * 48 + 3 * (ATTENTION + MLP) + 3 * 2 * 10 * 48
    assert found.cache_bytes == 3 * 2 * (3 * 8) * 2  # layers, keys and values, groups of 8, bytes


def test_layers_of_their_own_by_hand():
    """One key/value head with one query; no attention and one neuron; two groups, and no feed-forward."""
    costs = CostModel(net(tied=True))
    found = costs.cost(SubNetSpec.of(32, [0, 1, 2], [(1, 1, 16), (0, 0, 1), (2, 2, 0)]), tokens=10)
    first = (8 * 32 + 2 * 8 * 32 + 32 * 8) + 3 * 32 * 16
    second = 3 * 32 * 1
    third = 32 * 32 + 2 * 16 * 32 + 32 * 32
    assert found.parameters == 97 * 32 + 32 + (first + 2 * 32) + (second + 32) + (third + 32)
    assert found.macs == 97 * 32 + first + second + third + 2 * 10 * (8 + 32)
    assert found.cache_bytes == 2 * 8 * 4 * (1 + 0 + 2)


def test_a_matrix_that_no_axis_cuts_goes_with_its_sub_layer():
    """A width-by-width matrix in both sub-layers: one layer has the first alone, one the second."""
    family = replace(
        FAMILY,
        attention={**FAMILY.attention, "self_attn.mix": "linear width width"},
        mlp={**FAMILY.mlp, "mlp.mix": "linear width width"},
    )
    more = {"self_attn.mix": (WIDTH, WIDTH), "mlp.mix": (WIDTH, WIDTH)}
    costs = CostModel(net(tied=True, family=family, more=more))
    first, second = SubNetSpec.of(32, [0], [(1, 1, 0)]), SubNetSpec.of(32, [0], [(0, 0, 1)])
    assert costs.cost(first, tokens=1).macs == 97 * 32 + 4 * 8 * 32 + 32 * 32 + 2 * 8
    assert costs.cost(second, tokens=1).macs == 97 * 32 + 3 * 32 + 32 * 32
    assert costs.cost(second).parameters == 97 * 32 + 32 + 3 * 32 + 32 * 32 + 32


def test_many_at_once_are_those_one_by_one():
    costs = CostModel(net(tied=False))
    some = [SubNetSpec.of(32, [0, 2], [(2, 1, 8), (1, 1, 24)]), SubNetSpec.of(48, [1], [(3, 2, 40)])]
    together = costs.arrays(some)
    assert costs.parameters(together).tolist() == [costs.cost(one).parameters for one in some]
    assert costs.macs(together, 16).tolist() == [costs.cost(one, tokens=16).macs for one in some]
