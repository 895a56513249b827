"""What a sub-network costs, in closed form: parameters, multiply-adds, key/value cache, memory. No model is built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from luthier.nets.families import ELASTIC, Layout
from luthier.shrink.spec import SubNetSpec, count

Whole = NDArray[np.int64]
BYTES_TRAINED = 16  # weights, gradient and two moments of AdamW in single precision


@dataclass(frozen=True)
class Cost:
    """What one sub-network costs.

    Args:
        parameters: All parameters, tied ones once.
        non_embedding: Without token, position and type tables (a tied output head counts as one of these).
        macs: Multiply-adds of a forward pass for one token, in a sequence of `tokens`; two of them are 2 FLOPs each.
        cache_bytes: Of keys and values of one token, for decoders.
        weight_bytes: Of the weights.
        train_bytes: Of weights, gradients and AdamW's moments.
        tokens: Length of the sequence.
    """

    parameters: int
    non_embedding: int
    macs: float
    cache_bytes: int
    weight_bytes: int
    train_bytes: int
    tokens: int

    @property
    def flops(self) -> float:
        """Floating-point operations of a forward pass, per token."""
        return 2.0 * self.macs


@dataclass(frozen=True)
class SpecArrays:
    """Many specifications as arrays, layers that are left out with zeros.

    Args:
        width: (n,) channels.
        groups: (n, depth) key/value heads kept; 0 without attention.
        queries: (n, depth) query heads of each group.
        inter: (n, depth) neurons.
    """

    width: Whole
    groups: Whole
    queries: Whole
    inter: Whole

    @classmethod
    def of(cls, specs: Sequence[SubNetSpec], depth: int) -> SpecArrays:
        """From specifications."""
        width = np.array([spec.width for spec in specs], dtype=np.int64)
        parts = np.zeros((3, len(specs), depth), dtype=np.int64)
        for i, spec in enumerate(specs):
            for layer, one in zip(spec.layers, spec.per_layer, strict=True):
                parts[:, i, layer] = count(one.groups), count(one.queries), count(one.inter)
        return cls(width, *parts)


class CostModel:
    """Closed forms of one super-network.

    Args:
        layout: What its parameters are.
        bytes_each: Bytes of one weight.

    Source: sums over the shapes of the layout. A parameter's size is the product of its dimensions' lengths.
    Differs: nothing; each tied parameter is counted once, norms that all heads share once.
    Cost: O(depth) a specification, vectorised over specifications.
    """

    def __init__(self, layout: Layout, *, bytes_each: int = 4) -> None:
        self._layout, self._bytes = layout, bytes_each
        # dimensions that can be cut -> how often, times the lengths of the fixed ones
        self._outside: Counter[tuple[str, ...]] = Counter()
        self._tables: Counter[tuple[str, ...]] = Counter()
        self._applied: Counter[tuple[str, ...]] = Counter()  # matrices outside of layers, per token
        self._layer: dict[str, Counter[tuple[str, ...]]] = {"attention": Counter(), "mlp": Counter()}
        pooled = ("pooler", "classifier", "pre_classifier", "score")  # once a sequence, or no more than a few rows
        for entry in layout.entries.values():
            dims = tuple(d for d in entry.dims if d in ELASTIC)
            fixed = int(np.prod([s for s, d in zip(entry.shape, entry.dims, strict=True) if d not in ELASTIC]))
            table = entry.part == "trunk" and entry.dims[0] in ("vocabulary", "positions", "types")
            if entry.tied is None and entry.layer is None:
                (self._tables if table else self._outside)[dims] += fixed
            elif entry.tied is None and entry.layer == 0:
                self._layer[entry.part][dims] += fixed
            matrix = len(entry.dims) == 2 and entry.layer is None and not table
            if matrix and not any(word in entry.inside.split(".") for word in pooled):
                self._applied[dims] += fixed

    def arrays(self, specs: Sequence[SubNetSpec]) -> SpecArrays:
        """Specifications as arrays."""
        return SpecArrays.of(specs, self._layout.sizes.depth)

    def parameters(self, specs: SpecArrays, *, embedding: bool = True) -> Whole:
        """Number of parameters.

        Args:
            specs: (n) specifications.
            embedding: Count the tables too.

        Returns:
            (n,) numbers.
        """
        lengths = self._lengths(specs)
        total = _sum(self._outside, {"width": specs.width})
        if embedding:
            total = total + _sum(self._tables, {"width": specs.width})
        for part, kept in (("attention", specs.groups > 0), ("mlp", specs.inter > 0)):
            total = total + (np.asarray(_sum(self._layer[part], lengths)) * kept).sum(axis=1)
        return np.asarray(total, dtype=np.int64)

    def macs(self, specs: SpecArrays, tokens: int) -> NDArray[np.float64]:
        """Multiply-adds of a forward pass per token, in a sequence of `tokens`; (n,).

        Matrices, the output head included, and attention's two products. Scores that a causal mask hides are counted,
        as usual kernels outside of special hardware compute them.
        """
        lengths = self._lengths(specs)
        matrices: dict[str, Counter[tuple[str, ...]]] = {
            part: Counter({d: n for d, n in terms.items() if len(d) == 2}) for part, terms in self._layer.items()
        }
        total = np.asarray(_sum(self._applied, {"width": specs.width}), dtype=float)
        for part, kept in (("attention", specs.groups > 0), ("mlp", specs.inter > 0)):
            total = total + (np.asarray(_sum(matrices[part], lengths)) * kept).sum(axis=1)
        found: NDArray[np.float64] = total + 2.0 * tokens * lengths["query"].sum(axis=1)
        return found

    def cache_bytes(self, specs: SpecArrays) -> Whole:
        """Bytes of keys and values of one token; (n,)."""
        return np.asarray(2 * self._layout.sizes.head_dim * self._bytes * specs.groups.sum(axis=1), dtype=np.int64)

    def cost(self, spec: SubNetSpec, tokens: int = 128) -> Cost:
        """Everything on one specification."""
        one = self.arrays([spec])
        parameters = int(self.parameters(one)[0])
        return Cost(
            parameters=parameters,
            non_embedding=int(self.parameters(one, embedding=False)[0]),
            macs=float(self.macs(one, tokens)[0]),
            cache_bytes=int(self.cache_bytes(one)[0]) if self._layout.family.causal else 0,
            weight_bytes=parameters * self._bytes,
            train_bytes=parameters * BYTES_TRAINED,
            tokens=tokens,
        )

    def _lengths(self, specs: SpecArrays) -> dict[str, Whole]:
        """Lengths of dimensions; (n, depth), and (n, 1) for the width."""
        head = self._layout.sizes.head_dim
        query = specs.groups * specs.queries * head
        return {
            "width": specs.width[:, None],
            "query": query,
            "group": specs.groups * head,
            "inter": specs.inter,
            "blocked": 3 * query,
            "interleaved": 3 * query,
        }


def _sum(terms: Counter[tuple[str, ...]], lengths: dict[str, Whole]) -> Whole:
    total: Whole = np.zeros((), dtype=np.int64)
    for dims, fixed in terms.items():
        term = np.full((), fixed, dtype=np.int64)
        for dim in dims:
            term = term * lengths[dim]
        total = total + term
    return total
