"""What the commands of `luthier shrink` share: options, how they speak, what they read and print."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from luthier.base.files import write_text
from luthier.base.threads import single_thread

if TYPE_CHECKING:
    from luthier.cli._progress import Talk

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A local folder of transformers.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, as `train` makes it.")]
DataFile = Annotated[
    Path, typer.Option("--data", "-d", metavar="FILE", help="Text, or a table of texts and labels (CSV, TSV, JSONL).")
]
Texts = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="COLUMN", help="Column of a table with a text; once or twice. Default: found."),
]
Label = Annotated[
    str | None,
    typer.Option("--label", metavar="COLUMN", help="Column with the label. Default: label, labels, score or target."),
]
Kind = Annotated[
    str | None,
    typer.Option(
        "--kind",
        metavar="NAME",
        help="What a table's labels are: classification or regression. Default: numbers that are not whole make a "
        "regression.",
        show_default=False,
    ),
]
OutRun = Annotated[Path, typer.Option("--out", "-o", metavar="RUN", help="Folder of the run.")]
SpaceName = Annotated[
    str, typer.Option("--space", metavar="NAME", help="small, medium, layer, sublayer, large, width or joint.")
]
Batch = Annotated[int, typer.Option("--batch", metavar="N", help="Rows of a batch.")]
Length = Annotated[int, typer.Option("--length", metavar="N", help="Tokens of a row.")]
Multiple = Annotated[
    int, typer.Option("--multiple", metavar="N", help="Neurons and channels come in multiples; 64 suits GPUs.")
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Decides every random draw.")]
ItsSeed = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", help="Of split and draws. Default: its training's.", show_default=False),
]
Rate = Annotated[float, typer.Option("--lr", metavar="X", help="Highest learning rate.")]
MethodName = Annotated[
    str, typer.Option("--method", metavar="NAME", help="random, local, nsga2, evolution, ehvi, scalarised, ...")
]
Stock = Annotated[bool, typer.Option("--stock", help="Keep to what stock transformers can express.")]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="Of torch: cpu, cuda, cuda:1, mps.")]
Threads = Annotated[int, typer.Option("--threads", metavar="N", help="Threads of torch.")]


def begin(as_json: bool, quiet: bool, threads: int = 1) -> Talk:
    """Quieten the libraries, and say how to speak."""
    import os

    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    single_thread()
    from luthier.base.imports import need
    from luthier.cli._progress import Talk

    transformers = need("transformers", what="luthier shrink", extra="llm")
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    need("torch", what="luthier shrink", extra="llm").set_num_threads(threads)
    return Talk(json=as_json, quiet=quiet)


def sampler_of(name: str, around: float | None) -> str:
    """A sampler's name with the size that it draws around."""
    if around is None:
        return name
    if name != "around":
        from luthier.base.errors import ArgumentError

        raise ArgumentError(f"--around {around:g}: the sampler is {name!r}. Allowed: with --sampler around.")
    return f"around({around})"


def ticker(talk: Talk) -> Any:
    """A line every few seconds while something trains."""
    import time

    last = [0.0]

    def tick(record: dict[str, Any]) -> None:
        if time.monotonic() - last[0] >= 5:
            last[0] = time.monotonic()
            loss = record.get("full_loss", record["loss"])
            talk.detail(f"  step {record['step']}: loss {loss:.4f}, {record['seconds']:.0f} s")

    return tick


def work_in(out: Path, device: str, **given: Any) -> Any:
    """A run's folder, begun or gone on with."""
    from luthier.shrink.workspace import Workspace, defaults

    return Workspace(out, defaults(**given), device=device)


def limits_of(given: list[str]) -> dict[str, float]:
    from luthier.base.errors import ArgumentError

    found = {}
    for text in given:
        name, mark, value = text.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise ArgumentError(f"--constraint {text}. Allowed: NAME=NUMBER, such as latency_ms=20.") from None
        if not mark:
            raise ArgumentError(f"--constraint {text}. Allowed: NAME=NUMBER, such as latency_ms=20.")
    return found


def latency_of(work: Any, talk: Talk, *, specs: int = 24, held_out: int = 20) -> Any:
    """A predictor, fitted to sub-networks of the run's space; kept in the run's folder for this device and threads."""
    import numpy as np

    from luthier.shrink import CostModel, Latency, Sampler
    from luthier.shrink._torch import torch
    from luthier.shrink.extraction import fingerprint

    net = work.supernet()
    here = {"device": work.device, "threads": torch.get_num_threads(), "net": fingerprint(net.model)}
    path = work.folder / "latency.json"
    if path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if all(kept.get(name) == value for name, value in here.items()):
            return _told(Latency.from_json(net, kept), talk)
    sampler = Sampler(work.space(net), CostModel(net.layout))
    drawn = [sampler.draw(np.random.default_rng([7, k])) for k in range(specs + held_out)]
    talk.detail(f"measuring {len(drawn)} sub-networks, batch 1, {work.config['length']} tokens")
    found = Latency.fitted(net, drawn[:specs], held_out=drawn[specs:], tokens=work.config["length"])
    talk.detail(f"latency predictor: Kendall's tau {found.tau:.2f} on {held_out} sub-networks it has not seen")
    write_text(path, json.dumps({**found.to_json(), **here}) + "\n")
    return _told(found, talk)


def _told(latency: Any, talk: Talk) -> Any:
    if not latency.predicts:
        talk.detail(f"tau {latency.tau:.2f} is below 0.9: each sub-network of the search is measured instead")
    return latency


def seconds_of(text: str) -> float:
    from luthier.base.errors import ArgumentError

    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if found is None:
        raise ArgumentError(f"--budget {text}. Allowed: 90s, 20m, 2h.")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def write_table(talk: Talk, found: dict[str, Any]) -> None:
    score = found["score"]
    talk.say(f"{'':<24}{'parameters':>12}{'share':>8}{'latency':>12}{'test loss':>11}{score:>13}")
    for row in found["rows"]:
        talk.say(
            f"{row['name']:<24}{row['parameters']:>12,}{row['share']:>8.3f}{row['latency_ms']:>9.2f} ms"
            f"{row['loss']:>11.4f}{row[score]:>13.4f}  {row['spec']}"
        )
    word = "loss" if found["task"] == "lm" else f"1 - {score}"
    talk.say(f"a constant answer: {word} {found['chance_error']:.4f}; hypervolume {found['hypervolume']:.4f}")
    for row in found["rows"]:
        if "folder" in row:
            talk.say(f"  {row['folder']}")
