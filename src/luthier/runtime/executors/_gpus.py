"""Which GPUs there are, and which of them a worker gets."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from luthier.base.errors import ArgumentError, UnsupportedError


def visible(environment: Mapping[str, str] | None = None) -> tuple[str, list[str]]:
    """The GPUs that this process may use, as its environment or the driver of the cards says.

    In this order: CUDA_VISIBLE_DEVICES, HIP_VISIBLE_DEVICES (each is a mask; empty means none), LUTHIER_GPUS (a
    number, for machines where nothing else tells), `nvidia-smi -L`.

    Args:
        environment: In place of `os.environ`.

    Returns:
        The variable that tells a program which GPUs to use, and the identifiers to put there.
    """
    env = os.environ if environment is None else environment
    for variable in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        if variable in env:
            return variable, _mask(env[variable])
    if env.get("LUTHIER_GPUS"):
        given = env["LUTHIER_GPUS"]
        if not given.isdigit():
            raise ArgumentError(f"LUTHIER_GPUS={given!r}. Allowed: the number of GPUs of this machine, such as 2.")
        return "CUDA_VISIBLE_DEVICES", [str(i) for i in range(int(given))]
    return "CUDA_VISIBLE_DEVICES", [str(i) for i in range(_listed())]


def _mask(text: str) -> list[str]:
    devices: list[str] = []
    for part in (piece.strip() for piece in text.split(",")):
        if not part or part.startswith("-") or part == "NoDevFiles":
            break  # CUDA itself ignores what follows an invalid entry
        if part not in devices:
            devices.append(part)
    return devices


def _listed() -> int:
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in done.stdout.splitlines()) if done.returncode == 0 else 0


def share(devices: Sequence[str], each: float, workers: int) -> list[tuple[str, ...]]:
    """Deal GPUs to workers.

    Whole numbers get devices of their own; a fraction shares one, and sharers are spread evenly.

    Args:
        devices: Identifiers of the GPUs.
        each: GPUs of one trial, > 0.
        workers: Workers wanted.

    Returns:
        The devices of each worker; fewer entries than `workers` when the GPUs do not go round.

    Raises:
        ArgumentError: `each` is neither a whole number nor a fraction below 1.
        UnsupportedError: there are too few GPUs for a single worker.
    """
    if not (0 < each < 1 or (each >= 1 and float(each).is_integer())):
        raise ArgumentError(f"gpus={each!r}. Allowed: a whole number, or a fraction below 1 to share one GPU.")
    if each > len(devices):
        seen = f"{len(devices)} can be seen ({', '.join(devices)})" if devices else "none can be seen"
        raise UnsupportedError(
            f"executor 'processes': gpus={each:g} for each trial, but {seen}. Ask for fewer, look at "
            "CUDA_VISIBLE_DEVICES and `nvidia-smi -L`, or say how many there are: LUTHIER_GPUS=2."
        )
    if each < 1:
        room = int(1 / each + 1e-9) * len(devices)
        return [(devices[i % len(devices)],) for i in range(min(workers, room))]
    size = int(each)
    return [tuple(devices[i * size : (i + 1) * size]) for i in range(min(workers, len(devices) // size))]
