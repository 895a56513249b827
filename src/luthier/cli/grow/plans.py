"""`luthier grow inspect` and `check`: what a plan says, and whether widths behave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from luthier.cli._options import Debug, Json
from luthier.cli.grow._shared import (
    Data,
    Delta,
    Depth,
    Model,
    Proxy,
    Target,
    Threads,
    Tokenizer,
    begin,
    grow,
    leave,
    numbers,
    plan_,
    table,
    text_,
)


@grow.command()
def inspect(
    model: Model,
    proxy: Proxy = None,
    delta: Delta = None,
    target: Target = None,
    depth: Depth = None,
    optimiser: Annotated[str, typer.Option(metavar="NAME", help="Whose column: adamw, adam, sgd.")] = "adamw",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write the plan.", show_default=False)
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Roles of all tensors, what muP does to each, and diagnostics MU01 to MU11.

    Exit code 3 when a diagnostic warns, 4 when one is an error.
    """
    begin()
    from luthier.cli import _json
    from luthier.grow.diagnostics import inspect as examine
    from luthier.grow.diagnostics import worst

    plan = plan_(model, proxy, delta, target, depth)
    found = examine(plan)
    if out is not None:
        plan.save(out)
    rows = plan.table(optimiser=optimiser)
    if as_json:
        _json.write({"plan": plan.data(), "table": rows, "diagnostics": [vars(one) for one in found]})
    else:
        table(rows)
        for one in found:
            print(one)
        print(f"proxy {plan.fingerprint}" + (f", plan in {out}" if out else ""))
        print(f"next: luthier grow sweep {out or 'PLAN.json (write one with --out)'}")
    leave(worst(found))


@grow.command()
def check(
    model: Model,
    proxy: Proxy = None,
    delta: Delta = None,
    ratios: Annotated[str, typer.Option(metavar="A,B", help="Widths, in units of the proxy's.")] = "1,2,4,8",
    steps: Annotated[int, typer.Option(metavar="N", help="Optimiser steps.")] = 4,
    seeds: Annotated[int, typer.Option(metavar="N", help="Models per width.")] = 3,
    lr: Annotated[float, typer.Option(metavar="X", help="Two to four times the tuned rate.")] = 2**-7,
    optimiser: Annotated[str, typer.Option(metavar="NAME", help="adamw, adam or sgd.")] = "adamw",
    data: Data = None,
    tokenizer: Tokenizer = "bytes",
    batch: Annotated[int, typer.Option(metavar="N", help="Rows.")] = 8,
    length: Annotated[int, typer.Option(metavar="N", help="Tokens of a row.")] = 32,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Folder of the figures.", show_default=False),
    ] = None,
    threads: Threads = 1,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Coordinate check: base equality (MU03), audits, and slopes over width against the standard parametrisation.

    Exit code 0 when it passes, 3 when it warns or says nothing, 4 when it fails.
    """
    begin(threads)
    from luthier.cli import _json
    from luthier.cli.grow._pictures import draw_coordinates
    from luthier.grow import coordinate_check
    from luthier.grow._checks import check_model
    from luthier.grow.coordinates import summary
    from luthier.grow.diagnostics import check_base
    from luthier.nets import Batches

    plan = plan_(model, proxy, delta)
    check_model(plan, batch, length)
    batches = Batches(text_(data, tokenizer), batch, length)
    base = check_base(plan, batches)
    found = coordinate_check(
        plan, batches, ratios=numbers(ratios), steps=steps, seeds=seeds, lr=lr, optimiser=optimiser
    )
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "coordinates.json").write_text(json.dumps(_json.plain(found.data()), indent=1) + "\n")
        draw_coordinates(out / "coordinates.svg", found, int(plan.proxy.get("d_model", 1)))
    if as_json:
        _json.write({"base": [vars(one) for one in base], **found.data()})
    else:
        print(f"{'quantity':<11} {'step':>4}  {'mup':>6}  {'standard':>8}  {'':<8} steepest module")
        plain = {(row["quantity"], row["step"]): row["slope"] for row in summary(found.control)}
        for row in summary(found.slopes):
            other = plain.get((row["quantity"], row["step"]), 0.0)
            place = f"{row['slope']:>+6.2f}  {other:>+8.2f}  {row['verdict'] or '-':<8} {row['module']}"
            print(f"{row['quantity']:<11} {row['step']:>4}  {place}")
        for line in (*base, *found.reasons):
            print(line)
        print(found.verdict)
    leave("error" if base or found.verdict == "fail" else "ok" if found.verdict == "pass" else "warning")
