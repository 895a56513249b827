"""`luthier bench`: what there is, tables made, studies run and compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Call

PLAN = """
name = "small"
seeds = 2

[budget]
evaluations = 6

[methods.random]
searcher = "random"

[methods.halton]
searcher = "halton"

[tasks.test]
synthetic = ["synthetic/branin", "synthetic/nowhere"]
"""


def test_every_family_is_listed_with_what_it_needs(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LUTHIER_DATA", raising=False)
    rows = {row["family"]: row for row in json.loads(call("bench", "list", "--json").stdout)}
    assert rows["svm"]["how"] == "trains when asked"
    assert rows["svm"]["fidelity"] == "subsample 0.1 to 1"
    assert "LUTHIER_DATA" in rows["hpobench_mlp"]["missing"]
    twelve = {
        "cartpole",
        "bnn",
        "net",
        "fcnet",
        "nb101",
        "nasbench201",
        "nb1shot1",
        "svm",
        "logreg",
        "rf",
        "xgb",
        "mlp",
    }
    assert twelve <= rows.keys()
    text = call("bench", "list", "synth").stdout
    assert text.startswith("synthetic")
    assert "no fidelity" in text


def test_a_study_is_run_continued_and_compared(call: Call, tmp_path: Path) -> None:
    plan, out = tmp_path / "plan.toml", tmp_path / "out"
    plan.write_text(PLAN)
    first = call("bench", "run", str(plan), "--out", str(out))
    assert first.exit_code == 1, "a task that is not known is an error, unless the plan says missing = 'skip'"
    plan.write_text(PLAN.replace("seeds = 2", 'seeds = 2\nmissing = "skip"'))
    part = call("bench", "run", str(plan), "--out", str(out), "--methods", "halton", "--seeds", "1:2")
    assert "1 cells made, 0 of them failed, 3 missing" in part.stdout
    assert "0:0" in call("bench", "run", str(plan), "--out", str(out), "--seeds", "0:0").stderr
    first = call("bench", "run", str(plan), "--out", str(out))
    assert first.exit_code == 0, first.output
    assert "3 cells made, 0 of them failed, 0 missing" in first.stdout
    assert "skipped synthetic/nowhere" in first.stdout
    assert "0 cells made" in call("bench", "run", str(plan), "--out", str(out)).stdout
    done = call("bench", "compare", str(out))
    assert done.exit_code == 0, done.output
    assert (out / "report" / "summary.csv").is_file()
    assert (out / "report" / "tables.json").is_file()


BREAKS = """
class Breaks:
    def __init__(self, problem, *, seed, evaluations):
        self.space = problem.space

    def ask(self):
        raise ValueError("no luck")

    def tell(self, told):
        pass
"""


def test_why_cells_failed_is_said_until_they_are_repaired(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hill.py").write_text(BREAKS)
    Path("plan.toml").write_text(
        'name = "s"\nseeds = 1\nbudget = { evaluations = 2 }\n[methods.hill]\ntool = "hill.py:Breaks"\n'
        '[methods.random]\nsearcher = "random"\n[tasks.test]\nsynthetic = ["synthetic/branin"]\n'
    )
    words = ("bench", "run", "plan.toml", "-j", "0")
    for made in (2, 0):
        found = call(*words)
        assert found.exit_code == 2
        assert f"{made} cells made" in found.stdout
        assert "failed hill: 1 cells, mostly: ValueError: no luck\nrepair it, then" in found.stdout
    Path("hill.py").write_text(BREAKS.replace('raise ValueError("no luck")', "return self.space.default()"))
    assert "hill.py has changed since its 1 cells" in call(*words, "--retry").stderr
    assert "0 cells made" in call(*words, "--methods", "random").stdout
    mended = call(*words, "--fresh", "hill")
    assert (mended.exit_code, "1 cells made, 0 of them failed" in mended.stdout) == (0, True), mended.output


def test_wrong_words(call: Call, tmp_path: Path) -> None:
    assert "is not known" in call("bench", "generate", "svmm", "--data", "iris").stderr
    assert call("bench", "run", "no-such-preset", "--out", str(tmp_path)).exit_code == 1
    assert "one of them" in call("bench", "run").stderr
    assert "one of them" in call("bench", "run", "plan.toml", "--preset", "hpobench").stderr
    assert call("bench", "compare", str(tmp_path / "nothing")).exit_code == 1
    assert call("bench", "env", "remove", "nothing").exit_code == 1
