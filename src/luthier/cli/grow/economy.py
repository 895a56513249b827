"""`luthier grow fit`, `plan` and `ledger`: what is predicted, and what was spent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from luthier.cli._options import Debug, Json
from luthier.cli.grow._shared import (
    LEDGER,
    LedgerFile,
    begin,
    grow,
    pair,
)


@grow.command()
def fit(
    ledger: LedgerFile = LEDGER,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where to write.")] = Path("law.json"),
    form: Annotated[str, typer.Option(metavar="NAME", help="chinchilla or frontier.")] = "chinchilla",
    bootstrap: Annotated[int, typer.Option(metavar="N", help="Refits for intervals.")] = 500,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Fit a scaling law to the ledger's runs from scratch (the best one of each size and token count)."""
    begin()
    from luthier.cli import _json
    from luthier.grow.laws import ScalingLaw
    from luthier.grow.ledger import Ledger, best_points

    law = ScalingLaw.fit(best_points(Ledger.open(ledger).entries), form=form, bootstrap=bootstrap)
    out.write_text(json.dumps(law.data()) + "\n")
    if as_json:
        _json.write({k: v for k, v in law.data().items() if k != "draws"})
        return
    print(f"{law.form}{f' ({law.label})' if law.label else ''} from {len(law.points)} runs, in {out}")
    print(", ".join(f"{name} = {value:.4g}" for name, value in law.numbers.items()) + f", noise {law.noise:.2%}")
    for words in law.warnings:
        print(f"warning: {words}")


@grow.command()
def plan(
    size: Annotated[float, typer.Option(metavar="N", help="Parameters of the target.")],
    law: Annotated[Path, typer.Option(metavar="FILE", help="As fit writes it.")] = Path("law.json"),
    flops: Annotated[float | None, typer.Option(metavar="X", help="Budget, in operations.", show_default=False)] = None,
    tokens: Annotated[
        float | None, typer.Option(metavar="N", help="Or tokens from scratch.", show_default=False)
    ] = None,
    have: Annotated[
        list[str] | None, typer.Option(metavar="N:D", help="A model that is there: size:tokens.", show_default=False)
    ] = None,
    rate: Annotated[float | None, typer.Option(metavar="X", help="Operations a second.", show_default=False)] = None,
    ledger: LedgerFile = LEDGER,
    force: Annotated[bool, typer.Option("--force", help="Extrapolate beyond ten times the compute.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Scratch, or grow: schedules ranked by predicted loss. "Do not grow" is an answer."""
    begin()
    from dataclasses import asdict

    from luthier.base.errors import ArgumentError
    from luthier.cli import _json
    from luthier.grow.gains import fit_gain
    from luthier.grow.laws import ScalingLaw
    from luthier.grow.ledger import Ledger
    from luthier.grow.planner import Stage, make_plan

    if not law.is_file():
        raise ArgumentError(
            f"--law {law}: there is none. Allowed: a file of luthier grow fit. Write it: luthier grow fit."
        )
    fitted = ScalingLaw.of(json.loads(law.read_text()))
    own = fit_gain(Ledger.open(ledger).entries, fitted)
    stages = [Stage(float(n), float(d), None) for n, d in (pair(word) for word in have or ())]
    found = make_plan(
        fitted, size=size, flops=flops, tokens=tokens, checkpoints=stages, gain=own, rate=rate, force=force
    )
    if as_json:
        _json.write(asdict(found))
        return
    print(f"{'loss':>7}  {'80 % interval':<15} {'P(below scratch)':>16} {'spent':>9} {'charged':>9}  schedule")
    for one in found.schedules:
        interval = f"{one.low:.3f} - {one.high:.3f}"
        cost = f"{one.flops:>9.2e} {one.charged:>9.2e}"
        print(f"{one.loss:>7.3f}  {interval:<15} {one.beats_scratch:>16.2f} {cost}  {one.name}")
    print(f"gain of growth: {'from the runs of the ledger' if own else 'a prior, read from published curves'}")
    for words in found.notes:
        print(f"note: {words}")
    print(found.advice)


@grow.command("ledger")
def ledger_(
    ledger: LedgerFile = LEDGER,
    run: Annotated[str | None, typer.Option(metavar="NAME", help="Which grown run.", show_default=False)] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """What was spent for what, and what growing came to beside a run from scratch of as many tokens."""
    begin()
    from dataclasses import asdict

    from luthier.cli import _json
    from luthier.grow.ledger import PURPOSES, Ledger

    book = Ledger.open(ledger)
    bill = book.bill(run)
    if as_json:
        _json.write({"entries": book.data(), "bill": asdict(bill)})
        return
    for word in PURPOSES:
        own = list(book.of(word))
        if own:
            print(f"{word:<8} {len(own):>4} runs  {sum(e.flops for e in own):.3e} operations")
    if bill.direct == bill.direct and bill.trials:
        print(f"tuning at the proxy, not at the target, saves {bill.saved_tuning:.0%} of {bill.direct:.2e} operations")
    if bill.words:
        print(bill.words)
