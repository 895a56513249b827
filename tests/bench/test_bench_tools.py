"""Other optimisers as tools of a study: what they are told, what they answer, and what becomes of those that fail."""

from __future__ import annotations

import json
import math
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import luthier as lu
from luthier import bench
from luthier.base.errors import ArgumentError, SpaceError, UnsupportedError
from luthier.base.records import Fidelity, Objective
from luthier.bench.isolation import environment
from luthier.bench.studies import load_plan, run, tools
from luthier.bench.studies.outside.catalogue import KINDS
from luthier.bench.studies.outside.client import SCRIPTS, ToolError
from luthier.bench.studies.outside.spoken import Spoken
from luthier.bench.studies.plan_file import parse
from luthier.bench.studies.store import Store
from luthier.bench.studies.tools import Ask, Told
from luthier.space.problem import Problem

RANDOM = """
import os, random, time


class Random:
    def __init__(self, setting):
        self.setting, self.told = setting, []

    def ask(self, trial):
        print("a tool may talk")
        mood = self.setting.options.get("mood", "")
        if trial == self.setting.options.get("at", 2):
            if mood == "raises":
                raise ValueError("no luck")
            if mood == "dies":
                os._exit(7)
            if mood == "hangs":
                time.sleep(60)
            if mood == "ends":
                return None
            if mood == "nonsense":
                return [3]
        config = {one["name"]: self.draw(one) for one in self.setting.space}
        if mood == "outside" and trial == 2:
            config[self.setting.space[0]["name"]] = 1e6
        if self.setting.method == "rungs":
            return config, self.setting.axis["low"] * 3 ** (trial % 3)
        return config

    def draw(self, one):
        if "values" in one:
            return random.choice(one["values"])
        number = random.uniform(one["low"], one["high"])
        return round(number) if one["kind"] == "int" else number

    def tell(self, trial, value, resource, done, failed):
        self.told.append(value)
        return self.setting.method == "early" and trial % 2 == 0 and resource >= self.setting.options["stop"]


make = Random
"""


@pytest.fixture
def script(tmp_path):
    """A tool of twenty lines."""
    place = tmp_path / "mine.py"
    place.write_text(RANDOM)
    return place


def source(script, method="", **more):
    return tools.find("script", {"script": str(script), "python": sys.executable, "method": method, **more})


def study(script, task="synthetic/branin", evaluations=6, **options):
    given = {"script": str(script), "python": sys.executable, **options}
    return parse({
        "name": "small",
        "seeds": 1,
        "limit": 30,
        "budget": {"evaluations": evaluations},
        "methods": {"mine": {"tool": "script", "options": given}, "random": {}},
        "tasks": {"test": {"a": [task]}},
    })  # fmt: skip


def cell(plan, folder, **more):
    outcome = run(plan, folder, jobs=0, methods=["mine"], **more)
    return outcome, Store(folder, "mine").cells[plan.tasks[0].label, 0]


# a conversation ----------------------------------------------------------------------------------------------


def test_a_script_searches_in_a_study_and_repeats_itself(script, tmp_path):
    plan = study(script)
    outcome, first = cell(plan, tmp_path / "a")
    assert (outcome.made, outcome.failed) == (1, 0)
    assert (first.trials, first.error, first.failures) == (6, "", 0)
    outcome = run(plan, tmp_path / "b", jobs=1, methods=["mine"])  # from another process of luthier's
    again = Store(tmp_path / "b", "mine").cells["synthetic/branin", 0]
    assert first.seen.tolist() == again.seen.tolist()
    versions = Store(tmp_path / "a", "mine").about["versions"]
    assert len(versions["mine.py"]) == 12


def test_thinking_is_measured_in_the_process_of_the_tool(tmp_path):
    place = tmp_path / "slow.py"
    place.write_text(RANDOM.replace('print("a tool may talk")', "sum(range(2_000_000))"))
    made = source(place)
    begun = made.start(bench.load("synthetic/branin").problem, seed=0, evaluations=3)
    before = begun.cpu_seconds
    begun.ask()
    assert 0 < before < begun.cpu_seconds
    assert begun.cpu_seconds - before > 0.005  # adding up two million numbers takes some time anywhere
    made.close()


def test_runs_of_one_process_do_not_see_each_other(script):
    made, problem = source(script), bench.load("synthetic/branin").problem
    first = made.start(problem, seed=0, evaluations=3)
    asked = [first.ask() for _ in range(3)]
    made.start(problem, seed=1, evaluations=3).ask()
    again = made.start(problem, seed=0, evaluations=3)
    assert [again.ask() for _ in range(3)] == asked
    made.close()


def test_methods_of_a_script_share_a_process_one_run_at_a_time(script):
    one, other, problem = source(script), source(script, "other"), bench.load("synthetic/branin").problem
    first = one.start(problem, seed=0, evaluations=3)
    first.ask()
    second = other.start(problem, seed=0, evaluations=3)
    with pytest.raises(ToolError, match="has begun another run"):
        first.ask()
    one.close()  # the other one goes on
    second.ask()
    worker = other._process._held.worker
    assert worker.alive
    other.close()
    assert not worker.alive


@pytest.mark.parametrize(
    ("mood", "message"),
    [
        ("raises", "ToolError: tool 'mine': ask: ValueError: no luck"),
        ("dies", "ToolError: tool 'mine': ask: the program ended its process with exit code 7"),
        ("hangs", "ToolError: tool 'mine': ask: time limit of 1 s exceeded; it printed: a tool may talk"),
        ("nonsense", "ToolError: tool 'mine': ask: TypeError"),
        ("outside", "SpaceError: tool 'mine': its proposal"),
    ],
)
def test_what_goes_wrong_is_kept_and_the_study_goes_on(script, tmp_path, mood, message):
    plan = study(script, mood=mood, limit=1.0)
    outcome, failed = cell(plan, tmp_path)
    assert (outcome.made, outcome.failed) == (1, 1)
    assert failed.error.startswith(message), failed.error
    assert failed.trials == 2
    assert len(failed.times) >= 1  # what was found until then
    assert run(plan, tmp_path, jobs=0, methods=["random"]).failed == 0


def test_a_tool_that_was_lost_is_started_again(script):
    made, problem = source(script, mood="dies", at=1), bench.load("synthetic/branin").problem
    for seed in (0, 1):
        begun = made.start(problem, seed=seed, evaluations=3)
        begun.ask()
        with pytest.raises(ToolError, match="exit code 7"):
            begun.ask()
    made.close()


def test_a_tool_that_has_no_more_to_propose_ends_its_run(script, tmp_path):
    outcome, ended = cell(study(script, mood="ends"), tmp_path)
    assert (outcome.failed, ended.trials, ended.error) == (0, 2, "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("import os; os._exit(3)", "its worker did not start"),
        ("made = 1", "AttributeError"),
    ],
)
def test_a_script_that_cannot_run(tmp_path, text, message):
    place = tmp_path / "mine.py"
    place.write_text(text)
    with pytest.raises(ToolError, match=message):
        source(place).start(bench.load("synthetic/branin").problem, seed=0, evaluations=3)


def test_what_is_missing_is_said(script, tmp_path):
    assert source(script).missing() is None
    with pytest.raises(ArgumentError, match=r"tool 'none': script=.*none\.py' is no file"):
        source(tmp_path / "none.py")
    nowhere = tools.find("script", {"script": str(script), "python": "no/python"})
    assert nowhere.missing() == "python='no/python' is no file. Give its interpreter."
    with pytest.raises(ArgumentError, match=r"options .* do not fit"):
        tools.find("script", {"file": str(script)})


def test_an_environment_that_is_not_built_is_said_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv(environment.VARIABLE, str(tmp_path))
    found = tools.find("smac-hb")
    assert "Build it with: luthier bench env create smac" in found.missing()
    plan = parse({
        "name": "small", "seeds": 1, "missing": "skip", "budget": {"evaluations": 2},
        "methods": {"random": {}, "smac-hb": {"tool": "smac-hb"}}, "tasks": {"test": {"a": ["synthetic/branin"]}},
    })  # fmt: skip
    outcome = run(plan, tmp_path / "out", jobs=0)
    assert outcome.made == 1
    assert "luthier bench env create smac" in outcome.skipped["smac-hb"]


# fidelities --------------------------------------------------------------------------------------------------


def test_a_tool_that_decides_how_far_trials_run(script, tmp_path):
    plan = study(script, "mfhartmann/3/good", evaluations=1, method="rungs", rungs=True)
    _, found = cell(plan, tmp_path)
    assert found.error == ""
    made = source(script, "rungs", rungs=True)
    begun = made.start(bench.load("mfhartmann/3/good").problem, seed=0, evaluations=1)
    assert [begun.ask().until for _ in range(4)] == [3.0, 9.0, 27.0, 3.0]
    made.close()


def test_an_early_tool_hears_reports_on_an_axis_of_steps(script, tmp_path):
    plan = study(script, "mfhartmann/3/good", evaluations=1.5, method="early", early=True, stop=10)
    _, found = cell(plan, tmp_path)
    assert found.error == ""
    assert (found.trials, found.spent) == (4, pytest.approx(1.5, abs=0.01))  # 0.1, 1, 0.1 and what is left


def test_an_early_tool_gets_trials_anew_where_nothing_is_reported_on_the_way(script):
    made = source(script, "early", early=True, stop=3)
    begun = made.start(bench.load("svm/digits@small").problem, seed=0, evaluations=4)
    assert not begun.early  # the study tells it ends only
    seen = []
    for trial in range(8):
        asked = begun.ask()
        seen.append((asked.config, asked.until))
        begun.tell(Told(trial, asked.config, 0.5, asked.until, True, False, 0.0))
    levels = [until for _, until in seen]
    ninth, third = pytest.approx(1 / 9), pytest.approx(1 / 3)
    assert levels == [ninth, third, ninth, third, 1.0, ninth, third, ninth]  # the second trial goes all the way
    assert seen[2][0] == seen[3][0] == seen[4][0] != seen[5][0]
    made.close()


def test_a_fidelity_that_a_tool_needs(script):
    made = source(script, "early", early=True)
    with pytest.raises(UnsupportedError, match=r"tool 'mine' needs a fidelity\. Allowed: a task with one"):
        made.start(bench.load("synthetic/branin").problem, seed=0, evaluations=3)


# spaces ------------------------------------------------------------------------------------------------------


SPACE = lu.Space(
    rate=lu.Float(1e-5, 1, log=True),
    width=lu.Int(1, 9),
    step=lu.Float(0.0, 1.0, step=0.25),
    many=lu.Int(2, 8, step=2),
    kind=lu.Choice("a", "b"),
    cap=lu.Choice(None, 3, "sqrt"),
    on=lu.Choice(True, False),
    level=lu.Ordinal(0.1, 1, 10),
    depth=lu.Int(1, 3, when=("kind", "a")),
    more=lu.Float(0, 1, when=("width", ">", 4)),
    fixed=lu.Fixed("x"),
)


def test_a_space_in_the_words_of_tools():
    words = {one.pop("name"): one for one in Spoken(SPACE, "mine").words}
    assert words == {
        "rate": {"kind": "float", "low": 1e-5, "high": 1.0, "log": True},
        "width": {"kind": "int", "low": 1, "high": 9, "log": False},
        "step": {"kind": "ordinal", "values": [0.0, 0.25, 0.5, 0.75, 1.0]},
        "many": {"kind": "ordinal", "values": [2, 4, 6, 8]},
        "kind": {"kind": "choice", "values": ["a", "b"]},
        "cap": {"kind": "choice", "values": ["#0", "#1", "#2"]},
        "on": {"kind": "choice", "values": [True, False]},
        "level": {"kind": "ordinal", "values": ["#0", "#1", "#2"]},
        "depth": {"kind": "int", "low": 1, "high": 3, "log": False, "when": {"parent": "kind", "values": ["a"]}},
        "more": {"kind": "float", "low": 0.0, "high": 1.0, "log": False},
    }
    json.dumps(words)


def test_proposals_become_configurations_of_the_space():
    spoken = Spoken(SPACE, "mine")
    for config in SPACE.sample(50, np.random.default_rng(0)):
        assert spoken.config(json.loads(json.dumps(spoken.told(config)))) == config
    base = spoken.told(SPACE.default())
    found = spoken.config({**base, "width": 3.0, "rate": 1 + 1e-6, "kind": "b", "depth": 2, "more": 0.5})
    assert (found["width"], type(found["width"]), found["rate"]) == (3, int, 1.0)
    assert "depth" not in found  # inactive
    assert "more" not in found
    for wrong in ({"rate": 1.1}, {"width": 3.5}, {"kind": "c"}, {"on": 1}, {"cap": 3}, {"rate": "x"}, {"no": 1}):
        with pytest.raises(SpaceError, match="tool 'mine': its proposal"):
            spoken.config({**base, **wrong})


def test_spaces_that_tools_are_not_told():
    with pytest.raises(UnsupportedError, match=r"forbids .* Choose another task"):
        Spoken(lu.Space(a=lu.Choice(1, 2), b=lu.Choice(1, 2), forbid=[{"a": 1, "b": 2}]), "mine")
    with pytest.raises(UnsupportedError, match="has 1000001 steps"):
        Spoken(lu.Space(a=lu.Float(0, 1, step=1e-6)), "mine")


# those that come with luthier --------------------------------------------------------------------------------


def test_every_tool_has_a_script_and_a_lock():
    assert set(KINDS) < set(tools.OWN)
    for kind in KINDS.values():
        compile((SCRIPTS / kind.script).read_text(), kind.script, "exec")
        assert kind.environment in environment.tools()
        requirements = environment.declared(kind.environment).lock.requirements
        assert kind.environment.lower() in {name.lower() for name in requirements}


def test_the_preset_names_tools_that_are_known():
    named = {method.tool for method in load_plan("hpobench").methods if method.tool is not None}
    assert named <= set(tools.OWN)
    assert len({KINDS[name].environment for name in named}) >= 5  # and luthier: six


def test_locks_of_tools_leave_out_what_they_say(tmp_path, monkeypatch):
    commands = []

    def ran(what, command):
        commands.append(command)
        if "venv" in command:
            Path(command[-1]).mkdir()

    monkeypatch.setenv(environment.VARIABLE, str(tmp_path))
    monkeypatch.setenv("PATH", "")  # no uv
    monkeypatch.setattr(environment, "_run", ran)
    monkeypatch.setattr(environment, "_own_pip", lambda version: True)
    with pytest.raises(FileNotFoundError):  # no interpreter was made
        environment.create("hebo")
    assert {"--no-deps", "--require-hashes"} < set(commands[-1])
    with pytest.raises(ArgumentError, match="Did you mean 'optuna'"):
        environment.declared("optna")


MIXED = lu.Space(
    rate=lu.Float(1e-5, 1, log=True),
    width=lu.Int(1, 512, log=True),
    kind=lu.Choice("a", "b", "c"),
    on=lu.Choice(True, False),
    level=lu.Ordinal(1, 2, 4),
    depth=lu.Int(1, 8, when=("kind", "in", ["a", "b"])),
)


def loss(config, resource):
    noise = 1 / resource
    return math.log10(config["rate"] / 1e-3) ** 2 + (config["kind"] == "b") + config.get("depth", 3) / 8 + noise


def played(made, seed, count):
    """Configurations asked for, on a mixed space with an axis of steps."""
    problem = Problem(MIXED, (Objective("loss"),), (), Fidelity("epoch", 1, 27))
    begun, seen = made.start(problem, seed=seed, evaluations=count), []
    for trial in range(count):
        asked = begun.ask()
        config, until = asked if isinstance(asked, Ask) else (asked, 27.0)
        seen.append((config, until))
        for step in range(1, 28) if begun.early else [int(until)]:
            told = Told(trial, config, loss(config, step), step, step == until, False, 0.0)
            if begun.tell(told) or step == until:
                break
    return seen, begun


@pytest.mark.slow
@pytest.mark.parametrize("name", list(KINDS))
def test_a_tool_of_another_environment(name):
    made = tools.find(name)
    why = made.missing()
    if why:
        pytest.skip(why)
    count = 8 if name == "hebo" else 12
    first, begun = played(made, 3, count)
    again, _ = played(made, 3, count)
    other, _ = played(made, 4, count)
    made.close()
    cold, _ = played(made, 3, count)  # a new process
    made.close()
    assert first != other
    assert (first == again == cold) is KINDS[name].repeatable
    assert begun.cpu_seconds > 0
    assert len({config for config, _ in first}) > count / 3
    if KINDS[name].rungs:
        assert min(until for _, until in first) == 1.0
    assert set(KINDS[name].packages[:1]) <= set(made.versions())


@pytest.mark.slow
def test_the_tools_that_are_here_in_a_study(tmp_path):
    here = [name for name in KINDS if tools.find(name).missing() is None]
    if not here:
        pytest.skip("no environment of a tool is built: luthier bench env create optuna")
    plan = parse({
        "name": "tools", "seeds": 1, "budget": {"evaluations": 4, "clock": "seconds"},
        "methods": {"random": {}, **{name: {"tool": name} for name in here}},
        "tasks": {"test": {"svm": ["svm/digits@small"], "mf": ["mfhartmann/3/good"]}},
    })  # fmt: skip
    outcome = run(plan, tmp_path, jobs=1)
    errors = {(name, key): one.error for name in here for key, one in Store(tmp_path, name).cells.items() if one.error}
    assert (outcome.failed, errors) == (0, {})


def test_the_scripts_need_no_newer_python():
    import ast

    for place in sorted(Path(SCRIPTS).glob("*.py")):
        ast.parse(place.read_text(), feature_version=(3, 8))
        assert "import annotations" in place.read_text()
    assert textwrap.dedent(RANDOM).count("\n") > 20
