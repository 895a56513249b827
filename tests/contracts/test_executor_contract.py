"""Every executor that the registry knows keeps the contract; the battery notices one that does not."""

import pytest

from luthier.base.records import Decision, Status
from luthier.base.registry import load, names
from luthier.runtime.executors._base import End
from luthier.runtime.executors.inline import Inline
from luthier.testing.executor import CHECKS, check_executor

#: Executors that need a package, and a cluster or a queue: seconds for each check.
HEAVY = {"ray": "ray", "slurm": "submitit"}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "name", [name for name in names("executor") if not load("executor", name).virtual and name not in HEAVY]
)
def test_executor_keeps_the_contract(name, check):
    check(load("executor", name))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(HEAVY))
def test_executor_of_an_extra_keeps_the_contract(name, tmp_path, monkeypatch):
    pytest.importorskip(HEAVY[name], reason=f"{HEAVY[name]} is not installed: make test-slow has an environment for it")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cls = load("executor", name)
    check_executor(cls if name == "ray" else lambda: cls(folder=tmp_path, cluster="local"))


def test_the_registry_knows_executors_alone():
    assert names("executor") == ["inline", "processes", "ray", "simulated", "slurm", "threads"]


class Deaf(Inline):
    """Does not pass decisions on."""

    def open(self, setting, host):
        super().open(setting, host)
        answer = host.reported

        def reported(launch, message, now):
            answer(launch, message, now)
            return Decision.CONTINUE

        host.reported = reported


class Kind(Inline):
    """Calls every end a success."""

    def open(self, setting, host):
        super().open(setting, host)
        tell = host.ended
        host.ended = lambda launch, end, now: tell(launch, End(Status.COMPLETED, end.result), now)


class Twice(Inline):
    """Tells every end twice."""

    def open(self, setting, host):
        super().open(setting, host)
        tell = host.ended
        host.ended = lambda *said: (tell(*said), tell(*said))


@pytest.mark.parametrize("broken", [Deaf, Kind, Twice])
def test_the_battery_refuses_a_broken_executor(broken):
    with pytest.raises(AssertionError):
        check_executor(broken)
