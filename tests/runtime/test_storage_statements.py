"""The texts that stores run are those that SQLAlchemy compiles from the schema, and need no SQLAlchemy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from luthier.runtime.storage._statements import FILE


def test_statements_are_compiled_from_the_schema():
    pytest.importorskip("psycopg", reason="psycopg is not installed (pip install 'luthier[postgres]')")
    from luthier.runtime.storage import _schema

    assert FILE.read_text(encoding="utf-8") == _schema.written(), "run: python -m luthier.runtime.storage._schema"


def test_a_store_on_disk_needs_no_sqlalchemy(tmp_path):
    code = "import sys; from luthier.runtime.storage import open_storage; s = open_storage(sys.argv[1], create=True); "
    code += "s.create('one', seed=0, problem={}); s.close(); print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False"]
