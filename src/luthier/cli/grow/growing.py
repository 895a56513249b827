"""`luthier grow expand`, `train`, `compare` and `export`: from a small model to a large one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from luthier.cli._errors import WRONG
from luthier.cli._options import Debug, Json
from luthier.cli.grow._shared import (
    LEDGER,
    Data,
    LedgerFile,
    Seed,
    Target,
    Threads,
    TokenCount,
    Tokenizer,
    begin,
    grow,
    interruptible,
    line_,
    sizes,
    stored,
    text_,
)

if TYPE_CHECKING:
    from luthier.nets.checkpoints import Checkpoint


_UNSAVED = "nothing was saved yet, so that the same command begins anew; --save-every N keeps checkpoints on the way."


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
    at: Annotated[
        str, typer.Option("--at-step", metavar="STEP", help="last, pre-cooldown, or a step's number.")
    ] = "last",
    carry: Annotated[bool, typer.Option("--carry-optimizer", help="Optimiser state of what was there.")] = False,
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
    begin()
    from luthier.cli import _json
    from luthier.grow._checks import positions
    from luthier.grow.growing import Growth
    from luthier.grow.growing import grow as expand_weights
    from luthier.grow.moments import moments_of
    from luthier.grow.runs import drift, memory
    from luthier.nets.checkpoints import at_step, load_weights
    from luthier.nets.checkpoints import merge as mean
    from luthier.nets.data import Batches, python_library

    found = at_step(source, at)
    plan = stored(found.state, source)
    wanted = {**plan.target, **sizes(target)}
    weights = mean(_before(source, found.step, merge)) if merge > 1 else found.weights()
    moments = moments_of(found) if carry else None
    how = Growth(operator=operator, lam=lam, noise=noise, depth=layers, readout=readout, exact=exact, seed=seed)
    aim = plan.for_target(wanted)
    grown = expand_weights(weights, plan, aim, how, moments=moments, force=force, where=str(found.folder))
    if not dry:
        grown.save(out)
    words: dict[str, Any] = {"factor": grown.factor, "memory": memory(grown.plan), "out": None if dry else str(out)}
    if dry:
        small = plan.build()
        load_weights(small, weights)
        batch = Batches(python_library(50_000), 4, min(32, positions(small) or 32))(0)
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
    print(
        f"drift {words['drift']:.4f} nats per token"
        if dry
        else f"in {out}\nnext: luthier grow train {out} --hp FILE --from RUN --out RUN"
    )


def _before(source: Path, step: int, count: int) -> list[Checkpoint]:
    """The last checkpoints of a run, up to a step."""
    from luthier.base.errors import ArgumentError
    from luthier.nets.checkpoints import read, steps_in

    there = [path for path in steps_in(source) if int(path.name[5:]) <= step]
    if len(there) < count:
        raise ArgumentError(
            f"--merge {count}: {source} has {len(there)} checkpoints up to step {step}. Allowed: at most so many; "
            "train with --save-every or --judge-merged for more."
        )
    return [read(path) for path in there[-count:]]


@grow.command()
def train(
    source: Annotated[Path, typer.Argument(metavar="START", help="A plan's file, a grown checkpoint, or a run.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the run.")],
    hp: Annotated[Path | None, typer.Option(metavar="FILE", help="As transfer writes it.", show_default=False)] = None,
    lr: Annotated[
        float | None, typer.Option(metavar="X", help="Rate at the proxy, without a file.", show_default=False)
    ] = None,
    tokens: TokenCount = "20x",
    purpose: Annotated[
        str | None, typer.Option(metavar="WORD", help="base, scratch, growth, continued, eval.", show_default=False)
    ] = None,
    base: Annotated[str, typer.Option("--from", metavar="RUN", help="Name of the source's run in the ledger.")] = "",
    data: Data = None,
    tokenizer: Tokenizer = "bytes",
    start: Annotated[int, typer.Option(metavar="N", help="Windows that the source has used.")] = 0,
    save_every: Annotated[
        int | None, typer.Option(metavar="N", help="Steps between checkpoints.", show_default=False)
    ] = None,
    late: Annotated[
        float | None, typer.Option(metavar="X", help="Share of the steps with few blocks first.", show_default=False)
    ] = None,
    layers: Annotated[int, typer.Option("--from-layers", metavar="N", help="Blocks before --late: 0 or 1.")] = 1,
    depth: Annotated[str, typer.Option("--layers", metavar="RULE", help="New blocks of --late.")] = "random",
    equal: Annotated[str, typer.Option(metavar="WORD", help="--late: --tokens are tokens, or flops of a cold run.")] = (
        "tokens"
    ),
    merge: Annotated[int, typer.Option("--judge-merged", metavar="N", help="No cooldown: mean of N checkpoints.")] = 0,
    seed: Seed = 0,
    ledger: LedgerFile = LEDGER,
    threads: Threads = 1,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train a plan's model from its start, or a grown one; a folder that holds a part of the run is resumed.

    A run that begins where another ended is "continued" in the ledger, with that one's tokens before its own.
    With --late the model has few blocks for the first part of its steps, and all of them afterwards.
    """
    begin(threads)
    from luthier.base.errors import ArgumentError
    from luthier.cli import _json
    from luthier.grow.hyper import Hyper
    from luthier.grow.ledger import Ledger
    from luthier.grow.mu_plan import MuPlan
    from luthier.grow.runs import count, run, tokens_of
    from luthier.nets.checkpoints import read

    checkpoint = None if source.is_file() else read(source)
    plan = MuPlan.load(source) if checkpoint is None else stored(checkpoint.state, source)
    if (hp is None) == (lr is None):
        given = "neither --hp nor --lr" if hp is None else f"both --hp {hp} and --lr {lr}"
        raise ArgumentError(f"{given} given. Allowed: one of them, such as --hp hp.json, as transfer writes it.")
    hyper = Hyper.load(hp) if hp is not None else Hyper(lr=float(lr or 0))
    text, held_out = text_(data, tokenizer).split(0.05)
    grown = None if checkpoint is None else checkpoint.state["extra"].get("growth")
    budget = tokens_of(tokens, count(plan, hyper.length).inner)
    hooks: list[Any] = [] if as_json else [line_]
    if late is not None:
        from luthier.grow.late import Late, run_late

        if checkpoint is not None or purpose or base or start or save_every or merge:
            raise ArgumentError(
                "--late begins at a plan's start. Allowed: the plan's file, and none of --purpose, --from, --start, "
                "--save-every, --judge-merged."
            )
        how = Late(share=late, layers=layers, depth=depth, equal=equal)
        with interruptible(out, _UNSAVED):
            history, _ = run_late(
                plan, hyper, text, held_out, late=how, tokens=budget, folder=out, seed=seed,
                ledger=Ledger.open(ledger), hooks=hooks,
            )  # fmt: skip
    else:
        with interruptible(out, _UNSAVED):
            history, _ = run(
                plan, hyper, text, held_out, tokens=budget, folder=out, source=checkpoint, seed=seed,
                purpose=purpose or ("growth" if grown else "scratch"), ledger=Ledger.open(ledger), data_start=start,
                save_every=save_every, growth=grown["factor"] if grown else None, grown_from=base, hooks=hooks,
                merge=merge,
            )  # fmt: skip
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
    begin()
    from luthier.cli import _json
    from luthier.grow.comparing import compare as beside
    from luthier.nets.checkpoints import read

    found = beside(read(warm).state["history"], read(cold).state["history"], metric=metric, equal=equal, base=base,
                   names=(str(warm), str(cold)))  # fmt: skip
    if as_json:
        _json.write(found)
        return
    names = [str(place) for place in (warm, cold)]
    left, right = (max(8, len(name)) for name in names)
    print(f"{'share':>6} {names[0]:>{left}} {names[1]:>{right}}")
    for share, a, b in zip(found["shares"], found["warm"], found["cold"], strict=True):
        print(f"{share:>6.0%} {a:>{left}.4f} {b:>{right}.4f}")
    print(found["words"])


@grow.command("export")
def export_(
    source: Annotated[Path, typer.Argument(metavar="CKPT", help="Checkpoint or run folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to write.")],
    kind: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="hf-granite (default), hf-llama, safetensors; hf (default of hf: models).",
            show_default=False,
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Write a model that stock transformers loads, muP's numbers included."""
    begin()
    from luthier.grow.granite import export
    from luthier.nets.checkpoints import load_weights, read

    found = read(source)
    model = stored(found.state, source).build()
    load_weights(model, found.weights())
    print(f"in {export(model.eval(), out, kind)}")
