"""Write docs/evidence.md from docs/results: what is claimed, what was measured, and whether it holds.

    python tools/evidence [--check]

Every verdict is computed here from the committed figures; nothing is written by hand. `--check` writes nothing and
ends with 1 if the page is not what the figures give.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import aims
from claim import Claim, Row, read

import papers

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "evidence.md"
HEAD = """# Evidence

What luthier claims, where it was measured, and whether it holds. This page is written by `python tools/evidence` from
the figures in `docs/results`; the verdicts are computed from them. *Holds*: the figure meets what is claimed.
*Direction only*: it points the right way, and misses the size or the certainty claimed. *Does not hold*: it does not.
*Not measured*: no figure is committed. Each results page states the machine, the versions and the seeds.
"""


def row(claim: Claim) -> Row:
    found = read(ROOT / "docs" / "results", claim.source)
    return claim.judge(found) if found is not None else Row("-", "not measured", "-")


def table(claims: list[Claim], first: str) -> list[str]:
    lines = [f"| {first} | claim | measured | verdict | date | script and page |", "|---|---|---|---|---|---|"]
    for claim in claims:
        seen = row(claim)
        # a page that nothing has written yet is named, not linked
        there = (ROOT / "docs" / "results" / f"{claim.source}.md").exists()
        page = f"[{claim.source}](results/{claim.source}.md)" if there else claim.source
        lines.append(
            f"| {claim.of} | {claim.says} | {seen.figure} | **{seen.verdict}** | {seen.date} "
            f"| `{claim.script}`, {page} |"
        )
    return lines


def page() -> str:
    every = papers.CLAIMS + aims.CLAIMS
    verdicts = [row(claim).verdict for claim in every]
    count = ", ".join(f"{verdicts.count(v)} {v}" for v in dict.fromkeys(sorted(verdicts)))
    parts = [HEAD, f"{len(every)} claims: {count}.\n", "## The ten papers\n", *table(papers.CLAIMS, "paper")]
    parts += ["\n## Speed and quality aimed at\n", *table(aims.CLAIMS, "aim"), ""]
    return "\n".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    text = page()
    if parser.parse_args().check:
        return int(not PAGE.exists() or PAGE.read_text() != text)
    PAGE.write_text(text)
    print(f"{PAGE.relative_to(ROOT)}: {text.count('| **')} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
