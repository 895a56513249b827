"""Runs a target in this process and says how it ended."""

from __future__ import annotations

import os
import sysconfig
import time
import traceback
from pathlib import Path
from types import TracebackType

from luthier.base.errors import LuthierError
from luthier.base.records import Decision, Status
from luthier.runtime.executors._base import End, Launch, Target
from luthier.runtime.executors._channel import Channel, RunFailed, TrialEnded
from luthier.runtime.executors._checkpoints import pin
from luthier.runtime.executors._numbers import plain_result
from luthier.runtime.executors._run import Run

_AFTER = {Decision.STOP: Status.STOPPED, Decision.PAUSE: Status.PAUSED, Decision.CONTINUE: Status.COMPLETED}
_OWN = str(Path(__file__).parent) + os.sep
_LIBRARIES = tuple({sysconfig.get_path("stdlib") + os.sep, sysconfig.get_path("purelib") + os.sep, _OWN, "<frozen "})


def execute(target: Target, launch: Launch, channel: Channel, *, log: Path | None = None) -> End:
    """Run a target to its end, whatever it does.

    What the study decided counts first: a run that was told to stop or pause has stopped or paused, however its
    function then ended; a report that the study refused makes it FAILED even when the function swallowed the error.
    An exception is printed with its traceback to standard error. KeyboardInterrupt alone passes through.

    Args:
        target: A function of a `Run`, or an object that behaves like one.
        launch: What is to be run.
        channel: How to reach the study.
        log: File that this process's output goes to already.

    Returns:
        How it ended; `log` in it is the full path as text.
    """
    started = time.monotonic()
    run = Run(launch, channel, log=log)
    result, error, status = None, None, Status.COMPLETED
    try:
        _check_start(launch)
        result = plain_result(target(run))
    except KeyboardInterrupt:
        raise
    except TrialEnded as ended:
        status = _AFTER[ended.decision]
    except RunFailed as failure:
        status, error = failure.status, str(failure)
    except SystemExit as leaving:
        if leaving.code not in (None, 0):
            status, error = Status.FAILED, f"the program called sys.exit({leaving.code!r})"
    except BaseException as failure:
        status, error = Status.FAILED, describe(failure)
        # the first frame is this function: of no interest to anybody
        traceback.print_exception(type(failure), failure, _below(failure.__traceback__))
    if isinstance(run.ended, Decision):
        status, result, error = _AFTER[run.ended], None, None
    elif run.ended is not None:
        status, result, error = Status.FAILED, None, str(run.ended)
    output = None if run.log is None else str(run.log)
    return End(status, result, error, time.monotonic() - started, output, run.heeded)


def describe(failure: BaseException) -> str:
    """An exception in one line: "ZeroDivisionError: division by zero (train.py:12)".

    The place is the innermost frame outside luthier, the standard library and installed packages, if there is one.
    luthier's own errors are sentences already and stand alone; a place inside this package tells a user nothing.
    """
    text = " ".join(str(failure).split())
    if len(text) > 500:
        text = text[:497] + "..."
    if isinstance(failure, LuthierError):
        return text
    frames = traceback.extract_tb(_below(failure.__traceback__))
    mine = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)]
    last = (mine or [frame for frame in frames if not frame.filename.startswith(_OWN)])[-1:]
    place = f" ({os.path.basename(last[0].filename)}:{last[0].lineno})" if last else ""
    return f"{type(failure).__name__}{': ' if text else ''}{text}{place}"


def _below(trace: TracebackType | None) -> TracebackType | None:
    return trace.tb_next if trace is not None and trace.tb_next is not None else trace


def _check_start(launch: Launch) -> None:
    start = launch.checkpoint
    if start is None:
        return
    if not start.is_dir():
        raise RunFailed(f"the checkpoint to start from is gone: {start}")
    if launch.folder is None or launch.folder not in start.parents:
        pin(start)  # it belongs to another trial, which must not delete it now
