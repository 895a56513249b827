"""Whole process trees: who belongs to one, what it uses, and its end.

Needs the standard library alone, because it is also run as a script: the guardian, a tiny process that outlives a
killed driver just long enough to end everything the driver had started.

A tree is found by four signs, so that a process must lose all of them to be missed: parent links, the session of
its root, a mark in the environment it was started with (Linux), and, where the root is a "subreaper" (Linux),
orphans handed to the root. Elsewhere than on Linux `ps` gives parents and groups, and there is no mark.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import NamedTuple

#: Environment variable with the marks of all trees that a process belongs to, joined by ":".
MARKS = "LUTHIER_MARKS"
LINUX = sys.platform.startswith("linux")
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER


class Process(NamedTuple):
    """One line of the process table.

    `parent`, `session` (elsewhere than on Linux: the group) are process numbers, `resident` is in bytes,
    `dead` says that it has ended and only its parent has not noticed.
    """

    parent: int
    session: int
    resident: int
    dead: bool


def table() -> dict[int, Process]:
    """All processes that can be seen."""
    return _linux_table() if LINUX else _ps_table()


def _linux_table() -> dict[int, Process]:
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                # the command's name stands in parentheses and may hold anything, blanks and ")" included
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        # a first thread that has ended while others live looks like a zombie, and is none
        dead = fields[0] in b"ZX" and int(fields[17]) <= 1
        found[int(name)] = Process(int(fields[1]), int(fields[3]), int(fields[21]) * _PAGE, dead)
    return found


def _ps_table() -> dict[int, Process]:
    text = subprocess.run(
        ["ps", "-axo", "pid=,ppid=,pgid=,rss=,state="], capture_output=True, text=True, check=False
    ).stdout
    found = {}
    for line in text.splitlines():
        parts = line.split()
        if len(parts) == 5:
            pid, parent, group, resident = map(int, parts[:4])
            found[pid] = Process(parent, group, resident * 1024, parts[4].startswith("Z"))
    return found


def child_ended(pid: int) -> bool:
    """Whether a child of this process has ended; it is not waited for, so that its number stays its own."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        entry = table().get(pid)
        return entry is None or entry.dead
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # somebody in this process waits for all children
        return True


def marked(mark: str, processes: Iterable[int]) -> set[int]:
    """Which processes were started with a mark in their environment."""
    sign = mark.encode()
    found: set[int] = set()
    if not LINUX:
        return found
    for pid in processes:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if sign in file.read():
                    found.add(pid)
        except OSError:
            continue  # it ended, or belongs to somebody else
    return found


def members(root: int | None, mark: str | None, processes: dict[int, Process]) -> set[int]:
    """The living processes of a tree, its root included.

    Args:
        root: Its first process, which must not have been waited for (its number would be anybody's); or None.
        mark: What its environment carries; None to look for parents and sessions alone, which is quicker.
        processes: The process table.
    """
    found = {pid for pid, entry in processes.items() if root is not None and root in (pid, entry.session)}
    if mark is not None:
        found |= marked(mark, processes)
    children: dict[int, list[int]] = {}
    for pid, entry in processes.items():
        children.setdefault(entry.parent, []).append(pid)
    open_ends = list(found)
    while open_ends:
        for child in children.get(open_ends.pop(), ()):
            if child not in found:
                found.add(child)
                open_ends.append(child)
    return {pid for pid in found if pid in processes and not processes[pid].dead}


def resident(root: int) -> int:
    """Resident memory of a tree, in bytes; pages that several processes share count for each."""
    processes = table()
    return sum(processes[pid].resident for pid in members(root, None, processes))


def kill(root: int | None, mark: str | None, *, spare: Iterable[int] = (), seconds: float = 5.0) -> set[int]:
    """End a tree with SIGKILL.

    The root is frozen first, so that it starts nothing more, and dies last, so that as long as there are others they
    can be found by their parents.

    Args:
        root: First process of the tree, not yet waited for; None when it is gone.
        mark: What its environment carries.
        spare: Processes to leave alone.
        seconds: How long to try.

    Returns:
        Processes that are still there (one that the kernel holds in an uninterruptible wait may be).
    """
    spared = {os.getpid(), *spare}
    if root is not None and root not in spared:
        send(root, signal.SIGSTOP)
    deadline = time.monotonic() + seconds
    pause = 0.001
    while True:
        left = members(root, mark, table()) - spared
        others = left - {root}
        for pid in others:
            send(pid, signal.SIGKILL)
        if not others:
            if not left or root is None:
                return left
            send(root, signal.SIGKILL)
        if time.monotonic() > deadline:
            return left
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


def send(pid: int, signum: int) -> None:
    """Send a signal; a process that is gone is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signum)


def signal_name(number: int) -> str:
    """The name of a signal, SIGKILL for 9; a real-time signal has no name of its own."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def adopt_orphans() -> None:
    """Make this process the parent of its descendants' orphans (Linux; elsewhere nothing happens)."""
    if LINUX:
        import ctypes

        with contextlib.suppress(OSError, AttributeError):  # a C library without prctl: the other signs remain
            ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0)


def with_mark(environment: dict[str, str], mark: str) -> dict[str, str]:
    """A copy of an environment with one more mark."""
    return {**environment, MARKS: ":".join(filter(None, (environment.get(MARKS, ""), mark)))}


def guard(mark: str, parent: int) -> None:
    """Wait until the driver is gone, then end everything that carries its mark.

    Args:
        mark: The mark.
        parent: Process number of the driver, whose child this process is.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    while os.getppid() == parent:
        # a forked child of the driver may hold the other end open: so look at the parent as well
        if select.select([0], [], [], 1.0)[0] and not os.read(0, 1):
            break
    calm, deadline = 0, time.monotonic() + 20
    while calm < 2 and time.monotonic() < deadline:  # twice: a process being started may not show its mark yet
        left = kill(None, mark, seconds=5.0)
        calm = 0 if left else calm + 1
        time.sleep(0.05)


if __name__ == "__main__":
    guard(sys.argv[1], int(sys.argv[2]))
