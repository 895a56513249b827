"""The ledger: what every run has cost and what it was for, one JSON line each, never rewritten."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, StorageError
from luthier.grow.laws import Point

PURPOSES = ("sweep", "base", "growth", "scratch", "eval")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run.

    Args:
        run: Its name.
        purpose: "sweep" (tuning), "base" (a growth source), "growth", "scratch" or "eval".
        size: Parameters outside of tables.
        total: All parameters.
        tokens: Tokens seen.
        flops: Operations.
        seconds: Of the device.
        loss: Final, held out; None where none was measured.
        lr: Peak rate of the proxy.
        growth: Growth factor; None for a run from scratch.
        source: Name of the run that it was grown from.
        charged: Who pays: the name of a project or target; empty: the run itself.
        kwh: Energy, where it is known.
        seed: Of the run.
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

    def __post_init__(self) -> None:
        """Refuse what no run can have."""
        check("purpose", self.purpose, one_of=PURPOSES)
        for name in ("size", "total", "tokens", "flops", "seconds"):
            check(name, getattr(self, name), at_least=0)


@dataclass(frozen=True)
class Bill:
    """What growing has cost and saved.

    Args:
        sweep: Operations of tuning at the proxy.
        base: Of growth sources.
        growth: Of grown runs.
        direct: What as many trials at the target's own size would have cost; NaN without a target.
        scratch: One target from scratch; NaN where none is in the ledger.
        saved_tuning: 1 - sweep / direct.
        saved_sunk: 1 - growth / scratch: the base was there anyhow, as a by-product of tuning.
        saved_full: 1 - (base + growth) / scratch: everything is charged.
        trials: Of the sweep.
    """

    sweep: float
    base: float
    growth: float
    direct: float
    scratch: float
    saved_tuning: float
    saved_sunk: float
    saved_full: float
    trials: int


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
                raise StorageError(f"{place}: line {number} is no JSON: {error}. Restore the file.") from error
            except (TypeError, ArgumentError) as error:
                raise StorageError(f"{place}: line {number} is no entry: {error}") from error
        return found

    def add(self, entry: Entry) -> None:
        """Append one entry, on disk at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        cut = self.path.exists() and self.path.stat().st_size > 0 and not self.path.read_bytes().endswith(b"\n")
        with self.path.open("a", encoding="utf-8") as file:
            file.write(("\n" if cut else "") + json.dumps(asdict(entry)) + "\n")
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
        sweep = list(self.of("sweep"))
        chain = self._sources(own)
        like = [e for e in self.of("scratch") if own is None or e.size == own.size]
        scratch = sum(e.flops for e in like) / len(like) if like else float("nan")
        growth = own.flops if own else 0.0
        base = sum(e.flops for e in chain)
        spent = sum(e.flops for e in sweep)
        one = scratch if like else growth if own else float("nan")
        direct = len(sweep) * one
        return Bill(
            sweep=spent,
            base=base,
            growth=growth,
            direct=direct,
            scratch=scratch,
            saved_tuning=1 - spent / direct if direct else float("nan"),
            saved_sunk=1 - growth / scratch,
            saved_full=1 - (base + growth) / scratch,
            trials=len(sweep),
        )

    def _sources(self, entry: Entry | None) -> Sequence[Entry]:
        """The runs that one was grown from, nearest first."""
        found: list[Entry] = []
        names = {e.run: e for e in self.entries}
        while entry is not None and entry.source in names and names[entry.source] not in found:
            entry = names[entry.source]
            found.append(entry)
        return found

    def data(self) -> list[dict[str, Any]]:
        """As JSON."""
        return [asdict(entry) for entry in self.entries]


def break_even(growth: float) -> float:
    """How many times fewer tokens a grown model must need, when its source is charged in full.

    At equal tokens per parameter a source costs 1/g^2 of its target, so that growing wins when 1/s + 1/g^2 < 1.

    Args:
        growth: g, above 1.
    """
    check("growth", growth, above=1)
    return growth**2 / (growth**2 - 1)


def best_points(entries: Sequence[Entry]) -> list[Point]:
    """Runs from scratch as points of a law: of each size and token count the lowest loss: a sweep counts once."""
    best: dict[tuple[float, float], float] = {}
    for entry in entries:
        if entry.loss is None or entry.growth is not None or entry.purpose == "eval":
            continue
        key = (entry.size, entry.tokens)
        best[key] = min(entry.loss, best.get(key, float("inf")))
    return [Point(size, tokens, loss) for (size, tokens), loss in best.items()]
