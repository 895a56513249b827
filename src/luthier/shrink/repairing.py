"""Before any training: new output matrices, by least squares, that make up for what was cut."""

from __future__ import annotations

from typing import Any

from luthier.base.checks import check
from luthier.shrink._shell import keeps, kept_heads
from luthier.shrink._torch import torch
from luthier.shrink.importance import Moments, columns, projection
from luthier.shrink.oracle import output_path
from luthier.shrink.spec import LayerSpec, SubNetSpec
from luthier.shrink.supernet import SuperNet

RIDGE = 1e-4  # of the mean variance: activations that move together make the equations singular


def repair(net: SuperNet, spec: SubNetSpec, child: Any, moments: Moments, *, ridge: float = RIDGE) -> Any:
    """Refit the output projections of a child's sub-layers, so that they say what the whole ones said.

    With C the second moments of what enters a projection W in the whole model and K the units kept, the new matrix is
    W C[:, K] (C[K, K] + ridge)^-1: the least-squares answer to W x from x_K. Where there is a bias, moments are
    centred and the bias takes up the means.

    Args:
        net: The super-network.
        spec: What the child is of it.
        child: The extracted model; it is changed in place.
        moments: Of the whole model, on calibration data.
        ridge: Added to the diagonal, as a share of its mean.

    Returns:
        The child.

    Source: SlimLLM (2025), linear repair of output matrices, by abstract; least squares as usual.
    Differs: from moments of the whole model only; a child whose earlier layers were cut sees other activations.
    Cost: a solve of the size kept for each sub-layer.
    """
    check("ridge", ridge, above=0)
    from luthier.nets.families import family_of

    family = family_of(child.config)
    prefix = net.layout.trunk
    with torch.no_grad():
        for place, (layer, one) in enumerate(zip(spec.layers, spec.per_layer, strict=True)):
            path = f"{family.layers}.{place}"
            block = child.get_submodule(f"{prefix}.{path}" if prefix else path)
            for part, table in (("attention", family.attention), ("mlp", family.mlp)):
                if keeps(one, part):
                    module = block.get_submodule(output_path(table))
                    _refit(net, layer, part, one, module, moments, ridge, spec.width)
    return child


def _refit(
    net: SuperNet, layer: int, part: str, one: LayerSpec, module: Any, moments: Moments, ridge: float, width: int
) -> None:
    kept = _kept(net, one, part)
    second, mean = moments.second[layer, part], moments.mean[layer, part]
    whole = projection(net, layer, part)
    weight = columns(whole).double()[:width]
    biased = getattr(whole, "bias", None) is not None
    if biased:
        second = second - torch.outer(mean, mean)
    if len(kept) == len(mean):
        return
    inner = second[kept][:, kept]
    level = ridge * inner.diagonal().mean().clamp_min(1e-12)
    inner = inner + level * torch.eye(len(kept), dtype=inner.dtype, device=inner.device)
    # what is kept stays as it was, plus what it tells about what is gone: the ridge then pulls to "unchanged"
    gone = torch.tensor(sorted(set(range(len(mean))) - set(kept.tolist())))
    shift = torch.linalg.solve(inner, second[kept][:, gone]).T  # (gone, kept)
    new = weight[:, kept] + weight[:, gone] @ shift
    target = module.weight
    target.copy_((new.T if hasattr(module, "nf") else new).to(target))
    if biased:
        module.bias.add_((weight[:, gone] @ (mean[gone] - shift @ mean[kept])).to(module.bias))


def _kept(net: SuperNet, one: LayerSpec, part: str) -> Any:
    if part == "mlp":
        return torch.tensor(list(range(one.inter)) if isinstance(one.inter, int) else list(one.inter))
    heads = torch.tensor(kept_heads(one, net.sizes.queries))
    size = net.sizes.head_dim
    return (heads[:, None] * size + torch.arange(size)[None, :]).flatten()
