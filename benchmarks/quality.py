"""Which searcher finds better configurations sooner? Ours beside other tools, over tasks and paired seeds.

    LUTHIER_DATA=... python benchmarks/quality.py run --tools cqr,optuna-tpe --tasks judged --seeds 0:10
    python benchmarks/quality.py report

`run` adds the cells that are missing to docs/results/quality/<tool>.npz and may be stopped at any moment; `report`
writes docs/results/quality.md and .json from what is there. Tools are the names of our searchers and those of
`_peers.PEERS`. The development tasks are those on which defaults were chosen; they are no part of the verdict.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import _machine

_machine.one_thread()

import _cells  # noqa: E402
import _tasks  # noqa: E402
from _peers import PEERS, Peer, PeerFailed  # noqa: E402

EVALUATIONS = 100

_FUNCTIONS = ("function/branin", "function/hartmann6", "function/noisy6")
_FCNET = tuple(
    f"fcnet/{t}" for t in ("naval_propulsion", "parkinsons_telemonitoring", "protein_structure", "slice_localization")
)
_MLP = tuple(f"hpobench_mlp/{t}" for t in ("australian", "segment", "blood_transfusion"))
_NAS = tuple(f"nasbench201/{t}" for t in ("cifar10", "cifar100", "imagenet"))
_LCBENCH = tuple(f"lcbench/{t}" for t in (3945, 7593, 126025, 126026, 126029, 167184, 168331, 168868, 189865, 189906))
# instances whose surrogate promises accuracy 1 to less than one random configuration in a thousand: no plateau to hit
_RBV2 = tuple(f"rbv2/{t}" for t in (12, 38, 54, 188, 1067, 1489, 4534, 40701, 40984, 41146))
_LIVE = ("live/svc_cancer", "live/ridge_diabetes", "live/knn_digits")

JUDGED = (*_FCNET, *_MLP, *_NAS, *_LCBENCH, *_RBV2, *_FUNCTIONS, *_LIVE)
#: For the tools that take long: 20 of the judged ones.
SLOW = (*_FCNET, *_MLP, *_NAS, *_LCBENCH[:4], *_RBV2[1::4], *_FUNCTIONS)
#: No part of the verdict: what defaults may be chosen on.
DEVELOPMENT = (
    *(f"hpobench_mlp/{t}" for t in ("car", "vehicle", "kc1", "credit_g", "phoneme")),
    *(f"lcbench/{t}" for t in (34539, 146212, 167168, 168329, 189354)),
    *(f"rbv2/{t}" for t in (31, 1494, 4134, 40975, 41143)),
    *(f"function/{t}" for t in ("ackley5", "rosenbrock4", "levy8", "noisy5", "mixed6")),
)
GROUPS = {"judged": JUDGED, "slow": SLOW, "development": DEVELOPMENT, "all": (*JUDGED, *DEVELOPMENT)}


def order(tools: list[str], tasks: list[str], seeds: range) -> Iterator[tuple[int, str, str]]:
    """Seed by seed, so that after any time all tools have about the same seeds."""
    for seed in seeds:
        for tool in tools:
            for task in tasks:
                yield seed, tool, task


def run(
    tools: list[str], tasks: list[str], seeds: range, evaluations: int, *, until: float, retry: bool = False
) -> None:
    """Every missing cell until a moment of `time.monotonic()`; with `retry` the failed ones too."""
    for tool in tools:
        _lock(tool)
    stores = {tool: _cells.Store(tool) for tool in tools}
    for store in stores.values():
        if retry:
            store.drop_failed()
    loaded: dict[str, _tasks.Task] = {}
    peers: dict[str, Peer] = {}
    for seed, tool, task in order(tools, tasks, seeds):
        if time.monotonic() > until:
            print("deadline", flush=True)
            break
        wanted = min(evaluations, PEERS[tool]) if tool in PEERS else evaluations
        if stores[tool].has(task, seed, wanted):
            continue
        if task not in loaded:
            loaded[task] = _tasks.load(task)
        cell = one(loaded[task], tool, seed, wanted, peers)
        if tool in peers:
            stores[tool].versions = peers[tool].versions
        stores[tool].add(task, seed, cell)
        print(
            f"{time.strftime('%H:%M:%S')} {tool} {task} {seed}: {cell.regret[-1]:.4f}, "
            f"{1000 * cell.seconds:.1f} ms an ask {cell.error}",
            flush=True,
        )
    for peer in peers.values():
        peer.close()


def _lock(tool: str) -> None:
    """Until this process ends: two runs of one tool would lose each other's cells."""
    place = os.open(Path(tempfile.gettempdir(), f"luthier-quality-{tool}.lock"), os.O_CREAT | os.O_WRONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise SystemExit(f"another run adds cells of {tool}. Wait for it, or leave {tool} out.") from None


def one(task: _tasks.Task, tool: str, seed: int, evaluations: int, peers: dict[str, Peer]) -> _cells.Cell:
    """One cell. A peer that raises marks it as failed, and gets a new process."""
    if tool not in PEERS:
        return _cells.ours(task, tool, seed, evaluations)
    if tool not in peers:
        peers[tool] = Peer(tool)
    try:
        peers[tool].new(task.space, seed, evaluations)
        return _cells.theirs(task, peers[tool], seed, evaluations)
    except PeerFailed as error:
        peers.pop(tool).close()
        return _cells.failed(str(error), evaluations)


def span(text: str) -> range:
    """ "0:10" as seeds 0 to 9."""
    low, _, high = text.partition(":")
    return range(int(low), int(high)) if high else range(int(low), int(low) + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run", help="add missing cells")
    runs.add_argument("--tools", required=True, help="names, separated by commas")
    runs.add_argument("--tasks", default="judged", help="judged, development, slow, all, or names with commas")
    runs.add_argument("--seeds", type=span, default=range(10), help="as 0:10")
    runs.add_argument("--evaluations", type=int, default=EVALUATIONS)
    runs.add_argument("--deadline", type=float, default=float("inf"), help="minutes after which no cell is begun")
    runs.add_argument("--fresh", action="store_true", help="forget the tools' cells first: their code has changed")
    runs.add_argument("--retry", action="store_true", help="run failed cells again")
    commands.add_parser("report", help="write the tables")
    given = parser.parse_args()
    if given.command == "report":
        import _report

        print(_report.write(JUDGED, DEVELOPMENT, SLOW))
        return
    for tool in given.tools.split(",") if given.fresh else []:
        (_cells.FOLDER / f"{tool}.npz").unlink(missing_ok=True)
    tasks = list(GROUPS[given.tasks]) if given.tasks in GROUPS else given.tasks.split(",")
    until = time.monotonic() + 60 * given.deadline
    run(given.tools.split(","), tasks, given.seeds, given.evaluations, until=until, retry=given.retry)


if __name__ == "__main__":
    main()
