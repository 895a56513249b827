"""The sections of the page: for each its title, one sentence saying how to read it, and its figures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from luthier.report._gradients_section import gradients_section
from luthier.report._html import element, escape
from luthier.report._importance_section import importance_sections
from luthier.report._section import Section, put, wide
from luthier.report._source import Snapshot
from luthier.report._stopping_section import stopping_section
from luthier.report._values import duration, percent, short
from luthier.report.brackets import brackets
from luthier.report.coverage import coverage
from luthier.report.curves import curves, rungs
from luthier.report.figures import (
    brackets_figure,
    coverage_figure,
    curves_figure,
    genealogy_figure,
    history_figure,
    hypervolume_figure,
    parallel_figure,
    pareto_figures,
    rungs_figure,
    schedule_figures,
    slice_figures,
    timeline_figure,
)
from luthier.report.figures._style import Figure
from luthier.report.figures.history import outside
from luthier.report.genealogy import genealogy
from luthier.report.history import history
from luthier.report.parallel import parallel
from luthier.report.pareto_front import pareto_front
from luthier.report.slices import slices
from luthier.report.timeline import timeline
from luthier.report.trials import trials

#: Sections by their place on the page.
ORDER = (
    "history",
    "trials",
    "parallel",
    "importance",
    "slices",
    "contours",
    "curves",
    "genealogy",
    "gradients",
    "timeline",
    "pareto",
    "stopping",
    "coverage",
    "diagnostics",
)


def sections(shot: Snapshot) -> list[Section]:
    """All sections that the study has something to show for, in the order of the page."""
    return in_order([*quick_sections(shot), *slow_sections(shot)])


def in_order(found: Iterable[Section]) -> list[Section]:
    """Sections as the page has them."""
    return sorted(found, key=lambda section: ORDER.index(section.id))


def quick_sections(shot: Snapshot) -> list[Section]:
    """Sections that are drawn from the log alone."""
    made = [
        _history(shot),
        _trials(shot),
        _parallel(shot),
        _slices(shot),
        _curves(shot),
        _genealogy(shot),
        gradients_section(shot),
        _timeline(shot),
        _pareto(shot),
    ]
    return [section for section in made if section is not None]


def slow_sections(shot: Snapshot) -> list[Section]:
    """Sections for which a model is fitted: a page that follows a running study renews them more rarely."""
    made = [*importance_sections(shot), stopping_section(shot), _coverage(shot), _diagnostics(shot)]
    return [section for section in made if section is not None]


def _history(shot: Snapshot) -> Section | None:
    figures: dict[str, Figure] = {}
    body, far = "", 0
    for i, objective in enumerate(shot.problem.objectives):
        table = history(shot, i)
        if not table["rows"]:
            continue
        far += outside(table)
        name = f"plot-history-{i}"
        figure = history_figure(table)
        caption = element("h3", escape(objective.name)) if len(shot.problem.objectives) > 1 else ""
        steps = len(table["incumbent"])
        words = f"Incumbent's {objective.name} over {len(table['rows'])} trials, with {steps} improvements"
        body += caption + _switches(name, figure["switches"]) + put(figures, name, figure, words)
    if not figures:
        return None
    how = (
        "Each mark is a trial at the moment of its latest result; the line is the best so far, so a long flat stretch "
        "means that the search has stopped paying."
    )
    how += " Failed, diverged and lost trials have no value and stand in the strip below." if _bad(shot) else ""
    if far:
        how += f" {far} value{'s lie' if far > 1 else ' lies'} beyond the axis: double-click to see all."
    return Section("history", "Progress", how, body, figures)


def _bad(shot: Snapshot) -> bool:
    return any(trial.status.value in ("failed", "diverged", "lost") for trial in shot.trials)


def _switches(plot: str, switches: dict[str, Any]) -> str:
    words = {"trials": "Trials", "seconds": "Time", "linear": "Linear", "log": "Log", "gap": "Log gap to best"}
    groups = []
    for axis, title in (("x", "Horizontal axis"), ("y", "Vertical axis")):
        if len(switches[axis]) > 1:
            buttons = "".join(
                element("button", words[key], type="button", data_key=key, aria_pressed=str(i == 0).lower())
                for i, key in enumerate(switches[axis])
            )
            groups.append(
                element("div", buttons, class_="switch", role="group", aria_label=title, data_plot=plot, data_axis=axis)
            )
    return element("div", "".join(groups), class_="tools")


def _trials(shot: Snapshot) -> Section | None:
    if not shot.trials:
        return None
    how = (
        "Click a heading to sort; filter by any text or by comparisons such as <code>status=completed</code> "
        f"or <code>{escape(shot.problem.objectives[0].name)}&lt;0.5</code>, several at once with spaces between."
    )
    body = (
        '<div class="tools"><label class="search"><span>Filter</span>'
        '<input type="search" id="filter" autocomplete="off" spellcheck="false" '
        'placeholder="text, or name&lt;value"></label>'
        '<div id="status-chips" class="chips" role="group" aria-label="Statuses shown"></div>'
        '<output id="row-count" class="count" aria-live="polite"></output></div>'
        '<div class="scroll" tabindex="0" role="region" aria-label="Table of trials">'
        '<table id="trials-table" class="trials"><thead></thead><tbody></tbody></table></div>'
        '<div class="tools pager"><button type="button" id="page-back">Previous</button>'
        '<output id="page-now"></output><button type="button" id="page-on">Next</button>'
        '<label>Rows <select id="page-size"><option>10</option><option selected>15</option><option>50</option>'
        '<option>200</option><option value="0">all</option></select></label></div>'
    )
    return Section("trials", "Trials", how, body, data={"trials": trials(shot)})


def _parallel(shot: Snapshot) -> Section | None:
    table = parallel(shot)
    if len(table["axes"]) < 2 or len(table["lines"]) < 2:
        return None
    figures: dict[str, Figure] = {}
    figure = parallel_figure(table)
    total = len(table["lines"])
    how = (
        f"Each line is a trial, the strongest colour for the best (ranked by {escape(table['ranked_by'])}); where "
        "those lines meet on an axis, that hyperparameter matters. Drag along an axis to keep only the lines through "
        "that range, click it to let go."
    )
    place = put(figures, "plot-parallel", figure, f"Parallel coordinates of {total} trials")
    width = 108 * len(table["axes"])
    body = (
        f'<div class="tools"><label class="slide">Best <input type="range" id="top" min="1" max="{total}" '
        f'value="{figure["top"]}"> <output id="top-now"></output></label>'
        '<button type="button" id="brush-clear" hidden>Clear ranges</button>'
        '<button type="button" id="brush-table" hidden>Show them in the table</button>'
        '<output id="brush-now" class="count" aria-live="polite"></output></div>'
    ) + wide(place, width)
    keep = {"axes": table["axes"], "lines": table["lines"]}
    return Section("parallel", "Parallel coordinates", how, body, figures, {"parallel": keep})


def _slices(shot: Snapshot) -> Section | None:
    table = slices(shot)
    shown = [(one, figure) for one, figure in zip(table["slices"], slice_figures(table), strict=True) if one["points"]]
    if not shown:
        return None
    figures: dict[str, Figure] = {}
    parts = []
    for i, (one, figure) in enumerate(shown):
        name = one["axis"]["name"]
        place = put(figures, f"plot-slice-{i}", figure, f"{table['objective']} against {name}")
        note = f"not active in {one['inactive']} trials" if one["inactive"] else ""
        note += f", needs {one['axis']['when']}" if note and one["axis"]["when"] else ""
        caption = element("figcaption", escape(note)) if note else ""
        parts.append(element("figure", place + caption))
    better = "lower" if table["goal"] == "min" else "higher"
    how = f"{escape(table['objective'])} against one hyperparameter at a time, {better} is better."
    how += " The star is the best." if table["best"] is not None else ""
    if table["full"] is not None:
        how += (
            f" Filled marks reached {escape(table['fidelity'])} {short(table['full'])}, hollow ones ended earlier and "
            "compare only among themselves."
        )
    return Section("slices", "Each hyperparameter", how, element("div", "".join(parts), class_="grid"), figures)


def _curves(shot: Snapshot) -> Section | None:
    table = curves(shot)
    figures: dict[str, Figure] = {}
    body = ""
    how = "Each line is a trial; the mark at its end says whether it was stopped, paused or ran to the end."
    if len(table["curves"]) and any(len(curve["resources"]) > 1 for curve in table["curves"]):
        words = f"Learning curves of {len(table['curves'])} trials"
        body += put(figures, "plot-curves", curves_figure(table), words)
        if table["total"] > len(table["curves"]):
            how += f" Shown are {len(table['curves'])} of {table['total']}: the best, and an even sample of the others."
    # members of a population are judged at many points; their genealogy tells more
    if not any(trial.parent is not None for trial in shot.trials):
        body += _rungs(shot, figures)
    if not figures:
        return None
    title = "Learning curves and rungs" if "plot-rungs" in figures else "Learning curves"
    return Section("curves", title, how, body, figures)


def _rungs(shot: Snapshot, figures: dict[str, Figure]) -> str:
    ladder = rungs(shot)
    if not ladder["rows"]:
        return ""
    how = "At each rung the better trials go on to the next; the others give their place to new ones."
    if len(ladder["ladders"]) > 1:
        how += " Brackets that begin at the same rung (from it) are drawn together."
    body = element("h3", "Rungs") + element("p", how, class_="how")
    place = put(figures, "plot-rungs", rungs_figure(ladder), "Values at each rung")
    columns = sum(len(one["levels"]) for one in ladder["ladders"])
    body += wide(place, 80 + 62 * columns) if columns > 5 else place
    table = brackets(shot)
    shown = len(table["trials"])
    if not shown:
        return body
    how = (
        "Each line is a trial, from its start to its end; where it crosses a thin line, it has reached that rung. A "
        "dotted line is a trial that was set aside, until it went on."
    )
    if table["repeated"]:
        how += " Where it falls, there was no checkpoint to go on from, and the run began anew."
    if table["total"] > shown:
        how += f" Shown are {shown} of {table['total']}: the best, and an even sample of the others."
    body += element("h3", "Rungs over time") + element("p", how, class_="how")
    words = f"{shown} trials climbing {sum(len(one['levels']) for one in table['ladders'])} rungs over time"
    return body + put(figures, "plot-brackets", brackets_figure(table), words)


def _genealogy(shot: Snapshot) -> Section | None:
    table = genealogy(shot)
    if not table["segments"]:
        return None
    figures: dict[str, Figure] = {}
    clones, better = len(table["links"]), "low" if table["goal"] == "min" else "high"
    how = (
        f"Each bar is a trial and each row a member of the population, coloured by the last value of "
        f"{escape(table['objective'])}, the strongest for the best ({better}est) fifth. A clone goes on from a "
        "checkpoint of the trial at the other end of its line."
    )
    how += " The thick line is the way to the incumbent." if len(table["lineage"]) > 1 else ""
    words = f"Genealogy of {len(table['segments'])} trials, {clones} of them clones, in {table['members']} rows"
    body = wide(put(figures, "plot-genealogy", genealogy_figure(table), words), 620)
    if table["schedule"]:
        told = "What the incumbent was trained with, on its way through its ancestors; behind it, all other trials."
        body += element("h3", "Schedule of the best lineage") + element("p", told, class_="how")
        parts = []
        for i, (entry, figure) in enumerate(zip(table["schedule"], schedule_figures(table), strict=True)):
            name = entry["axis"]["name"]
            parts.append(element("figure", put(figures, f"plot-schedule-{i}", figure, f"{name} along the lineage")))
        body += element("div", "".join(parts), class_="grid")
    return Section("genealogy", "Genealogy", how, body, figures)


def _timeline(shot: Snapshot) -> Section | None:
    table = timeline(shot)
    if not table["bars"]:
        return None
    figures: dict[str, Figure] = {}
    words = f"Timeline of {len(table['bars'])} runs on {len(table['workers'])} workers"
    body = put(figures, "plot-timeline", timeline_figure(table), words)
    how = "Each bar is one run of a trial; white between bars is time in which the worker waited for work."
    if table["utilisation"] is not None:
        most = max(one["workers"] for one in table["stretches"])
        who = f"The {most} workers were" if most > 1 else "The worker was"
        how += f" {who} busy {percent(table['utilisation'])} of the time"
        idle = f" ({duration(table['idle_seconds'])} idle{' in all' if most > 1 else ''})"
        how += f"{idle if table['idle_seconds'] else ''}."
    if table["load_is_mean"]:
        how += " The line below is the number of busy workers, averaged over short intervals."
    if table["virtual"]:
        how += " Time is virtual: the benchmark's, not the clock's on the wall."
    else:
        how += " Time in which nobody worked on the study is left out."
    return Section("timeline", "Timeline by worker", how, body, figures)


def _pareto(shot: Snapshot) -> Section | None:
    if len(shot.problem.objectives) < 2:
        return None
    table = pareto_front(shot)
    if not table["points"]:
        return None
    figures: dict[str, Figure] = {}
    body = ""
    for i, figure in enumerate(pareto_figures(table)):
        body += put(figures, f"plot-pareto-{i}", figure, "Pareto set")
    how = "No other trial is better in one objective without being worse in another than the trials marked here."
    if table["hypervolume"]:
        results = len(history(shot)["rows"])
        corner = ", ".join(
            f"{escape(objective['name'])} {short(value)}"
            for objective, value in zip(table["objectives"], table["reference"], strict=True)
        )
        body += element("h3", "Hypervolume") + element(
            "p",
            f"The share of the box between the worst values ({corner}) and the best that the set dominates; where it "
            "stays flat, the search has stopped paying.",
            class_="how",
        )
        body += put(figures, "plot-hypervolume", hypervolume_figure(table, results), "Hypervolume over trials")
    return Section("pareto", "Pareto set", how, body, figures)


def _coverage(shot: Snapshot) -> Section | None:
    table = coverage(shot)
    if not table["rows"]:
        return None
    last = table["rows"][-1]
    figures: dict[str, Figure] = {}
    words = (
        f"Coverage at {len(table['rows'])} moments: promised {short(last['promised'])}, now {short(last['measured'])}"
    )
    body = put(figures, "plot-coverage", coverage_figure(table), words)
    how = (
        "The share of results that fell inside the interval predicted for them by models that had not seen them: the "
        "solid line should run along the dashed one, and the dotted line shows what the model alone, without its "
        "correction, would have covered. Bars are one standard error; a search that steers towards the best may leave "
        "the promise for good."
    )
    return Section("coverage", "Coverage of the model", how, body, figures)


def _diagnostics(shot: Snapshot) -> Section | None:
    told = shot.diagnostics()
    if not told:
        return None
    rows = "".join(
        element("tr", element("th", escape(name.replace("_", " ")), scope="row") + element("td", _told(value)))
        for name, value in told.items()
    )
    how = (
        "What the searcher's model says of itself; a coverage is the share of results that fell inside the interval "
        "predicted for them, and should be near the interval's own level."
    )
    return Section("diagnostics", "Diagnostics", how, element("table", f"<tbody>{rows}</tbody>", class_="config"))


def _told(value: float | str) -> str:
    return escape(short(value)) if isinstance(value, (int, float)) and not isinstance(value, bool) else escape(value)
