"""Checks before a run: can the steps be differentiated, do they contract, and which method that speaks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from luthier.base.checks import check
from luthier.gradients._tree import (
    WHAT,
    Tensor,
    Tensors,
    Tree,
    dot,
    entries,
    finite,
    noise,
    norm,
    plus,
    times,
    torch_for,
    zeros,
)
from luthier.gradients.method import check_hyper
from luthier.gradients.problem import Bilevel

AGREES = 0.05  # relative difference of a derivative and a finite difference: more, and a part of the step is cut off
NAMES = 50  # hyperparameters that are looked at one by one, of two steps each; more would take long
LEFT = 0.001  # share of an early influence that is left at the end, below which the end has forgotten the beginning


@dataclass(frozen=True)
class Examination:
    """What was seen before a run.

    Args:
        steps: Training steps.
        parameters: Numbers that are trained.
        hyperparameters: Numbers that are tuned.
        repeatable: Whether the same step twice gives the same.
        diverged: Whether training ended in numbers that are not finite.
        mismatch: Relative difference between derivatives of a step and finite differences, the largest of those by
            parameters and by each hyperparameter.
        by: The one that has it.
        influence: Whether a step or the validation loss depends on the hyperparameters at all.
        contraction: Factor by which a step shrinks a small difference of parameters at the end of training.
        unrest: Length of one more step, relative to the first.
    """

    steps: int
    parameters: int
    hyperparameters: int
    repeatable: bool
    diverged: bool
    mismatch: float
    by: str
    influence: bool
    contraction: float
    unrest: float

    @property
    def differentiable(self) -> bool:
        """Whether derivatives agree with finite differences."""
        return self.mismatch <= AGREES

    @property
    def contracting(self) -> bool:
        """Whether steps bring near parameters nearer."""
        return self.contraction < 1.0

    @property
    def problems(self) -> list[str]:
        """What speaks against a run; empty: nothing."""
        found = []
        if not self.repeatable:
            found.append(
                "the same step twice gives different results: draw by the step's number (batches=) and fix dropout"
            )
        if self.diverged:
            found.append("training diverges at the first hyperparameters: begin with a lower learning rate")
        elif not self.differentiable:
            found.append(
                f"derivatives of a step by {self.by} differ from finite differences by {self.mismatch:.1g}: look for "
                "item(), detach(), no_grad(), argmax or rounding in it"
            )
        if not self.influence:
            found.append("neither a step nor the validation loss depends on the hyperparameters")
        return found

    @property
    def advice(self) -> str:
        """The method that what was seen speaks for."""
        few = self.hyperparameters <= 10
        if self.contracting and self.unrest <= 1e-3:
            return "implicit-cg (training comes to rest)"
        if few and self.parameters * self.hyperparameters <= 10**6:
            return "forward (few hyperparameters) or reverse"
        return "reverse, or reverse-sqrt where its memory is short"

    def __str__(self) -> str:
        forgets = ""
        if self.contracting and self.contraction > 0:
            forgets = f"; after {math.ceil(math.log(LEFT) / math.log(self.contraction))} steps {LEFT:g} is left"
        return "\n".join(
            [
                f"{self.steps} steps, {self.parameters} parameters, {self.hyperparameters} hyperparameters",
                f"step repeatable: {_yes(self.repeatable)}; differentiable: {_yes(self.differentiable)} "
                f"(off by {self.mismatch:.1g})",
                f"contracting: {_yes(self.contracting)} (a step keeps {self.contraction:.4f} of a difference{forgets})",
                f"at rest at the end: {_yes(self.unrest <= 1e-3)} (one more step is {self.unrest:.1g} of the first)",
                f"method: {self.advice}",
                *(f"PROBLEM: {text}" for text in self.problems),
            ]
        )


def examine(problem: Bilevel, hyper: Mapping[str, Tensor], *, probes: int = 20, seed: int = 0) -> Examination:
    """Look at a problem before it is tuned.

    Differences of plain steps tell whether steps contract, without second derivatives; products of the derivative are
    compared with finite differences.

    Args:
        problem: What is trained and what judges it.
        hyper: The hyperparameters to look at.
        probes: Steps of the power method that estimates the contraction, from below. 20: within a few percent where
            the slowest direction stands out.
        seed: Decides the directions.

    Source: the power method on finite differences; contraction as in Grazzi et al. 2020.
    Cost: one training, `probes` + 10 steps and two for each name of a hyperparameter, up to 50; memory of a few states.
    """
    probes = check("probes", probes, at_least=1, whole=True)
    torch, now = torch_for(WHAT), check_hyper(hyper)
    generator = torch.Generator().manual_seed(seed)
    begun: list[Tree] = []
    last = problem.run(now, visit=lambda t, state: begun.append(state) if t < 2 else None)
    first = begun[0]
    with torch.no_grad():
        once, again = (problem.advance(first, now, 0) for _ in range(2))
    broken = not finite(last) or not math.isfinite(float(problem.validate(last["params"], now)))
    mismatch, by, moved = _mismatch(problem, begun[-1], now, len(begun) - 1, generator)
    _, _, direct = problem.judged(once, now)
    made = callable(problem.start)
    return Examination(
        problem.steps,
        entries(first["params"]),
        entries(now),
        norm(plus(once["params"], again["params"], -1.0)) == 0.0,
        broken,
        mismatch,
        by,
        moved or made or norm(direct) > 0,
        math.inf if broken else _contraction(problem, last, now, probes, generator),
        math.inf if broken else _unrest(problem, first, once, last, now),
    )


def _mismatch(problem: Bilevel, state: Tree, hyper: Tensors, t: int, generator: object) -> tuple[float, str, bool]:
    """Largest relative difference of derivative and finite difference; by what; whether the step needs `hyper`."""
    torch = torch_for(WHAT)
    params = state["params"]

    def step(params: Tensors, hyper: Tensors) -> Tree:
        return problem.advance({**state, "params": params}, hyper, t)

    out, back = torch.func.vjp(step, params, hyper)
    eps = torch.finfo(next(iter(hyper.values())).dtype).eps
    width = eps ** (1 / 3)  # balances rounding and curvature
    rounding = 40 * eps * norm(out)  # what may be seen of it, with room
    any_way = noise(out, generator)

    def differs(near: Callable[[float], Tree], by: Callable[[Any], Tree], way: Tree) -> tuple[float, float]:
        with torch.no_grad():
            change = plus(near(width), near(-width), -1.0)
        size = norm(change)
        weight = change if size > rounding else any_way  # seen from where it leads, it cannot hide by chance
        seen, told = dot(weight, change), 2 * width * dot(by(back(weight)), way)
        floor = rounding * norm(weight) / entries(out) ** 0.5
        return abs(seen - told) / max(abs(seen), abs(told), floor, 1e-30), size

    way = noise(params, generator)
    way = times(way, max(norm(params), 1e-3) / max(norm(way), 1e-30))
    off, _ = differs(lambda shift: step(plus(params, way, shift), hyper), lambda slopes: slopes[0], way)
    found, moved = [(off, "parameters")], norm(back(any_way)[1]) > 0
    for name in list(hyper)[:NAMES]:
        own = _share(hyper[name], generator)
        near = lambda shift, name=name, own=own: step(params, {**hyper, name: hyper[name] + shift * own})  # noqa: E731
        off, change = differs(near, lambda slopes, name=name: slopes[1][name], own)  # type: ignore[misc]
        found.append((off, repr(name)))
        moved = moved or change > 0
    worst, by = max(found)
    return worst, by, moved


def _share(value: Tensor, generator: object) -> Tensor:
    """Each number up or down by 4 times itself, so that the step of finite differences is at most some percent of it.

    A rate of 0.001 beside one of 0.3 must not become negative; and what acts weakly must show above rounding.
    """
    torch = torch_for(WHAT)
    signs = noise({"value": value}, generator)["value"].sign()
    return 4 * signs * torch.where(value == 0, torch.ones_like(value), value.abs())


def _contraction(problem: Bilevel, state: Tree, hyper: Tensors, probes: int, generator: object) -> float:
    torch, batch = torch_for(WHAT), problem.last_batch()
    width = torch.finfo(next(iter(hyper.values())).dtype).eps ** 0.5 * max(norm(state["params"]), 1.0)
    way, found = {"params": noise(state["params"], generator), "memory": zeros(state["memory"])}, []
    with torch.no_grad():
        rest = problem.advance(state, hyper, problem.steps, batch)
        for _ in range(probes):
            size = norm(way)
            if size == 0.0 or not math.isfinite(size):
                break
            near = plus(state, times(way, width / size))
            way = times(plus(problem.advance(near, hyper, problem.steps, batch), rest, -1.0), 1.0 / width)
            found.append(norm(way))
    late = found[len(found) // 2 :]  # early factors belong to directions that die out; memory makes them swing
    return math.exp(sum(math.log(max(f, 1e-30)) for f in late) / len(late)) if late else 0.0


def _unrest(problem: Bilevel, first: Tree, once: Tree, last: Tree, hyper: Tensors) -> float:
    with torch_for(WHAT).no_grad():
        after = problem.advance(last, hyper, problem.steps, problem.last_batch())
    begun = norm(plus(once["params"], first["params"], -1.0))
    return norm(plus(after["params"], last["params"], -1.0)) / begun if begun > 0 else 0.0


def _yes(what: bool) -> str:
    return "yes" if what else "NO"
