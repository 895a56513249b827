"""Errors and warnings that luthier raises.

    LuthierError
    ├── SpaceError (ValueError)        a hyperparameter, condition or configuration is wrong
    ├── ArgumentError (ValueError)     an argument of a public call is wrong
    ├── MetricError (ValueError)       a report lacks a metric, or carries one that cannot be used
    ├── UnsupportedError               the chosen part cannot do what the problem needs
    ├── StorageError
    │   ├── StudyExists                a study of that name is there already
    │   ├── StudyNotFound              no study of that name
    │   └── SchemaError                written by a newer luthier, or not a luthier store
    ├── TrialError                     trials failed; carries trial, configuration and traceback file
    ├── ExecutorError                  workers could not be started or kept alive
    ├── BenchmarkError
    │   ├── ChecksumError              a data file is not the one that the card names
    │   └── DataMissing                a data file has to be supplied by the user
    └── MissingExtra (ImportError)     an optional package is not installed

    LuthierWarning (UserWarning)
    ├── NumericsWarning                a model fell back to something simpler
    └── CostWarning                    a choice that will cost far more than it looks

A message has four parts: where (the name), what was given, what is allowed, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LuthierError(Exception):
    """Root of every error that luthier raises on purpose."""


class SpaceError(LuthierError, ValueError):
    """A hyperparameter, condition or configuration is wrong.

    Args:
        message: The whole text.
        name: The hyperparameter concerned, if there is one.
    """

    def __init__(self, message: str, *, name: str | None = None) -> None:
        super().__init__(message)
        self.name = name


class ArgumentError(LuthierError, ValueError):
    """An argument of a public call is wrong."""


class MetricError(LuthierError, ValueError):
    """A report lacks a metric that the study needs, or carries one that cannot be used."""


class UnsupportedError(LuthierError):
    """The chosen searcher, scheduler or executor cannot do what the problem needs."""


class StorageError(LuthierError):
    """The store cannot be read or written."""


class StudyExists(StorageError):
    """A study of that name is in the store already."""


class StudyNotFound(StorageError):
    """No study of that name is in the store."""


class SchemaError(StorageError):
    """The store was written by a newer luthier, or is not a luthier store."""


class TrialError(LuthierError):
    """Trials failed.

    Args:
        message: The whole text.
        trial: Number of the trial that tells the story best.
        config: Its configuration.
        log: File that holds its output and traceback.
    """

    def __init__(
        self,
        message: str,
        *,
        trial: int | None = None,
        config: object = None,
        log: str | None = None,
    ) -> None:
        super().__init__(message)
        self.trial = trial
        self.config = config
        self.log = log


class ExecutorError(LuthierError):
    """Workers could not be started or kept alive."""


class BenchmarkError(LuthierError):
    """A benchmark cannot be loaded or evaluated."""


class ChecksumError(BenchmarkError):
    """A data file is not the one that the benchmark's card names."""


class DataMissing(BenchmarkError):
    """A data file has to be supplied by the user (folder in the variable LUTHIER_DATA)."""


class MissingExtra(LuthierError, ImportError):
    """An optional package is not installed.

    Args:
        what: The feature that needs it, as a user would call it.
        package: The package that is missing.
        extra: The extra of luthier that brings it.
    """

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(f'{what} needs {package}. Install it with: pip install "luthier[{extra}]"')
        self.what, self.package, self.extra = what, package, extra


class LuthierWarning(UserWarning):
    """Root of every warning that luthier gives."""


class NumericsWarning(LuthierWarning):
    """A model fell back to something simpler."""


class CostWarning(LuthierWarning):
    """A choice that will cost far more than it looks."""


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """A sentence that suggests the nearest allowed word, or lists what is allowed.

    Args:
        given: What the user wrote.
        allowed: What would have been right.

    Returns:
        `"Did you mean 'loss'?"`, or `"Allowed: 'a', 'b'."` where nothing is near.
    """
    words = sorted(allowed)
    near = difflib.get_close_matches(given, words, n=1, cutoff=0.5)
    if near:
        return f"Did you mean {near[0]!r}?"
    return "Allowed: " + ", ".join(repr(word) for word in words) + "." if words else "Nothing is allowed here."
