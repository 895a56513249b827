"""`luthier bench`: benchmarks, their environments and tables, and studies that compare methods on them."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from luthier.base.threads import single_thread
from luthier.cli._errors import FAILED, WARNS, WRONG
from luthier.cli._options import Debug, Json

bench = typer.Typer(help="Benchmarks, and studies that compare methods on them.", no_args_is_help=True)
env = typer.Typer(help="Environments that benchmarks and other tools run isolated in.", no_args_is_help=True)
bench.add_typer(env, name="env")

Name = Annotated[str, typer.Argument(metavar="NAME", help="A family, a benchmark or a tool, such as xgb or smac.")]


@bench.command("list")
def list_(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="Only families that begin so.")] = "",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Every family: its tasks here, what is measured, on which axis, and how it answers."""
    from luthier.bench import count, survey
    from luthier.bench.data import VARIABLE, folder
    from luthier.cli import _json

    rows = [row for row in survey() if row["family"].startswith(prefix)]
    if as_json:
        _json.write(rows)
        return
    width = max((len(row["family"]) for row in rows), default=0)
    for row in rows:
        print(f"{row['family']:<{width}}  {row['tasks']:>4} tasks  {row['summary']}")
        detail = row["missing"] or f"{row['example']}: {row['objectives']}, {row['fidelity']}, {row['how']}"
        print(f"{'':<{width}}              {detail}")
    if not prefix:
        found = count()
        place = f"the folder of {VARIABLE}" if folder() is not None else f"the folder of {VARIABLE}, which is not set"
        print(f"{found['own']} instances run here without further files, {found['supplied']} more with {place}")
    print("next: luthier bench selftest")


@bench.command()
def selftest(
    families: Annotated[
        list[str] | None, typer.Argument(metavar="FAMILY", help="Families; default: all.", show_default=False)
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check a small instance of every family, without a network; takes some seconds.

    Exit code 3 when one was skipped as a package is missing, 4 when a check failed.
    """
    single_thread()
    from luthier.bench import selftest as check
    from luthier.cli import _json

    found = check(families or (), told=None if as_json else _verdict)
    if as_json:
        _json.write([vars(one) for one in found])
    else:
        paper = [one for one in found if one.twelve]
        fine = len({one.family for one in paper if one.status == "ok"} - {o.family for o in paper if o.status != "ok"})
        if paper:
            print(f"{fine} of {len({one.family for one in paper})} families of HPOBench work here")
        print("next: luthier bench run --preset hpobench-mini")
    states = {one.status for one in found}
    if "failed" in states or any(one.status == "no data" and one.twelve for one in found):
        raise typer.Exit(WRONG)
    if "skipped" in states:
        raise typer.Exit(WARNS)


def _verdict(one: Any) -> None:
    short = one.why.partition(". ")[0] if one.status == "no data" else one.why  # `load` says all of it
    why = f"  {short}" if short else ""
    print(f"{one.family:<20}  {one.status:<7}  {one.seconds:5.1f} s  {one.instance}{why}", flush=True)


@bench.command()
def generate(
    family: Annotated[str, typer.Argument(metavar="FAMILY", help="A family that trains, such as svm.")],
    data: Annotated[str, typer.Option("--data", help="Its task, such as digits or an OpenML number.")],
    grid: Annotated[str, typer.Option("--grid", help="small or full.")] = "small",
    seeds: Annotated[int, typer.Option("--seeds", help="Repetitions.")] = 3,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Processes that train.")] = 1,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder.", show_default=False)] = None,
    debug: Debug = False,
) -> None:
    """Train every cell of a grid and keep the results as a table; goes on where it was stopped."""
    single_thread()
    from luthier.bench import estimate
    from luthier.bench import generate as make

    print(f"about {estimate(family, data, grid=grid, seeds=seeds) / 60:.0f} minutes of one processor")
    path = make(family, data, grid=grid, seeds=seeds, jobs=jobs, out=out, progress=_drawn)
    print(path)
    print(f"next: in Python, bench.load('{family}/{data}@{grid}')")


def _drawn(progress: Any) -> None:
    if sys.stderr.isatty():
        print(f"\r{progress.done} of {progress.cells} cells", end="", file=sys.stderr, flush=True)


@bench.command()
def run(
    plan: Annotated[str, typer.Argument(metavar="[PLAN]", help="A TOML file, or a preset.", show_default=False)] = "",
    preset: Annotated[str, typer.Option("--preset", help="A preset, such as hpobench-mini.", show_default=False)] = "",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Default: a folder named as the study.", show_default=False),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Cells at once.")] = 1,
    methods: Annotated[str, typer.Option("--methods", "-m", help="Only these, with commas between.")] = "",
    tasks: Annotated[str, typer.Option("--tasks", "-t", help="Only these, with commas between.")] = "",
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="A:B", help="Only from A up to but not B.", show_default=False)
    ] = "",
    minutes: Annotated[float | None, typer.Option("--minutes", help="Begin no cell after.", show_default=False)] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Run failed cells again.")] = False,
    fresh: Annotated[
        str, typer.Option("--fresh", metavar="METHODS", help="Forget all cells of these first: their code has changed.")
    ] = "",
    debug: Debug = False,
) -> None:
    """Run the cells of a study that are missing; stop it at any moment, and run it again to go on.

    Exit code 2 when cells failed, now or before.
    """
    single_thread()
    from luthier.base.errors import ArgumentError
    from luthier.bench import studies

    if bool(plan) == bool(preset):
        given = f"{plan!r} and --preset {preset!r}" if plan else "neither a file nor a preset"
        raise ArgumentError(
            f"luthier bench run: {given} given. Allowed: one of them. Presets: {', '.join(studies.presets())}. "
            "Try: luthier bench run --preset hpobench-mini"
        )

    def told(one: Any) -> None:
        print(f"{one.done} of {one.total}  {one.method}  {one.task}  seed {one.seed}", file=sys.stderr, flush=True)

    study = studies.load_plan(plan or preset)
    where = Path(study.name) if out is None else out
    with _ended_by_signal(where):
        done = studies.run(
            study,
            where,
            jobs=jobs,
            methods=_names(methods),
            tasks=_names(tasks),
            seeds=_range(seeds),
            minutes=float("inf") if minutes is None else minutes,
            retry=retry,
            fresh=_names(fresh),
            progress=told,
        )
    for name, why in done.skipped.items():
        print(f"skipped {name}: {why}")
    print(f"{done.made} cells made, {done.failed} of them failed, {done.missing} missing, in {done.seconds:.0f} s")
    for name, (count, error) in done.broken.items():
        print(f"failed {name}: {count} cells, mostly: {error.strip().partition(chr(10))[0]:.200}")
    if done.broken:
        print("repair it, then the same command with --retry; with --fresh METHOD if its code has changed")
    print(f"next: luthier bench compare {where}")
    if done.broken:
        raise typer.Exit(FAILED)


def _names(given: str) -> list[str]:
    return [name.strip() for name in given.split(",") if name.strip()]


def _range(given: str) -> range:
    from luthier.base.errors import ArgumentError

    first, colon, last = given.partition(":")
    if not given:
        return range(0)
    if not (colon and first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        raise ArgumentError(f"luthier bench run: --seeds {given!r} is no range. Allowed: A:B with A < B, such as 0:5.")
    return range(int(first), int(last))


@contextmanager
def _ended_by_signal(where: Path) -> Iterator[None]:
    """SIGTERM leaves as Ctrl-C does, so that the processes that make cells are ended too."""

    def leave(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"the cells made so far are in {where}; the same command goes on.") from None
    finally:
        signal.signal(signal.SIGTERM, before)


@bench.command()
def compare(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a study's results.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="DIR", help="Default: DIR/report.")] = None,
    methods: Annotated[str, typer.Option("--methods", "-m", help="Only these, with commas between.")] = "",
    part: Annotated[str, typer.Option("--part", help="test, or dev for a look that gives no verdict.")] = "test",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Turn results into a page, pictures and tables (CSV, LaTeX, JSON), and say what may not be concluded from them."""
    single_thread()
    from luthier.bench.studies.analysis import analyse
    from luthier.bench.studies.writers import write
    from luthier.cli import _json
    from luthier.report.comparison import write_comparison, write_pictures

    chosen = _names(methods)
    tables = analyse(folder, methods=chosen, part=part)
    where = folder / "report" if out is None else out
    write(tables, where)
    pictures, page = write_pictures(tables, where), write_comparison(tables, where)
    kept = {table.name: table for table in tables}
    if as_json:
        shown = {name: kept[name].rows for name in ("overview", "findings", "conclusions") if name in kept}
        _json.write({"page": page, "folder": where, "study": kept["overview"].data, **shown})
        return
    for row in kept["overview"].rows:
        interval = f"[{row['rank_low']:.2f}, {row['rank_high']:.2f}]"
        print(f"{row['method']:<24} mean rank {row['rank']:5.2f} {interval:<16} median regret {row['regret']:.3g}")
    for row in kept["findings"].rows if "findings" in kept else []:
        print(f"{row['verdict']:<14} {row['statement']}")
    for row in kept["conclusions"].rows:
        print(f"- {row['sentence']}")
    print(f"{len(tables)} tables and {len(pictures)} pictures in {where}")
    print(f"page: {page}")


@env.command("create")
def create_(
    name: Name,
    wheels: Annotated[
        Path | None, typer.Option("--wheels", metavar="DIR", help="Install from here.", show_default=False)
    ] = None,
    debug: Debug = False,
) -> None:
    """Build the environment of a benchmark from its lock, or find it built."""
    from luthier.bench.isolation import create

    made = create(name, wheels)
    print(f"{made.folder}: Python {made.python_version}, {len(made.packages)} packages, by {made.installer}")
    print(f"next: {_use(name)}")


def _use(name: str) -> str:
    from luthier.bench.studies.outside.catalogue import KINDS

    mine = [tool for tool, kind in KINDS.items() if kind.environment == name]
    if mine:
        return f'in the TOML file of a study, [methods.{mine[0]}] with tool = "{mine[0]}"'
    return f"in Python, luthier.bench.isolation.load('{name}/...')"


@env.command("list")
def listing_(as_json: Json = False, debug: Debug = False) -> None:
    """The environments that are built."""
    from dataclasses import asdict

    from luthier.bench.isolation import listing
    from luthier.cli import _json

    found = listing()
    if as_json:
        _json.write([asdict(one) for one in found])
        return
    for one in found:
        print(f"{one.lock_name}  {one.lock_sha256[:12]}  Python {one.python_version}  {one.folder}")
    print("next: luthier bench env remove NAME" if found else "none yet; next: luthier bench env create xgb")


@env.command("remove")
def remove_(name: Name, debug: Debug = False) -> None:
    """Delete the environment of a benchmark."""
    from luthier.bench.isolation import remove

    print(f"removed {remove(name).folder}")
