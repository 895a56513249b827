"""What the commands of `luthier grow` share: the group, options that recur, and how words become plans and texts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from luthier.base.threads import single_thread
from luthier.cli._errors import WARNS, WRONG

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
Depth = Annotated[
    str | None,
    typer.Option("--depth", metavar="RULE", help="none (default), completep or depth-mup.", show_default=False),
]
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


def begin(threads: int = 1) -> None:
    import os

    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    single_thread()
    from luthier.base.imports import need

    need("torch", what="luthier grow", extra="llm").set_num_threads(threads)


def plan_(
    model: str,
    proxy: list[str] | None,
    delta: list[str] | None,
    target: list[str] | None = None,
    depth: str | None = None,
) -> MuPlan:
    """A plan from its file, perhaps for another target or rule of depth, or inferred from a model and sizes."""
    from luthier.base.errors import ArgumentError
    from luthier.grow.factories import kind_of
    from luthier.grow.mu_plan import MuPlan, Options

    if Path(model).is_file():
        if proxy or delta:
            raise ArgumentError(
                f"{'--proxy' if proxy else '--delta'}: plan {model} has its own. Allowed with a plan's file: --target "
                "and --depth; another proxy is another plan: luthier grow inspect MODEL --proxy ..."
            )
        stored = MuPlan.load(model)
        if not target and depth is None:
            return stored
        options = stored.options if depth is None else replace(stored.options, depth=depth)
        given = sizes(target)
        wider = "d_model" in given and kind_of(stored.model) == "refgpt"
        kept = {k: v for k, v in stored.target.items() if not (wider and k in ("heads", "kv_heads", "d_ff"))}
        return stored.for_target({**kept, **given}, options=options)
    if model.endswith(".json"):
        raise ArgumentError(f"plan {model!r} is not there. Write one: luthier grow inspect MODEL --out {model}.")
    if not proxy:
        raise ArgumentError(
            f"--proxy: missing. Allowed: sizes of the proxy of {model!r}, such as d_model=128,layers=4."
        )
    return MuPlan.infer(
        model,
        proxy=sizes(proxy),
        delta=sizes(delta) or None,
        target=sizes(target) or None,
        options=Options(depth=depth or "none"),
    )


def stored(state: dict[str, Any], where: Path) -> MuPlan:
    from luthier.base.errors import ArgumentError
    from luthier.grow.mu_plan import MuPlan

    if "plan" not in state["extra"]:
        raise ArgumentError(f"{where}: has no plan. Allowed: a checkpoint of `luthier grow train` or `expand`.")
    return MuPlan.of(state["extra"]["plan"])


def sizes(words: list[str] | None) -> dict[str, Any]:
    import yaml

    from luthier.base.errors import ArgumentError

    found: dict[str, Any] = {}
    for word in (piece for text in words or () for piece in text.split(",") if piece):
        name, equals, value = word.partition("=")
        if not equals:
            raise ArgumentError(f"{word!r}. Allowed: NAME=VALUE, several with commas between.")
        found[name.strip()] = yaml.safe_load(value)
    return found


def text_(paths: list[str] | None, tokenizer: str) -> Tokens:
    from luthier.nets.data import python_library, read_text

    return read_text(paths, tokenizer=tokenizer) if paths else python_library()


def numbers(text: str) -> list[float]:
    from luthier.base.errors import ArgumentError

    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise ArgumentError(f"{text!r}. Allowed: numbers with commas between.") from None


def pair(text: str) -> tuple[float, float]:
    from luthier.base.errors import ArgumentError

    try:
        a, b = (float(word) for word in text.split(":"))
    except ValueError:
        raise ArgumentError(f"{text!r}. Allowed: two numbers with a colon between.") from None
    return a, b


def exponents(text: str) -> tuple[int, int]:
    from luthier.base.errors import ArgumentError

    try:
        low, high = (int(word) for word in text.split(":"))
        if low > high:
            raise ValueError
    except ValueError:
        raise ArgumentError(
            f"--lr={text}. Allowed: two whole exponents of 2 with a colon between, the lower one first; "
            "--lr=-11:-4 goes from 2^-11 to 2^-4."
        ) from None
    return low, high


@contextmanager
def interruptible(out: Path, otherwise: str) -> Iterator[None]:
    """Ctrl-C says what is kept of a run or sweep, and how to go on.

    Args:
        out: Its folder.
        otherwise: What is said where that has nothing yet.
    """
    try:
        yield
    except KeyboardInterrupt:
        there = any(out.glob("step-*")) or any(out.glob("shallow/step-*")) or (out / "study.db").exists()
        kept = f"what was saved so far is in {out}; the same command goes on." if there else otherwise
        raise KeyboardInterrupt(kept) from None


def table(rows: list[dict[str, Any]]) -> None:
    width = max(len(row["name"]) for row in rows)
    print(
        f"{'tensor':<{width}} {'role':<10} {'target':<14} {'start':>9} {'lr x':>8} {'wd x':>7} {'eps x':>8} {'mult':>7}"
    )
    for row in rows:
        start = row["start"] if isinstance(row["start"], str) else f"{row['start']:.4g}"
        shape = "x".join(str(n) for n in row["target"])
        numbers = f"{row['lr']:>8.4g} {row['weight_decay']:>7.4g} {row['eps']:>8.4g} {row['multiplier']:>7.4g}"
        print(f"{row['name']:<{width}} {row['role']:<10} {shape:<14} {start:>9} {numbers}")


def line_(record: dict[str, Any]) -> None:
    if "val_loss" in record:
        print(f"step {record['step']:>7}  loss {record['loss']:.4f}  val_loss {record['val_loss']:.4f}", flush=True)


def leave(level: str) -> None:
    if level == "warning":
        raise typer.Exit(WARNS)
    if level == "error":
        raise typer.Exit(WRONG)
