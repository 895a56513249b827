"""Write docs/evidence.md from docs/results: what is claimed, what was measured, and whether it holds.

    python tools/evidence [--check [--readme FILE]]

Every verdict is computed here from the committed figures; nothing is written by hand. `--check` writes nothing and
ends with 1 if the page is not what the figures give, or README says anything else than they do.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import aims
import quotes
from claim import Claim, Quote, Row, read

import papers

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "evidence.md"
HEAD = """# Evidence

What luthier claims, where it was measured, and whether it holds. This page is written by `python tools/evidence` from
the figures in `docs/results`; the verdicts are computed from them. *Holds*: the figure meets what is claimed.
*Direction only*: it points the right way, and misses the size or the certainty claimed. *Does not hold*: it does not.
*Not measured*: no figure is committed. Each results page states the machine, the versions and the seeds.
"""
README = """
## README, sentence by sentence

The words on the left are made from the figures, and a test looks for them in README: when a figure changes, README has
to follow. A number in README that is in no row here fails the same test.
"""
RESULTS = ROOT / "docs" / "results"


def row(claim: Claim) -> Row:
    found = read(RESULTS, claim.source)
    return claim.judge(found) if found is not None else Row("-", "not measured", "-")


def spoken(quote: Quote) -> Claim:
    """A quote as a claim; one without figures stands for itself."""
    found = read(RESULTS, quote.source)
    if found is None:
        return Claim(quote.of, "(no figures)", quote.script, quote.source, lambda _: ("-", "not measured"))
    return quote.claim(found)


def table(claims: list[Claim], first: str) -> list[str]:
    lines = [f"| {first} | claim | measured | verdict | date | script and page |", "|---|---|---|---|---|---|"]
    for claim in claims:
        seen = row(claim)
        # a page that nothing has written yet is named, not linked
        there = claim.page or (RESULTS / f"{claim.source}.md").exists()
        page = f"[{claim.source}]({claim.page or f'results/{claim.source}.md'})" if there else claim.source
        lines.append(
            f"| {claim.of} | {claim.says} | {seen.figure} | **{seen.verdict}** | {seen.date} "
            f"| `{claim.script}`, {page} |"
        )
    return lines


def page() -> str:
    said = [spoken(quote) for quote in quotes.QUOTES]
    every = papers.CLAIMS + aims.CLAIMS + said
    verdicts = [row(claim).verdict for claim in every]
    count = ", ".join(f"{verdicts.count(v)} {v}" for v in dict.fromkeys(sorted(verdicts)))
    parts = [HEAD, f"{len(every)} claims: {count}.\n", "## The ten papers\n", *table(papers.CLAIMS, "paper")]
    parts += ["\n## Speed and quality aimed at\n", *table(aims.CLAIMS, "aim"), README, *table(said, "section"), ""]
    return "\n".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    given = parser.parse_args()
    text = page()
    if given.check:
        readme = given.readme.read_text(encoding="utf-8")
        wrong = quotes.wrong(readme, RESULTS)
        wrong += [f"README has a number without a row: ... {words} ..." for words in quotes.loose(readme, RESULTS)]
        if not PAGE.exists() or PAGE.read_text() != text:
            wrong.append("docs/evidence.md is stale: run `python tools/evidence`")
        print("\n".join(wrong), file=sys.stderr)
        return int(bool(wrong))
    PAGE.write_text(text)
    print(f"{PAGE.relative_to(ROOT)}: {text.count('| **')} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
