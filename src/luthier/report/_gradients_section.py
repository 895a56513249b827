"""The section on tuning by gradients: the loss and what was moved, over outer steps."""

from __future__ import annotations

from luthier.report._html import element, escape
from luthier.report._section import Section, put
from luthier.report._source import Snapshot
from luthier.report.figures._style import Figure
from luthier.report.figures.outer_steps import outer_figures
from luthier.report.outer_steps import outer_steps


def gradients_section(shot: Snapshot) -> Section | None:
    """The section, None where nothing was tuned by gradients."""
    table = outer_steps(shot)
    if not table["rows"]:
        return None
    figures: dict[str, Figure] = {}
    parts = [
        element("figure", put(figures, f"plot-outer-{i}", figure, f"{words} over {len(table['rows'])} outer steps"))
        for i, (words, figure) in enumerate(outer_figures(table))
    ]
    chains = 1 + max(row["chain"] for row in table["rows"])
    how = (
        f"{escape(table['objective'])}, and every hyperparameter that gradients moved, over outer steps, each of which "
        "is a trial; the star is the step with the best value."
    )
    how += f" Lines break where one of {chains} chains ends and the next begins." if chains > 1 else ""
    if any(entry["points"][0]["low"] is not None for entry in table["tensors"]):
        how += " Of whole tensors the mean is drawn, and in grey the lowest and the highest number."
    if any(row["value"] is None for row in table["rows"]):
        how += " A cross at the foot is a step that diverged."
    body = element("div", "".join(parts), class_="grid")
    return Section("gradients", "Hyperparameters over outer steps", how, body, figures, short="Gradients")
