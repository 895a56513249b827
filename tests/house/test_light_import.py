"""`import luthier` is light, and heavy packages stay outside until they are used."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "plotly", "ray", "onnxruntime", "botorch", "transformers", "sklearn", "scipy", "sqlalchemy", "pandas")


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print('\\n'.join(m.split('.')[0] for m in sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


def test_import_luthier_brings_nothing_heavy() -> None:
    assert not modules_after("import luthier") & {*HEAVY, "numpy", "typer", "rich"}


def test_declaring_a_space_brings_nothing_heavy() -> None:
    found = modules_after("import luthier as lu; lu.Space(lr=lu.Float(1e-5, 1e-1, log=True))")
    assert not found & set(HEAVY)


def test_a_study_in_memory_needs_no_optional_package() -> None:
    found = modules_after(
        "import luthier as lu; s = lu.Study(lu.Space(x=lu.Float(0, 1)), searcher='random'); "
        "s.run(lambda run: run.config['x'], trials=3)"
    )
    assert not found & {"torch", "plotly", "ray", "onnxruntime", "botorch", "transformers", "pandas"}


def test_every_public_name_resolves() -> None:
    import luthier

    for name in luthier.__all__:
        assert getattr(luthier, name) is not None
    assert set(luthier.__all__) <= set(dir(luthier))


def test_what_rooms_promise_is_there():
    """`__all__` of every room and public sub-package can be had, whatever was imported before."""
    import importlib
    import pkgutil

    import luthier

    for found in pkgutil.walk_packages(luthier.__path__, "luthier."):
        if not found.ispkg or any(part.startswith("_") for part in found.name.split(".")):
            continue
        room = importlib.import_module(found.name)
        for module in pkgutil.iter_modules(room.__path__, f"{found.name}."):
            if not module.name.rpartition(".")[2].startswith("_") and module.name != "luthier.cli.__main__":
                importlib.import_module(module.name)  # a file must not hide a function of its name
        for name in getattr(room, "__all__", ()):
            value = getattr(room, name)
            assert not (type(value).__name__ == "module" and f"{found.name}.{name}" in sys.modules), (
                f"{found.name}.{name}"
            )
