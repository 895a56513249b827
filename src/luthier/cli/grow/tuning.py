"""`luthier grow sweep` and `transfer`: a study at the proxy, and its best values for the target."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from luthier.cli._options import Debug, Json
from luthier.cli.grow._shared import (
    LEDGER,
    Data,
    Delta,
    LedgerFile,
    Model,
    Proxy,
    Threads,
    TokenCount,
    Tokenizer,
    begin,
    exponents,
    grow,
    interruptible,
    leave,
    numbers,
    plan_,
    text_,
)

if TYPE_CHECKING:
    from luthier.grow.rates import Transfer
    from luthier.study.study import Study


_UNSAVED = "nothing was saved yet; the same command begins anew."


@grow.command()
def sweep(
    model: Model,
    proxy: Proxy = None,
    delta: Delta = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the study.")] = Path("sweep"),
    ratios: Annotated[str, typer.Option(metavar="A,B", help="Widths, in units of the proxy's.")] = "1",
    lr: Annotated[str, typer.Option(metavar="A:B", help="Exponents of 2 of the rates.")] = "-11:-4",
    seeds: Annotated[int, typer.Option(metavar="N", help="Per cell.")] = 1,
    tokens: TokenCount = "20x",
    budget: Annotated[
        float | None, typer.Option("--seconds", metavar="S", help="Time for this call.", show_default=False)
    ] = None,
    space: Annotated[
        Path | None, typer.Option("--space", metavar="FILE", help="Tune these, not the rate alone.", show_default=False)
    ] = None,
    trials: Annotated[int, typer.Option(metavar="N", help="Of --space.")] = 16,
    searcher: Annotated[str, typer.Option(metavar="NAME", help="Of --space.")] = "auto",
    merge: Annotated[int, typer.Option("--judge-merged", metavar="N", help="No cooldown: mean of N checkpoints.")] = 0,
    standard: Annotated[bool, typer.Option("--standard", help="The standard parametrisation, as a control.")] = False,
    batch: Annotated[int, typer.Option(metavar="N", help="Rows per step.")] = 16,
    length: Annotated[int, typer.Option(metavar="N", help="Tokens of a row.")] = 64,
    weight_decay: Annotated[float, typer.Option(metavar="X", help="At the proxy.")] = 0.0,
    data: Data = None,
    tokenizer: Tokenizer = "bytes",
    ledger: LedgerFile = LEDGER,
    threads: Threads = 1,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """A study over learning rates at the proxy; with several widths, whether the rate transfers; or over a whole space.

    What the folder has is not run again. Exit code 4 when the rate does not transfer, 3 when that is not clear.
    """
    begin(threads)
    from luthier.grow.hyper import Hyper
    from luthier.grow.ledger import Ledger

    text, held_out = text_(data, tokenizer).split(0.05)
    low, high = exponents(lr)
    hyper = Hyper(lr=2.0**low, batch=batch, length=length, weight_decay=weight_decay)
    proxy_plan, book = plan_(model, proxy, delta), Ledger.open(ledger)
    named = Path(model).is_file() and proxy_plan.target != proxy_plan.proxy  # a plan that says where to go
    after = f"next: luthier grow transfer {out} --to {model if named else 'PLAN.json'}"
    if space is not None:
        from luthier.grow.rates import tune
        from luthier.space.files import load_space

        with interruptible(out, _UNSAVED):
            tuned = tune(
                proxy_plan, load_space(space), hyper, text, held_out, folder=out, trials=trials, tokens=tokens,
                searcher=searcher, seconds=budget, ledger=book, merge=merge,
            )  # fmt: skip
        _tell_tuned(tuned, after, as_json)
        return
    from luthier.grow.rates import sweep as run

    with interruptible(out, _UNSAVED):
        found = run(
            proxy_plan,
            hyper,
            text,
            held_out,
            folder=out,
            rates=[2.0**k for k in range(low, high + 1)],
            ratios=numbers(ratios),
            seeds=seeds,
            tokens=tokens,
            seconds=budget,
            ledger=book,
            parametrization="standard" if standard else "mup",
            merge=merge,
        )
    _tell_sweep(found, out, after, int(proxy_plan.proxy.get("d_model", 1)), as_json)


def _tell_sweep(found: Transfer, out: Path, after: str, base: int, as_json: bool) -> None:
    """Table, verdict and picture of a sweep over rates, and its exit code."""
    from luthier.cli import _json
    from luthier.cli.grow._pictures import draw_rates

    draw_rates(out / "rates.svg", found, base)
    if as_json:
        _json.write(found.data())
    else:
        print("width   " + " ".join(f"{rate:>8.2g}" for rate in found.rates))
        for ratio, row in zip(found.ratios, found.losses, strict=True):
            print(f"{ratio:>5g}x  " + " ".join(f"{loss:>8.4f}" for loss in row))
        if len(found.ratios) > 1:
            print(f"{found.words}\n{found.verdict}")
        elif len(found.rates) > 1:
            print(found.words)
        print(after)
    if len(found.ratios) > 1:
        leave({"pass": "ok", "inconclusive": "warning"}.get(found.verdict, "error"))


def _tell_tuned(study: Study, after: str, as_json: bool) -> None:
    """The best configuration, and how each value would go to a larger model."""
    from luthier.cli import _json
    from luthier.grow.tags import WORDS, best_of

    found = best_of(study.space, study.trials)
    if as_json:
        _json.write({"best": dict(found.values) if found else None, "tags": dict(found.tags) if found else {}})
        return
    if found is None:
        print("no trial ended with a finite loss")
        return
    for name, value in found.values.items():
        print(f"{name:<14} {value:<12.5g} {found.tags[name]}: {WORDS[found.tags[name]]}")
    print(after)


@grow.command()
def transfer(
    study: Annotated[Path, typer.Argument(metavar="SWEEP", help="Folder of a sweep.")],
    to: Annotated[Path, typer.Option("--to", metavar="PLAN", help="Plan of the target.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where to write.")] = Path("hp.json"),
    reason: Annotated[str, typer.Option(metavar="WORDS", help="Why another proxy's are right.")] = "",
    debug: Debug = False,
) -> None:
    """The proxy's best hyperparameters for a target, with what does not transfer."""
    begin()
    from luthier.grow.mu_plan import MuPlan
    from luthier.grow.rates import transfer as move

    found = move(study, MuPlan.load(to), reason=reason)
    found.save(out)
    print(f"lr {found.lr:g} (next best: {', '.join(f'{x:g}' for x in found.near) or 'none'}), in {out}")
    for name, words in found.not_transferred.items():
        print(f"does not transfer: {name}: {words}")
    print(f"next: luthier grow train {to} --hp {out} --out RUN")
