"""Maps from a dimension that grows to one that does not, inside a network: a forgotten size, or one that is meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from luthier.grow import roles
from luthier.grow.roles import Slot
from luthier.grow.tables import Row, deviation

if TYPE_CHECKING:
    from luthier.grow.mu_plan import Options

Note = tuple[str, str, str, str]  # id, level, where, words

#: Tensors that several maps share: gate and up, queries to values, the gates of a GRU or LSTM.
_FUSED = (2, 3, 4)


class Narrow:
    """The rows of a plan, and which of them lead from what grows to what stays.

    Args:
        rows: As the roles say; the target's, in the order in which the model defines them.
        small: The proxy's tensors.
        changed: The delta's.
        options: Of the plan.
        overrides: Roles that the user gave, by pattern: their tensors stay as they are.
    """

    def __init__(
        self,
        rows: Mapping[str, Row],
        small: Mapping[str, Slot],
        changed: Mapping[str, Slot],
        options: Options,
        overrides: Mapping[str, str],
    ) -> None:
        self.rows, self.small, self.changed = rows, small, changed
        self.options, self.overrides = options, overrides
        #: Sizes (proxy, delta, target) of the streams that tables and first maps write to: the model's own width.
        self.widths = {
            self._sizes(row, 0) for row in rows.values() if row.role == "input" and row.kind == "weight" and row.shape
        }

    def settled(self, notes: list[Note]) -> dict[str, Row]:
        """The rows with bottlenecks told from readouts (MU11), and forgotten sizes named (MU01)."""
        found = dict(self.rows)
        for name, row in self.rows.items():
            if row.kind != "weight" or len(row.shape) < 2 or roles.override(name, self.overrides) is not None:
                continue
            if row.role == "readout":
                back = self._leads_back(name)
                if not roles.blocks(name) and not back:
                    continue  # the readout
                fixed, grows = self._of(row, 0), self._of(row, 1)
                if back and fixed >= grows:
                    notes.append(("MU01", "error", name, _forgotten(fixed, inside=bool(roles.blocks(name)))))
                    continue
            elif row.role != "hidden" or row.m_in == 1 or row.m_out != 1 or self._sizes(row, 0) in self.widths:
                continue
            found[name] = self._bottleneck(row)
            words = (
                f"maps a growing dimension to {self._of(row, 0)} fixed numbers inside the network: std sigma / m, rate "
                "eta / m, no multiplier (spectral heuristic). Letting them grow with the width (key heads with query "
                "heads, the inner width) avoids it."
            )
            notes.append(("MU11", "warning", name, words))
        return found

    def _bottleneck(self, row: Row) -> Row:
        silent = self.options.zero_query and roles.QUERY.search(row.name)
        if row.start == "own" or silent or row.sigma == 0:
            return replace(row, role="bottleneck")
        scaled = self.options.parametrization == "mup"
        value = deviation("bottleneck", row.sigma, row.m_in) if scaled else row.sigma
        return replace(row, role="bottleneck", start="normal", value=value)

    def _leads_back(self, name: str) -> bool:
        """Whether a later map (in a block: another of it) takes what this one gives to a growing dimension again."""
        row = self.rows[name]
        numbers = {self._of(row, 0), *(self._of(row, 0) / k for k in _FUSED)} - {1.0}
        numbers.add(self._of(row, 0))
        spatial = self.small[row.template].owner.startswith("Conv")
        for other in self._after(name):
            into = self._of(other, 1)
            flat = spatial and self.small[other.template].owner == "Linear" and into % self._of(row, 0) == 0
            if self._grows(other, 1) or not (into in numbers or flat):
                continue
            if self._grows(other, 0):
                return True
            numbers.add(self._of(other, 0))  # a map between two sizes that stay: follow it
        return False

    def _after(self, name: str) -> Iterable[Row]:
        names = list(self.rows)
        block = roles.blocks(name)
        some = [n for n in names if roles.blocks(n) == block] if block else names[names.index(name) + 1 :]
        for other in some:
            row = self.rows[other]
            slot = self.small[row.template]
            if other != name and row.kind == "weight" and not slot.embedding and len(row.shape) > 1 and slot.axes:
                yield row

    def _axis(self, row: Row, side: int) -> int:
        axes = self.small[row.template].axes
        assert axes is not None  # else it would have no role
        found = axes[side]
        return axes[0] if found is None else found

    def _of(self, row: Row, side: int) -> int:
        """The proxy's output (0) or input (1) size."""
        return row.proxy_shape[self._axis(row, side)]

    def _grows(self, row: Row, side: int) -> bool:
        axis = self._axis(row, side)
        return self.changed[row.template].shape[axis] != row.proxy_shape[axis]

    def _sizes(self, row: Row, side: int) -> tuple[int, int, int]:
        axis = self._axis(row, side)
        return row.proxy_shape[axis], self.changed[row.template].shape[axis], row.shape[axis]


def _forgotten(fixed: int, *, inside: bool) -> str:
    readout = "" if inside else ", or 'readout' where nothing of it is led back"
    return (
        f"maps to {fixed} numbers, in proxy and delta alike, and another map leads back: a size is forgotten in the "
        f"delta (the inner width?). If it is meant to be fixed, say overrides={{...: 'bottleneck'}}{readout}."
    )
