"""One claim of the evidence page: what is said, which figures judge it, and by what rule."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOLDS, DIRECTION, FAILS, MISSING = "holds", "direction only", "does not hold", "not measured"


@dataclass(frozen=True)
class Row:
    figure: str
    verdict: str
    date: str


@dataclass(frozen=True)
class Claim:
    """`rule` turns the figures of `docs/results/<source>.json` into (figure as text, verdict)."""

    of: str
    says: str
    script: str
    source: str
    rule: Callable[[Any], tuple[str, str]]
    page: str = ""

    def judge(self, found: Any) -> Row:
        figure, verdict = self.rule(found)
        if verdict not in (HOLDS, DIRECTION, FAILS, MISSING):
            raise ValueError(f"{self.of}: {self.says}: no such verdict: {verdict}")
        date = found.get("date", "-") if isinstance(found, dict) else "-"
        return Row(figure, verdict, str(date))


@dataclass(frozen=True)
class Quote:
    """Words of README with a figure in them; they are made from the figures, so that README cannot say anything else.

    `rule` turns the figures into (words that stand in README as they are, what was measured, verdict). `page` is where
    one reads on, from docs/; by default the page of the results.
    """

    of: str
    script: str
    source: str
    rule: Callable[[Any], tuple[list[str], str, str]]
    page: str = ""

    def words(self, found: Any) -> list[str]:
        return self.rule(found)[0]

    def claim(self, found: Any) -> Claim:
        """The same as a row of the page."""
        words, figure, seen = self.rule(found)
        says = " ... ".join(w.strip("| ").replace(" | ", ": ").replace("|", "; ") for w in words)
        return Claim(self.of, says, self.script, self.source, lambda _: (figure, seen), self.page)


def read(results: Path, source: str) -> Any | None:
    file = results / f"{source}.json"
    return json.loads(file.read_text()) if file.exists() else None


def by(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    """The one row whose entries are these."""
    [found] = [r for r in rows if all(r.get(k) == v for k, v in wanted.items())]
    return found


def verdict(holds: bool, direction: bool = False) -> str:
    return HOLDS if holds else DIRECTION if direction else FAILS


def number(text: str) -> float:
    """The leading number of "12.3 ± 0.4"."""
    return float(text.split()[0].rstrip("%×"))
