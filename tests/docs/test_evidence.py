"""docs/evidence.md is what the committed figures give, and README says nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def check(*more: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "tools" / "evidence"), "--check", *more]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_evidence_page_and_readme_are_what_the_figures_give() -> None:
    done = check()
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("said", "instead", "told"),
    [
        (
            "a 10 000-trial study opens and asks | 0.",
            "a 10 000-trial study opens and asks | 0.0",
            "opens and asks | 0.",
        ),
        ("It says when to stop", "It is 5 times as quick. It says when to stop", "without a row"),
    ],
)
def test_what_readme_says_beyond_the_figures_is_found(tmp_path: Path, said: str, instead: str, told: str) -> None:
    """A figure that is better than measured, and a number that nothing bears out."""
    assert said in README
    changed = tmp_path / "README.md"
    changed.write_text(README.replace(said, instead, 1), encoding="utf-8")
    done = check("--readme", str(changed))
    assert done.returncode == 1
    assert told in done.stderr
