"""What a program sees: resources, reports, checkpoints, hyperparameters named while running."""

import os
import pickle

import numpy as np
import pytest

from luthier.base.errors import ArgumentError, MetricError, SpaceError
from luthier.base.records import Configuration, Decision, Fidelity, Status
from luthier.runtime.executors import Launch, Limits, Run, Setting, TrialEnded, execute, pin

EPOCHS = Fidelity("epoch", 1, 9)
SHARE = Fidelity("share", 0.1, 1.0)


class Channel:
    def __init__(self, *decisions):
        self.decisions, self.messages, self.asked = list(decisions), [], []

    def report(self, message):
        self.messages.append(message)
        answer = self.decisions.pop(0) if self.decisions else Decision.CONTINUE
        if isinstance(answer, Exception):
            raise answer
        return answer

    def suggest(self, name, domain):
        self.asked.append((name, domain))
        return domain.default


def launch(fidelity=None, **more):
    return Launch(**{"trial": 3, "attempt": 1, "config": Configuration(lr=0.1), "fidelity": fidelity, **more})


def run_of(fidelity=None, *decisions, **more):
    channel = Channel(*decisions)
    return Run(launch(fidelity, **more), channel), channel


# resources ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fidelity", "after", "until", "steps"),
    [
        (EPOCHS, 0, None, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (EPOCHS, 0, 3, [1, 2, 3]),
        (EPOCHS, 3, 5, [4, 5]),
        (EPOCHS, 9, 9, []),
        (SHARE, 0, None, [1.0]),
        (SHARE, 0.1, 0.5, [0.5]),
        (SHARE, 0.5, 0.5, []),
        (None, 0, None, [1]),
    ],
)
def test_resources_are_whole_steps_or_the_whole_grant(fidelity, after, until, steps):
    run, _ = run_of(fidelity, after=after, until=until)
    assert list(run.resources()) == steps


def test_a_report_inside_the_loop_knows_its_step():
    run, channel = run_of(EPOCHS, until=2)
    for _ in run.resources():
        run.report(loss=0.5)
    assert [message.resource for message in channel.messages] == [1, 2]


# reports -----------------------------------------------------------------------------------------------------


class Tensor:
    """As torch has them: a scalar that float() takes."""

    def __float__(self):
        return 0.25


def test_numbers_of_any_make_become_plain():
    run, channel = run_of()
    run.report(
        {"a b": np.float32(0.5), "c": np.array(2)}, d=Tensor(), e=7, f=float("nan"), folds=(np.float64(1), Tensor())
    )
    [message] = channel.messages
    assert {name: type(value) for name, value in message.metrics.items()} == {
        "a b": float,
        "c": float,
        "d": float,
        "e": int,
        "f": float,
    }
    assert message.metrics["d"] == 0.25
    assert message.folds == (1.0, 0.25)
    assert pickle.loads(pickle.dumps(message)).metrics["a b"] == 0.5


def test_what_is_no_number_reaches_the_study_as_text():
    run, channel = run_of()
    run.report(loss=np.zeros(2), word="bad")
    assert channel.messages[0].metrics == {"loss": "array([0., 0.])", "word": "bad"}


def test_the_fidelity_is_no_metric_and_without_one_everything_is():
    run, channel = run_of(EPOCHS)
    run.report(loss=1.0, epoch=np.int64(4))
    run.report(loss=1.0, resource=5.0)
    assert [(m.metrics, m.resource) for m in channel.messages] == [({"loss": 1.0}, 4), ({"loss": 1.0}, 5)]
    assert type(channel.messages[1].resource) is int
    run, channel = run_of()
    run.report(loss=1.0, epoch=4, resource=9)
    assert channel.messages[0].metrics == {"loss": 1.0, "epoch": 4}
    assert channel.messages[0].resource is None


def test_a_sum_of_fractions_may_end_a_rounding_error_above_the_top():
    run, channel = run_of(SHARE)
    run.report(loss=1.0, share=1.0 + 1e-12)
    assert channel.messages[0].resource == 1.0


ADVICE = "Report how much was spent so far: run.report(..., epoch=...)."
ALLOWED = f"Allowed: a number from 0 to 9, never less than in the report before. {ADVICE}"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epoch": "two"}, f"trial 3: epoch='two'. {ALLOWED}"),
        ({"epoch": True}, f"trial 3: epoch=True. {ALLOWED}"),
        ({"epoch": -1}, f"trial 3: epoch=-1. {ALLOWED}"),
        ({"epoch": 10}, f"trial 3: epoch=10. {ALLOWED}"),
        ({"epoch": float("nan")}, f"trial 3: epoch=nan. {ALLOWED}"),
        ({"resource": [1, 2]}, f"trial 3: epoch=[1, 2]. {ALLOWED}"),
        ({"epoch": 3}, f"trial 3: epoch=3 after 4. {ALLOWED}"),
        ({"epoch": 5, "resource": 6}, f"trial 3: epoch=5 and resource=6. Allowed: one of the two. {ADVICE}"),
        ({}, f"trial 3: epoch is missing from the report. {ADVICE} Or loop over run.resources()."),
    ],
)
def test_a_bad_resource_is_refused(given, message):
    run, channel = run_of(EPOCHS)
    run.report(loss=1.0, epoch=4)
    with pytest.raises(ArgumentError) as caught:
        run.report(loss=1.0, **given)
    assert str(caught.value) == message
    assert len(channel.messages) == 1


def test_a_report_must_name_metrics_once():
    run, _ = run_of(EPOCHS)
    with pytest.raises(ArgumentError, match=r"report\(\) was given 'loss' twice"):
        run.report({"loss": 1}, loss=2)
    with pytest.raises(ArgumentError, match="Allowed: a mapping of names to numbers"):
        run.report(0.5)
    with pytest.raises(ArgumentError, match=r"report\(\) without a metric"):
        run.report(epoch=1)


@pytest.mark.parametrize(("decision", "status"), [("STOP", Status.STOPPED), ("PAUSE", Status.PAUSED)])
def test_a_decision_unwinds_the_program_even_a_careless_one(decision, status):
    def careless(run):
        for _ in range(9):
            try:
                run.report(loss=1.0, epoch=1)
            except Exception:
                raise AssertionError("an ordinary handler must not see it") from None
            except BaseException as ended:
                seen.append(ended)
        raise ValueError("and then it even fails")

    seen = []
    channel = Channel(Decision.CONTINUE, Decision[decision])
    end = execute(careless, launch(EPOCHS), channel)
    assert (end.status, end.error, end.result) == (status, None, None)
    assert [type(e) for e in seen] == [TrialEnded] * 8
    assert seen[0].decision is Decision[decision]
    assert len(channel.messages) == 2, "after the decision nothing is sent"


def test_resources_end_with_the_decision():
    run, _ = run_of(EPOCHS, Decision.STOP)
    steps = run.resources()
    next(steps)
    with pytest.raises(TrialEnded):
        run.report(loss=1.0)
    with pytest.raises(TrialEnded):
        next(steps)


def test_a_refused_report_fails_the_run_though_the_program_swallows_it():
    def careless(run):
        try:
            run.report(los=1.0)
        except Exception:
            return 0.5

    end = execute(careless, launch(), Channel(MetricError("no 'loss'")))
    assert (end.status, end.error, end.result) == (Status.FAILED, "no 'loss'", None)


# how a run ends ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "status", "result", "error"),
    [
        (lambda run: None, Status.COMPLETED, None, None),
        (lambda run: np.float32(0.5), Status.COMPLETED, 0.5, None),
        (lambda run: {"a": np.array(1.5)}, Status.COMPLETED, {"a": 1.5}, None),
        (lambda run: exit(0), Status.COMPLETED, None, None),
        (lambda run: exit("bye"), Status.FAILED, None, "the program called sys.exit('bye')"),
        (
            lambda run: "done",
            Status.FAILED,
            None,
            "TypeError: the function returned 'done'. Allowed: None, a number, or a mapping of metric names to "
            "numbers.",
        ),
        (lambda run: {}["a"], Status.FAILED, None, "KeyError: 'a' (test_executor_run.py:"),
        (
            lambda run: np.linalg.inv(np.zeros((2, 2))),
            Status.FAILED,
            None,
            "LinAlgError: Singular matrix (test_executor_run.py:",
        ),
    ],
)
def test_how_a_function_ends(target, status, result, error):
    end = execute(target, launch(), Channel())
    assert (end.status, end.result) == (status, result)
    assert end.error == error or (error.endswith(":") and end.error.startswith(error)), end.error


def test_the_whole_traceback_is_printed_without_our_own_frame(capsys):
    execute(lambda run: 1 / 0, launch(), Channel())
    printed = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in printed
    assert "_runner.py" not in printed


def test_an_interrupt_passes_through():
    def target(run):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(target, launch(), Channel())


# checkpoints -------------------------------------------------------------------------------------------------


def saved(folder):
    return sorted(name for name in os.listdir(folder / "checkpoints"))


def test_a_checkpoint_is_complete_named_and_reported(tmp_path):
    run, channel = run_of(EPOCHS, folder=tmp_path / "00003", attempt=2)
    for epoch in run.resources():
        with run.save() as draft:
            (draft / "deep").mkdir()
            (draft / "deep" / "model.txt").write_text(str(epoch))
        run.report(loss=1.0)
        if epoch == 2:
            break
    assert [m.checkpoint for m in channel.messages] == ["r0001-a2", "r0002-a2"]
    assert saved(tmp_path / "00003") == ["r0001-a2", "r0002-a2"]
    assert (tmp_path / "00003/checkpoints/r0002-a2/deep/model.txt").read_text() == "2"


def half(run):
    with run.save() as draft:
        (draft / "half").write_text("x")
        raise OSError("disk full")


def test_a_block_that_raises_leaves_nothing(tmp_path):
    run, channel = run_of(EPOCHS, folder=tmp_path)
    for _ in run.resources():
        with pytest.raises(OSError, match="disk full"):
            half(run)
        run.report(loss=1.0)
        break
    assert saved(tmp_path) == []
    assert channel.messages[0].checkpoint is None


def test_old_checkpoints_go_only_when_a_newer_one_is_in_the_log(tmp_path):
    run, _ = run_of(EPOCHS, folder=tmp_path)
    for epoch in run.resources():
        with run.save(keep=epoch == 1) as draft:
            (draft / "x").touch()
        if epoch == 2:
            pin(tmp_path / "checkpoints" / "r0002-a1")  # another trial starts from it
        if epoch <= 5:
            run.report(loss=1.0)
    # 1 asked to stay, 2 is pinned, 5 is the last in the log, 4 the one before; 6 to 9 are newer than the log
    folders = [name for name in saved(tmp_path) if not name.endswith(".keep")]
    assert folders == [f"r000{n}-a1" for n in (1, 2, 4, 5, 6, 7, 8, 9)]


def test_names_of_fractions_of_second_saves_and_without_fidelity(tmp_path):
    run, _ = run_of(SHARE, folder=tmp_path)
    for amount in (0.25, 0.25, 1 / 3, 1.0):
        with run.save(resource=amount):
            pass
    assert saved(tmp_path) == ["r0.25-a1", "r0.25-a1-2", "r0.333333333-a1", "r0001-a1"]
    run, _ = run_of(folder=tmp_path / "plain")
    for _ in range(2):
        with run.save():
            pass
    assert saved(tmp_path / "plain") == ["r0001-a1", "r0002-a1"]


def test_drafts_of_a_killed_run_are_cleared(tmp_path):
    (tmp_path / "checkpoints" / ".draft-a1").mkdir(parents=True)
    run, _ = run_of(EPOCHS, folder=tmp_path, attempt=2)
    with run.save(resource=1):
        pass
    assert saved(tmp_path) == ["r0001-a2"]


def test_saving_needs_a_folder_and_a_resource(tmp_path):
    run, _ = run_of(EPOCHS)
    with pytest.raises(ArgumentError) as caught, run.save():
        pass
    assert str(caught.value) == (
        "trial 3: save() needs a folder, and this study has none. "
        "Give it one: Study(..., folder='runs/demo'), or skip saving when run.folder is None."
    )
    run, _ = run_of(EPOCHS, folder=tmp_path)
    with pytest.raises(ArgumentError) as caught, run.save():
        pass
    assert str(caught.value) == (
        "trial 3: save() must know how much was spent, for a later start from there. "
        "Loop over run.resources(), or say it: run.save(resource=epoch)."
    )


def test_the_start_of_a_clone_is_pinned_and_a_lost_start_is_said(tmp_path):
    start = tmp_path / "00001" / "checkpoints" / "r0003-a1"
    start.mkdir(parents=True)
    end = execute(lambda run: run.after, launch(folder=tmp_path / "00003", checkpoint=start, after=3), Channel())
    assert end.result == 3
    assert (start.parent / "r0003-a1.keep").exists()
    gone = tmp_path / "00001" / "checkpoints" / "r0009-a1"
    end = execute(lambda run: 0, launch(folder=tmp_path / "00003", checkpoint=gone), Channel())
    assert (end.status, end.error) == (Status.FAILED, f"the checkpoint to start from is gone: {gone}")


def test_the_folder_is_made_on_first_use(tmp_path):
    run, _ = run_of(folder=tmp_path / "trials" / "00003")
    assert not (tmp_path / "trials").exists()
    assert run.folder.is_dir()
    assert run_of()[0].folder is None


# hyperparameters named while running -------------------------------------------------------------------------


def test_a_declared_space_answers_without_asking_and_refuses_what_it_has_not():
    run, channel = run_of()
    assert run.float("lr", 1e-5, 1e-1, log=True) == 0.1
    with pytest.raises(SpaceError) as caught:
        run.int("layers", 1, 8)
    assert str(caught.value) == (
        "hyperparameter 'layers': trial 3 has {'lr'}, and the study's space is declared. Declare it there (or check "
        "that it is active: `'name' in run.config`); to name hyperparameters while running use Study(None, ...)."
    )
    assert channel.asked == []


def test_an_open_space_is_asked_even_for_what_is_known():
    run, channel = run_of(open_space=True)
    assert run.float("lr", 0.5, 1.0, default=0.5) == 0.5
    assert run.int("layers", 1, 8, default=3) == 3
    assert run.choice("act", "relu", None, default=None) is None
    assert run.ordinal("size", "s", "m", "l", default="m") == "m"
    assert run.int("layers", 1, 8, default=3) == 3
    assert [name for name, _ in channel.asked] == ["lr", "layers", "act", "size"], "equal domains are asked once"
    run.int("layers", 1, 9, default=3)
    assert len(channel.asked) == 5, "a changed domain is the study's to judge"
    assert run.config == {"lr": 0.5, "layers": 3, "act": None, "size": "m"}


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"seconds": 0}, "time limit=0. Allowed: a number and above 0."),
        ({"memory_mb": -1}, "memory_mb=-1. Allowed: a number and above 0."),
        ({"gpus": -0.5}, "gpus=-0.5. Allowed: a number and at least 0."),
        ({"cpus": 1.5}, "cpus=1.5. Allowed: a whole number and at least 1."),
    ],
)
def test_limits_that_nobody_can_keep_are_refused(limits, message):
    with pytest.raises(ArgumentError) as raised:
        Limits(**limits)
    assert str(raised.value) == message


def test_workers_and_cpus_are_whole_numbers_however_they_come():
    assert [type(n) for n in (Limits(cpus=2.0).cpus, Setting(print, workers=2.0).workers)] == [int, int]
    with pytest.raises(ArgumentError, match=r"workers=0\. Allowed: a whole number and at least 1"):
        Setting(print, workers=0)
