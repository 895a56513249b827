"""Growth measured: does the rate transfer, does a warm start pay, does the law predict, does muP stay flat.

    python benchmarks/growth.py texts                                         # the folder of texts, from LUTHIER_DATA
    python benchmarks/growth.py timing --device cuda --out timing.jsonl       # throughput, alone on the machine
    python benchmarks/growth.py run --device cuda --jobs 4 --deadline 480 --out lines.jsonl
    python benchmarks/growth.py report lines.jsonl timing.jsonl               # docs/results/growth.md, .json, pictures

Lines are appended as cells end, and cells whose lines are there are not run again. Models of one shape are trained side
by side (`_stack.py`). Seeds are paired: source, cold and warm of one seed see the same order of text.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from _growth_cells import DEPTH_ARMS, Cell, Place, run_cell
from _stack import OutOfTimeError

ROOT = Path(__file__).resolve().parents[1]


def cells(small: bool) -> list[Cell]:
    """All cells, the most needed first; `seconds` are expected on an H100 that a dozen processes share."""
    three, six = (0, 1, 2), tuple(range(6))
    pairs = [(k, k + 1) for k in (0, 2, 4)]
    words = ("mup", "standard")
    found = [
        Cell("rates", (w, width, s), 20 + width / 5) for s in three for width in (512, 256, 128, 64) for w in words
    ]
    found += [Cell("coordinates", ("adamw",), 90)]
    found += [Cell("warm", (128, *own), 150, own) for own in pairs]
    found += [Cell("ladder", (256, 20), 150, three)]
    found += [Cell("depth", (arm,), 130, six) for arm in list(DEPTH_ARMS)[:2]]
    found += [Cell("warm", (96, *own), 120, own) for own in pairs[:2]]
    found += [Cell("ladder", (width, per), per * width**2 / 9000, three) for width, per in _LADDER]
    found += [Cell("stability", own, 150, own) for own in pairs[:1]]
    found += [Cell("coordinates", (what,), 40) for what in ("hidden rates", "readout", "attention", "inner width")]
    found += [Cell("warm", (64, *own), 100, own) for own in pairs[:2]]
    found += [Cell("merging", (), 60, six)]
    found += [Cell("depth", (arm,), 130, six) for arm in list(DEPTH_ARMS)[2:]]
    found += [Cell("stability", own, 150, own) for own in pairs[1:2]]
    found += [Cell("rates", ("mup", width, s), 20 + width / 5) for s in (3, 4) for width in (64, 512)]
    found += [Cell("rates", (w, 1024, 0), 200) for w in words]
    found += [Cell("broad", (w, width, s), width / 16) for s in three for width in (256, 512, 1024) for w in words]
    found += [Cell("broad", (w, 2048, 0), 120) for w in words]
    return _tiny(found) if small else found


def quarter() -> list[Cell]:
    """What a processor affords: growth 9 and 4, late depth, merging, rates warm and cold, the law up to width 256."""
    own = (0, 1, 2)
    found = [Cell("depth", (arm,), 60, own) for arm in list(DEPTH_ARMS)[:2]]
    found += [Cell("merging", (), 40, own), Cell("warm", (64, *own), 150, own), Cell("warm", (96, *own), 200, own)]
    found += [Cell("stability", own, 500, own), Cell("depth", (list(DEPTH_ARMS)[2],), 60, own)]
    found += [Cell("ladder", (width, per), 60, own) for width, per in _LADDER if width <= 128]
    return [*found, Cell("ladder", (256, 20), 400, own)]


def _tiny(found: list[Cell]) -> list[Cell]:
    """One cell of each part, and a late one, to try the command out."""
    kept: dict[str, Cell] = {}
    for cell in found:
        kept.setdefault(cell.part, Cell(cell.part, cell.key, 1, cell.seeds[:2]))
    kept["rates"] = Cell("rates", ("mup", 64, 0), 1)
    kept["broad"] = Cell("broad", ("mup", 256, 0), 1)
    kept["late"] = Cell("depth", ("late 0.7 random, equal operations",), 1, (0,))
    return list(kept.values())


_LADDER = ((128, 40), (128, 20), (128, 10), (96, 40), (96, 20), (96, 10), (64, 40), (64, 20), (64, 10), (192, 10),
           (192, 40))  # fmt: skip


def run(given: argparse.Namespace) -> None:
    """All cells that are missing, several at a time."""
    began = time.time()
    place = Place(given.text, given.device, began + given.stop, given.small, 2.0**given.rate, given.scale)
    there = {(r["part"], *r["key"]) for r in rows(given.out)}
    every = quarter() if given.scale == "quarter" else cells(given.small)
    wanted = [c for c in every if not given.parts or c.part in given.parts]
    todo = [c for c in wanted if (c.part, *c.key) not in there]
    print(f"{len(todo)} cells", flush=True)
    with ProcessPoolExecutor(given.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        running: dict[Future, Cell] = {}
        while todo or running:
            while todo and len(running) < given.jobs:
                cell = todo.pop(0)
                if time.time() - began + cell.seconds * given.slack > given.deadline:
                    print("no time for", cell.part, *cell.key, flush=True)
                    continue
                running[pool.submit(run_cell, cell, place)] = cell
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                _write(given.out, running.pop(future), future, time.time() - began)


def gather(folder: Path) -> None:
    """Put the texts into one folder, packed, so that they can travel to another machine."""
    import gzip
    import shutil

    from luthier.bench.data import DataFile, find
    from luthier.nets.data import python_library

    folder.mkdir(parents=True, exist_ok=True)
    wanted = [DataFile(f"text/{name}.txt.gz") for name in ("tinyshakespeare", "wikitext2_test", "wikitext2_valid")]
    for path in find("the growth benchmark", wanted, origin="see the README beside the texts").values():
        shutil.copy(path, folder)
    (folder / "python.txt.gz").write_bytes(gzip.compress(python_library(13_500_000).values.tobytes(), mtime=0))
    print(*(f"{p.name}: {p.stat().st_size:,} bytes packed" for p in sorted(folder.iterdir())), sep="\n")


def _write(out: Path, cell: Cell, future: Future, now: float) -> None:
    try:
        found = future.result()
    except OutOfTimeError:
        print(f"{now:.0f} s: gave up", cell.part, *cell.key, flush=True)
        return
    except Exception as error:  # one cell's failure is no other's
        print(f"{now:.0f} s: FAILED", cell.part, *cell.key, repr(error)[:800], flush=True)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in found)
    print(
        f"{now:.0f} s: {cell.part}",
        *cell.key,
        f"in {found[0].get('cell_seconds')} s",
        found[-1].get("peak_gib"),
        flush=True,
    )


def rows(path: Path) -> list[dict]:
    """The lines of a file."""
    return [json.loads(text) for text in path.read_text().splitlines()] if path.exists() else []


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("texts", "run", "timing", "report"))
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--deadline", type=float, default=1e9, help="seconds after which no cell is begun")
    parser.add_argument("--stop", type=float, default=1e9, help="seconds after which running cells give up")
    parser.add_argument("--slack", type=float, default=0.5, help="share of a cell's expected seconds that must be left")
    parser.add_argument("--out", type=Path, default=Path("growth.jsonl"))
    parser.add_argument("--text", default=str(ROOT / ".gpu" / "text"))
    parser.add_argument("--rate", type=float, default=-9, help="log2 of the peak rate of all but the sweeps")
    parser.add_argument("--parts", nargs="*", default=[])
    parser.add_argument("--scale", default="gpu", help="gpu; or quarter: a quarter as wide, 10 tokens per parameter")
    parser.add_argument("--small", action="store_true", help="tiny cells, to try the command out")
    given = parser.parse_args()
    if given.what == "texts":
        gather(Path(given.text))
    elif given.what == "run":
        run(given)
    elif given.what == "timing":
        from _growth_timing import timing

        timing(given.out, given.device, small=given.small)
    else:
        from _growth_report import report

        report([row for path in given.files for row in rows(path)])


if __name__ == "__main__":
    main()
