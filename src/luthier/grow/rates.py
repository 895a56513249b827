"""Does the learning rate transfer? One study over widths, rates and seeds, and a verdict.

Under muP the best rate is the same at every width (or the optima of parabolas lie within half an octave), and the
narrowest width's best rate costs at most 0.01 nats at the widest. Under the standard parametrisation it moves.

Source: the learning-rate sweeps of Tensor Programs V; the thresholds are ours.
Cost: widths x rates x seeds runs.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, LuthierWarning
from luthier.grow._checks import check_model, check_text
from luthier.grow.diagnostics import check_fingerprint, validate
from luthier.grow.hyper import NOT_TRANSFERRED, Hyper
from luthier.grow.ledger import Ledger
from luthier.grow.mu_plan import MuPlan
from luthier.grow.runs import count, run, tokens_of
from luthier.grow.tags import best_of, tags_of
from luthier.nets.data import Tokens
from luthier.space.domains import Choice, Ordinal
from luthier.space.space import Space
from luthier.study.study import Study

SPREAD = 0.5  # octaves that optima of parabolas may lie apart
REGRET = 0.01  # nats that the narrowest width's rate may cost at the widest
MANIFEST = "sweep.json"


@dataclass(frozen=True)
class Transfer:
    """What a sweep over widths says.

    Args:
        ratios: Widths, in units of the proxy's.
        rates: Peak rates.
        losses: Mean over seeds, by width then rate; infinity for a divergence, NaN where nothing was run.
        best: Place of the best rate by width.
        optima: log2 of the parabola's optimum by width.
        regret: Of the narrowest width's best rate at the widest, nats.
        verdict: "pass", "fail", or "inconclusive" (seeds differ by more than the question; or the best is at an edge).
        words: Why.
        noise: Standard error of a cell's mean over seeds, typical.
    """

    ratios: tuple[float, ...]
    rates: tuple[float, ...]
    losses: tuple[tuple[float, ...], ...]
    best: tuple[int, ...]
    optima: tuple[float, ...]
    regret: float
    verdict: str
    words: str
    noise: float

    def data(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def sweep(
    plan: MuPlan,
    hyper: Hyper,
    text: Tokens,
    held_out: Tokens,
    *,
    folder: str | Path,
    rates: float | Sequence[float],
    ratios: Sequence[float] = (1,),
    seeds: int = 1,
    tokens: str | int = "20x",
    seconds: float | None = None,
    ledger: Ledger | str | Path | None = None,
    parametrization: str = "mup",
    merge: int = 0,
) -> Transfer:
    """Run (or go on with) the study, and judge it.

    Args:
        plan: Any plan of the proxy.
        hyper: All but the rate.
        text: Tokens to train on.
        held_out: Tokens of the loss.
        folder: Of the study; what is there is not run again.
        rates: Peak rates.
        ratios: Widths in units of the proxy's.
        seeds: Per cell.
        tokens: Per run: a number, or "20x" per parameter outside of tables.
        seconds: Time for this call.
        ledger: Where runs are entered.
        parametrization: "mup", or "standard" for the control.
        merge: See `runs.run`.
    """
    rates = [rates] if isinstance(rates, int | float) else list(dict.fromkeys(rates))
    ratios = list(dict.fromkeys(map(float, ratios)))
    check("rates", len(rates), at_least=1)
    for rate in rates:
        check("rates", rate, above=0)
    check_text(plan, text, held_out)
    options = replace(plan.options, parametrization=parametrization)
    plans = {ratio: plan.widened(ratio, options=options) for ratio in ratios}
    least = plans[min(ratios)]
    for one in plans.values():
        validate(one)
    check_model(least, hyper.batch, hyper.length)
    if tokens_of(tokens, count(least, hyper.length).inner) < hyper.batch * hyper.length:
        raise ArgumentError(
            f"tokens={tokens}: fewer than one step of {hyper.batch} rows x {hyper.length} tokens. Give more, or a "
            "smaller batch."
        )
    space = Space(lr=Choice(*rates, transfer="mup"), ratio=Choice(*ratios), seed=Choice(*range(seeds)))
    study = Study(space, "val_loss", searcher="grid", folder=Path(folder), name="rates", seed=0, defaults_first=False)
    work = _Work(plans, hyper, text, held_out, tokens, ledger, Path(folder).name, merge)
    _manifest(study, plan, work, parametrization)
    study.run(work, trials=len(rates) * len(ratios) * seeds, seconds=seconds, executor="inline")
    return judge(study, sorted(ratios), sorted(rates))  # neighbours are judged as such


def tune(
    plan: MuPlan,
    space: Space,
    hyper: Hyper,
    text: Tokens,
    held_out: Tokens,
    *,
    folder: str | Path,
    trials: int,
    tokens: str | int = "20x",
    searcher: str = "auto",
    seed: int = 0,
    seconds: float | None = None,
    ledger: Ledger | str | Path | None = None,
    merge: int = 0,
) -> Study:
    """Tune any hyperparameters of a run at the proxy; `transfer` then reads the tags of the space.

    Args:
        plan: Any plan of the proxy.
        space: Names of `Hyper`, with `transfer=` where the usual tag is not meant.
        hyper: What is not tuned.
        text: Tokens to train on.
        held_out: Tokens of the loss.
        folder: Of the study; what is there is not run again.
        trials: How many in all.
        tokens: Per run.
        searcher: Who proposes.
        seed: Of the study.
        seconds: Time for this call.
        ledger: Where runs are entered.
        merge: See `runs.run`.

    Raises:
        ArgumentError: a name that is no hyperparameter of a run.
    """
    check_text(plan, text, held_out)
    check_model(plan.widened(1), hyper.batch, hyper.length)
    tags_of(space)
    study = Study(space, "val_loss", searcher=searcher, folder=Path(folder), name="tuning", seed=seed)
    work = _Work({1.0: plan.widened(1)}, hyper, text, held_out, tokens, ledger, Path(folder).name, merge)
    _manifest(study, plan, work, plan.options.parametrization)
    study.run(work, trials=trials, seconds=seconds, executor="inline")
    return study


@dataclass(frozen=True)
class _Work:
    """A trial of a sweep or of tuning: one run at the proxy or a wider model."""

    plans: Mapping[float, MuPlan]
    hyper: Hyper
    text: Tokens
    held_out: Tokens
    tokens: str | int
    ledger: Ledger | str | Path | None
    name: str
    merge: int

    def __call__(self, trial: Any) -> None:
        config = dict(trial.config)
        ratio, seed = config.pop("ratio", 1.0), config.pop("seed", 0)
        hyper = replace(self.hyper, **config)
        plan = self.plans[ratio]
        label = f"{ratio:g}-{hyper.lr:g}-{seed}" if set(config) == {"lr"} else f"{trial.number}"
        history, _ = run(
            plan, hyper, self.text, self.held_out, tokens=tokens_of(self.tokens, count(plan, hyper.length).inner),
            seed=seed, purpose="sweep", name=f"{self.name}-{label}", ledger=self.ledger, merge=self.merge,
        )  # fmt: skip
        trial.report(val_loss=history.last("val_loss"), tokens=history.records[-1]["tokens"])


def _manifest(study: Study, plan: MuPlan, work: _Work, parametrization: str) -> None:
    assert study.folder is not None
    decides = {
        "proxy": dict(plan.proxy),
        "hyper": asdict(work.hyper),
        "tokens": work.tokens,
        "parametrization": parametrization,
        "merge": work.merge,
        "text": [text.fingerprint for text in (work.text, work.held_out)],
    }
    content = {"study": study.name, "fingerprint": plan.fingerprint, **decides}
    place = study.folder / MANIFEST
    if place.exists() and study.trials:  # the study knows its space; what its runs had besides is known here alone
        stored = json.loads(place.read_text())
        for name in decides:
            if name not in stored:  # an earlier release did not write it: what its runs had is not known
                del content[name]
                continue
            was, now = stored[name], json.loads(json.dumps(decides[name]))
            if now != was:
                what = _differs(name, was, now)
                raise ArgumentError(
                    f"folder={str(study.folder)!r}: its runs had {what}. Allowed: the same, or another folder."
                )
    place.write_text(json.dumps(content, indent=1) + "\n")


def _differs(name: str, was: Any, now: Any) -> str:
    """What differs, by its own name where a mapping holds it."""
    if isinstance(was, dict) and isinstance(now, dict):
        name = next(key for key in (*was, *now) if was.get(key) != now.get(key))
        was, now = was.get(name), now.get(name)
    if name == "text":
        return "another text (--data, --tokenizer)"
    return f"{name}={was!r}, now it is {now!r}"


def judge(study: Study, ratios: Sequence[float], rates: Sequence[float]) -> Transfer:
    """The verdict of a study over `lr`, `ratio` and `seed`."""
    cells: dict[tuple[float, float], list[float]] = {}
    for trial in study.trials:
        value = trial.metrics.get("val_loss", math.inf) if trial.metrics else math.inf
        cells.setdefault((trial.config["ratio"], trial.config["lr"]), []).append(float(value))
    table = np.array([[np.mean(cells.get((float(r), lr), [math.nan])) for lr in rates] for r in ratios])
    spread = [np.std(v, ddof=1) / math.sqrt(len(v)) for v in cells.values() if len(v) > 1 and np.isfinite(v).all()]
    return decide(table, ratios, rates, float(np.median(spread)) if spread else math.nan)


def decide(table: np.ndarray, ratios: Sequence[float], rates: Sequence[float], noise: float) -> Transfer:
    """The rule, on a table of mean losses (widths, rates)."""
    if not np.isfinite(table).any(axis=1).all():
        raise ArgumentError(
            "sweep: a width without a finite loss. Allowed: rates that some run survives at each width."
        )
    filled = np.where(np.isfinite(table), table, math.inf)
    best = filled.argmin(axis=1)
    logs = np.log2(rates)
    optima = tuple(_parabola(logs, row, int(at)) for row, at in zip(filled, best, strict=True))
    regret = float(filled[-1, best[0]] - filled[-1].min())
    same = len(set(best.tolist())) == 1
    apart = max(optima) - min(optima)
    fits = (same or apart <= SPREAD) and regret <= REGRET
    edge = bool(((best == 0) | (best == len(rates) - 1)).any())
    shift = int(best.max() - best.min())
    words = f"best rate{'s' if len(best) > 1 else ''} {', '.join(f'{rates[i]:.3g}' for i in best)}"
    if len(best) > 1:
        words += f", optima {apart:.2f} octaves apart, regret {regret:.4f} nats"
    unsure = not fits and not math.isnan(noise) and regret <= 2 * noise and shift <= 1
    verdict = "inconclusive" if edge or unsure else "pass" if fits else "fail"
    if edge:
        words += "; a best rate is at the edge of the grid"
    return Transfer(
        tuple(map(float, ratios)), tuple(map(float, rates)), tuple(map(tuple, table.tolist())),
        tuple(int(i) for i in best), optima, regret, verdict, words, noise,
    )  # fmt: skip


def transfer(folder: str | Path, plan: MuPlan, *, reason: str = "") -> Hyper:
    """The proxy's best hyperparameters for a target.

    Args:
        folder: Of a sweep.
        plan: Of the target; of the same proxy (MU10), or give a reason.
        reason: Kept in the file.

    Raises:
        ArgumentError: no run at the proxy ended, or another proxy.
    """
    place = Path(folder)
    if not (place / MANIFEST).exists():
        raise ArgumentError(f"{place}: no sweep there. Allowed: a folder that `luthier grow sweep` made.")
    manifest = json.loads((place / MANIFEST).read_text())
    check_fingerprint(plan, manifest["fingerprint"], reason=reason or None)
    study = Study.open(place, manifest.get("study"))
    tuned = best_of(study.space, study.trials)
    if tuned is None:
        raise ArgumentError(f"{place}: no run at the proxy's width ended. Go on with the sweep.")
    _warn_at_edge(study, tuned.values)
    notes = {name: NOT_TRANSFERRED[name] for name in ("batch", "tokens", "length")} | dict(tuned.not_transferred)
    if any(note[0] == "MU09" and "dropout" in note[3] for note in plan.notes):
        notes["dropout"] = NOT_TRANSFERRED["dropout"]
    found = Hyper.of({**manifest["hyper"], **tuned.values, "fingerprint": manifest["fingerprint"]})
    return replace(found, near=tuned.near, not_transferred=notes, reason=reason)


def _warn_at_edge(study: Study, best: Mapping[str, Any]) -> None:
    """Warn of a rate that is the lowest or highest of those tried: a better one may lie beyond."""
    domain = study.space.domains.get("lr")
    rates = domain.values if isinstance(domain, (Choice, Ordinal)) else ()
    if len(rates) > 1 and best["lr"] in (min(rates), max(rates)):
        warnings.warn(
            f"lr={best['lr']:.3g} is at the edge of the rates that were tried, {min(rates):.3g} to {max(rates):.3g}: a "
            "better one may lie beyond. Sweep wider, in another folder.",
            LuthierWarning,
            stacklevel=3,
        )


def _parabola(x: np.ndarray, y: np.ndarray, at: int) -> float:
    """Optimum of the parabola through the best point and its neighbours; the point itself at an edge."""
    if at == 0 or at == len(x) - 1 or not np.isfinite(y[at - 1 : at + 2]).all():
        return float(x[at])
    a, b, _ = np.polyfit(x[at - 1 : at + 2] - x[at], y[at - 1 : at + 2], 2)
    return float(x[at] + np.clip(-b / (2 * a), -1, 1)) if a > 0 else float(x[at])
