"""The ledger: what every run has cost and what it was for, one JSON line each, never rewritten."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, StorageError
from luthier.grow.comparing import first_at
from luthier.grow.laws import Point

PURPOSES = ("sweep", "base", "growth", "scratch", "continued", "eval")
SAME_TOKENS = 0.01  # steps are whole: another batch ends a little earlier


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run.

    Args:
        run: Its name.
        purpose: "sweep" (tuning), "base" (a growth source), "growth", "scratch", "continued" (trained on from where
            another run was) or "eval".
        size: Parameters outside of tables.
        total: All parameters.
        tokens: Tokens seen.
        flops: Operations.
        seconds: Of the device.
        loss: Final, held out; None where none was measured.
        lr: Peak rate of the proxy.
        growth: Growth factor; None for a run from scratch.
        source: Name of the run that it was grown from, or continues.
        charged: Who pays: the name of a project or target; empty: the run itself.
        kwh: Energy, where it is known.
        seed: Of the run.
        before: Tokens of an earlier part (late growth: its source's; of a run that continues another: all of that
            one's), which `tokens` leaves out.
        curve: (operations, held-out loss) on the way.
    """

    run: str
    purpose: str
    size: float
    total: float
    tokens: float
    flops: float
    seconds: float = 0.0
    loss: float | None = None
    lr: float | None = None
    growth: float | None = None
    source: str = ""
    charged: str = ""
    kwh: float | None = None
    seed: int = 0
    before: float = 0.0
    curve: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no run can have."""
        object.__setattr__(self, "curve", tuple((float(x), float(y)) for x, y in self.curve))  # JSON has lists
        check("purpose", self.purpose, one_of=PURPOSES)
        for name in ("size", "total", "tokens", "flops", "seconds"):
            check(name, getattr(self, name), at_least=0)


@dataclass(frozen=True, kw_only=True)
class Bill:
    """What growing has cost and saved. What is not known is NaN.

    Args:
        sweep: Operations of tuning at the proxy.
        base: Of growth sources; NaN where one of them is not in the ledger.
        growth: Of the grown run.
        direct: What as many trials at the target's own size would have cost.
        scratch: One target from scratch, of the grown run's size and tokens.
        reached: Operations after which the grown run had the loss of the one from scratch: all of its own where only
            its end is known, NaN where it ends above.
        saved_tuning: 1 - sweep / direct.
        saved_sunk: 1 - reached / scratch: the base was there anyhow, as a by-product of tuning.
        saved_full: 1 - (base + reached) / scratch: everything is charged.
        trials: Of the sweep.
        run: Name of the grown run; empty where there is none.
        tokens: That it has seen.
        loss: At its end.
        scratch_loss: At the end from scratch: the mean over seeds, at the rate that was best there.
        late: Whether the source is the grown run's own first part.
    """

    sweep: float
    base: float
    growth: float
    direct: float
    scratch: float
    reached: float
    saved_tuning: float
    saved_sunk: float
    saved_full: float
    trials: int
    run: str
    tokens: float
    loss: float
    scratch_loss: float
    late: bool

    @property
    def words(self) -> str:
        """What growing came to; empty without a grown run."""
        if not self.run:
            return ""
        ends = f"{self.run} ends at loss {self.loss:.4f}"
        if math.isnan(self.scratch):
            return (
                f"{ends}; no run from scratch of its size and {self.tokens:g} tokens is here, so that what growing "
                "saves is not known. Train one: luthier grow train PLAN."
            )
        both = f"{ends}, from scratch with as many tokens {self.scratch_loss:.4f}"
        if math.isnan(self.loss) or math.isnan(self.scratch_loss):
            return f"{both}: without both losses what growing saves is not known"
        if math.isnan(self.reached):
            return f"{both}: growing saved nothing"
        sunk, full = f"{1 - self.saved_sunk:.0%} if its source is there", f"{1 - self.saved_full:.0%} if not"
        if math.isnan(self.base):
            full = "and what its source has cost is not in the ledger (--from names it)"
        shares = f"{1 - self.saved_full:.0%}" if self.late else f"{sunk}, {full}"
        return f"{both}; to that loss it took, of the operations from scratch: {shares}"


@dataclass
class Ledger:
    """All entries of a file.

    Args:
        path: Where; it is created by the first entry.
    """

    path: Path
    entries: list[Entry] = field(default_factory=list)

    @classmethod
    def open(cls, path: str | Path) -> Ledger:
        """Read a ledger; one that is not there is empty.

        Raises:
            StorageError: a line is no entry. (A last line that was cut off by a crash is left out.)
        """
        place = Path(path)
        found = cls(place)
        if not place.exists():
            return found
        lines = place.read_text().split("\n")
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                found.entries.append(Entry(**json.loads(line)))
            except json.JSONDecodeError as error:
                if number == len(lines):
                    break
                raise StorageError(
                    f"{place}: line {number} is no JSON: {error}. Restore the file, or remove that line."
                ) from error
            except (TypeError, ArgumentError) as error:
                raise StorageError(f"{place}: line {number} is no entry: {error}") from error
        return found

    def add(self, entry: Entry) -> None:
        """Append one entry, on disk at once; a last line that a kill has cut off is removed first."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file, _alone(file):
            _mend(file)
            file.write((json.dumps(asdict(entry)) + "\n").encode())
            file.flush()
        self.entries.append(entry)

    def of(self, *purposes: str) -> Iterator[Entry]:
        """Entries of some purposes."""
        return (entry for entry in self.entries if entry.purpose in purposes)

    def bill(self, target: str | None = None) -> Bill:
        """Both accounts of what was saved.

        Args:
            target: Name of the grown run; None: the newest one.
        """
        grown = [e for e in self.of("growth") if target in (None, e.run)]
        if target is not None and not grown:
            raise ArgumentError(
                f"target={target!r}: no grown run of that name. Allowed: {[e.run for e in self.of('growth')]}."
            )
        own = grown[-1] if grown else None
        like, base = self._like(own), self._sources(own)
        scratch, scratch_loss = _mean([e.flops for e in like]), _mean([_number(e.loss) for e in like])
        trials, spent = len(list(self.of("sweep"))), sum(e.flops for e in self.of("sweep"))
        direct = trials * (scratch if like or own is None else own.flops)
        reached = math.nan if own is None else _reached(own, scratch_loss)
        return Bill(
            sweep=spent,
            base=base,
            growth=own.flops if own else 0.0,
            direct=direct,
            scratch=scratch,
            reached=reached,
            saved_tuning=1 - spent / direct if direct else math.nan,
            saved_sunk=1 - reached / scratch,
            saved_full=1 - (base + reached) / scratch,
            trials=trials,
            run=own.run if own else "",
            tokens=own.tokens + own.before if own else 0.0,
            loss=_number(own.loss) if own else math.nan,
            scratch_loss=scratch_loss,
            late=bool(own and own.before),
        )

    def _like(self, own: Entry | None) -> list[Entry]:
        """The seeds from scratch beside a grown run: its size and tokens, at the best rate; of none: the largest."""
        cold = list(self.of("scratch"))
        aim = own or max(cold, key=lambda e: e.flops, default=None)
        if aim is None:
            return []
        tokens = aim.tokens + aim.before
        rates: dict[float | None, list[Entry]] = {}
        for e in cold:
            if e.size == aim.size and math.isclose(e.tokens, tokens, rel_tol=SAME_TOKENS):
                rates.setdefault(e.lr, []).append(e)
        return min(rates.values(), key=lambda seeds: _mean([_number(e.loss, math.inf) for e in seeds]), default=[])

    def _sources(self, entry: Entry | None) -> float:
        """Operations of the runs that one was grown from, one from the other; NaN where one is not in the ledger."""
        names = {e.run: e for e in self.entries}
        passed: list[Entry] = []
        while entry is not None and (entry.source or entry.purpose == "growth" or entry.growth is not None):
            entry = names.get(entry.source)
            if entry is None:
                return math.nan
            if entry in passed:
                break
            passed.append(entry)
        return sum(e.flops for e in passed)

    def data(self) -> list[dict[str, Any]]:
        """As JSON."""
        return [asdict(entry) for entry in self.entries]


@contextmanager
def _alone(file: IO[bytes]) -> Iterator[None]:
    """No other process writes to the file meanwhile; where a system has no such locks, nothing is locked."""
    if os.name != "posix":
        yield
        return
    import fcntl

    with suppress(OSError):  # some network folders have none either
        fcntl.flock(file, fcntl.LOCK_EX)
    yield  # closing the file lets go


def _mend(file: IO[bytes]) -> None:
    """End a file with a whole line: what was cut off goes, a whole entry that lacks its newline alone gets one."""
    file.seek(0)
    content = file.read()
    if not content or content.endswith(b"\n"):
        return
    begin = content.rfind(b"\n") + 1
    try:
        json.loads(content[begin:])
    except ValueError:
        file.truncate(begin)
    else:
        file.write(b"\n")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _number(value: float | None, otherwise: float = math.nan) -> float:
    return otherwise if value is None else value


def _reached(own: Entry, level: float) -> float:
    """Operations after which a run had a loss; NaN where it ends above."""
    if not _number(own.loss) <= level:
        return math.nan
    found = first_at(np.array(own.curve), level) if own.curve else None
    return own.flops if found is None else found


def break_even(growth: float) -> float:
    """How many times fewer tokens a grown model must need, when its source is charged in full.

    At equal tokens per parameter a source costs 1/g^2 of its target, so that growing wins when 1/s + 1/g^2 < 1.

    Args:
        growth: g, above 1.
    """
    check("growth", growth, above=1)
    return growth**2 / (growth**2 - 1)


def best_points(entries: Sequence[Entry]) -> list[Point]:
    """Runs from scratch as points of a law: of each size and token count the lowest loss: a sweep counts once.

    A run that continues another is left out: its own tokens are too few for its loss, and two schedules are not one.
    """
    best: dict[tuple[float, float], float] = {}
    for entry in entries:
        other = entry.growth is not None or entry.before or entry.purpose in ("continued", "eval")
        if entry.loss is None or other:
            continue
        key = (entry.size, entry.tokens)
        best[key] = min(entry.loss, best.get(key, float("inf")))
    return [Point(size, tokens, loss) for (size, tokens), loss in best.items()]
