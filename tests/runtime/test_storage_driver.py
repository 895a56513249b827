"""Who is dead: the process decides where it can be asked, the lease where not."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from luthier.base.errors import ArgumentError
from luthier.runtime.storage import _driver, dead, this_driver

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


def test_this_driver_is_unique_and_says_where_it_is():
    one, two = this_driver(30), this_driver(30)
    assert one.id != two.id
    assert (one.host, one.pid, one.born, one.lease) == (two.host, os.getpid(), two.born, 30.0)
    with pytest.raises(ArgumentError, match="lease=0"):
        this_driver(0)


@linux
def test_a_living_process_is_never_dead_however_old_its_heartbeat():
    me = this_driver(1)
    assert me.born > 0
    assert not dead(replace(me, id="other"), 1e9, me)
    assert not dead(me, 1e9, me)


@linux
def test_a_process_that_is_gone_is_dead_at_once():
    me = this_driver(1e9)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        other = replace(me, id="other", pid=process.pid, born=_driver._stat(process.pid)[1])
        assert not dead(other, 0.0, me)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, but still a zombie
        assert dead(other, 0.0, me)
    assert dead(other, 0.0, me)


@linux
def test_a_reused_process_number_is_not_the_driver():
    me = this_driver(1e9)
    assert dead(replace(me, id="other", born=me.born - 1), 0.0, me)


@pytest.mark.parametrize("unsure", [{"host": "elsewhere"}, {"born": 0}])
def test_where_it_cannot_be_asked_the_lease_decides(unsure):
    me = this_driver(10)
    other = replace(me, id="other", **unsure)
    assert not dead(other, 9.9, me)
    assert dead(other, 10.1, me)


def test_a_process_hidden_from_us_is_left_to_its_lease(monkeypatch):
    me = this_driver(10)
    monkeypatch.setattr(_driver, "_stat", lambda pid: ("", 0))
    other = replace(me, id="other", born=5)
    assert not dead(other, 9.9, me)
    assert dead(other, 10.1, me)
