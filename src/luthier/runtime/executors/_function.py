"""A function of a file or module, named by text: it travels to other processes, and is found again on resume."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any

from luthier.base.errors import ArgumentError, ExecutorError, LuthierError, did_you_mean
from luthier.runtime.executors._runner import describe

_FORM = "Allowed: file.py:function or package.module:function."


#: The program that is just being imported, None for none.
_importing: ContextVar[str | None] = ContextVar("importing", default=None)


def refuse_while_importing() -> None:
    """Refuse to start a study while a program is imported for its function: the import would run it to its end.

    Raises:
        ExecutorError: one is being imported.
    """
    text = _importing.get()
    if text is not None:
        raise ExecutorError(
            f"target {text!r}: the script starts a study while it is imported. Put what starts the study under: "
            'if __name__ == "__main__":'
        )


class FunctionTarget:
    """The function behind `train.py:train` or `package.module:train`, as a target.

    It is imported on the first call; where it arrives by pickle, at once, so that a worker that cannot import the
    program says so before any trial.

    Args:
        path: The file's absolute path, ending in .py, or the full name of a module.
        name: The function's name inside it; dots reach into classes.
        root: Folder that modules are looked for in; default: the current one. A file has its own folder.

    Raises:
        ArgumentError: the file is not there.
    """

    def __init__(self, path: str, name: str, *, root: str | None = None) -> None:
        self.path, self.name = path, name
        self.root = os.getcwd() if root is None else root
        if self.is_file and not Path(path).is_file():
            raise ArgumentError(f"target {self.text!r}: there is no file {path}. {_FORM} Check the path.")
        self._function: Callable[[Any], Any] | None = None

    @classmethod
    def parse(cls, text: str, *, folder: str | None = None) -> FunctionTarget:
        """Read `file.py:function` or `package.module:function`.

        Args:
            text: What the user wrote.
            folder: Where relative paths and modules are looked for; default: the current folder.

        Raises:
            ArgumentError: it has another form, or the file is not there.
        """
        path, mark, name = text.rpartition(":")
        if not mark or not path or not name or "/" in name or "\\" in name:
            raise ArgumentError(f"target {text!r} names no function. {_FORM} Write it as {text.rstrip(':')}:train.")
        root = os.path.abspath(folder or os.getcwd())
        if not path.endswith(".py"):
            return cls(path, name, root=root)
        return cls(os.path.join(root, os.path.expanduser(path)), name, root=root)

    @property
    def is_file(self) -> bool:
        """Whether it is given by a file, not by a module's name."""
        return self.path.endswith(".py")

    @property
    def text(self) -> str:
        """What `parse` takes."""
        return f"{self.path}:{self.name}"

    def __repr__(self) -> str:
        return f"FunctionTarget({self.path!r}, {self.name!r})"

    def __call__(self, run: Any) -> Any:
        """Call the function."""
        return self.load()(run)

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.path, self.name, self.root)

    def load(self) -> Callable[[Any], Any]:
        """The function itself.

        Raises:
            ArgumentError: the program cannot be imported, or has no such function.
        """
        if self._function is None:
            found: Any = self.module()
            for part in self.name.split("."):
                try:
                    found = getattr(found, part)
                except AttributeError:
                    words = [n for n in vars(found) if not n.startswith("_") and callable(getattr(found, n))]
                    hint = did_you_mean(part, words) if words else "It defines no function. Check the file."
                    raise ArgumentError(f"target {self.text!r}: {part!r} is not there. {hint}") from None
            if not callable(found):
                raise ArgumentError(
                    f"target {self.text!r} is a {type(found).__name__}. Allowed: a function that takes a Run, "
                    "such as def train(run): ..."
                )
            self._function = found
        return self._function

    def module(self) -> ModuleType:
        """The module that holds the function.

        Raises:
            ArgumentError: it cannot be imported.
        """
        token = _importing.set(self.text)
        arguments, sys.argv = sys.argv, [self.path]  # the program's own are not those of the command that imports it
        try:
            if self.is_file:
                return _load_file(Path(self.path))
            _reach(self.root)
            return importlib.import_module(self.path)
        except LuthierError:
            raise  # such as a space with reversed bounds: its message says all
        except SystemExit as leaving:
            raise ArgumentError(
                f"target {self.text!r}: the program left with sys.exit({leaving.code!r}) while it was imported. Put "
                'what it runs as a script under: if __name__ == "__main__":'
            ) from leaving
        except Exception as failure:
            raise ArgumentError(
                f"target {self.text!r} cannot be imported: {describe(failure)}. Mend it, so that "
                f"`python -c 'import {self.path if not self.is_file else Path(self.path).stem}'` works beside it."
            ) from failure
        finally:
            sys.argv = arguments
            _importing.reset(token)


def _arrived(path: str, name: str, root: str) -> FunctionTarget:
    target = FunctionTarget(path, name, root=root)
    target.load()
    return target


def _reach(folder: str) -> None:
    """Put a folder first on the search path, as `python file.py` does."""
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _load_file(path: Path) -> ModuleType:
    """Import a file under its own name, so that what it defines can be pickled and its neighbours be imported."""
    _reach(str(path.parent))
    known = sys.modules.get(path.stem)
    if known is not None and _same(getattr(known, "__file__", None), path):
        return known
    # a name that something else has already (`random.py`) must not be taken from it
    name = path.stem if known is None else f"luthier_target_{path.stem}"
    known = sys.modules.get(name)
    if known is not None and _same(getattr(known, "__file__", None), path):
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _same(file: str | None, path: Path) -> bool:
    return file is not None and os.path.exists(file) and os.path.samefile(file, path)
