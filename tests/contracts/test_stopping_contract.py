"""Every stopping rule keeps the contract."""

import pytest

from luthier.base.registry import names
from luthier.testing import check_stopping

#: What a rule cannot do without, and variants worth a run.
OWN = {
    "target": [{"value": 0.5}],
    "budget": [{"trials": 20}, {"seconds": 10.0}],
    "any": [{"rules": ["plateau", {"name": "budget", "trials": 20}]}],
    "all": [{"rules": [{"name": "plateau", "trials": 5}, {"name": "budget", "trials": 20}]}],
    "plateau": [{}, {"trials": 5, "least": 0.1, "advise": True}],
    "regret": [{"epsilon": 0.1, "advise": False}, {"bound": "paths", "relative": 0.05, "patience": 1}],
    "prb": [{"epsilon": 0.1}],
}


@pytest.mark.parametrize("name", names("stopping"))
def test_the_battery(name):
    for own in OWN.get(name, [{}]):
        check_stopping(name, own)
