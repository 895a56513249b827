"""Closed forms of what a sub-network costs, counted by hand on a small Llama that is never built. Needs no torch."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from luthier.nets.families import layout
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


def net(*, tied):
    """The layout of such a model, from names and shapes."""
    shapes = {"model.embed_tokens.weight": (WORDS, WIDTH), "model.norm.weight": (WIDTH,)}
    shapes |= {f"model.layers.{i}.{part}.weight": shape for i in range(DEPTH) for part, shape in LAYER.items()}
    parameters = {name: SimpleNamespace(shape=shape) for name, shape in shapes.items()}
    table = parameters["model.embed_tokens.weight"]
    parameters["lm_head.weight"] = table if tied else SimpleNamespace(shape=(WORDS, WIDTH))
    config = SimpleNamespace(
        model_type="llama", hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS,
        num_key_value_heads=GROUPS, head_dim=HEAD, intermediate_size=INTER,
    )  # fmt: skip
    model = SimpleNamespace(
        config=config, model=None, named_parameters=lambda remove_duplicate=True: parameters.items()
    )
    return layout(model)


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


def test_many_at_once_are_those_one_by_one():
    costs = CostModel(net(tied=False))
    some = [SubNetSpec.of(32, [0, 2], [(2, 1, 8), (1, 1, 24)]), SubNetSpec.of(48, [1], [(3, 2, 40)])]
    together = costs.arrays(some)
    assert costs.parameters(together).tolist() == [costs.cost(one).parameters for one in some]
    assert costs.macs(together, 16).tolist() == [costs.cost(one, tokens=16).macs for one in some]
