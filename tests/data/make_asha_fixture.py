"""Makes `asha_syne_tune.json`: what Syne Tune's ASHA decided on 20 streams of reports.

Not run by the tests. Run it twice, each time in an environment of its own; each run replaces its own part of the file:
`pip install syne-tune==0.16.0` (it has the stopping type alone) and `pip install syne-tune==0.13.0` (the last release
with both types), then `python make_asha_fixture.py`.

A stream has several workers, of whom one after the other is drawn at random. A free one asks; a busy one reports its
trial's next epoch, with a whole number that no other report of the stream has, so that there are no ties. The events
of a stream are words in one text: `+` the next trial starts; `^3:9` trial 3 is promoted and may run up to 9; `3:471c`
trial 3 reports 471, and is told to continue (c), to stop (s), to pause (p) or is at the full resource (e).
"""

from __future__ import annotations

import json
import random
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import uniform

FILE = Path(__file__).parent / "asha_syne_tune.json"
#: (eta, full resource, first rung); both tools have the same rungs there.
LADDERS = ((3, 9, 1), (3, 27, 1), (3, 50, 1), (3, 54, 2), (4, 16, 1), (4, 64, 1), (4, 40, 2), (4, 21, 1))
STREAMS, TRIALS, WORKERS = 20, 30, 5
VERSION = version("syne-tune")


def scheduler(kind: str, eta: int, high: int, grace: int, seed: int) -> object:
    """Syne Tune's ASHA, of the release that is installed."""
    if VERSION.startswith("0.13."):
        from syne_tune.optimizer.schedulers.hyperband import HyperbandScheduler

        return HyperbandScheduler(
            {"x": uniform(0, 1)}, searcher="random", metric="loss", mode="min", resource_attr="epoch", max_t=high,
            grace_period=grace, reduction_factor=eta, type=kind, brackets=1, random_seed=seed,
        )  # fmt: skip
    from syne_tune.optimizer.schedulers.asha import AsynchronousSuccessiveHalving

    return AsynchronousSuccessiveHalving(
        {"x": uniform(0, 1)}, metric="loss", time_attr="epoch", max_t=high, grace_period=grace, reduction_factor=eta,
        brackets=1, random_seed=seed,
    )  # fmt: skip


def ask(asha: object, number: int) -> object:
    """What a free worker gets, whatever the release."""
    return asha.suggest(number) if VERSION.startswith("0.13.") else asha.suggest()


def stream(kind: str, seed: int) -> dict[str, object]:
    """One stream and its decisions."""
    eta, high, grace = LADDERS[seed % len(LADDERS)]
    rng = random.Random(seed)
    values = iter(rng.sample(range(10**4), 10**4))
    asha = scheduler(kind, eta, high, grace, seed)
    trials: dict[int, Trial] = {}
    epochs: dict[int, int] = {}
    running: list[int] = []
    events: list[str] = []
    while True:
        if len(running) < WORKERS and (not running or rng.random() < 0.5):
            number = len(trials)
            found = ask(asha, number)
            if found.checkpoint_trial_id is not None and not found.spawn_new_trial_id:
                number = int(found.checkpoint_trial_id)
                until = asha.terminator._rung_systems[0]._running[str(number)]["milestone"]
                events.append(f"^{number}:{until}")
            elif number == TRIALS:
                return {"eta": eta, "high": high, "grace": grace, "events": " ".join(events)}
            else:
                trials[number] = Trial(number, found.config, datetime(2026, 1, 1))
                epochs[number] = 0
                asha.on_trial_add(trials[number])
                events.append("+")
            running.append(number)
            continue
        number = running[rng.randrange(len(running))]
        epochs[number] += 1
        value = next(values)
        decision = asha.on_trial_result(trials[number], {"epoch": epochs[number], "loss": float(value)}).lower()
        if epochs[number] == high:
            decision = {"stop": "end"}[decision]
        events.append(f"{number}:{value}{decision[0]}")
        if decision != "continue":
            running.remove(number)
            if decision == "end":
                asha.on_trial_remove(trials[number])


def main() -> None:
    """Drive what is installed, and keep the other release's part of the file."""
    kept = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    for kind in ("stopping", "promotion") if VERSION.startswith("0.13.") else ("stopping",):
        kept[f"{VERSION} {kind}"] = [stream(kind, seed) for seed in range(STREAMS)]
    rows = [
        f"{json.dumps(name)}: [\n" + ",\n".join(json.dumps(s, separators=(",", ":")) for s in streams) + "\n]"
        for name, streams in sorted(kept.items())
    ]
    FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
