"""Milliseconds, measured: on models of their own, interleaved, and a predictor fitted to some of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls
from scipy.stats import kendalltau

from luthier.base.checks import check
from luthier.shrink._fits import check_length
from luthier.shrink._torch import torch
from luthier.shrink.extraction import cut
from luthier.shrink.spec import SubNetSpec, count
from luthier.shrink.supernet import SuperNet, cached

LEAST_TAU = 0.9  # below, predictions say too little of which sub-network is the faster one
RUNS, ROUNDS = 5, 3  # of each of the sub-networks that a predictor is fitted to, or that are measured in its place


@dataclass(frozen=True)
class Measured:
    """Times of one model.

    Args:
        median_ms: Of all runs.
        low_ms: Their lower quartile.
        high_ms: Their upper quartile.
        runs: How many.
        batch: Rows.
        tokens: Length.
        threads: That torch used.
        device: Where.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    runs: int
    batch: int
    tokens: int
    threads: int
    device: str


def measure(
    models: Sequence[Any],
    *,
    batch: int = 1,
    tokens: int = 128,
    runs: int = 10,
    rounds: int = 3,
    decode: bool = False,
    seed: int = 0,
) -> list[Measured]:
    """Time forward passes of several models in turns, so that a machine that slows down slows all of them.

    Args:
        models: Models of transformers, in evaluation mode.
        batch: Rows.
        tokens: Length of the input; with `decode`, of what the cache holds.
        runs: Passes of each model a round (10 times 3 rounds: 30 in all).
        rounds: Turns.
        decode: Time one further token with a cache in place of the whole input.
        seed: Of the tokens.

    Returns:
        One a model, in order.

    Raises:
        ArgumentError: numbers out of range, or more tokens than a model has positions.
    """
    batch, tokens, runs, rounds = (
        check(name, value, at_least=1, whole=True)
        for name, value in (("batch", batch), ("tokens", tokens), ("runs", runs), ("rounds", rounds))
    )
    for model in models:
        check_length(model, tokens, name="tokens", more=int(decode))
    generator = torch.Generator().manual_seed(seed)
    times: list[list[float]] = [[] for _ in models]
    for _turn in range(rounds):
        for place, model in enumerate(models):
            device = next(model.parameters()).device
            ids = torch.randint(0, model.config.vocab_size, (batch, tokens), generator=generator).to(device)
            with torch.no_grad():
                for run in range(runs + 2):  # two to warm up
                    seconds = _timed(model, ids, decode, device)
                    if run >= 2:
                        times[place].append(1000 * seconds)
    return [_summary(t, batch, tokens, str(next(m.parameters()).device)) for t, m in zip(times, models, strict=True)]


def _timed(model: Any, ids: Any, decode: bool, device: Any) -> float:
    more: dict[str, Any] = {}
    if decode:
        more = cached(model(ids, use_cache=True))
        ids = ids[:, -1:]
    _wait(device)
    begin = time.perf_counter()
    model(ids, **more)
    _wait(device)
    return time.perf_counter() - begin


def _wait(device: Any) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _summary(times: list[float], batch: int, tokens: int, device: str) -> Measured:
    low, middle, high = statistics.quantiles(times, n=4) if len(times) > 1 else (times[0],) * 3
    return Measured(middle, low, high, len(times), batch, tokens, torch.get_num_threads(), device)


class Latency:
    """Predicts milliseconds of a sub-network from a few measured ones.

    A pass takes a constant, and for each layer a constant and its multiply-adds, for attention and feed-forward by
    themselves; the rates are fitted by non-negative least squares. Where that ranks sub-networks that it was not fitted
    to too badly (`tau` below 0.9), each sub-network is measured instead when its milliseconds are asked for.

    Args:
        net: The super-network.
        rates: Of the features.
        tokens: Length of the input.
        batch: Rows.
        tau: Kendall's rank correlation on sub-networks that it was not fitted to; NaN if there were none.
        decode: Of one further token with a cache of that length.

    Source: the usual table of layers, summed; as a smooth one.
    Differs: rates in place of a table's cells, so that shapes never measured have a prediction too.
    Cost: some tens of forward passes to fit; measured, some more for each sub-network.
    """

    def __init__(
        self, net: SuperNet, rates: Any, *, tokens: int, batch: int, tau: float = float("nan"), decode: bool = False
    ) -> None:
        self.net, self.rates, self.tokens, self.batch, self.tau, self.decode = net, rates, tokens, batch, tau, decode
        self._measured: dict[SubNetSpec, float] = {}

    @classmethod
    def fitted(
        cls,
        net: SuperNet,
        specs: Sequence[SubNetSpec],
        *,
        held_out: Sequence[SubNetSpec] = (),
        batch: int = 1,
        tokens: int = 128,
        runs: int = RUNS,
        rounds: int = ROUNDS,
        decode: bool = False,
    ) -> Latency:
        """Measure extracted sub-networks, and fit.

        Args:
            net: The super-network.
            specs: To fit to; 20 to 40 of different shapes.
            held_out: To judge by.
            batch: Rows.
            tokens: Length.
            runs: Passes of each a round.
            rounds: Turns.
            decode: Of one further token with a cache of that length, in place of the whole input.
        """
        models = [cut(net, spec).eval() for spec in (*specs, *held_out)]
        measured = measure(models, batch=batch, tokens=tokens, runs=runs, rounds=rounds, decode=decode)
        times = [m.median_ms for m in measured]
        features = np.array([_features(net, spec, tokens) for spec in (*specs, *held_out)])
        weight = 1.0 / np.array(times)  # errors count as shares
        n = len(specs)
        scale = features[:n].max(axis=0).clip(1e-12)
        rates = nnls(features[:n] / scale * weight[:n, None], np.ones(n))[0] / scale
        tau = float("nan")
        if len(held_out) > 1:
            tau = float(np.nan_to_num(kendalltau(features[n:] @ rates, times[n:]).statistic))  # 0: all predicted alike
        return cls(net, rates, tokens=tokens, batch=batch, tau=tau, decode=decode)

    @property
    def predicts(self) -> bool:
        """Whether milliseconds are predicted; else they are measured."""
        return not self.tau < LEAST_TAU  # NaN: nothing says that it should not be trusted

    def __call__(self, spec: SubNetSpec) -> float:
        """Milliseconds: predicted, or measured once where predictions are too bad."""
        if self.predicts:
            return self.predicted(spec)
        if spec not in self._measured:
            shape: dict[str, Any] = {"batch": self.batch, "tokens": self.tokens, "decode": self.decode}
            [found] = measure([cut(self.net, spec).eval()], runs=RUNS, rounds=ROUNDS, **shape)
            self._measured[spec] = found.median_ms
        return self._measured[spec]

    def predicted(self, spec: SubNetSpec) -> float:
        """Milliseconds by the rates, whatever they are worth."""
        return float(_features(self.net, spec, self.tokens) @ self.rates)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        shape = {"tokens": self.tokens, "batch": self.batch, "decode": self.decode}
        return {"rates": list(map(float, self.rates)), **shape, "tau": self.tau}

    @classmethod
    def from_json(cls, net: SuperNet, data: Mapping[str, Any]) -> Latency:
        """From plain data."""
        shape: dict[str, Any] = {"tokens": data["tokens"], "batch": data["batch"], "decode": data.get("decode", False)}
        return cls(net, np.array(data["rates"]), tau=data["tau"], **shape)


def _features(net: SuperNet, spec: SubNetSpec, tokens: int) -> Any:
    """(6,): one, the width, sub-layers of each kind, their multiply-adds."""
    head, width = net.sizes.head_dim, spec.width
    gates = 3 if any(name.endswith("gate_proj") for name in net.layout.family.mlp) else 2
    kinds = [0.0, 0.0, 0.0, 0.0]
    for one in spec.per_layer:
        groups, query = count(one.groups) * head, one.heads * head
        if query:
            kinds[0] += 1
            kinds[2] += width * (2 * query + 2 * groups) + 2 * tokens * query
        if count(one.inter):
            kinds[1] += 1
            kinds[3] += gates * width * count(one.inter)
    return np.array([1.0, width, *kinds])
