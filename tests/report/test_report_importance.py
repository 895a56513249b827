"""Importance with numbers worked out by hand, conditional spaces, and studies that have too little to say."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_samples import halving, two_objectives
from typer.testing import CliRunner

import luthier as lu
from luthier.base.errors import ArgumentError
from luthier.cli._app import app
from luthier.report import ablation, contours, importance, tables
from luthier.report._ped_anova import best_weights
from luthier.report._results import FEW, results
from luthier.report.text import importance_lines, importance_tables


def told(
    space: lu.Space, value: Callable[[Mapping[str, Any]], float], configs: list[dict[str, Any]], **options: Any
) -> lu.Study:
    """A study in memory with given results."""
    study = lu.Study(space, searcher="random", defaults_first=False, **options)
    for config in configs:
        study.add(config, {"loss": value(config)})
    return study


def shares(table: dict[str, Any]) -> dict[str, float]:
    return {row["name"]: row["share"] for row in table["rows"]}


def grid(names: dict[str, tuple[Any, ...]], times: int = 1) -> list[dict[str, Any]]:
    return [dict(zip(names, cell, strict=True)) for cell in itertools.product(*names.values())] * times


def test_ped_anova_by_hand() -> None:
    # 40 trials, a and b each half "x": the best tenth is 4, so 5; all five have a = x, three have b = x
    configs = grid({"a": ("x", "y"), "b": ("x", "y")}, 10)
    order = [c for c in configs if c["a"] == "x"]
    best = [c for c in order if c["b"] == "x"][:3] + [c for c in order if c["b"] == "y"][:2]
    rest = list(configs)
    for config in best:
        rest.remove(config)
    listed = [*best, *rest]
    values = iter(range(len(listed)))
    space = lu.Space(a=lu.Choice("x", "y"), b=lu.Choice("x", "y"))
    found = importance(told(space, lambda _: float(next(values)), listed))
    # with one uniform trial added: p_a = (5.5, 0.5) / 6, p_b = (3.5, 2.5) / 6, q = (20.5, 20.5) / 41
    pe_a = 2 * (5.5 / 6 - 0.5) ** 2 / 0.5
    pe_b = 2 * (3.5 / 6 - 0.5) ** 2 / 0.5
    assert shares(found) == pytest.approx({"a": pe_a / (pe_a + pe_b), "b": pe_b / (pe_a + pe_b)}, abs=1e-4)
    assert (found["trials"], found["fault"], found["warning"], found["resource"]) == (40, "", "", None)
    one, two = found["rows"]
    assert one["share"] > one["chance"]
    assert two["share"] < two["chance"]
    assert all(0 <= row["low"] <= row["share"] <= row["high"] <= 1 for row in found["rows"])


def test_ped_anova_of_many_trials_is_that_of_the_population() -> None:
    # the divergences of the best tenth, counted in 200 000 draws from the laws of the space
    rng = np.random.default_rng(0)
    n = 200_000
    lr, layers, kind, width = rng.random(n), rng.integers(1, 9, n), rng.integers(0, 3, n), rng.random(n)

    def loss(lr: Any, layers: Any, other: Any, width: Any) -> Any:
        return 16 * (lr - 0.6) ** 2 + 0.15 * abs(layers - 5) + 0.5 * other + 0.3 * (1 - width)

    best = loss(lr, layers, kind == 1, width)
    best = best <= np.quantile(best, 0.1)

    def divergence(x: np.ndarray, cells: int) -> float:
        q, p = (np.histogram(part, cells, (0, 1))[0] / len(part) for part in (x, x[best]))
        return float(((p - q) ** 2 / q).sum())

    exact = {
        "lr": divergence(lr, 50),
        "layers": divergence((layers - 0.5) / 8, 8),
        "kind": divergence((kind + 0.5) / 3, 3),
        "width": divergence(width, 50),
    }
    space = lu.Space(lr=lu.Float(0, 1), layers=lu.Int(1, 8), kind=lu.Choice("a", "b", "c"), width=lu.Float(0, 1))
    configs = [dict(c) for c in space.sample(1000, np.random.default_rng(1))]
    study = told(space, lambda c: loss(c["lr"], c["layers"], c["kind"] == "b", c["width"]), configs)
    total = sum(exact.values())
    assert shares(importance(study)) == pytest.approx({name: part / total for name, part in exact.items()}, abs=0.07)


def test_ties_at_the_edge_share_the_places_left() -> None:
    weights = best_weights(np.array([0, 1, 1, 1, 2]), np.ones((1, 5)), 2)
    assert weights[0] == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3, 0])
    doubled = best_weights(np.array([0, 1, 1, 1, 2]), np.array([[2.0, 1, 0, 0, 2]]), 4)
    assert doubled[0] == pytest.approx([2, 1, 0, 0, 1])


def test_fanova_of_a_sum_is_its_shares_of_variance() -> None:
    # 0, 3, 6 has variance 6 and 0, 1, 2 has 2/3: nine tenths and one tenth, nothing for c and for pairs
    names = {"a": ("p", "q", "r"), "b": (1, 2, 3), "c": (True, False)}
    space = lu.Space(a=lu.Choice("p", "q", "r"), b=lu.Int(1, 3), c=lu.Choice(True, False))
    study = told(space, lambda c: 3.0 * "pqr".index(c["a"]) + c["b"], grid(names, 4))
    found = importance(study, method="fanova")
    assert shares(found) == pytest.approx({"a": 0.9, "b": 0.1, "c": 0.0}, abs=0.02)
    assert max(pair["share"] for pair in found["pairs"]) < 0.005
    table = contours(study)
    [pair] = [p for p in table["pairs"] if {p["x"]["name"], p["y"]["name"]} == {"a", "b"}]
    assert (pair["x"]["name"], pair["at_x"], pair["at_y"]) == ("a", ["p", "q", "r"], [1, 2, 3])
    wanted = [[3.0 * i + b for i in range(3)] for b in (1, 2, 3)]
    assert np.array(pair["mean"]) == pytest.approx(np.array(wanted), abs=0.02)


def test_fanova_finds_an_interaction_without_main_effects() -> None:
    names = {"a": ("x", "y"), "b": ("x", "y")}
    space = lu.Space(a=lu.Choice("x", "y"), b=lu.Choice("x", "y"))
    found = importance(told(space, lambda c: float(c["a"] == c["b"]), grid(names, 10)), method="fanova")
    assert shares(found) == pytest.approx({"a": 0.0, "b": 0.0}, abs=0.005)
    assert found["pairs"] == [{"names": ["a", "b"], "share": pytest.approx(1.0, abs=0.01)}]


def test_fanova_of_a_linear_function_of_numbers() -> None:
    # variances of 4 a, 2 b, c on the unit interval: 16, 4, 1 of 21
    space = lu.Space(a=lu.Float(0, 1), b=lu.Float(0, 1), c=lu.Float(0, 1))
    rng = np.random.default_rng(0)
    study = told(space, lambda c: 4 * c["a"] + 2 * c["b"] + c["c"], [dict(c) for c in space.sample(300, rng)])
    found = importance(study, method="fanova")
    assert shares(found) == pytest.approx({"a": 16 / 21, "b": 4 / 21, "c": 1 / 21}, abs=0.06)
    assert shares(importance(study)) == pytest.approx({"a": 16 / 21, "b": 4 / 21, "c": 1 / 21}, abs=0.15)


@pytest.mark.parametrize("method", ["ped-anova", "fanova"])
def test_a_conditional_hyperparameter_counts_where_it_is_active(method: str) -> None:
    # 0.5 with adam and the momentum itself with sgd: both optimisers have the same mean
    space = lu.Space(
        opt=lu.Choice("sgd", "adam"),
        momentum=lu.Float(0, 1, when=("opt", "sgd")),
        beta=lu.Float(0, 1, when=("opt", "adam")),
    )
    rng = np.random.default_rng(1)
    configs = [dict(c) for c in space.sample(300, rng)]
    found = importance(told(space, lambda c: c.get("momentum", 0.5), configs), method=method)
    got = shares(found)
    assert set(got) == {"opt", "momentum", "beta"}
    assert found["rows"][0]["name"] == "momentum"
    assert found["rows"][0]["when"] == "opt == 'sgd'"
    assert got["beta"] < 0.03
    if method == "fanova":
        assert got["momentum"] > 0.85
        assert got["opt"] < 0.03
    else:  # all of the best have sgd, so that the choice tells too: 1 against 1/2 is a divergence of one
        assert got["opt"] < got["momentum"]


def test_contours_of_what_is_never_active_together_are_left_out() -> None:
    space = lu.Space(opt=lu.Choice("s", "a"), m=lu.Float(0, 1, when=("opt", "s")), b=lu.Float(0, 1, when=("opt", "a")))
    configs = [dict(c) for c in space.sample(40, np.random.default_rng(2))]
    study = told(space, lambda c: c.get("m", 0.0) + c.get("b", 0.0), configs)
    pairs = {frozenset((p["x"]["name"], p["y"]["name"])) for p in contours(study)["pairs"]}
    assert pairs == {frozenset({"opt", "m"}), frozenset({"opt", "b"})}


def test_too_few_constant_and_few() -> None:
    space = lu.Space(x=lu.Float(0, 1), y=lu.Int(1, 9))
    configs = [dict(c) for c in space.sample(40, np.random.default_rng(0))]
    for method in ("ped-anova", "fanova"):
        nine = importance(told(space, lambda c: c["x"], configs[:9]), method=method)
        assert (nine["rows"], nine["fault"]) == ([], "9 comparable results, and 10 are the least")
        flat = importance(told(space, lambda c: 1.0, configs), method=method)
        assert (flat["rows"], flat["fault"], flat["warning"]) == ([], "all values are equal", "")
        few = importance(told(space, lambda c: c["x"], configs[: FEW - 1]), method=method)
        assert few["warning"] == "only 29 results: below 30 such numbers may turn over with the next trials"
        assert len(few["rows"]) == 2
    assert importance(lu.Study(space))["fault"] == "0 comparable results, and 10 are the least"
    fixed = told(lu.Space(x=lu.Fixed(1)), lambda c: 0.0, [{"x": 1}])
    assert importance(fixed)["fault"] == "there is no hyperparameter that varies"
    assert contours(told(space, lambda c: 1.0, configs))["pairs"] == []
    assert ablation(told(space, lambda c: 1.0, configs))["fault"] == "all values are equal"


def test_one_exploded_loss_is_not_all_the_variance() -> None:
    space = lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1))
    configs = [dict(c) for c in space.sample(60, np.random.default_rng(0))]
    study = told(space, lambda c: c["x"], configs)
    study.add({"x": 0.5, "y": 0.999}, {"loss": 1e30})
    study.add({"x": 0.5, "y": 0.5}, {"loss": float("nan")})
    found = importance(study, method="fanova")
    assert (found["trials"], found["left_out"]) == (61, 1)
    assert shares(found)["x"] > 0.7


def test_with_a_fidelity_only_one_resource_is_compared() -> None:
    study = halving(200)
    found = results(study)
    at = {trial.number: {r.resource: r.metrics["val_loss"] for r in trial.reports} for trial in study.trials}
    reached = {e: sum(e in seen for seen in at.values()) for e in (1, 3, 9, 27, 81)}
    assert found.resource == max(e for e, n in reached.items() if 2 * n >= sum(map(bool, at.values())))
    assert [at[n][found.resource] for n in found.trials[:5]] == pytest.approx(list(found.values[:5]))
    open_ = sum(trial.status.value in ("waiting", "running") for trial in study.trials)
    assert found.left_out == len(study.trials) - len(found.trials) - open_
    table = importance(study)
    assert table["resource"] == found.resource
    assert abs(sum(shares(table).values()) - 1) < 1e-3


def test_a_maximised_objective_is_turned_round() -> None:
    study = two_objectives(80)
    assert importance(study, 0)["objective"] == "accuracy"
    by_latency = importance(study, 1, method="fanova")
    assert {row["name"] for row in by_latency["rows"][:2]} == {"width", "layers"}
    steps = ablation(study, 0)["steps"]
    assert steps[-1]["value"] > steps[0]["value"]


def test_the_way_from_the_default_by_measuring() -> None:
    # c alone makes it worse, and better once a is "y": the way is a, c, b
    space = lu.Space(
        a=lu.Choice("x", "y"), b=lu.Int(0, 9, default=0), c=lu.Choice(False, True), d=lu.Float(0, 1, when=("c", True))
    )

    def value(config: Mapping[str, Any]) -> float:
        gain = -4.0 if config["a"] == "y" else 0.0
        if config["c"]:
            gain += (-2.0 - config["d"]) if config["a"] == "y" else 1.0
        return gain - 0.1 * config["b"]

    best = {"a": "y", "b": 9, "c": True, "d": 0.75}
    study = told(space, value, [{"a": "x", "b": 0, "c": False}, best])
    asked: list[dict[str, Any]] = []

    def measured(config: Mapping[str, Any]) -> float:
        asked.append(dict(config))
        return value(config)

    found = ablation(study, evaluate=measured)
    assert [step["names"] for step in found["steps"]] == [[], ["a"], ["c", "d"], ["b"]]
    assert [step["value"] for step in found["steps"]] == pytest.approx([0.0, -4.0, -6.75, -7.65])
    assert found["steps"][2]["from"] == {"c": False, "d": None}
    assert found["steps"][2]["to"] == {"c": True, "d": 0.75}
    assert len(asked) == 1 + 3 + 2 + 1
    assert (found["by"], found["fault"]) == ("evaluation", "")


def test_the_way_by_the_forest_ends_at_the_best() -> None:
    space = lu.Space(a=lu.Float(0, 1, default=0.9), b=lu.Float(0, 1, default=0.9), c=lu.Float(0, 1, default=0.9))
    configs = [dict(c) for c in space.sample(200, np.random.default_rng(3))]
    study = told(space, lambda c: 4 * c["a"] + 2 * c["b"], [*configs, {"a": 0.01, "b": 0.01, "c": 0.3}])
    found = ablation(study)
    assert [step["names"] for step in found["steps"][:3]] == [[], ["a"], ["b"]]
    assert found["steps"][0]["value"] == pytest.approx(5.4, abs=0.6)
    assert found["steps"][-1]["value"] == pytest.approx(0.06, abs=0.6)
    assert all(step["low"] <= step["value"] <= step["high"] for step in found["steps"])


def test_the_same_study_gives_the_same_numbers_and_all_are_json() -> None:
    study = halving(60)
    one, two = tables(study), tables(study)
    for name in ("importance", "ablation", "contours"):
        assert one[name] == two[name]
    assert [t["method"] for t in one["importance"]] == ["ped-anova", "fanova"]


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ArgumentError) as caught:
        importance(halving(20), method="shap")
    assert str(caught.value) == "method='shap'. Allowed: 'fanova', 'ped-anova'."


def test_importance_in_words_and_from_the_command_line(tmp_path: Path) -> None:
    space = lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1))
    with lu.Study(space, searcher="random", folder=tmp_path / "s") as study:
        for config in space.sample(24, np.random.default_rng(0)):
            study.add(config, {"loss": config["x"]})
        text = importance_lines(importance_tables(study), [ablation(study)])
    assert text[0] == "importance for loss, from 24 results"
    assert text[1].startswith("warning: only 24 results")
    assert text[3].startswith("x ")
    called = CliRunner().invoke(app, ["show", str(tmp_path / "s"), "--importance"])
    assert called.exit_code == 0
    assert called.stdout.splitlines()[:-1] == text
    found = json.loads(CliRunner().invoke(app, ["show", str(tmp_path / "s"), "-i", "--json"]).stdout)
    assert [one["method"] for one in found["importance"]] == ["ped-anova", "fanova"]
    empty = lu.Study(space)
    assert importance_lines(importance_tables(empty), [ablation(empty)])[1].startswith("nothing can be said: 0 ")
