"""executors: who runs a trial's program, and what the program sees.

An executor (`inline`, `threads`, `processes`, `ray`, `slurm`; others by entry point) runs a target: a function of a
`Run`, or a `Command` for any program. Both report through the same `Run`; programs started by a `Command` report with
`emit`. `simulated` asks a benchmark in virtual time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luthier.base.lazy import exports

_EXPORTS = {
    "Cluster": "luthier.runtime.executors._cluster",
    "Command": "luthier.runtime.executors._command",
    "End": "luthier.runtime.executors._base",
    "Executor": "luthier.runtime.executors._base",
    "Host": "luthier.runtime.executors._base",
    "Launch": "luthier.runtime.executors._base",
    "Limits": "luthier.runtime.executors._base",
    "Message": "luthier.runtime.executors._base",
    "Run": "luthier.runtime.executors._run",
    "Setting": "luthier.runtime.executors._base",
    "Simulated": "luthier.runtime.executors.simulated",
    "TrialEnded": "luthier.runtime.executors._channel",
    "emit": "luthier.runtime.executors._emit",
    "execute": "luthier.runtime.executors._runner",
    "pin": "luthier.runtime.executors._checkpoints",
}

__all__ = [
    "Cluster",
    "Command",
    "End",
    "Executor",
    "Host",
    "Launch",
    "Limits",
    "Message",
    "Run",
    "Setting",
    "Simulated",
    "TrialEnded",
    "emit",
    "execute",
    "pin",
]

if TYPE_CHECKING:
    from luthier.runtime.executors._base import End, Executor, Host, Launch, Limits, Message, Setting
    from luthier.runtime.executors._channel import TrialEnded
    from luthier.runtime.executors._checkpoints import pin
    from luthier.runtime.executors._cluster import Cluster
    from luthier.runtime.executors._command import Command
    from luthier.runtime.executors._emit import emit
    from luthier.runtime.executors._run import Run
    from luthier.runtime.executors._runner import execute
    from luthier.runtime.executors.simulated import Simulated

__getattr__, __dir__ = exports(__name__, _EXPORTS)
