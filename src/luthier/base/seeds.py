"""Random generators: every decision has its own, none is shared and none is global.

Proposal number k of a room draws from `default_rng([seed, room, k])`, so that a decision depends on the
study's seed and its own number alone, never on how many draws were made before it.
"""

from __future__ import annotations

import hashlib

import numpy as np

from luthier.base.errors import ArgumentError

ROOMS = {"searcher": 1, "scheduler": 2, "run": 3, "study": 4, "model": 5, "stopping": 6, "bench": 7, "report": 8}


def generator(seed: int, room: str, k: int = 0, *more: int) -> np.random.Generator:
    """The generator of decision `k` in a room.

    Args:
        seed: The study's seed, >= 0.
        room: One of `ROOMS`.
        k: Number of the decision, >= 0.
        *more: Further coordinates (fold, repetition), >= 0.

    Returns:
        A fresh generator: equal arguments give equal draws.
    """
    words = [seed, ROOMS[room], k, *more]
    if max(words) < 2**32:  # the same stream, without numpy's slow way from a list to 32-bit words
        return np.random.default_rng(np.array(words, dtype=np.uint32))
    return np.random.default_rng(words)


def trial_seed(seed: int, trial: int, repeat: int = 0) -> int:
    """The seed that a trial's program should use, in [0, 2**31)."""
    digest = hashlib.blake2b(f"{seed}/{ROOMS['run']}/{trial}/{repeat}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1


def split_seed(seed: int, *more: int | str) -> int:
    """The seed by which a trial's program should split its data, in [0, 2**31).

    Args:
        seed: The study's seed.
        *more: What the split belongs to; nothing: the split of the whole study.
    """
    words = "/".join(str(word) for word in ("split", seed, *more))
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=4).digest(), "little") >> 1


def check_seed(seed: int) -> int:
    """The seed itself, if it is a whole number >= 0.

    Raises:
        ArgumentError: it is not.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ArgumentError(
            f"seed={seed!r}. Allowed: a whole number from 0. It decides every random draw of the study."
        )
    return int(seed)
