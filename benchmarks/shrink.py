"""shrink end to end: an encoder with real weights and a decoder, beside pruning each size by itself.

    python benchmarks/shrink.py timing --device cuda --out DIR/timing.jsonl                # alone on the device
    python benchmarks/shrink.py run --device cuda --jobs 7 --deadline 480 --model DIR --data DIR --text DIR \
        --out DIR/cells.jsonl                                                               # resumable
    python benchmarks/shrink.py latency --whole DIR --children DIR ... --out FILE           # a fresh process
    python benchmarks/shrink.py report --cells FILE ... --name shrink_gpu                   # docs/results/NAME.md

Profile "gpu": 32 rows of 64 tokens (decoder: 128), 400 steps for the super-network and 80 for each of five sizes;
a baseline has 160 for each size, so every method makes 800 steps. The decoder (4.5 million parameters) is trained for
1500 steps first. Profile "cpu", for two processors: 16 rows of 64 tokens, 200 steps, three sizes with 40 steps each; a
baseline has 107 for each. Profile "tiny": a decoder of 0.2 million parameters, 240 steps and 40 for each of five sizes;
a baseline has 88 for each.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import _shrink_runner as runner

PROFILES: dict[str, dict[str, Any]] = {
    "gpu": {
        "looked": 256, "most": 1000,
        "rows": 32, "length": 64, "length_lm": 128, "super": 400, "tune": 80, "alone": 160, "start": 1500,
        "fidelity": 200, "evals": 100, "lr": 1e-4, "lr_lm": 5e-4, "targets": (0.15, 0.3, 0.45, 0.6, 0.8),
    },
    "cpu": {
        "looked": 32, "most": 17,
        "rows": 16, "length": 64, "length_lm": 64, "super": 200, "tune": 40, "alone": 107, "start": 600,
        "fidelity": 200, "evals": 60, "lr": 1e-4, "lr_lm": 5e-4, "targets": (0.3, 0.5, 0.7),
    },
    "tiny": {
        "looked": 128, "most": 1, "rows": 16, "length": 64, "length_lm": 48, "super": 240, "tune": 40, "alone": 88,
        "start": 500, "fidelity": 120, "evals": 100, "lr": 1e-4, "lr_lm": 1e-3, "targets": (0.2, 0.35, 0.5, 0.65, 0.8),
        "tiny": True,
    },
}  # fmt: skip


def seeds_of(text: str) -> list[int]:
    """`0:5` or `0,3`."""
    if ":" in text:
        first, last = (int(word) for word in text.split(":"))
        return list(range(first, last))
    return [int(word) for word in text.split(",")]


def setting_of(args: argparse.Namespace) -> runner.Setting:
    """What all cells share."""
    options = {**PROFILES[args.profile], "scale": args.scale, "keep": args.keep, "children": args.children}
    if args.scale < 0.1:  # a trial run looks at little
        options |= {"looked": 16, "most": 1, "evals": 6}
    options |= {name: str(getattr(args, name)) for name in ("model", "data", "text")}
    out = Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(args.scratch or tempfile.mkdtemp(prefix="shrink-cells-"))
    scratch.mkdir(parents=True, exist_ok=True)
    return runner.Setting(args.device, out, scratch, options)


def run(args: argparse.Namespace) -> None:
    """Cells in several processes."""
    import _shrink_work as work

    cells = work.cells(seeds_of(args.seeds), args.tasks.split(","))
    if args.only:
        cells = [cell for cell in cells if any(cell.key.startswith(word) for word in args.only.split(","))]
    setting = setting_of(args)
    runner.append(setting.out, {"key": f"about/{os.getpid()}", **runner.environment(args.device),
                                "profile": args.profile, "options": setting.options, "jobs": args.jobs})  # fmt: skip
    print(runner.run(cells, setting, "_shrink_work", jobs=args.jobs, deadline=args.deadline), "lines", flush=True)


def timing(args: argparse.Namespace) -> None:
    """Times, in one process."""
    import _shrink_timing as work

    setting = setting_of(args)
    runner.append(setting.out, {"key": f"about/{os.getpid()}", **runner.environment(args.device)})
    print(runner.run(work.cells(), setting, "_shrink_timing", jobs=1, deadline=args.deadline), "lines", flush=True)


def latency(args: argparse.Namespace) -> None:
    """Extracted models beside the whole, in this process alone."""
    import _shrink_latency

    folders = [Path(path) for path in args.children]
    batches = tuple(seeds_of(args.batches))
    paths = (Path(args.whole), folders, Path(args.out))
    _shrink_latency.run(*paths, batches=batches, tokens=args.tokens, rounds=args.rounds)


def choices(args: argparse.Namespace) -> None:
    """MMLU and PIQA."""
    import _shrink_choices

    paths = (Path(args.start), Path(args.trained), args.text, args.data, Path(args.out))
    _shrink_choices.run(*paths, limit=args.limit, evals=args.evals)


def speed(args: argparse.Namespace) -> None:
    """Ratios."""
    import _shrink_speed

    if args.rounds:
        _shrink_speed.slices(Path(args.out), args.rounds)
    else:
        _shrink_speed.run(Path(args.out))


def report(args: argparse.Namespace) -> None:
    """Tables and pictures."""
    import _shrink_report

    print(_shrink_report.write([Path(path) for path in args.cells], args.name))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    for name, call in (("run", run), ("timing", timing)):
        one = commands.add_parser(name)
        one.add_argument("--device", default="cpu")
        one.add_argument("--out", required=True)
        one.add_argument("--scratch", default="", help="Folder for weights that several cells need.")
        one.add_argument("--profile", choices=list(PROFILES), default="gpu")
        one.add_argument("--scale", type=float, default=1.0, help="Of all steps; below 1 for a trial run.")
        one.add_argument("--deadline", type=float, default=1e9, help="Seconds after which no cell is begun.")
        one.add_argument("--keep", action="store_true", help="Leave seed 0's decoders beside the lines.")
        one.add_argument("--children", action="store_true", help="Leave the models that weight sharing makes.")
        one.add_argument("--model", default="", help="Folder of the encoder.")
        one.add_argument("--data", default="", help="Folder of the tables.")
        one.add_argument("--text", default="", help="Folder of the texts.")
        one.add_argument("--jobs", type=int, default=1)
        one.add_argument("--seeds", default="0:5")
        one.add_argument("--tasks", default="qnli,stsb,decoder")
        one.add_argument("--only", default="", help="Beginnings of keys, such as qnli/shared.")
        one.set_defaults(call=call)
    third = commands.add_parser("latency")
    third.add_argument("--whole", required=True, help="Folder of the super-network's whole.")
    third.add_argument("--children", nargs="+", required=True, help="Folders of extracted models.")
    third.add_argument("--out", required=True)
    third.add_argument("--batches", default="1,8")
    third.add_argument("--tokens", type=int, default=64)
    third.add_argument("--rounds", type=int, default=60, help="Passes of each model, in turns.")
    third.set_defaults(call=latency)
    fourth = commands.add_parser("choices")
    for name in ("start", "trained", "text", "data", "out"):
        fourth.add_argument(f"--{name}", required=True)
    fourth.add_argument("--limit", type=int, default=600)
    fourth.add_argument("--evals", type=int, default=30)
    fourth.set_defaults(call=choices)
    fifth = commands.add_parser("speed")
    fifth.add_argument("--out", required=True)
    fifth.add_argument("--rounds", type=int, default=0, help="Views beside indices alone, so many rounds.")
    fifth.set_defaults(call=speed)
    last = commands.add_parser("report")
    last.add_argument("--cells", nargs="+", required=True)
    last.add_argument("--name", default="shrink_gpu")
    last.set_defaults(call=report)
    args = parser.parse_args()
    args.call(args)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    main()
