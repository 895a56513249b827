"""What benchmarks/gradients.py computes: one cell is one method on one problem with one seed."""

from __future__ import annotations

import dataclasses
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _machine

_machine.one_thread()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from _gradients_tasks import SETS, SPACE, accuracy, decays_and_schedule, half, load, noisy_digits, weighed  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402

import luthier as lu  # noqa: E402
from luthier import gradients as lg  # noqa: E402

torch.set_num_threads(1)
FOLDER = _machine.RESULTS / "gradients"
SEEDS = range(10)
SECONDS = 5.0
TUNERS = ("random", "cqr", "gp", "gradients", "gradients, halves", "cqr+gradients")
TRIED = range(100, 102)
REMEDIES = ("all rows", "one half, the other chooses", "another half each step, all choose")
METHODS = ("plain", "reverse", "reverse-sqrt", "truncated", "implicit-cg", "implicit-neumann", "implicit-fixed-point")
ROWS, INNER = 10_000, 200


def cells(part: str) -> Iterator[tuple[str, Any]]:
    if part == "clean":
        yield from (
            (f"{method}-{seed}", (method, seed)) for seed in range(3, 13) for method in ("reverse", "implicit-cg")
        )
    elif part == "tune":
        yield from ((f"{n}-{s}-{m}", (n, s, m)) for s in SEEDS for n in SETS for m in TUNERS)
    elif part == "remedies":
        yield from ((f"{n}-{s}-{k}", (n, s, k)) for s in TRIED for n in SETS for k in REMEDIES)
    elif part == "many":
        yield from ((method, method) for method in (*METHODS, "forward"))
    else:
        yield from ((str(seed), seed) for seed in range(5))


def read(part: str) -> dict[str, Any]:
    path = FOLDER / f"{part}.json"
    return json.loads(path.read_text()) if path.exists() else {}


# -- labels --


def clean(what: tuple[str, int]) -> dict[str, Any]:
    method, seed = what
    data, labels, bad = noisy_digits(seed, 0.3, 700)
    how = {"steps": 60, "optimiser": lg.momentum(0.3, 0.9), "ridge": 0.01}
    problem = weighed(data, labels, **how)
    ones = {"weight": torch.ones(len(labels))}

    def test(params: Any) -> float:
        return accuracy(params, data.X[2], data.y[2])

    began = time.process_time()
    found = lg.tune_with_gradients(
        problem,
        tensors={"weight": lg.Box(0.5, 0.0, 1.0, (len(labels),))},
        method=method,
        steps=40,
        rate=0.3,
        examined=False,
        say=None,
    )
    return {
        "auc": float(roc_auc_score((~bad).numpy(), found.hyper["weight"].numpy())),
        "learned": test(found.params),
        "clean": test(weighed(data, data.y[0], **how).run(ones)["params"]),
        "noisy": test(problem.run(ones)["params"]),
        "validation rows alone": test(validation_alone(data, how)),
        "both": test(on_both(data, labels, found.hyper["weight"], how)),
        "both, clean": test(on_both(data, data.y[0], ones["weight"], how)),
        "seconds": time.process_time() - began,
    }


def validation_alone(data: Any, how: dict[str, Any]) -> Any:
    swapped = type(data)([data.X[1], data.X[1], data.X[2]], [data.y[1], data.y[1], data.y[2]], data.classes)
    return weighed(swapped, data.y[1], **how).run({"weight": torch.ones(len(data.y[1]))})["params"]


def on_both(data: Any, labels: torch.Tensor, kept: torch.Tensor, how: dict[str, Any]) -> Any:
    """Trained on the training rows by their weights and on the validation rows as well."""
    X, y = torch.cat([data.X[0], data.X[1]]), torch.cat([labels, data.y[1]])
    whole = weighed(type(data)([X, *data.X[1:]], [y, *data.y[1:]], data.classes), y, **how)
    return whole.run({"weight": torch.cat([kept, torch.ones(len(data.y[1]))])})["params"]


# -- equal time --


def tune(what: tuple[str, int, str]) -> dict[str, Any]:
    name, seed, tuner = what
    problem, measure = decays_and_schedule(name, seed)
    searcher = {"gradients": "random", "gradients, halves": "random", "cqr+gradients": "cqr"}.get(tuner, tuner)
    study = lu.Study(SPACE, "loss", searcher=searcher, seed=seed, untouched="test_loss")
    began = time.process_time()
    limit = [SECONDS]

    def late(study: Any, event: Any) -> None:
        if time.process_time() - began > limit[0]:
            study.stop("time is up")

    study.callbacks.append(late)
    if not tuner.startswith("gradients"):
        limit[0] = SECONDS / 2 if tuner == "cqr+gradients" else SECONDS
        study.run(lg.objective(problem, measure=measure), trials=100_000)
    limit[0] = SECONDS
    if (
        tuner == "gradients, halves"
    ):  # computed later, on a busier machine: as many steps as its twin made, each as dear
        twin = read("tune")[f"{name}-{seed}-gradients"]["trials"]
        limit[0] = math.inf
        climb(study, problem, measure, trials=twin, follow=Followed(half(name, seed)))
    elif "gradients" in tuner:
        climb(study, problem, measure, until=began + SECONDS)
    return {**judged(study), "seconds": time.process_time() - began}


def climb(
    study: lu.Study,
    problem: lg.Bilevel,
    measure: Any,
    *,
    trials: int = 100_000,
    until: float = math.inf,
    follow: Any = None,
) -> None:
    """Chains of outer steps, each from the incumbent, until trials or processor time are spent."""
    while time.process_time() < until and len(study.trials) < trials:
        refine = len(study.trials) > 0
        rate = 0.1 if refine else 0.3  # a start from the middle has further to go than an incumbent
        lg.tune_with_gradients(
            problem,
            study=study,
            refine=refine,
            steps=1000,
            rate=rate,
            trials=trials,
            measure=measure,
            follow=follow,
            examined=False,
            say=None,
        )


def judged(study: lu.Study) -> dict[str, Any]:
    best = study.best
    assert best is not None
    return {
        "validation": best.metrics["loss"],
        "test": float(best.untouched if best.untouched is not None else np.nan),
        "trials": len(study.trials),
        "gradient steps": len(lg.outer_steps(study)),
    }


def remedy(what: tuple[str, int, str]) -> dict[str, Any]:
    name, seed, kind = what
    problem, measure = decays_and_schedule(name, seed)
    study = lu.Study(SPACE, "loss", searcher="random", seed=seed, untouched="test_loss")
    follow: Any = None
    if kind == "one half, the other chooses":
        one = half(name, seed)
        rest = half(name, seed, other=True)
        problem = dataclasses.replace(problem, validate=lambda p, h: rest(p, h, 0))
        follow = lambda p, h, step: one(p, h, 0)  # noqa: E731
    elif kind == "another half each step, all choose":
        follow = Followed(half(name, seed))
    climb(study, problem, measure, trials=40, follow=follow)
    return judged(study)


class Followed:
    """Other rows at each call, those of a second chain too."""

    def __init__(self, loss: Callable[[Any, Any, int], torch.Tensor]) -> None:
        self.loss, self.calls = loss, 0

    def __call__(self, p: Any, h: Any, step: int) -> torch.Tensor:
        self.calls += 1
        return self.loss(p, h, self.calls)


# -- many --


def many(method: str) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).with_name("gradients.py")), "many", "--one", method]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def one_of_many(method: str) -> dict[str, Any]:
    data = load("digits", 0)
    draw = torch.Generator().manual_seed(0)
    pick = torch.randint(0, len(data.y[0]), (ROWS,), generator=draw)
    X = data.X[0][pick] + 0.3 * torch.randn(ROWS, 64, generator=draw)
    big = type(data)([X, data.X[1], data.X[2]], [data.y[0][pick], data.y[1], data.y[2]], 10)
    problem = weighed(big, big.y[0], steps=INNER, optimiser=lg.sgd(0.3), ridge=0.01)
    hyper = {"weight": torch.full((ROWS,), 0.5)}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if method == "forward":
        return {**ahead(problem, hyper), "start_mb": before}
    times = []
    for _ in range(3):
        began = time.process_time()
        if method == "plain":
            plain(problem, hyper)
            found = None
        else:
            found = lg.hypergradient(problem, hyper, method=method)
        times.append(time.process_time() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    exact = None
    if found is not None and method != "reverse":
        exact = lg.hypergradient(problem, hyper, method="reverse-sqrt").gradient["weight"]
    return {
        "seconds": min(times),
        "peak_mb": peak,
        "start_mb": before,
        "products": 0 if found is None else found.products,
        "cosine with reverse": None if exact is None else cosine(found.gradient["weight"], exact),
        "unreliable": "" if found is None else found.unreliable,
    }


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a @ b) / (a.norm() * b.norm()))


def plain(problem: lg.Bilevel, hyper: Any) -> None:
    """Training as one writes it without a library."""
    params = {name: value.clone().requires_grad_(True) for name, value in problem.start.items()}
    for t in range(problem.steps):
        loss = problem.train(params, hyper, problem.batch(t))
        slopes = torch.autograd.grad(loss, list(params.values()))
        with torch.no_grad():
            for value, slope in zip(params.values(), slopes, strict=True):
                value -= 0.3 * slope


def ahead(problem: lg.Bilevel, hyper: Any) -> dict[str, Any]:
    """Forward mode: one step with 100 of the 10 000 columns, scaled up; the memory of all columns is arithmetic."""
    from luthier.gradients.forward import Derivatives

    head = {"weight": hyper["weight"][:100]}
    rest = hyper["weight"][100:]
    part = lg.Bilevel(
        train=lambda p, h, b: problem.train(p, {"weight": torch.cat([h["weight"], rest])}, b),
        validate=problem.validate,
        start=problem.start,
        optimiser=problem.optimiser,
        steps=problem.steps,
    )
    derivatives = Derivatives(part, head)
    began = time.process_time()
    derivatives.advance(head, 0)
    seconds = (time.process_time() - began) * ROWS / 100 * INNER
    return {"seconds": seconds, "peak_mb": ROWS * 650 * 4 / 2**20, "products": ROWS * INNER, "unreliable": "scaled up"}


# -- a cell --


def cell(seed: int) -> dict[str, Any]:
    data = load("digits", seed)
    images = [X.reshape(-1, 1, 8, 8) for X in data.X]
    net, cross = lg.Cell(nodes=2, channels=6), torch.nn.functional.cross_entropy
    draw = np.random.default_rng([seed, 3])
    rows = [torch.from_numpy(draw.integers(0, len(images[0]), 64)) for _ in range(401)]
    judged = [torch.from_numpy(draw.integers(0, len(images[1]), 64)) for _ in range(401)]

    def problem(steps: int) -> lg.Bilevel:
        return lg.Bilevel(
            train=lambda p, h, b: cross(net.logits(p, h, images[0][b]), data.y[0][b]),
            validate=lambda p, h: cross(net.logits(p, h, images[1]), data.y[1]),
            start=net.start(seed),
            optimiser=lg.momentum(0.1, 0.9),
            steps=steps,
            batches=lambda t: rows[t],
        )

    def trained(operations: Any) -> float:
        hyper = net.chosen(operations)
        params = problem(400).run(hyper)["params"]
        return float((net.logits(params, hyper, images[2]).argmax(1) == data.y[2]).float().mean())

    began = time.process_time()
    path = lg.LookAhead(mover=lg.adam(0.03, decays=(0.5, 0.999))).train(
        problem(200),
        net.architecture(),
        judge=lambda p, h, t: cross(net.logits(p, h, images[1][judged[t]]), data.y[1][judged[t]]),
    )
    seconds = time.process_time() - began
    found = net.derive(path.hyper)
    others = [{edge: str(draw.choice(net.operations[1:])) for edge in net.edges} for _ in range(4)]
    return {
        "cell": {f"{a}-{b}": operation for (a, b), operation in found.items()},
        "searched": trained(found),
        "random": [trained(other) for other in others],
        "all skip": trained(dict.fromkeys(net.edges, "skip")),
        "search_seconds": seconds,
    }


#: What computes a cell of each part.
COMPUTE: dict[str, Callable[[Any], dict[str, Any]]] = {
    "clean": clean,
    "tune": tune,
    "remedies": remedy,
    "many": many,
    "cell": cell,
}
