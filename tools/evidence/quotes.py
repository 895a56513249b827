"""Whether README says what the figures say: its quotes are looked up, and numbers without a quote are found."""

from __future__ import annotations

import re
from pathlib import Path

import figures
import readme
from claim import HOLDS, read

QUOTES = [*readme.QUOTES, *figures.QUOTES]
#: Numbers of README that were not measured, and what they are.
NO_FIGURE = {
    "a warning under 30 results": "a threshold of the importance's page",
    '{"loss": 0.31, "epoch": 4}': "a line that a program may print",
    "Python 3.11 or newer": "what the package asks for",
}
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
TARGET = re.compile(r"\]\([^)]*\)")
NUMBER = re.compile(r"[+-]?\d[\d,]*(\.\d+)?(e\d+)?%?")


def plain(text: str) -> str:
    """README in one line: programs and addresses of links are left out, the lines that install stay."""
    text = FENCE.sub(lambda m: m[0] if "pip install luthier " in m[0] else "", text)
    return " ".join(TARGET.sub("]", text).split())


def words(results: Path) -> list[tuple[str, str]]:
    """(section and source, words that README has to hold), of every quote whose figures are there."""
    found = []
    for quote in QUOTES:
        figures_of = read(results, quote.source)
        if figures_of is not None:
            found += [(f"{quote.of}, {quote.source}", " ".join(w.split())) for w in quote.words(figures_of)]
    return found


def wrong(text: str, results: Path) -> list[str]:
    """Quotes that README does not hold, or that the figures do not bear out."""
    line = plain(text)
    lines = [f"{where}: the figures give: {said}" for where, said in words(results) if said not in line]
    for quote in QUOTES:
        found = read(results, quote.source)
        if found is None:
            lines.append(f"{quote.of}: docs/results/{quote.source}.json is not there")
        elif quote.rule(found)[2] != HOLDS:
            lines.append(f"{quote.of}, {quote.source}: {quote.words(found)[0]}: {quote.rule(found)[1]}")
    return lines


def loose(text: str, results: Path) -> list[str]:
    """Numbers of README that no quote covers, each with the words around it."""
    line = plain(text)
    covered = bytearray(len(line))
    for said in [*(said for _, said in words(results)), *NO_FIGURE]:
        at = line.find(said)
        if at >= 0:
            covered[at : at + len(said)] = b"\1" * len(said)
    found = []
    for token in re.finditer(r"\S+", line):
        bare = token[0].strip("|()[];,.:*#`")
        if NUMBER.fullmatch(bare) and not covered[token.start() + token[0].find(bare)]:
            found.append(line[max(0, token.start() - 40) : token.end() + 40])
    return found
