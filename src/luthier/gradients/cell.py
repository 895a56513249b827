"""A small cell of an image network, whose operations are weighed by gradients and then chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.gradients._tree import WHAT, Tensor, Tensors, torch_for

OPERATIONS = ("none", "skip", "conv3", "conv1", "pool3")


class Cell:
    """A network of one cell: a convolution, nodes that sum what their edges bring, means over quarters, a linear layer.

    An edge leads from each earlier node to each later one, and carries a mixture of operations, weighed by the softmax
    of a row of the architecture; `derive` takes the strongest and `chosen` turns that into weights of 0 and 1.

    Args:
        nodes: Nodes after the first; 2 have three edges.
        channels: Width.
        classes: Outputs.
        operations: Out of "none", "skip", "conv3" (3 x 3 and relu), "conv1" (1 x 1 and relu), "pool3" (mean of 3 x 3).

    Source: Liu, Simonyan and Yang 2019 (DARTS), section 2.1.
    Differs: one cell instead of a stack; few operations; no batch normalisation, so that a step is a pure function;
        every edge stays, only its operation is chosen.
    Cost: a forward pass takes all operations of all edges.
    """

    def __init__(
        self, *, nodes: int = 2, channels: int = 8, classes: int = 10, operations: tuple[str, ...] = OPERATIONS
    ) -> None:
        nodes = check("nodes", nodes, at_least=1, whole=True)
        channels = check("channels", channels, at_least=1, whole=True)
        classes = check("classes", classes, at_least=2, whole=True)
        for operation in operations:
            check("operations", operation, one_of=OPERATIONS)
        if len(set(operations)) < max(2, len(operations)):
            raise ArgumentError(f"operations={operations!r}. Allowed: two or more, each once.")
        self.nodes, self.channels, self.classes, self.operations = nodes, channels, classes, tuple(operations)
        self.edges = [(a, b) for b in range(1, nodes + 1) for a in range(b)]

    def architecture(self) -> Tensors:
        """The first weights of the operations, all alike: {"edges": (edges, operations)}."""
        return {"edges": torch_for(WHAT).zeros(len(self.edges), len(self.operations))}

    def start(self, seed: int = 0) -> Tensors:
        """Random parameters (He scale), decided by the seed."""
        torch = torch_for(WHAT)
        generator, c = torch.Generator().manual_seed(seed), self.channels

        def weights(*shape: int, fan: int) -> Tensor:
            return torch.randn(shape, generator=generator) * (2.0 / fan) ** 0.5

        found = {"stem": weights(c, 1, 3, 3, fan=9), "head": weights(self.classes, 4 * c, fan=8 * c)}
        found["bias"] = torch.zeros(self.classes)
        for a, b in self.edges:
            for operation, width in (("conv3", 3), ("conv1", 1)):
                if operation in self.operations:
                    found[f"{operation}.{a}.{b}"] = weights(c, c, width, width, fan=c * width**2)
        return found

    def logits(self, params: Tensors, hyper: Tensors, images: Tensor) -> Tensor:
        """Class scores of images; (n, 1, height, width) -> (n, classes)."""
        torch = torch_for(WHAT)
        mixture = hyper["chosen"] if "chosen" in hyper else torch.softmax(hyper["edges"], dim=1)
        nodes = [torch.relu(torch.nn.functional.conv2d(images, params["stem"], padding=1))]
        for b in range(1, self.nodes + 1):
            parts = [
                self._mixed(params, mixture[place], nodes[a], f"{a}.{b}")
                for place, (a, to) in enumerate(self.edges)
                if to == b
            ]
            nodes.append(sum(parts[1:], parts[0]))
        pooled = torch.nn.functional.adaptive_avg_pool2d(sum(nodes[1:], nodes[0]), 2).flatten(1)  # quarters
        return pooled @ params["head"].T + params["bias"]

    def _mixed(self, params: Tensors, weights: Tensor, x: Tensor, edge: str) -> Tensor:
        nn = torch_for(WHAT).nn.functional
        do: dict[str, Callable[[], Any]] = {
            "none": lambda: 0.0 * x,
            "skip": lambda: x,
            "conv3": lambda: nn.relu(nn.conv2d(x, params[f"conv3.{edge}"], padding=1)),
            "conv1": lambda: nn.relu(nn.conv2d(x, params[f"conv1.{edge}"])),
            "pool3": lambda: nn.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False),
        }
        parts = [weights[place] * do[operation]() for place, operation in enumerate(self.operations)]
        return sum(parts[1:], parts[0])

    def derive(self, hyper: Tensors) -> dict[tuple[int, int], str]:
        """The strongest operation of each edge; "none" is left out, as others can make up for its weight."""
        real = [place for place, operation in enumerate(self.operations) if operation != "none"]
        strengths = hyper["edges"][:, real].argmax(dim=1)
        return {edge: self.operations[real[int(place)]] for edge, place in zip(self.edges, strengths, strict=True)}

    def chosen(self, operations: dict[tuple[int, int], str]) -> Tensors:
        """Weights of 0 and 1, with which the cell is the chosen network: {"chosen": (edges, operations)}."""
        torch = torch_for(WHAT)
        index = [self.operations.index(operations[edge]) for edge in self.edges]
        one: Tensor = torch.nn.functional.one_hot(torch.tensor(index), len(self.operations))
        return {"chosen": one.to(torch.get_default_dtype())}
