"""Comparisons: tables made from the folder of a study."""

from __future__ import annotations

import csv
import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
from study_samples import made, plain, random_runs, rows_of

from luthier.base.errors import ArgumentError, StorageError
from luthier.bench import statistics as st
from luthier.bench.studies import run
from luthier.bench.studies.accounts import failures, overhead, provenance
from luthier.bench.studies.analysis import Analysis, Table, analyse, summary
from luthier.bench.studies.conclusions import conclusions
from luthier.bench.studies.plan_file import parse
from luthier.bench.studies.results import Results, filled
from luthier.bench.studies.store import Cell, Store
from luthier.bench.studies.writers import to_csv, to_latex, write
from luthier.report.comparison import write_comparison


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished small study: plan and folder, not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    plan = parse(plain())
    outcome = run(plan, folder, jobs=0)
    assert (outcome.made, outcome.failed, outcome.missing) == (8, 0, 0)
    return plan, folder


def test_regrets_and_ranks_at_checkpoints_by_hand(tmp_path):
    made(tmp_path, [[[0.2, 0.4]], [[0.1, 0.4]]])
    one = Analysis(Results.read(tmp_path).compare(), draws=50)
    assert filled(one.measures["5 %"]).tolist() == [[[1.0, 1.0]], [[1.0, 1.0]]]  # nothing yet: a median random one
    assert np.isnan(one.measures["5 %"]).all()
    assert one.measures["40 %"].tolist() == [[[0.4, 0.8]], [[0.2, 0.8]]]
    assert one.measures["100 %"].tolist() == [[[0.2, 0.4]], [[0.1, 0.4]]]
    # a tenth of the budget is two thirds of its logarithm, half of it nine tenths
    share = math.log10(0.5 / 0.1) / 3
    expected = 2 / 3 + 0.4 * share + 0.2 * (1 / 3 - share)
    assert one.measures["anytime"][0, 0, 0] == pytest.approx(expected, abs=0.01)
    rows = {(row["at"], row["method"]): row for row in summary(one).rows}
    assert rows["100 %", "random"]["rank"] == pytest.approx((2 + 1.5) / 2)
    assert rows["5 %", "random"]["rank"] == 1.5
    assert rows["100 %", "random"]["p"] is None  # one task
    pool = st.RandomPool.of(np.linspace(0.0, 2.0, 201), whole=True)
    assert rows["100 %", "m1"]["speed_up"] == pytest.approx(pool.equivalent(0.25) / 10)


def test_tests_of_the_tables_are_those_of_scipy_over_task_medians(tmp_path):
    from scipy.stats import wilcoxon

    values = random_runs()
    made(tmp_path, values, pairs=[["random", "m1"]], baselines={"random": ["m1", "m2"]})
    tables = analyse(tmp_path, draws=200)
    medians = np.median(values, axis=2)
    at_end = {row["method"]: row for row in rows_of(tables, "summary") if row["at"] == "100 %"}
    for i in (1, 2):
        row = at_end[f"m{i}"]
        assert row["p"] == wilcoxon(medians[i] - medians[0], zero_method="pratt").pvalue
        assert row["wins"] == int((medians[i] < medians[0]).sum())
        assert row["p_holm"] >= row["p"]
        assert row["regret_low"] <= row["regret"] <= row["regret_high"]
    assert at_end["random"]["p"] is None
    # eight tests are looked at: two methods, three checkpoints and the mean over the budget
    every = [row["p"] for row in rows_of(tables, "summary") if row["p"] is not None]
    assert [row["p_holm"] for row in rows_of(tables, "summary") if row["p"] is not None] == st.holm(every)
    sign = [row for row in rows_of(tables, "protocol") if row["at"] == "100 %" and row["after"] == "m1"]
    assert [row["kind"] for row in sign] == ["baseline", "pair"]
    theirs = st.sign_test(medians[1], medians[0])
    assert {row["p"] for row in sign} == {theirs.p}
    assert (sign[0]["wins"], sign[0]["losses"]) == (theirs.wins, theirs.losses)
    diagram = rows_of(tables, "diagram")
    assert [row["method"] for row in diagram] == ["random", "m1", "m2"]
    improvement = {(row["method"], row["than"]): row["p"] for row in rows_of(tables, "improvement")}
    assert improvement["random", "m1"] == pytest.approx(st.improvement_by_task(values[0], values[1]).mean())


def test_the_primary_contrast(tmp_path):
    values = random_runs(tasks=12)
    families = [f"f{i % 3}" for i in range(12)]
    made(tmp_path, values, families=families)
    assert not [table for table in analyse(tmp_path, draws=50) if table.name == "primary"]
    folder = tmp_path / "confirmatory"
    plan = replace(made(folder, values, families=families), question="confirmatory")
    table = {**plan.to_json(), "primary": {"method": "random", "control": "m2", "at": 1.0}}
    (folder / "plan.json").write_text(json.dumps(table))
    [found] = [table for table in analyse(folder, draws=50) if table.name == "primary"]
    medians = np.median(values, axis=2)
    assert found.data["p"] == st.contrast(medians[0], medians[2]).p
    shown = {row["what"]: row["value"] for row in found.rows}
    assert shown["wins / ties / losses over tasks"] == "12 / 0 / 0"
    assert any("mixed model (spread over task and family)" in what for what in shown)
    better = next(value for what, value in shown.items() if what.startswith("better by a max-statistic"))
    assert better.endswith("to 100 % of the budget")


def test_findings_hold_fail_or_stay_open(tmp_path):
    """m1 beats random everywhere, m2 loses everywhere, m3 wins half."""
    values = np.repeat(np.linspace(0.2, 0.5, 8)[None, :, None], 3, axis=2) * np.array([1, 0.5, 1.5])[:, None, None]
    mixed = values[0] * np.where(np.arange(8) % 2, 0.8, 1.25)[:, None]
    made(
        tmp_path, np.concatenate([values, mixed[None]]), baselines={"random": ["m1", "m2", "m3"]},
        pairs=[["random", "m1"]],
    )  # fmt: skip
    rows = {row["statement"]: row for row in rows_of(analyse(tmp_path, draws=50), "findings")}
    first = {name: rows[f"{name} beats random at 100 %"] for name in ("m1", "m2", "m3")}
    assert [row["verdict"] for row in first.values()] == ["holds", "does not hold", "undecided"]
    assert [row["won"] for row in first.values()] == [1.0, 0.0, 0.5]
    assert first["m1"]["won_low"] == pytest.approx(0.025 ** (1 / 8))  # Clopper and Pearson, eight of eight
    assert first["m1"]["won_high"] == 1.0
    assert first["m1"]["p"] == pytest.approx(1 / 2**8)
    assert first["m1"]["shift_high"] < 0 < first["m2"]["shift_low"]
    # nothing is found until 5 % of the budget: no lead there, and a growing one does not fade
    assert rows["m1 beats random at 5 %"]["verdict"] == "undecided"
    assert rows["m1 beats random at 40 %"]["verdict"] == "holds"
    fading = rows["the lead of m1 over random at 5 % is smaller or gone at 100 %"]
    assert fading["verdict"] == "does not hold"
    assert rows["no method is the best on every task at 100 %"]["verdict"] == "does not hold"
    assert rows["no method is the best on every task at 100 %"]["won"] == 1.0
    made(tmp_path / "few", values[:, :5], baselines={"random": ["m1"]})
    few = rows_of(analyse(tmp_path / "few", draws=50), "findings")
    assert few[0]["verdict"] == "undecided"  # below six tasks nothing is said


def test_the_overview_by_hand(tmp_path):
    values = random_runs()
    plan = made(tmp_path, values)
    tables = analyse(tmp_path, draws=50)
    rows = {row["method"]: row for row in rows_of(tables, "overview")}
    medians = np.median(values, axis=2)
    assert [row["rank"] for row in rows_of(tables, "overview")] == sorted(row["rank"] for row in rows.values())
    assert rows["m1"]["regret"] == pytest.approx(np.minimum(medians[1], 1.5).mean())
    assert rows["m2"]["losses"] == int((medians[2] > medians[0]).sum())
    assert rows["random"]["wins"] is None
    assert sum(row["best_on"] for row in rows.values()) >= 8
    assert rows["m1"]["thinking_ms"] == pytest.approx(10.0)
    [table] = [one for one in tables if one.name == "overview"]
    assert (table.data["plan"], table.data["runs"], table.data["budgets"]) == (plan.hash, 120, ["10 full evaluations"])


def test_all_pairs_are_tested_and_adjusted_together(tmp_path):
    values = random_runs()
    made(tmp_path, values)
    rows = rows_of(analyse(tmp_path, draws=50), "pairs")
    medians = np.median(values, axis=2)
    assert [(row["method"], row["than"]) for row in rows] == [("m1", "random"), ("m2", "random"), ("m2", "m1")]
    p = [st.wilcoxon_p(medians[a] - medians[b]) for a, b in ((1, 0), (2, 0), (2, 1))]
    assert [row["p"] for row in rows] == p
    assert [row["p_holm"] for row in rows] == st.holm(p)
    assert rows[2]["p_better"] == pytest.approx(st.improvement_by_task(values[2], values[1]).mean())


def test_targets_reached_by_hand(tmp_path):
    made(tmp_path, [[[0.2, 0.4]]])
    rows = rows_of(analyse(tmp_path, draws=20), "reached")
    targets = np.geomspace(1.0, 1e-3, 31)
    # twice the value from a tenth of the budget on, the value from half of it on
    assert rows[-1]["part"] == pytest.approx(((targets >= 0.2).mean() + (targets >= 0.4).mean()) / 2)
    early = next(row for row in rows if row["share"] > 0.11)
    assert early["part"] == pytest.approx(((targets >= 0.4).mean() + (targets >= 0.8).mean()) / 2)


def test_no_test_is_made_of_five_tasks(tmp_path):
    made(tmp_path, random_runs(tasks=5))
    tables = analyse(tmp_path, draws=50)
    assert all(row["p"] is None for row in rows_of(tables, "summary"))
    assert "diagram" not in {table.name for table in tables}
    said = [row["sentence"] for row in rows_of(tables, "conclusions")]
    assert said[0].startswith("There are 5 tasks. Below 6 no test over tasks can reach 5 %, so none was made")


def test_the_order_of_methods_changes_no_figure(tmp_path):
    values = random_runs()
    made(tmp_path / "a", values, methods=["random", "m1", "m2"])
    made(tmp_path / "b", values[[2, 0, 1]], methods=["m2", "random", "m1"])
    one, other = (analyse(tmp_path / name, draws=100) for name in "ab")
    for table in ("summary", "curves", "ranks", "profiles", "tasks"):
        keys = [{json.dumps(row, sort_keys=True) for row in rows_of(tables, table)} for tables in (one, other)]
        assert keys[0] == keys[1]


def test_a_clone_is_neither_better_nor_worse(tmp_path):
    values = random_runs(methods=2)
    made(tmp_path, np.concatenate([values, values[1:]]))
    tables = analyse(tmp_path, draws=50)
    found = {(row["method"], row["than"]): row["p"] for row in rows_of(tables, "improvement")}
    assert found["m1", "m2"] == 0.5
    at_end = {row["method"]: row for row in rows_of(tables, "summary") if row["at"] == "100 %"}
    assert {k: v for k, v in at_end["m1"].items() if k != "method"} == {
        k: v for k, v in at_end["m2"].items() if k != "method"
    }


def test_a_report_is_rebuilt_byte_for_byte(finished, tmp_path):
    _, folder = finished
    shutil.copytree(folder, tmp_path / "copy")
    one, other = (
        write(analyse(place, draws=200), tmp_path / name) for place, name in ((folder, "x"), (tmp_path / "copy", "y"))
    )
    assert [path.name for path in one] == [path.name for path in other]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(one, other, strict=True))
    assert {"summary.csv", "summary.tex", "curves.csv", "provenance.csv", "conclusions.tex", "tables.json"} <= {
        path.name for path in one
    }
    assert not (tmp_path / "x" / "profiles.tex").exists()  # data for a picture
    pages = [write_comparison(analyse(tmp_path / "copy", draws=200), tmp_path / name).read_bytes() for name in "xy"]
    assert pages[0] == pages[1] == write_comparison(analyse(folder, draws=200), tmp_path).read_bytes()
    with (tmp_path / "x" / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["method"] for row in rows} == {"random", "halton"}
    assert json.loads((tmp_path / "x" / "tables.json").read_text())["summary"]["rows"][0]["method"] == "random"


def test_more_budget_is_read_from_longer_runs(tmp_path):
    methods = {"random": {"searcher": "random", "stretch": 4}, "halton": {"searcher": "halton"}}
    run(parse(plain(methods=methods)), tmp_path, jobs=0)
    comparison = Results.read(tmp_path).compare()
    assert [row.name for row in comparison.shown] == ["random", "halton", "random, 2 x budget", "random, 4 x budget"]
    assert comparison.cell("random", "synthetic/branin", 0).trials == 32
    values = comparison.values(comparison.shown, [0.5, 1.0])
    assert (values[2, ..., 0] == values[0, ..., 1]).all()  # half of twice the budget is the budget
    assert (values[3] <= values[2]).all()


def test_failures_and_overhead_are_counted(tmp_path):
    plan = made(tmp_path, random_runs())
    store = Store(tmp_path, "m1")
    store.add("made/0", 0, Cell(10.0, error="ValueError: no", failures=3))
    store.close()
    one = Analysis(Results.read(tmp_path).compare(), draws=50)
    rows = {row["method"]: row for row in failures(one).rows}
    assert (rows["m1"]["failed_runs"], rows["m1"]["runs_without_result"], rows["m1"]["failed_trials"]) == (1, 1, 3)
    assert rows["m1"]["usual_error"] == "ValueError: no"
    assert rows["random"]["first_result_at"] == pytest.approx(0.1)
    assert one.measures["100 %"].shape == (3, 8, 5)  # no run is dropped
    assert np.isnan(one.measures["100 %"][1, 0, 0])
    thinking = {row["method"]: row for row in overhead(one).rows}["random"]
    assert thinking["better_from_seconds"] is None
    assert thinking["cpu_ms_per_evaluation"] == pytest.approx(10.0)
    assert thinking["thinking_share_at_1_s"] == pytest.approx(0.01 / 1.01)
    said = " ".join(row["sentence"] for row in conclusions(one).rows)
    assert "1 of 40 runs of m1 failed" in said
    shown = {row["what"]: row["value"] for row in provenance(one).rows}
    assert shown["plan"] == plan.hash
    assert len(shown["sha256 cells/m1.npz"]) == 64


def test_a_slow_method_pays_off_when_evaluations_are_dear(tmp_path):
    """m1 is better, and thinks a second before each evaluation; within ten evaluations it changes twice."""
    values = random_runs(methods=2)
    values[1] = values[0] / 2
    made(tmp_path, values)
    store = Store(tmp_path, "m1")
    store.cells = {key: replace(cell, overhead=cell.times * 1.0) for key, cell in store.cells.items()}
    store._write()
    rows = {row["method"]: row for row in overhead(Analysis(Results.read(tmp_path).compare(), draws=50)).rows}
    # its last incumbent comes after 5 evaluations and 5 s of thinking; the control has 10 evaluations and 0.1 s
    # 5 c + 5 <= 10 c + 0.1 from c = 0.98 on
    assert rows["m1"]["better_from_seconds"] == pytest.approx(0.98, rel=0.15)
    assert rows["m1"]["better_from_seconds"] >= 0.98


def test_every_method_beside_the_control(tmp_path):
    values = random_runs(tasks=10)
    made(tmp_path, values, families=[f"f{i % 5}" for i in range(10)])
    tables = analyse(tmp_path, draws=50)
    rows = {row["method"]: row for row in rows_of(tables, "against_control")}
    fit = st.mixed_model(st.log_regret(values), families=[f"f{i % 5}" for i in range(10)])
    assert list(rows) == ["m1", "m2"]
    assert rows["m1"]["difference"] == pytest.approx(fit.difference(1, 0).estimate)
    assert rows["m1"]["p_holm"] >= rows["m1"]["p"] == pytest.approx(fit.difference(1, 0).p)
    posterior = st.signed_rank_posterior(*np.median(values[[2, 0]], axis=2))
    assert rows["m2"]["posterior_worse"] == posterior.worse
    curve = [row for row in rows_of(tables, "task_curves") if (row["task"], row["method"]) == ("made/3", "m2")]
    assert len(curve) == 50
    assert [curve[-1][key] for key in ("q25", "regret", "q75")] == pytest.approx(
        np.quantile(np.minimum(values[2, 3], 1.5), [0.25, 0.5, 0.75])
    )
    at_end = {row["method"]: row for row in rows_of(tables, "summary") if row["at"] == "100 %"}
    assert sum(row["rank_unpaired"] for row in at_end.values()) == pytest.approx(6.0)


def test_conclusions_follow_from_the_numbers(tmp_path):
    made(tmp_path, random_runs(tasks=6, seeds=1), question="another")
    with (tmp_path / "sessions.jsonl").open("a") as file:
        file.write(json.dumps({"question": "yet another", "cores": 2, "load_before": 7.0, "load_after": 1.0}) + "\n")
    said = [row["sentence"] for row in rows_of(analyse(tmp_path, draws=50), "conclusions")]
    for part in (
        "There are 6 tasks; a claim about tasks like these needs 20 or more",
        "No contrast was declared before the study ran",
        "were changed 1 times after there were results",
        "The 6 tasks come from 1 families",
        "With one seed, luck and method cannot be told apart",
        "more to do than cores",
        "Ranks are among these 3 methods",
    ):
        assert any(part in sentence for sentence in said), part
    made(tmp_path / "many", random_runs(tasks=20, seeds=30), families=[f"f{i}" for i in range(20)])
    said = " ".join(row["sentence"] for row in rows_of(analyse(tmp_path / "many", draws=50), "conclusions"))
    assert "There are 20 tasks" not in said
    assert "seeds for each task" not in said
    assert "practically" not in said


def test_equal_methods_are_said_to_be_practically_the_same(tmp_path):
    values = random_runs(methods=1, tasks=20)
    near = values + np.random.default_rng(0).normal(0, 1e-4, size=values.shape)
    made(tmp_path, np.concatenate([values, near]))
    said = " ".join(row["sentence"] for row in rows_of(analyse(tmp_path, draws=50), "conclusions"))
    assert "m1 was practically the same as random" in said


def test_methods_with_too_few_seeds_are_left_out(tmp_path):
    made(tmp_path, random_runs())
    store = Store(tmp_path, "m2")
    for key in [key for key in store.cells if key[1] > 1]:
        del store.cells[key]
    store._write()
    assert Results.read(tmp_path).compare().seeds == (0, 1)
    for key in [key for key in store.cells if key[0] == "made/3"]:
        del store.cells[key]
    store._write()
    found = Results.read(tmp_path).compare()
    assert found.methods == ("random", "m1")
    assert found.left_out == {"m2": "0 seeds are complete on all tasks"}
    with pytest.raises(ArgumentError, match="nothing can be compared"):
        Results.read(tmp_path).compare(methods=["m2"])
    with pytest.raises(StorageError, match="holds no study"):
        Results.read(tmp_path / "nowhere")


def test_test_values_are_set_beside_validation(tmp_path):
    made(tmp_path, random_runs())
    rows = [row for row in rows_of(analyse(tmp_path, draws=50), "gaps") if row["task"] == "made/0"]
    runs = random_runs()[0, 0]
    assert rows[0]["test"] == pytest.approx(np.median(runs))
    assert rows[0]["test_regret"] == pytest.approx(st.interquartile_mean((runs - 0.5) / 0.5))
    assert rows[0]["validation_regret"] == pytest.approx(st.interquartile_mean(runs))


def test_latex_is_escaped_and_csv_exact():
    table = Table("x", "100 % of a_b", "p < 0.05 & so on", [{"a_b": "m_1 & 50 %", "p": 0.123456789012}, {"p": None}])
    text = to_latex(table)
    assert r"\caption{100 \% of a\_b. p $<$ 0.05 \& so on}" in text
    assert r"m\_1 \& 50 \% & 0.1235 \\" in text
    assert r"-- & -- \\" in text
    assert r"\begin{tabular}{lr}" in text
    assert to_csv(table) == "a_b,p\nm_1 & 50 %,0.123456789\n,\n"


# speed -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_large_study_is_analysed(tmp_path):
    made(tmp_path, random_runs(methods=10, tasks=20, seeds=30), families=[f"f{i % 7}" for i in range(20)])
    tables = analyse(tmp_path)
    assert len(rows_of(tables, "summary")) == 40
