"""`luthier grow`: tune small, transfer by muP, start the large model from the small one, and say what it cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from luthier.cli._errors import WARNS, WRONG
from luthier.cli._options import Debug, Json
from luthier.cli._threads import single_thread

if TYPE_CHECKING:
    from luthier.grow.mu_plan import MuPlan
    from luthier.nets.data import Tokens

grow = typer.Typer(help="Tune small, transfer by muP, grow.", no_args_is_help=True)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="refgpt, hf:TYPE, module:function, or a plan's file.")]
Proxy = Annotated[
    list[str] | None, typer.Option("--proxy", metavar="A=1,B=2", help="Sizes of the proxy.", show_default=False)
]
Delta = Annotated[
    list[str] | None, typer.Option("--delta", metavar="A=1,B=2", help="Sizes that differ.", show_default=False)
]
Target = Annotated[
    list[str] | None, typer.Option("--target", metavar="A=1,B=2", help="Sizes of the target.", show_default=False)
]
Depth = Annotated[str, typer.Option("--depth", metavar="RULE", help="none, completep or depth-mup.")]
Data = Annotated[
    list[str] | None,
    typer.Option("--data", "-d", metavar="FILE", help="Text; default: Python's own library.", show_default=False),
]
Tokenizer = Annotated[str, typer.Option("--tokenizer", metavar="WHERE", help="bytes, or a tokenizer's folder.")]
TokenCount = Annotated[str, typer.Option("--tokens", metavar="N", help="A number, or per parameter: 20x.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Decides every random draw.")]
LedgerFile = Annotated[Path, typer.Option("--ledger", metavar="FILE", help="What runs have cost.")]
Threads = Annotated[int, typer.Option("--threads", metavar="N", help="Threads of torch.")]

LEDGER = Path("ledger.jsonl")


@grow.command()
def inspect(
    model: Model,
    proxy: Proxy = None,
    delta: Delta = None,
    target: Target = None,
    depth: Depth = "none",
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
    _begin()
    from luthier.cli import _json
    from luthier.grow.diagnostics import inspect as examine
    from luthier.grow.diagnostics import worst

    plan = _plan(model, proxy, delta, target, depth)
    found = examine(plan)
    if out is not None:
        plan.save(out)
    rows = plan.table(optimiser=optimiser)
    if as_json:
        _json.write({"plan": plan.data(), "table": rows, "diagnostics": [vars(one) for one in found]})
    else:
        _table(rows)
        for one in found:
            print(one)
        print(f"proxy {plan.fingerprint}" + (f", plan in {out}" if out else ""))
    _leave(worst(found))


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
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder of the figures.", show_default=False)
    ] = None,
    threads: Threads = 1,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Coordinate check: base equality (MU03), audits, and slopes over width against the standard parametrisation.

    Exit code 0 when it passes, 3 when it warns or says nothing, 4 when it fails.
    """
    _begin(threads)
    from luthier.cli import _json
    from luthier.grow import coordinate_check
    from luthier.grow.coordinates import summary
    from luthier.grow.diagnostics import check_base
    from luthier.nets import Batches

    plan = _plan(model, proxy, delta, None, "none")
    batches = Batches(_text(data, tokenizer), batch, length)
    base = check_base(plan, batches)
    found = coordinate_check(
        plan, batches, ratios=_numbers(ratios), steps=steps, seeds=seeds, lr=lr, optimiser=optimiser
    )
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "coordinates.json").write_text(json.dumps(_json.plain(found.data()), indent=1) + "\n")
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
    _leave("error" if base or found.verdict == "fail" else "ok" if found.verdict == "pass" else "warning")


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
    """A study over learning rates at the proxy; with several widths, whether the rate transfers.

    What the folder has is not run again. Exit code 4 when the rate does not transfer, 3 when that is not clear.
    """
    _begin(threads)
    from luthier.cli import _json
    from luthier.grow.hyper import Hyper
    from luthier.grow.ledger import Ledger
    from luthier.grow.rates import sweep as run

    plan = _plan(model, proxy, delta, None, "none")
    low, high = (int(word) for word in _pair(lr))
    text, held_out = _text(data, tokenizer).split(0.05)
    found = run(
        plan,
        Hyper(lr=2.0**low, batch=batch, length=length, weight_decay=weight_decay),
        text,
        held_out,
        folder=out,
        rates=[2.0**k for k in range(low, high + 1)],
        ratios=_numbers(ratios),
        seeds=seeds,
        tokens=tokens,
        seconds=budget,
        ledger=Ledger.open(ledger),
        parametrization="standard" if standard else "mup",
    )
    if as_json:
        _json.write(found.data())
    else:
        print("width   " + " ".join(f"{rate:>8.2g}" for rate in found.rates))
        for ratio, row in zip(found.ratios, found.losses, strict=True):
            print(f"{ratio:>5g}x  " + " ".join(f"{loss:>8.4f}" for loss in row))
        print(found.words)
        print(found.verdict if len(found.ratios) > 1 else "next: luthier grow transfer")
    if len(found.ratios) > 1:
        _leave({"pass": "ok", "inconclusive": "warning"}.get(found.verdict, "error"))


@grow.command()
def transfer(
    study: Annotated[Path, typer.Argument(metavar="SWEEP", help="Folder of a sweep.")],
    to: Annotated[Path, typer.Option("--to", metavar="PLAN", help="Plan of the target.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where to write.")] = Path("hp.json"),
    reason: Annotated[str, typer.Option(metavar="WORDS", help="Why another proxy's are right.")] = "",
    debug: Debug = False,
) -> None:
    """The proxy's best hyperparameters for a target, with what does not transfer."""
    _begin()
    from luthier.grow.mu_plan import MuPlan
    from luthier.grow.rates import transfer as move

    found = move(study, MuPlan.load(to), reason=reason)
    found.save(out)
    print(f"lr {found.lr:g} (next best: {', '.join(f'{x:g}' for x in found.near) or 'none'}), in {out}")
    for name, words in found.not_transferred.items():
        print(f"does not transfer: {name}: {words}")


@grow.command()
def expand(
    source: Annotated[Path, typer.Argument(metavar="CKPT", help="Checkpoint or run folder of the small model.")],
    target: Target = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Checkpoint to write.")] = Path("grown"),
    operator: Annotated[str, typer.Option("--op", metavar="NAME", help="szp, zeropad or duplicate.")] = "szp",
    lam: Annotated[float, typer.Option("--lambda", metavar="X", help="How much of the source stays (szp).")] = 0.4,
    noise: Annotated[
        float | None, typer.Option(metavar="X", help="Times the plan's start.", show_default=False)
    ] = None,
    layers: Annotated[str, typer.Option("--layers", metavar="RULE", help="stack, interpolate, identity, random.")] = (
        "stack"
    ),
    readout: Annotated[str, typer.Option(metavar="RULE", help="stored or effective.")] = "stored",
    exact: Annotated[bool, typer.Option("--exact", help="Correct norms under zeropad.")] = False,
    merge: Annotated[int, typer.Option(metavar="N", help="Mean of the run's last N checkpoints.")] = 1,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and what it does to the law.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Grow beyond a factor of 8.")] = False,
    seed: Seed = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make the start of a large model from a small model's checkpoint.

    The target has the source's sizes but for those named. --dry-run writes nothing and prints the drift of the law.
    """
    _begin()
    from luthier.cli import _json
    from luthier.grow.growing import Growth
    from luthier.grow.growing import grow as expand_weights
    from luthier.grow.runs import drift, memory
    from luthier.nets.checkpoints import load_weights, read, steps_in
    from luthier.nets.checkpoints import merge as mean
    from luthier.nets.data import Batches, python_library

    found = read(source)
    plan = _stored(found.state, source)
    sizes = {**plan.target, **_sizes(target)}
    weights = mean([read(path) for path in steps_in(source)[-merge:]]) if merge > 1 else found.weights()
    how = Growth(operator=operator, lam=lam, noise=noise, depth=layers, readout=readout, exact=exact, seed=seed)
    grown = expand_weights(weights, plan, plan.for_target(sizes), how, force=force, where=str(source))
    if not dry:
        grown.save(out)
    words: dict[str, Any] = {"factor": grown.factor, "memory": memory(grown.plan), "out": None if dry else str(out)}
    if dry:
        small = plan.build()
        load_weights(small, weights)
        batch = Batches(python_library(50_000), 4, 32)(0)
        vocabulary = int(plan.target.get("vocabulary", plan.target.get("vocab_size", 256)))
        words["drift"] = drift(small, grown.model(), {k: v % vocabulary for k, v in batch.items()})
        words["provenance"] = list(grown.provenance)
    if as_json:
        _json.write(words)
        return
    for row in words.get("provenance", ()):
        units = ", ".join(f"{dim}: {text}" for dim, text in row["units"].items())
        print(f"{row['tensor']:<50} {row['rule']:<10} from {row['from'] or '-'}  {units}")
    print(f"growth {grown.factor:.2f} in parameters; training needs {words['memory']['training'] / 2**20:.0f} MiB")
    print(f"drift {words['drift']:.4f} nats per token" if dry else f"in {out}; next: luthier grow train {out}")


@grow.command()
def train(
    source: Annotated[Path, typer.Argument(metavar="START", help="A plan's file, or a grown checkpoint.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the run.")],
    hp: Annotated[Path | None, typer.Option(metavar="FILE", help="As transfer writes it.", show_default=False)] = None,
    lr: Annotated[
        float | None, typer.Option(metavar="X", help="Rate at the proxy, without a file.", show_default=False)
    ] = None,
    tokens: TokenCount = "20x",
    purpose: Annotated[
        str | None, typer.Option(metavar="WORD", help="base, scratch, growth, eval.", show_default=False)
    ] = None,
    base: Annotated[str, typer.Option("--from", metavar="RUN", help="Name of the source's run in the ledger.")] = "",
    data: Data = None,
    tokenizer: Tokenizer = "bytes",
    start: Annotated[int, typer.Option(metavar="N", help="Windows that the source has used.")] = 0,
    save_every: Annotated[
        int | None, typer.Option(metavar="N", help="Steps between checkpoints.", show_default=False)
    ] = None,
    seed: Seed = 0,
    ledger: LedgerFile = LEDGER,
    threads: Threads = 1,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train a plan's model from its start, or a grown one; a folder that holds a part of the run is resumed."""
    _begin(threads)
    from luthier.base.errors import ArgumentError
    from luthier.cli import _json
    from luthier.grow.hyper import Hyper
    from luthier.grow.ledger import Ledger
    from luthier.grow.mu_plan import MuPlan
    from luthier.grow.runs import count, run, tokens_of
    from luthier.nets.checkpoints import read

    checkpoint = None if source.is_file() else read(source)
    plan = MuPlan.load(source) if checkpoint is None else _stored(checkpoint.state, source)
    if (hp is None) == (lr is None):
        raise ArgumentError(f"--hp {hp}, --lr {lr}: allowed is one of the two.")
    hyper = Hyper.load(hp) if hp is not None else Hyper(lr=float(lr or 0))
    text, held_out = _text(data, tokenizer).split(0.05)
    grown = None if checkpoint is None else checkpoint.state["extra"].get("growth")
    budget = tokens_of(tokens, count(plan, hyper.length).inner)
    history, _ = run(
        plan,
        hyper,
        text,
        held_out,
        tokens=budget,
        folder=out,
        source=checkpoint,
        seed=seed,
        purpose=purpose or ("growth" if grown else "scratch"),
        ledger=Ledger.open(ledger),
        data_start=start,
        save_every=save_every,
        growth=grown["factor"] if grown else None,
        grown_from=base,
        hooks=[] if as_json else [_line],
    )
    if as_json:
        _json.write({"diverged": history.diverged, "step": history.step, "val_loss": history.last("val_loss")})
    else:
        print("diverged" if history.diverged else f"val_loss {history.last('val_loss'):.4f}, in {out}")
    if history.diverged:
        raise typer.Exit(WRONG)


@grow.command()
def compare(
    warm: Annotated[Path, typer.Argument(metavar="WARM", help="Run folder.")],
    cold: Annotated[Path, typer.Argument(metavar="COLD", help="Run folder.")],
    metric: Annotated[str, typer.Option(metavar="NAME", help="What is compared.")] = "val_loss",
    equal: Annotated[str, typer.Option(metavar="WORD", help="tokens, flops, or flops+base.")] = "tokens",
    base: Annotated[float, typer.Option(metavar="X", help="Operations of the source, for flops+base.")] = 0.0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Two runs at equal cost: loss on the way, and what the first needs to reach the second's final loss."""
    _begin()
    from luthier.cli import _json
    from luthier.grow.comparing import compare as beside
    from luthier.nets.checkpoints import read

    found = beside(read(warm).state["history"], read(cold).state["history"], metric=metric, equal=equal, base=base)
    if as_json:
        _json.write(found)
        return
    print(f"{'share':>6} {'warm':>8} {'cold':>8}")
    for share, a, b in zip(found["shares"], found["warm"], found["cold"], strict=True):
        print(f"{share:>6.0%} {a:>8.4f} {b:>8.4f}")
    print(found["words"])


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
    _begin()
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
    _begin()
    from dataclasses import asdict

    from luthier.cli import _json
    from luthier.grow.laws import ScalingLaw
    from luthier.grow.ledger import Ledger
    from luthier.grow.planner import Stage, fit_speed_up, make_plan, speed_up

    fitted = ScalingLaw.of(json.loads(law.read_text()))
    own = fit_speed_up(Ledger.open(ledger).entries, fitted)
    stages = [Stage(float(n), float(d), None) for n, d in (_pair(word) for word in have or ())]
    found = make_plan(
        fitted, size=size, flops=flops, tokens=tokens, checkpoints=stages, gain=own or speed_up, rate=rate, force=force
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
    print(found.advice)


@grow.command("ledger")
def ledger_(
    ledger: LedgerFile = LEDGER,
    run: Annotated[str | None, typer.Option(metavar="NAME", help="Which grown run.", show_default=False)] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """What was spent for what, and both accounts of what growing saved."""
    _begin()
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
    if bill.saved_sunk == bill.saved_sunk and bill.growth:
        both = f"{bill.saved_sunk:.0%} if its source is there, {bill.saved_full:.0%} if not"
        print(f"growing saves, of {bill.scratch:.2e} operations: {both}")


@grow.command("export")
def export_(
    source: Annotated[Path, typer.Argument(metavar="CKPT", help="Checkpoint or run folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to write.")],
    kind: Annotated[str, typer.Option("--format", metavar="NAME", help="hf-granite or safetensors.")] = "hf-granite",
    debug: Debug = False,
) -> None:
    """Write a model that stock transformers loads, muP's numbers included."""
    _begin()
    from luthier.grow.granite import export
    from luthier.nets.checkpoints import load_weights, read

    found = read(source)
    model = _stored(found.state, source).build()
    load_weights(model, found.weights())
    print(f"in {export(model.eval(), out, kind)}")


# -- shared --


def _begin(threads: int = 1) -> None:
    import os

    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    single_thread()
    from luthier.base.imports import need

    need("torch", what="luthier grow", extra="llm").set_num_threads(threads)


def _plan(model: str, proxy: list[str] | None, delta: list[str] | None, target: list[str] | None, depth: str) -> MuPlan:
    from luthier.base.errors import ArgumentError
    from luthier.grow.mu_plan import MuPlan, Options

    if Path(model).is_file():
        stored = MuPlan.load(model)
        return stored.for_target({**stored.target, **_sizes(target)}) if target else stored
    if not proxy:
        raise ArgumentError(
            f"--proxy: missing. Allowed: sizes of the proxy of {model!r}, such as d_model=128,layers=4."
        )
    return MuPlan.infer(
        model,
        proxy=_sizes(proxy),
        delta=_sizes(delta) or None,
        target=_sizes(target) or None,
        options=Options(depth=depth),
    )


def _stored(state: dict[str, Any], where: Path) -> MuPlan:
    from luthier.base.errors import ArgumentError
    from luthier.grow.mu_plan import MuPlan

    if "plan" not in state["extra"]:
        raise ArgumentError(f"{where}: has no plan. Allowed: a checkpoint of `luthier grow train` or `expand`.")
    return MuPlan.of(state["extra"]["plan"])


def _sizes(words: list[str] | None) -> dict[str, Any]:
    import yaml

    from luthier.base.errors import ArgumentError

    found: dict[str, Any] = {}
    for word in (piece for text in words or () for piece in text.split(",") if piece):
        name, equals, value = word.partition("=")
        if not equals:
            raise ArgumentError(f"{word!r}. Allowed: NAME=VALUE, several with commas between.")
        found[name.strip()] = yaml.safe_load(value)
    return found


def _text(paths: list[str] | None, tokenizer: str) -> Tokens:
    from luthier.nets.data import python_library, read_text

    return read_text(paths, tokenizer=tokenizer) if paths else python_library()


def _numbers(text: str) -> list[float]:
    from luthier.base.errors import ArgumentError

    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise ArgumentError(f"{text!r}. Allowed: numbers with commas between.") from None


def _pair(text: str) -> tuple[float, float]:
    from luthier.base.errors import ArgumentError

    try:
        a, b = (float(word) for word in text.split(":"))
    except ValueError:
        raise ArgumentError(f"{text!r}. Allowed: two numbers with a colon between.") from None
    return a, b


def _table(rows: list[dict[str, Any]]) -> None:
    width = max(len(row["name"]) for row in rows)
    print(
        f"{'tensor':<{width}} {'role':<10} {'target':<14} {'start':>9} {'lr x':>8} {'wd x':>7} {'eps x':>8} {'mult':>7}"
    )
    for row in rows:
        start = row["start"] if isinstance(row["start"], str) else f"{row['start']:.4g}"
        shape = "x".join(str(n) for n in row["target"])
        numbers = f"{row['lr']:>8.4g} {row['weight_decay']:>7.4g} {row['eps']:>8.4g} {row['multiplier']:>7.4g}"
        print(f"{row['name']:<{width}} {row['role']:<10} {shape:<14} {start:>9} {numbers}")


def _line(record: dict[str, Any]) -> None:
    if "val_loss" in record:
        print(f"step {record['step']:>7}  loss {record['loss']:.4f}  val_loss {record['val_loss']:.4f}", flush=True)


def _leave(level: str) -> None:
    if level == "warning":
        raise typer.Exit(WARNS)
    if level == "error":
        raise typer.Exit(WRONG)
