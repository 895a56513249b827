"""Every store that the registry knows keeps the contract."""

import itertools

import pytest

from luthier.base.registry import names
from luthier.runtime.storage import open_storage
from luthier.testing import postgres
from luthier.testing.storage import CHECKS, check_storage

_places = itertools.count()


def _url(name, folder):
    if name == "postgresql":
        if postgres.missing():
            pytest.skip(postgres.missing())
        return postgres.shared().new()
    known = {"memory": f"memory://contract-{next(_places)}", "sqlite": f"sqlite:///{folder}/study.db"}
    assert name in known, f"storage {name!r} is new: add a URL of an empty place to this test"
    return known[name]


@pytest.mark.parametrize("name", names("storage"))
def test_storage_keeps_the_contract(name, tmp_path):
    url = _url(name, tmp_path)
    check_storage(lambda: open_storage(url, create=True), durable=name != "memory")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", names("storage"))
def test_each_check_stands_alone(name, check, tmp_path):
    url = _url(name, tmp_path)
    with open_storage(url, create=True):
        check(lambda: open_storage(url, create=True))
