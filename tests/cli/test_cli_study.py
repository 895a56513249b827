"""The commands on a study: what they print, for people and for machines."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ASHA, INLINE, Call

import luthier as lu
from luthier.runtime.executors._function import FunctionTarget
from luthier.runtime.executors.inline import Inline


def lines(text: str) -> list[dict[str, Any]]:
    """Every line must be strict JSON."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def test_json_lines_of_a_run(shared: Path) -> None:
    events = lines((shared / "tune.jsonl").read_text())
    kinds = [event["event"] for event in events]
    assert kinds[0] == "begun"
    assert kinds[-1] == "result"
    assert kinds.count("asked") == 15
    assert "incumbent" in kinds
    logged = [event["seq"] for event in events if "seq" in event]
    assert logged == list(range(1, len(logged) + 1))
    last = events[-1]
    assert last["exit"] == 0
    assert last["where"] == "done"
    assert sum(last["counts"].values()) == 15
    assert last["best"]["metrics"]["loss"] <= last["default"]["metrics"]["loss"]
    # what the program prints in this process does not spoil the lines
    assert "trial 0 speaks" in (shared / "tune.err").read_text()


def test_tune_without_a_terminal_says_little(place: Path, call: Call) -> None:
    result = call("tune", "train.py:train", *ASHA, "--trials", "6", *INLINE)
    assert result.exit_code == 0, result.output
    said = [line for line in result.stdout.splitlines() if not line.endswith("speaks")]
    assert said[0] == "train: minimise loss; 3 hyperparameters; searcher random, scheduler asha, epoch 1 to 9, seed 0"
    assert all(line.startswith("[") for line in said[1:-5])
    assert said[-5].startswith("6 trials: ")
    assert said[-5].endswith("; all 6 trials are done")
    assert said[-4].startswith("best: trial ")
    assert said[-4].endswith("(best single value at the highest epoch reached)")
    assert said[-2].startswith("default: ")
    assert said[-1] == "next: luthier report luthier-train"
    assert "\x1b" not in result.output
    assert (place / "luthier-train" / "study.db").exists()
    again = call("tune", "train.py:train", *ASHA, "--trials", "8", *INLINE, "--quiet")
    assert again.exit_code == 0
    said = [line for line in again.stdout.splitlines() if not line.endswith("speaks")]
    assert said[0].startswith("8 trials: ")
    assert len(said) == 5


def test_resume_says_when_there_is_nothing_to_do_and_goes_on(place: Path, call: Call) -> None:
    assert call("tune", "train.py:train", *ASHA, *INLINE, "--trials", "4", "--out", "s", "--seed", "3").exit_code == 0
    result = call("resume", "s")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "4 of 4 trials are done; give --trials 6 for more"
    result = call("resume", "s", "--trials", "6")
    assert result.exit_code == 0, result.output
    assert "it goes on: 4 trials are there" in result.stdout
    study = lu.Study.open("s")
    assert len(study.trials) == 6
    assert study.settings["target"] == f"{place}/train.py:train"
    assert study.settings["cwd"] == str(place)
    assert study.replay().differences == []


def test_resume_from_another_folder(place: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        call("tune", "train.py:train", *INLINE, "--searcher", "random", "--max", "epoch=2", "--trials", "2").exit_code
        == 0
    )
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    result = call("resume", "../luthier-train", "--trials", "3")
    assert result.exit_code == 0, result.output
    assert Path.cwd() == place
    assert len(lu.Study.open(place / "luthier-train").trials) == 3


def test_resume_takes_the_executor_that_the_study_was_run_with(place: Path, call: Call) -> None:
    (place / "fit.py").write_text("def fit(run):\n    return run.config['x']\n")
    with lu.Study(lu.Space(x=lu.Float(0, 1)), searcher="random", folder="s") as study:
        own = {"name": "processes", "grace_seconds": 7.5}
        info = {"target": "fit.py:fit", "cwd": str(place)}
        study.run(FunctionTarget.parse("fit.py:fit"), trials=1, executor=own, info=info)
    assert call("resume", "s", "--trials", "2").exit_code == 0
    with lu.Study.open("s") as study:
        runs = [event.data for event in study.events() if event.kind == "begun"]
        assert [(run["executor"], run["executor_own"]) for run in runs] == [("processes", {"grace_seconds": 7.5})] * 2
        study.run(FunctionTarget.parse("fit.py:fit"), trials=3, executor=Endless(), info=info)
    result = call("resume", "s", "--trials", "4")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: study 's': it was run with executor 'inline' and patience, which the log ")


class Endless(Inline):
    """Has an argument that JSON cannot hold."""

    def __init__(self, *, patience: float = 1.0) -> None:
        super().__init__()
        self.own = {"patience": float("inf")}


def test_resume_refuses_a_script_that_starts_its_study_when_imported(place: Path, call: Call) -> None:
    script = (
        "import luthier as lu\n\ndef train(run):\n    return run.config['x']\n\n"
        "study = lu.Study({'x': lu.Float(0, 1)}, searcher='random', folder='s')\n"
        "study.run(train, trials=3)\nopen('ran', 'a').write('x')\n"
    )
    (place / "unguarded.py").write_text(script)
    with lu.Study({"x": lu.Float(0, 1)}, searcher="random", folder="s") as study:
        study.run(lambda run: run.config["x"], trials=3, info={"target": "unguarded.py:train", "cwd": str(place)})
    result = call("resume", "s", "--trials", "5")
    assert result.exit_code == 1
    assert (
        "the script starts a study while it is imported. Put what starts the study under: if __name__" in result.stderr
    )
    assert "Or run your script again: it continues study 's'." in result.stderr
    assert not (place / "ran").exists()
    with lu.Study.open("s") as study:
        assert len(study.trials) == 3


def test_resume_of_a_study_from_python(place: Path, call: Call) -> None:
    study = lu.Study(lu.Space(x=lu.Float(0, 1)), searcher="random", folder="s")
    result = call("resume", "s")
    assert result.exit_code == 1
    assert result.stderr == (
        "error: study 's' has not been run yet, so this command cannot find its program. Allowed: studies run by "
        "`luthier tune`, or with a function of a module. Give the command that made it, or run your script, again: it "
        "continues.\n"
    )
    study.run(lambda run: 1.0, trials=1)
    study.close()
    result = call("resume", "s", "--trials", "2")
    assert result.exit_code == 1
    assert "was run from Python with a function that has no importable name" in result.stderr


def test_resume_when_the_program_is_gone(place: Path, call: Call) -> None:
    assert call("tune", "train.py:two", *INLINE, "--searcher", "random", "--trials", "2", "--out", "s").exit_code == 0
    (place / "train.py").unlink()
    result = call("resume", "s", "--trials", "3")
    assert result.exit_code == 1
    assert f"study 's' was run with {place}/train.py:two" in result.stderr
    assert "there is no file" in result.stderr
    assert "Put it back" in result.stderr


def test_show(done: Path, call: Call) -> None:
    result = call("show", "done", "--last", "3")
    assert result.exit_code == 0
    said = result.stdout.splitlines()
    assert said[1].startswith("15 trials: ")
    assert said[2].startswith("best: trial ")
    assert said[-1] == "next: luthier report done"
    assert [line.split()[0] for line in said[-5:-1]] == ["trial", "12", "13", "14"]
    [data] = lines(call("show", "done", "--json").stdout)
    assert len(data["trials"]) == 15
    assert data["trials"][0]["origin"] == "default"
    assert data["best"]["number"] == int(said[2].split()[2].rstrip(","))


def test_show_one_trial(done: Path, call: Call) -> None:
    result = call("show", "done", "--trial", "0")
    assert result.exit_code == 0
    assert result.stdout.startswith("trial 0        completed, from default\n")
    assert result.stdout.count("\n") >= 9 + 6
    [data] = lines(call("show", "done", "--trial", "0", "--json").stdout)
    assert [report["resource"] for report in data["reports"]] == list(range(1, 10))
    result = call("show", "done", "--trial", "99")
    assert result.exit_code == 1
    assert result.stderr == "error: study 'done' has no trial 99. Allowed: 0 to 14.\n"


def test_failures_are_shown_with_their_output(place: Path, call: Call) -> None:
    result = call("tune", "train.py:sometimes", "--searcher", "random", "--trials", "3", "--out", "s")
    assert result.exit_code == 0, result.output
    wanted = "failed: trial 1, ValueError: wrong shape (train.py:18) (output: s/trials/00001/run-1.log)"
    assert wanted in result.stdout
    assert wanted in call("show", "s").stdout
    assert "Traceback" in (place / "s/trials/00001/run-1.log").read_text()
    assert "s/trials/00001/run-1.log" in call("show", "s", "--trial", "1").stdout


def test_lost_trials_are_shown_with_the_cause(place: Path, call: Call) -> None:
    (place / "k.yaml").write_text("x: {type: float, low: 0, high: 1}\n")
    program = "import os; os.kill(os.getpid(), 9)"
    words = ["--command", f'{sys.executable} -c "{program}" {{x}}', "--space", "k.yaml", "--trials", "1", "--out", "s"]
    result = call("tune", *words)
    assert result.exit_code == 2, result.output
    assert "lost: trial 0, the program was killed by SIGKILL; it printed nothing" in result.stdout
    assert "s: minimise loss; 1 hyperparameter; searcher auto (gp: 1 hyperparameter)" in call("show", "s").stdout


def test_nothing_but_infinity_has_its_own_word(place: Path, call: Call) -> None:
    (place / "k.yaml").write_text("x: {type: float, low: 0, high: 1}\n")
    result = call("tune", "--command", "echo '{{\"loss\": 1e999}}'", "--space", "k.yaml", "--trials", "2", "--out", "t")
    assert result.exit_code == 2, result.output
    assert "best: none, every trial reported NaN or infinity" in result.stdout


def test_several_objectives_and_a_constraint(place: Path, call: Call) -> None:
    result = call(
        "tune", "train.py:two", *INLINE, "--searcher", "random", "--minimize", "loss", "--maximize", "size",
        "--trials", "8", "--out", "s",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "minimise loss and maximise size" in result.stdout
    assert "Pareto set of" in result.stdout
    result = call(
        "tune", "train.py:two", *INLINE, "--searcher", "random", "--constraint", "size<=20", "--trials", "8",
        "--out", "t",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    best = lu.Study.open("t").best
    assert best is not None
    assert best.metrics["size"] <= 20
    assert "among feasible trials" in result.stdout


def test_space_first_and_past_from_files(place: Path, call: Call) -> None:
    (place / "space.yaml").write_text(
        "lr: {type: float, low: 1e-4, high: 1, log: true}\nwidth: {type: int, low: 4, high: 64}\n"
    )
    (place / "first.json").write_text('[{"lr": 0.1, "width": 64}]')
    common = ["tune", "train.py:two", *INLINE, "--searcher", "random", "--space", "space.yaml", "--seed", "1"]
    result = call(*common, "--trials", "4", "--first", "first.json", "--out", "a")
    assert result.exit_code == 0, result.output
    assert lu.Study.open("a").trials[1].origin == "first"
    result = call(*common, "--trials", "3", "--past", "a", "--out", "b")
    assert result.exit_code == 0, result.output
    assert [t.origin for t in lu.Study.open("b").trials][:2] == ["default", "past"]


def test_earlier_studies_and_who_learns_from_them(place: Path, call: Call) -> None:
    common = ["tune", "train.py:two", *INLINE, "--trials", "4"]
    assert call(*common, "--order", "100", "--out", "a").exit_code == 0
    result = call(*common, "--past", "a", "--order", "200", "--searcher", "simple-previous", "--out", "b")
    assert result.exit_code == 0, result.output
    study = lu.Study.open("b")
    assert study.problem.order == 200
    assert study.trials[1].config in [trial.config for trial in lu.Study.open("a").trials]
    assert study.trials[1].origin == "past"
    result = call(*common, "--past", "b", "--past", "a", "--out", "c")
    assert result.exit_code == 1
    assert "Allowed: oldest (or smallest) first" in " ".join(result.output.split())


def test_own_arguments_reach_the_parts(place: Path, call: Call) -> None:
    result = call(
        "tune", "train.py:train", *ASHA, *INLINE, "--set", "scheduler.eta=2", "--set", "scheduler.type=promotion",
        "--trials", "4", "--out", "s",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert lu.Study.open("s")._definition.scheduler == ("asha", {"eta": 2, "type": "promotion"})


def test_any_program_by_command(place: Path, call: Call) -> None:
    (place / "prog.py").write_text(
        "import argparse, luthier\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float)\n"
        "luthier.emit(loss=p.parse_args().lr)\n"
    )
    (place / "space.json").write_text('{"lr": {"type": "float", "low": 0, "high": 1}}')
    import sys

    result = call(
        "tune", "--command", f"{sys.executable} prog.py --lr {{lr}}", "--space", "space.json", "--searcher", "random",
        "--trials", "2",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "next: luthier report luthier-prog"
    result = call("resume", "luthier-prog", "--trials", "3")
    assert result.exit_code == 0, result.output
    assert lu.Study.open("luthier-prog").result().counts == {"completed": 3}


def test_a_store_by_url(place: Path, call: Call) -> None:
    url = f"sqlite:///{place}/all.db"
    words = ["tune", "train.py:two", *INLINE, "--searcher", "random", "--trials", "2", "--storage", url]
    for name in ("one", "other"):
        result = call(*words, "--name", name)
        assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == f"next: luthier report '{url}#other'"
    listed = call("list", "studies", url)
    assert [line.split()[0] for line in listed.stdout.splitlines()[:2]] == ["one", "other"]
    assert call("show", f"{url}#one").stdout.startswith("one: minimise loss")
    assert call("resume", f"{url}#one", "--trials", "3").exit_code == 0
    assert len(lu.Study.open(url, "one").trials) == 3
    assert call("show", url).exit_code == 1


def test_report(done: Path, call: Call, tmp_path: Path) -> None:
    result = call("report", "done", "-o", str(tmp_path / "page.html"))
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{tmp_path}/page.html (")
    assert "<html" in (tmp_path / "page.html").read_text()[:200]
    assert call("report", "done", "-o", str(tmp_path / "new" / "page.html")).exit_code == 0
    assert call("report", "done", "-o", str(tmp_path / "page.html" / "x.html")).exit_code == 1


def test_replay(done: Path, call: Call, tmp_path: Path) -> None:
    result = call("replay", "done")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1] == "0 differences"
    assert result.stdout.startswith("15 proposals and ")
    shutil.copytree("done", tmp_path / "forged")
    with sqlite3.connect(tmp_path / "forged" / "study.db") as connection:
        connection.execute(
            "UPDATE events SET data = replace(data, '\"width\":', '\"width\":1') WHERE kind = 'asked' AND trial = 5"
        )
    result = call("replay", str(tmp_path / "forged"), "--json")
    assert result.exit_code == 4
    [data] = lines(result.stdout)
    assert len(data["differences"]) == 1
    assert data["differences"][0].startswith("trial 5: was ")


def test_convert(done: Path, call: Call, tmp_path: Path) -> None:
    result = call("convert", "done", str(tmp_path / "trials.csv"))
    assert result.exit_code == 0, result.output
    assert len((tmp_path / "trials.csv").read_text().splitlines()) == 16
    assert result.stdout.splitlines()[-1] == f"written: {tmp_path}/trials.csv"
    result = call("convert", "done", str(tmp_path / "copy"))
    assert result.exit_code == 0, result.output
    assert len(lu.Study.open(tmp_path / "copy").trials) == 15


def test_list(call: Call) -> None:
    result = call("list", "searchers")
    assert result.exit_code == 0
    assert {"random", "sobol", "cqr"} <= {line.split()[0] for line in result.stdout.splitlines()}
    [data] = lines(call("list", "schedulers", "--verbose", "--json").stdout)
    [asha] = [entry for entry in data["schedulers"] if entry["name"] == "asha"]
    assert {"name": "eta", "type": "a whole number", "default": 3} in asha["options"]
    [everything] = lines(call("list", "--json").stdout)
    assert list(everything) == ["searchers", "schedulers", "executors", "stopping", "benchmarks"]
    assert {"name": "fcnet/protein_structure"} in everything["benchmarks"]
    result = call("list", "serchers")
    assert result.exit_code == 1
    assert result.stderr == "error: list 'serchers' is not known. Did you mean 'searchers'?\n"
    assert call("list", "studies").exit_code == 1


def test_doctor(done: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    [data] = lines(call("doctor", "done", "--json").stdout)
    states = {check["name"]: check["state"] for check in data["checks"]}
    for name in ("folder", "sqlite", "schema", "integrity", "log", "trials", "drivers", "end"):
        assert states[name] == "ok", data
    assert data["extras"]["test"]["packages"]["pytest"] == pytest.__version__
    monkeypatch.setenv("LUTHIER_DATA", "/nowhere/at/all")
    result = call("doctor", "done")
    assert result.exit_code == 3
    assert "warn  data" in result.stdout
    assert result.stdout.splitlines()[-1] == "next: luthier show done"
    monkeypatch.setenv("LUTHIER_GPUS", "many")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert call("doctor").exit_code == 4


def test_demo(place: Path, call: Call) -> None:
    result = call("demo", "--json")
    assert result.exit_code == 0, result.output
    data = lines(result.stdout)[-1]
    assert data["stages"] == [10, 25, 50]
    for values in data["best"].values():
        assert values == sorted(values, reverse=True)
        assert min(values) >= data["optimum"]
    assert (place / "luthier-demo" / "report.html").exists()
    assert result.stderr.splitlines()[-1] == "next: luthier show luthier-demo/cqr"


def test_version_and_help(call: Call) -> None:
    assert call("--version").stdout == f"luthier {lu.__version__}\n"
    alone = call()
    assert alone.exit_code == 0
    assert "tune" in alone.stdout


def test_an_infeasible_pareto_set_names_the_nearest(place: Path, call: Call) -> None:
    words = ["--minimize", "loss", "--minimize", "size", "--constraint", "size<=-1", "--searcher", "random"]
    result = call("tune", "train.py:two", *words, *INLINE, "--trials", "4", "--out", "s")
    assert result.exit_code == 0, result.output
    with lu.Study.open("s") as study:
        best = min(study.trials, key=lambda t: t.metrics["size"])
    near = f"trial {best.number}, size {best.metrics['size']:g} (<= -1)"
    assert f"Pareto set: empty, no trial keeps all bounds; nearest: {near}" in result.stdout.splitlines()
    assert "once the program is repaired" not in result.output
    assert result.stdout.splitlines()[-1] == "next: luthier report s"


def test_an_untouched_metric_that_nobody_reports_is_noted(place: Path, call: Call) -> None:
    tune = ["tune", "train.py:two", *INLINE, "--searcher", "random", "--trials", "2"]
    said = call(*tune, "--untouched", "siez", "--out", "s").stdout
    assert "note: no trial reported 'siez', the untouched metric; reported were loss, size" in said.splitlines()
    assert "untouched metric" not in call(*tune, "--untouched", "size", "--out", "t").stdout


def test_only_a_study_that_knows_its_program_is_offered_to_be_resumed(place: Path, call: Call) -> None:
    with lu.Study({"x": lu.Float(0, 1)}, searcher="random", folder="told") as study:
        [trial] = study.ask()
        study.tell(trial, {"loss": 1.0})
    assert call("show", "told").stdout.splitlines()[-1] == "next: luthier report told"
    with lu.Study({"x": lu.Float(0, 1)}, searcher="random", folder="ran") as study, pytest.raises(KeyboardInterrupt):
        study.run(_interrupt, trials=3, info={"target": "train.py:train"})
    assert call("show", "ran").stdout.splitlines()[-1] == "next: luthier resume ran"


def _interrupt(run: lu.Run) -> float:
    raise KeyboardInterrupt


def test_a_copy_is_what_comes_next(place: Path, call: Call) -> None:
    with lu.Study({"x": lu.Float(0, 1)}, searcher="random", folder="a") as study:
        study.run(lambda run: run.config["x"], trials=2)
    copy = f"'sqlite:///{place}/t.db#a'"
    assert call("convert", "a", "sqlite:///t.db").stdout.splitlines()[-1] == f"next: luthier show {copy}"
    assert call("show", "t.db").stdout.splitlines()[-1] == f"next: luthier report {copy}"


def test_the_best_configuration_goes_first_into_another_study(place: Path, call: Call) -> None:
    tune = ["tune", "train.py:two", *INLINE, "--searcher", "random", "--trials", "2"]
    assert call(*tune, "--out", "a").exit_code == 0
    best = json.loads(call("show", "a", "--json").stdout)["best"]["config"]
    (place / "best.json").write_text(json.dumps(best))
    assert call(*tune, "--out", "b", "--first", "best.json", "--seed", "9").exit_code == 0
    with lu.Study.open("b") as study:
        assert best in [trial.config for trial in study.trials]


@pytest.mark.filterwarnings("default::luthier.base.errors.LuthierWarning")
def test_a_pattern_of_earlier_studies_that_finds_none_is_a_warning(place: Path, call: Call) -> None:
    result = call("tune", "train.py:two", *INLINE, "--trials", "1", "--out", "may", "--past", "m*")
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "warning: past 'm*': no study of such a name in may/study.db; this one starts without."
    ]
