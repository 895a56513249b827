"""The sections on what matters: shares of the hyperparameters, the way from the default, pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from luthier.report._ablation import path
from luthier.report._contours import over_pairs
from luthier.report._html import element, escape
from luthier.report._importance import landscape, table
from luthier.report._results import results
from luthier.report._section import Section, put
from luthier.report._source import Snapshot
from luthier.report._values import percent, short
from luthier.report.figures._style import Figure
from luthier.report.figures.contours import contour_figures
from luthier.report.figures.importance import MOST, ablation_figure, importance_figure, words

#: Steps of the way from the default that the page draws; longer ways show the first, which bring the most.
MOST_STEPS = 16


@dataclass(frozen=True)
class Matters:
    """Everything that rests on one forest of a study's results.

    Args:
        ped: Shares by PED-ANOVA.
        fanova: Shares by fANOVA.
        way: From the default to the best.
        pairs: Contours.
    """

    ped: dict[str, Any]
    fanova: dict[str, Any]
    way: dict[str, Any]
    pairs: dict[str, Any]


def matters(shot: Snapshot, objective: int = 0) -> Matters:
    """The tables of one objective, with one forest for all."""
    found = results(shot, objective)
    ped = table(found, shot, objective, "ped-anova")
    if ped["fault"]:
        return Matters(
            ped,
            table(found, shot, objective, "fanova"),
            path(found, shot, objective),
            over_pairs(found, shot, objective),
        )
    land = landscape(found, shot, objective)
    order = [row["name"] for row in ped["rows"]]
    return Matters(
        ped,
        table(found, shot, objective, "fanova", land),
        path(found, shot, objective, surrogate=land.surrogate),
        over_pairs(found, shot, objective, land=land, order=order),
    )


def importance_sections(shot: Snapshot) -> list[Section]:
    """Importance, and contours; empty where there is nothing to compare."""
    every = [matters(shot, i) for i in range(len(shot.problem.objectives))]
    axis = "" if shot.problem.fidelity is None else shot.problem.fidelity.name
    return [section for section in (_importance(every, axis), _contours(every)) if section is not None]


def _importance(every: list[Matters], axis: str) -> Section | None:
    if all(one.ped["fault"] for one in every):
        return None
    figures: dict[str, Figure] = {}
    body = ""
    for i, one in enumerate(every):
        if len(every) > 1:
            body += element("h3", escape(one.ped["objective"]))
        body += _alert(one.ped) + _bars(one, i, figures)
    how = (
        "How much each hyperparameter matters: to be among the best tenth of the trials, and to the objective over the "
        "whole space, good or bad; and what each change on the way from the default to the best brings, by a forest "
        "over the results. Thin lines are intervals; a bar that does not pass its upright mark is no more than chance."
    )
    return Section("importance", "Importance", how + _rests(every[0].ped, axis), body, figures)


def _rests(one: dict[str, Any], axis: str) -> str:
    if one["fault"]:
        return ""
    where = "" if one["resource"] is None else f" at {escape(axis)} {short(one['resource'])}"
    out = f"; {one['left_out']} other trials are left out" if one["left_out"] else ""
    return f" It rests on {one['trials']} results{where}{out}."


def _alert(one: dict[str, Any]) -> str:
    text = one["fault"] or one["warning"]
    return element("p", escape(text[0].upper() + text[1:] + "."), class_="note warning") if text else ""


def _bars(one: Matters, i: int, figures: dict[str, Figure]) -> str:
    if one.ped["fault"]:
        return ""
    parts = [
        _figure("Among the best tenth", importance_figure(one.ped), f"plot-small-best-{i}", _said(one.ped), figures),
        _figure(
            "Over the whole space", importance_figure(one.fanova), f"plot-small-space-{i}", _said(one.fanova), figures
        ),
    ]
    steps = one.way["steps"]
    if len(steps) > 1:
        shown = {**one.way, "steps": steps[: MOST_STEPS + 1]}
        text = "; ".join(f"{words(step)}: {short(step['value'])}" for step in shown["steps"])
        parts.append(
            _figure("From the default to the best", ablation_figure(shown), f"plot-small-way-{i}", text, figures)
        )
    return element("div", "".join(parts), class_="grid") + _pairs(one.fanova)


def _figure(title: str, figure: Figure, name: str, text: str, figures: dict[str, Figure]) -> str:
    caption = element("figcaption", title, class_="above")
    return element("figure", caption + put(figures, name, figure, f"{title}. {text}"))


def _said(one: dict[str, Any]) -> str:
    return ", ".join(f"{row['name']} {percent(row['share'])}" for row in one["rows"][:MOST])


def _pairs(one: dict[str, Any]) -> str:
    strong = [pair for pair in one["pairs"] if pair["share"] is not None and pair["share"] >= 0.02][:3]
    if not strong:
        return ""
    text = ", ".join(f"{' × '.join(pair['names'])} {percent(pair['share'])}" for pair in strong)
    return element("p", f"Interactions, over the whole space: {escape(text)}.", class_="note")


def _contours(every: list[Matters]) -> Section | None:
    figures: dict[str, Figure] = {}
    body = ""
    for i, one in enumerate(every):
        if not one.pairs["pairs"]:
            continue
        parts = []
        for j, (pair, figure) in enumerate(zip(one.pairs["pairs"], contour_figures(one.pairs), strict=True)):
            said = f"{one.pairs['objective']} over {pair['x']['name']} and {pair['y']['name']}"
            parts.append(element("figure", put(figures, f"plot-small-contour-{i}-{j}", figure, said)))
        body += element("h3", escape(one.pairs["objective"])) if len(every) > 1 else ""
        body += _alert(one.pairs) + element("div", "".join(parts), class_="grid")
    if not figures:
        return None
    how = (
        "The objective over two hyperparameters, the others averaged out by a forest over the results: light is good. "
        "Dots are trials; where there are none, the colour is a guess."
    )
    return Section("contours", "Pairs of hyperparameters", how, body, figures, short="Pairs")
