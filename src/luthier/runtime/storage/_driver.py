"""Who works on a study: the identity of this process, and whether another one is still there."""

from __future__ import annotations

import os
import socket
import sys
import uuid

from luthier.base.checks import check
from luthier.runtime.storage._base import Driver


def this_driver(lease: float) -> Driver:
    """A new identity for this process.

    Args:
        lease: Seconds after the last heartbeat at which others may count it as dead, where they cannot check.

    Returns:
        A driver with a fresh `id`; `beat` is 0 until a store sets it.

    Raises:
        ArgumentError: the lease is not above 0.
    """
    check("lease", lease, above=0)
    pid = os.getpid()
    born = _stat(pid)[1] if sys.platform == "linux" else 0
    name = socket.gethostname()
    return Driver(f"{name}-{pid}-{uuid.uuid4().hex[:12]}", _host(), pid, born, 0.0, float(lease))


def dead(driver: Driver, age: float, me: Driver) -> bool:
    """Whether a driver counts as dead.

    On the same host the process itself is asked, and its answer is final both ways: gone is dead at once, alive
    is never dead, however old its heartbeat (a laptop that slept, a debugger). Where the process cannot be asked
    (another machine, another container, a system without /proc), the lease decides.

    Args:
        driver: Whom to judge.
        age: Seconds since its last heartbeat, by the store's clock.
        me: The driver that asks.

    Returns:
        True when its trials may be given to others.
    """
    if driver.id == me.id:
        return False
    alive = _alive(driver) if driver.host == me.host else None
    return age > driver.lease if alive is None else not alive


def _host() -> str:
    """Machine, boot and process namespace: equal texts can check each other's process numbers."""
    return "/".join((socket.gethostname(), _line("/proc/sys/kernel/random/boot_id"), _pid_namespace()))


def _line(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    try:
        return str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        return ""


def _stat(pid: int) -> tuple[str, int]:
    """State letter and start time (in ticks since boot) of a process; ("", 0) when it cannot be read."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()  # the name before it may hold spaces and brackets
        return fields[0], int(fields[19])
    except (OSError, IndexError, ValueError):
        return "", 0


def _alive(driver: Driver) -> bool | None:
    """Whether a process of this host runs; None when that cannot be told."""
    if os.name != "posix":
        return None  # signal 0 is no harmless question there
    try:
        os.kill(driver.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is there, and another user's
    state, born = _stat(driver.pid)
    if not born or not driver.born:
        return None  # the number is in use, but perhaps by a later process
    return born == driver.born and state not in ("Z", "X")  # a zombie waits for its parent only
