"""The oracle: a sub-network computed by the whole model with masks, slowly and by another way than slicing.

Units that are not kept are zeroed where they enter a projection; norms take their statistics over the channels kept;
sub-layers and layers that are left out give their input back. Nothing is cut, so it saves no time: it is what slices
and extracted models are checked against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from luthier.shrink._shell import keeps, kept_heads
from luthier.shrink._torch import nn, torch
from luthier.shrink.spec import LayerSpec, SubNetSpec
from luthier.shrink.supernet import SuperNet


@contextmanager
def masked(net: SuperNet, spec: SubNetSpec) -> Iterator[nn.Module]:
    """The whole model, computing what a sub-network computes (in evaluation mode; not for other threads).

    Args:
        net: The super-network.
        spec: Which sub-network.

    Raises:
        ArgumentError: it is not one of this model, or adapters are on.
    """
    spec.check(net.sizes)
    net.plain("masked")
    with ExitStack() as undo:
        for handle in _handles(net, spec):
            undo.callback(handle.remove)
        yield net.model


def _handles(net: SuperNet, spec: SubNetSpec) -> Iterator[Any]:
    model, layout = net.model, net.layout
    width = torch.zeros(net.sizes.width)
    width[: spec.width] = 1
    for entry in layout.entries.values():
        module = model.get_submodule(entry.module)
        if not entry.name.endswith(".weight"):
            continue
        if entry.dims == ("width",):
            yield module.register_forward_hook(_norm(width))
        elif "width" in entry.dims and _writes_width(entry.dims, module):
            yield module.register_forward_hook(_mask_output(width))
    for layer in range(net.sizes.depth):
        block = model.get_submodule(layout.layer_path(layer))
        if layer not in spec.layers:
            yield block.register_forward_hook(_same, with_kwargs=True)
            continue
        yield from _layer_handles(net, block, spec.per_layer[spec.layers.index(layer)])


def _layer_handles(net: SuperNet, block: nn.Module, one: LayerSpec) -> Iterator[Any]:
    family, sizes = net.layout.family, net.sizes
    heads = torch.zeros(sizes.heads)
    heads[kept_heads(one, sizes.queries)] = 1
    inter = torch.zeros(sizes.inter)
    inter[list(range(one.inter)) if isinstance(one.inter, int) else list(one.inter)] = 1
    for part, table, mask in (
        ("attention", family.attention, heads.repeat_interleave(sizes.head_dim)),
        ("mlp", family.mlp, inter),
    ):
        if keeps(one, part):
            yield block.get_submodule(output_path(table)).register_forward_pre_hook(_mask_input(mask))
            continue
        for path, word in (family.without_attention if part == "attention" else family.without_mlp).items():
            if word == "same" and path not in table:
                continue  # what it feeds is replaced too, and could not take another width
            yield block.get_submodule(path).register_forward_hook(_stand_in(word), with_kwargs=True)


def output_path(table: Any) -> str:
    """Path in a layer of the projection that ends a sub-layer."""
    ends = ("linear width query", "conv1d query width", "linear width inter", "conv1d inter width")
    return next(str(path) for path, text in table.items() if text in ends)


def _writes_width(dims: tuple[str, ...], module: nn.Module) -> bool:
    """Whether a module's output is channels of the stream."""
    transposed = hasattr(module, "nf") or isinstance(module, nn.Embedding)
    return dims[-1 if transposed else 0] == "width"


def _mask_output(mask: torch.Tensor) -> Callable[..., Any]:
    return lambda module, given, out: out * mask.to(out)


def _mask_input(mask: torch.Tensor) -> Callable[..., Any]:
    return lambda module, given: (given[0] * mask.to(given[0]), *given[1:])


def _same(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any], out: Any) -> Any:
    return given[0] if given else named["hidden_states"]


def _stand_in(word: str) -> Callable[..., Any]:
    def hook(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any], out: Any) -> Any:
        x = given[0] if given else named["hidden_states"]
        if word == "second":
            return given[1]
        x = torch.zeros_like(x) if word.startswith("nothing") else x
        return (x, None) if word.endswith("-pair") else x

    return hook


def _norm(mask: torch.Tensor) -> Callable[..., Any]:
    """A norm's output anew, with statistics over the channels that the mask keeps."""

    def hook(module: nn.Module, given: tuple[Any, ...], out: Any) -> Any:
        x, keep = given[0].float(), mask.to(given[0].device)
        n = keep.sum()
        weight = module.weight
        centre = isinstance(module, nn.LayerNorm)
        eps = module.eps if centre else module.variance_epsilon
        mean = (x * keep).sum(-1, keepdim=True) / n if centre else torch.zeros_like(x[..., :1])
        variance = (((x - mean) * keep) ** 2).sum(-1, keepdim=True) / n
        found = (x - mean) / torch.sqrt(variance + eps) * weight
        if centre and module.bias is not None:
            found = found + module.bias
        return (found * keep).to(out.dtype)

    return hook
