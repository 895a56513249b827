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


def test_wrong_words(call: Call, tmp_path: Path) -> None:
    assert "is not known" in call("bench", "generate", "svmm", "--data", "iris").stderr
    assert call("bench", "run", "no-such-preset", "--out", str(tmp_path)).exit_code == 1
    assert "one of them" in call("bench", "run").stderr
    assert "one of them" in call("bench", "run", "plan.toml", "--preset", "hpobench").stderr
    assert call("bench", "compare", str(tmp_path / "nothing")).exit_code == 1
    assert call("bench", "env", "remove", "nothing").exit_code == 1
