"""Whether an extracted model computes what its sub-network does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from luthier.base.errors import ArgumentError, LuthierError
from luthier.shrink._torch import nn, torch
from luthier.shrink.cost import CostModel
from luthier.shrink.oracle import masked
from luthier.shrink.spec import SubNetSpec
from luthier.shrink.supernet import SuperNet, apart, counted, evaluating, half, inputs, output, placed

#: Shares of the largest output: single precision rounds by some 1e-6 here, 16 bits by some 1e-2.
SINGLE, HALF = 1e-5, 2e-2


class ParityError(LuthierError):
    """An extracted model does not compute what its sub-network does.

    Args:
        parity: What was measured.
    """

    def __init__(self, parity: Parity) -> None:
        super().__init__(
            f"the extracted model differs from its sub-network: {parity}. Allowed: at most {parity.tolerance:g} of the "
            "largest output, and equal numbers of parameters. Was it trained since, or is it of another specification?"
        )
        self.parity = parity


@dataclass(frozen=True)
class Parity:
    """Differences, as shares of the largest output; infinite where a number is not finite.

    Args:
        masked: Between the whole model with masks and the slices.
        extracted: Between the slices and the extracted model.
        parameters: Parameters of the extracted model.
        counted: The same in closed form.
        tolerance: What was allowed.
    """

    masked: float
    extracted: float
    parameters: int
    counted: int
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether everything agrees."""
        return max(self.masked, self.extracted) <= self.tolerance and self.parameters == self.counted

    def __str__(self) -> str:
        return (
            f"masked against sliced {self.masked:.1e}, sliced against extracted {self.extracted:.1e}, "
            f"{self.parameters:,} parameters ({self.counted:,} by formula)"
        )


def verify(
    net: SuperNet,
    spec: SubNetSpec,
    child: nn.Module,
    batches: Sequence[Mapping[str, Any]],
    *,
    tolerance: float | None = None,
) -> Parity:
    """Compare three ways to compute a sub-network: masks, slices, the extracted model.

    Args:
        net: The super-network.
        spec: The sub-network.
        child: The extracted model.
        batches: Inputs, at least one; padded places do not count.
        tolerance: Largest difference allowed, as a share of the largest output. None: 1e-5, in half precision 2e-2.

    Raises:
        ParityError: they differ, or one of them computes what is no finite number.
        ArgumentError: no inputs, or adapters are on.
    """
    if not len(batches):
        raise ArgumentError("batches: none, which would let everything pass. Allowed: one or more, as data.search[:2].")
    bar = tolerance if tolerance is not None else HALF if half(net.model, child) else SINGLE
    worst = [0.0, 0.0]
    with evaluating(net.model), evaluating(child), torch.no_grad():
        for batch in batches:
            given = placed(inputs(batch), net.model)
            with net.active(spec) as sliced:
                reference = output(sliced(**given))
            with masked(net, spec) as whole:
                by_masks = output(whole(**given))
            by_child = output(child(**given))
            for place, other in enumerate((_cut(by_masks, reference), by_child)):
                worst[place] = max(worst[place], apart(counted(other, given), counted(reference, given)))
    costs = CostModel(net.layout)
    closed = int(costs.parameters(costs.arrays([spec]))[0])
    parity = Parity(worst[0], worst[1], sum(p.numel() for p in child.parameters()), closed, bar)
    if not parity.ok:
        raise ParityError(parity)
    return parity


def _cut(full: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Of hidden states of the whole model, the channels that the sub-network has."""
    return full[..., : reference.shape[-1]]
