"""Low-rank adapters on a super-network: the weights stay, small factors learn, and both are sliced together.

    lora = Lora(net, rank=8)
    train(net, space, data, peft=lora)
    lora.merge()

A weight W gets scale * left @ right. Slicing commutes with the product, so a sub-network takes rows of `left` and
columns of `right` where it takes rows and columns of W; fused matrices need nothing of their own.
"""

from __future__ import annotations

from typing import Any

from luthier.base.checks import check
from luthier.shrink._torch import nn, torch
from luthier.shrink.supernet import SuperNet


class Lora(nn.Module):
    """Adapters on every matrix of every layer; norms learn too, tables do not.

    Args:
        net: The super-network; its own parameters, but those of norms, stop learning until `merge` or `remove`.
        rank: Of each product (8: convention).
        alpha: Strength; the product is multiplied by alpha / rank (16: convention).
        heads: Let parameters outside of the trunk (a classifier) learn too.
        seed: Of the right factors; the left ones are zero, so nothing changes at the start.

    While they are on, `net(...)` and `net.active(...)` compute with them and `net.model(...)` without; what works on
    the weights alone (cutting out, permuting, ranking, masks) is refused until `merge` or `remove`.

    Raises:
        ArgumentError: numbers out of range, or the super-network has adapters already.

    Source: Hu et al. 2021 (LoRA); on a super-network as in whittle before its removal (code).
    Differs: adapters on all matrices of the layers, fused ones included.
    Cost: rank * (rows + columns) parameters a matrix.
    """

    def __init__(self, net: SuperNet, *, rank: int = 8, alpha: float = 16.0, heads: bool = True, seed: int = 0) -> None:
        super().__init__()
        rank = check("rank", rank, at_least=1, whole=True)
        check("alpha", alpha, above=0)
        net.plain("Lora")
        self._net = [net]  # in a list, so that its parameters are not this module's
        self.settings = {"rank": rank, "alpha": float(alpha), "heads": heads, "seed": seed}
        self.scale = alpha / rank
        self.left, self.right = nn.ParameterDict(), nn.ParameterDict()
        self._learned = {name: p.requires_grad for name, p in net.model.named_parameters()}
        generator = torch.Generator().manual_seed(seed)
        for entry in net.layout.unique():
            parameter = net.model.get_parameter(entry.name)
            if entry.layer is not None and len(entry.dims) == 2:
                rows, columns = entry.shape
                key = entry.name.replace(".", "/")
                self.left[key] = nn.Parameter(torch.zeros(rows, rank, dtype=parameter.dtype, device=parameter.device))
                drawn = torch.randn(rank, columns, generator=generator) / columns**0.5
                self.right[key] = nn.Parameter(drawn.to(parameter))
            norm = entry.dims in (("width",), ("head",)) and entry.name.endswith("weight")
            parameter.requires_grad_(norm or (heads and entry.part == "head" and entry.tied is None))
        net.adapters = self

    @property
    def net(self) -> SuperNet:
        """The super-network."""
        return self._net[0]

    def delta(self, name: str, takes: Any) -> torch.Tensor | None:
        """What is added to a slice of a parameter; None where there is no adapter."""
        key = name.replace(".", "/")
        if key not in self.left:
            return None
        left, right = self.left[key], self.right[key]
        for dim, taken in takes:
            part = left if dim == 0 else right
            if isinstance(taken, int):
                part = part.narrow(dim, 0, taken)
            else:
                part = part.index_select(dim, taken.to(part.device))
            left, right = (part, right) if dim == 0 else (left, part)
        found: torch.Tensor = self.scale * (left @ right)
        return found

    def merge(self) -> SuperNet:
        """Add the products to the weights, and take the adapters away."""
        with torch.no_grad():
            for key in self.left:
                parameter = self.net.model.get_parameter(key.replace("/", "."))
                parameter.add_(self.scale * (self.left[key] @ self.right[key]))
        return self.remove()

    def remove(self) -> SuperNet:
        """Take the adapters away without adding them."""
        for name, parameter in self.net.model.named_parameters():
            parameter.requires_grad_(self._learned[name])
        self.net.adapters = None
        return self.net
