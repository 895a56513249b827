"""Tuning by gradients in a study: trials, budget, refinement, resumption, divergence, another loss to follow."""

import math

import pytest

import luthier as lu
from luthier.base.errors import NumericsWarning

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[torch]"')

from gradients_bowl import SPACE, bowl, f64, quiet  # noqa: E402

from luthier import gradients as lg  # noqa: E402
from luthier.report.outer_steps import outer_steps  # noqa: E402


def test_outer_steps_are_trials_and_lead_to_the_best_pull():
    told = []
    found = quiet(steps=25, rate=0.5, method="forward", say=told.append, start={"pull": 0.1, "rate": 0.5})
    assert found.value < 1e-3
    assert float(found.hyper["pull"]) == pytest.approx(1.0, abs=0.1)
    rows = lg.outer_steps(found.study)
    assert [row["outer_step"] for row in rows] == list(range(25))
    assert rows[0]["pull"] == pytest.approx(0.1)
    assert {"trial", "loss", "hypergradient", "rate"} <= set(rows[0])
    assert found.study.trials[found.trial].metrics["loss"] == found.value
    assert found.stopped == "all 25 outer steps are made"
    assert told[0].startswith("10 steps, 1 parameters, 2 hyperparameters")
    assert told[1].startswith("25 outer steps")


def test_gradients_refine_what_a_search_found_under_one_budget(tmp_path):
    study = lu.Study(SPACE, "loss", searcher="random", folder=tmp_path / "mixed", seed=1)
    study.run(lg.objective(bowl()), trials=6)
    before = study.best
    found = quiet(study=study, refine=True, trials=10, steps=100, rate=0.3)
    assert found.stopped == "the study's budget is used up"
    assert found.steps == 4  # of 10 trials six were used
    assert [trial.origin for trial in study.trials[6:]] == ["enqueued"] * 4
    assert study.trials[6].metrics["loss"] == pytest.approx(before.metrics["loss"], rel=1e-9)
    assert study.trials[6].metrics["outer_step"] == 0
    assert study.best.metrics["loss"] < before.metrics["loss"]
    study.run(lg.objective(bowl()), trials=13)  # the search goes on, and has seen all of it
    assert len(study.trials) == 13
    assert lu.Study.open(tmp_path / "mixed").best.config == study.best.config
    assert not study.replay().differences


def test_a_numbered_trial_is_refined_and_others_are_left_alone():
    study = lu.Study(SPACE, "loss", searcher="random", defaults_first=False)
    study.run(lg.objective(bowl()), trials=3)
    worst = max(study.trials, key=lambda trial: trial.metrics["loss"])
    found = quiet(study=study, refine=worst.number, steps=2)
    assert dict(study.trials[3].config) == pytest.approx(dict(worst.config))
    assert found.steps == 2


def test_an_empty_study_tries_its_default_and_that_is_no_outer_step():
    study = lu.Study(SPACE, "loss", searcher="random")
    found = quiet(study=study, start={"pull": 0.5, "rate": 0.3}, steps=2, trials=3)
    assert [trial.origin for trial in study.trials] == ["default", "enqueued", "enqueued"]
    assert "outer_step" not in study.trials[0].metrics
    assert found.steps == 2


def single():
    """The bowl in single precision."""
    return bowl(start={"w": torch.tensor(0.0)})


@pytest.mark.parametrize("make", [bowl, single])
def test_the_default_is_the_first_step_where_it_is_the_start(make):
    study = lu.Study(SPACE, "loss", searcher="random")
    found = quiet(make(), study=study, steps=4)
    assert (found.steps, found.stopped) == (4, "all 4 outer steps are made")
    assert [trial.origin for trial in study.trials] == ["default", "enqueued", "enqueued", "enqueued"]
    assert [trial.metrics["outer_step"] for trial in study.trials] == [0, 1, 2, 3]
    assert study.trials[0].config == SPACE.default()
    assert not study.replay().differences


def test_every_step_is_made_whatever_the_study_tries_before():
    study = lu.Study(SPACE, "loss", searcher="random", first=[{"pull": 0.4, "rate": 0.2}])
    study.enqueue({"pull": 0.2, "rate": 0.2})
    found = quiet(study=study, start={"pull": 0.5, "rate": 0.3}, steps=3)
    assert (found.steps, found.stopped) == (3, "all 3 outer steps are made")
    assert [trial.metrics.get("outer_step") for trial in study.trials] == [None, None, None, 0, 1, 2]
    assert study.trials[3].config == {"pull": 0.5, "rate": 0.3}


def test_a_start_at_a_bound_is_logged_as_it_is_taken():
    found = quiet(start={"pull": 1e-3, "rate": 0.3}, steps=1)
    [trial] = found.study.trials
    assert trial.config["rate"] == 0.3
    assert 1e-3 < trial.config["pull"] == float(found.hyper["pull"])


def test_what_a_start_may_leave_out_is_no_hindrance():
    space = lu.Space(pull=lu.Float(1e-3, 10.0, log=True), rate=lu.Float(0.01, 1.0), kind=lu.Fixed("bowl"))
    assert quiet(bowl(), space, start={"pull": 0.1, "rate": 0.3}, steps=2).steps == 2


def test_whole_tensors_are_logged_by_their_range():
    problem = bowl(train=lambda p, h, b: (0.5 * h["weight"] * (p["w"] - f64([0.0, 4.0])) ** 2).sum())
    found = quiet(problem, None, tensors={"weight": lg.Box(0.5, 0, 1, (2,)), "rate": lg.Box(0.3, 0.01, 1)}, steps=8)
    rows = lg.outer_steps(found.study)
    assert rows[0]["weight.mean"] == pytest.approx(0.5)
    assert rows[-1]["weight.max"] > rows[0]["weight.max"]
    assert found.hyper["weight"][0] > found.hyper["weight"][1]  # validation wants 1, nearer to 0 than to 4


def test_choices_stay_and_make_the_problem():
    space = lu.Space(pull=lu.Float(1e-3, 10.0, log=True), optimiser=lu.Choice("sgd", "momentum"))
    made = []

    def make(config):
        made.append(config["optimiser"])
        return bowl(optimiser=lg.sgd(0.3) if config["optimiser"] == "sgd" else lg.momentum(0.1, 0.5))

    found = quiet(make, space, start={"pull": 0.1, "optimiser": "momentum"}, steps=3)
    assert found.config["optimiser"] == "momentum"
    assert set(made) == {"momentum"}


def test_a_step_that_diverges_is_logged_and_the_next_starts_at_half_the_rate():
    """Validation is finite for pull below 0.5 alone, and wants more of it."""
    problem = bowl(
        validate=lambda p, h: torch.where(h["pull"] < 0.5, -h["pull"], torch.full_like(h["pull"], math.nan)),
        optimiser=lg.sgd(0.3),
    )
    found = quiet(problem, lu.Space(pull=lu.Float(0.0, 1.0)), start={"pull": 0.4}, rate=1.0, steps=20)
    states = [trial.status.value for trial in found.study.trials]
    assert states[:2] == ["completed", "diverged"]
    pulls = [trial.config["pull"] for trial in found.study.trials]
    assert abs(pulls[2] - 0.4) < abs(pulls[1] - 0.4)
    assert found.stopped == "training diverged 4 times"
    assert 0.4 <= found.config["pull"] < 0.5


def test_a_start_that_diverges_ends_at_once():
    found = quiet(bowl(400), start={"pull": 10.0, "rate": 1.0}, examined=False)
    assert found.stopped == "training diverged at the start"
    assert found.trial is None
    assert len(found.study.trials) == 1


def test_a_program_that_fails_ends_the_chain():
    def broken(p, h):
        raise RuntimeError("no data")

    found = quiet(bowl(validate=broken), examined=False, trials=9)
    assert found.stopped == "RuntimeError: no data"
    assert [trial.status.value for trial in found.study.trials] == ["failed"]


def test_an_unreliable_gradient_warns_once():
    with pytest.warns(NumericsWarning, match="training has not come to rest") as caught:
        quiet(bowl(2), method="implicit-cg", steps=3)
    assert len(caught) == 1


def test_further_metrics_are_measured():
    found = quiet(steps=2, measure=lambda p, h: {"w": float(p["w"])})
    assert "w" in lg.outer_steps(found.study)[0]


def test_the_last_step_counts():
    found = quiet(steps=4, rate=0.1, start={"pull": 0.1, "rate": 0.5})  # the loss still falls at its end
    assert [trial.status.value for trial in found.study.trials] == ["completed"] * 4
    assert found.study.best.number == found.trial == 3


def test_an_interrupted_run_goes_on_from_the_incumbent(tmp_path):
    study = lu.Study(SPACE, "loss", searcher="random", folder=tmp_path / "mixed", seed=1)
    study.run(lg.objective(bowl()), trials=4)
    seen = []

    def measure(p, h):
        seen.append(0)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        quiet(study=study, refine=True, steps=10, measure=measure)
    study = lu.Study.open(tmp_path / "mixed")
    best = study.best
    assert best.number == 5
    found = quiet(study=study, refine=True, steps=3)
    assert [trial.metrics.get("outer_step") for trial in study.trials[4:]] == [0, 1, None, 0, 1, 2]
    assert study.trials[6].status.value == "completed"  # what was begun is ended first, as a plain trial
    assert dict(study.trials[7].config) == pytest.approx(dict(best.config))
    assert found.steps == 3
    assert not study.replay().differences
    assert [row["chain"] for row in outer_steps(study)["rows"]] == [0, 0, 1, 1, 1]


def test_one_loss_is_followed_and_another_one_chooses():
    """The way leads to w = 1, and passes w = 1.6, where the loss that is reported is lowest."""
    seen = []

    def follow(p, h, step):
        seen.append(step)
        return 0.5 * (p["w"] - 1.0) ** 2

    problem = bowl(40, lg.sgd(0.3), validate=lambda p, h: 0.5 * (p["w"] - 1.6) ** 2)
    space = lu.Space(pull=lu.Float(1e-3, 10.0, log=True))
    found = quiet(problem, space, start={"pull": 0.1}, follow=follow, steps=10, rate=0.2)
    losses = [row["loss"] for row in lg.outer_steps(found.study)]
    assert 0 < losses.index(min(losses)) < 9
    assert losses[-1] > 0.18  # its value at w = 1
    assert found.value == min(losses) < 0.01
    assert sorted(set(seen)) == list(range(10))


def test_a_module_is_tuned_by_its_function():
    """Weight decay for each tensor of a module, by torch.func.functional_call."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).double()
    start = {name: value.detach() for name, value in module.named_parameters()}
    X = torch.randn(40, 3, dtype=torch.float64)
    y = X[:, :1].sin() + 0.5 * torch.randn(40, 1, dtype=torch.float64)

    def loss(w, rows):
        return ((torch.func.functional_call(module, w, (X[rows],)) - y[rows]) ** 2).mean()

    decays = {f"decay.{name}": lg.Box(1e-3, 1e-6, 1.0, log=True) for name in start}
    problem = lg.Bilevel(
        train=lambda w, h, b: loss(w, slice(0, 10)) + sum(h[f"decay.{n}"] * (v**2).sum() for n, v in w.items()),
        validate=lambda w, h: loss(w, slice(10, 40)),
        start=start,
        optimiser=lg.adam(0.05),
        steps=30,
    )
    found = quiet(problem, None, tensors=decays, steps=8, rate=0.5)
    rows = lg.outer_steps(found.study)
    assert found.value < rows[0]["loss"]
    assert all(float(found.hyper[name]) != pytest.approx(1e-3) for name in decays)
