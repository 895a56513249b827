"""any: one of several rules says stop."""

from __future__ import annotations

from luthier.base.registry import register
from luthier.stopping._base import Verdict
from luthier.stopping._several import AGAIN, Several


@register("stopping")
class Any(Several):
    """Ends a study when one of its rules says so.

    Args:
        rules: Names, or mappings with "name" and own arguments; at least one.
        advise: Say so and go on.

    Raises:
        ArgumentError: no rule, an unknown one, or arguments that it does not take.

    Source: convention.
    Differs: nothing.
    Cost: that of its rules.
    """

    def _join(self, said: list[tuple[str, Verdict]]) -> Verdict:
        for name, verdict in said:
            if verdict.stop:
                rules = self._both(said, stop=True).evidence  # over the inner rule's own, if that is one of several too
                own = {key: value for key, value in verdict.evidence.items() if key != AGAIN}
                return Verdict(True, f"{name}: {verdict.reason}", {**own, **rules})
        return self._both(said, stop=False)
