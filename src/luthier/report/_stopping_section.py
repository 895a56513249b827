"""The section on stopping and overtuning: whether the search may end, and how far its result can be trusted."""

from __future__ import annotations

from typing import Any

from luthier.report._html import element, escape
from luthier.report._section import Section, put
from luthier.report._source import Snapshot
from luthier.report._values import percent, short
from luthier.report.figures._style import Figure
from luthier.report.figures.stopping import overtuned_figure, stopping_figure, tuning_curve_figure
from luthier.report.overtuned import overtuned
from luthier.report.stopping import compared, stopping, words
from luthier.report.tuning_curve import tuning_curve


def stopping_section(shot: Snapshot) -> Section | None:
    """The section, None where no rule has spoken and nothing is known of overtuning."""
    figures: dict[str, Figure] = {}
    body = _rules(shot, figures) + _overtuning(shot, figures) + _curve(shot, figures)
    if not body:
        return None
    how = "Whether more trials can be expected to bring more, and how much of the best result is luck."
    return Section("stopping", "Stopping and overtuning", how, body, figures, short="Stopping")


def _how(text: str) -> str:
    return element("p", text, class_="how")


def _rules(shot: Snapshot, figures: dict[str, Figure]) -> str:
    table = stopping(shot)
    if not table["rules"]:
        return ""
    said = "".join(element("li", escape(words(rule))) for rule in table["rules"])
    body = element("h3", "What the stopping rules say") + element("ul", said, class_="said")
    for rule in compared(table["rules"]):
        how = (
            f"What rule {escape(rule['rule'])} takes to be left to gain, against what is not worth further trials: "
            "once the solid line stays below the dashed one, the study may end."
        )
        if rule["first_stop"] is not None:
            how += f" It first said so after {rule['first_stop']} trials."
        name = f"plot-stopping-{rule['place']}"
        told = f"{rule['rule']}: bound and threshold at {len(rule['rows'])} checks"
        body += _how(how) + put(figures, name, stopping_figure(rule, table["objective"]), told)
    return body


def _overtuning(shot: Snapshot, figures: dict[str, Figure]) -> str:
    table = overtuned(shot)
    body = ""
    if table["rows"]:
        how = (
            f"The incumbent by {escape(table['objective'])}, and the same trial's {escape(table['metric'])}, which "
            f"nothing in the study has learnt from. {_lost(table)}"
        )
        told = f"{len(table['rows'])} incumbents on both data"
        body += element("h3", "Overtuning") + _how(how)
        body += put(figures, "plot-overtuning", overtuned_figure(table), told)
    luck = table["optimism"]
    if luck is not None:
        told = (
            f"The best trial's {escape(table['objective'])} is {short(luck['value'])}; a Gaussian process of all "
            f"results believes in {short(luck['mean'])} there, and in a noise of {short(luck['noise'], 2)} of a single "
            "result. "
        )
        if luck["amount"] > 0:
            told += f"The difference, {short(luck['amount'], 2)}, is luck that a repetition would most likely not show."
        else:
            told += "There is no luck to be seen in it."
        body += element("h3", "Optimism") + _how(told)
    return body


def _lost(table: dict[str, Any]) -> str:
    metric, name = escape(table["metric"]), "the untouched data"
    if not table["amount"]:
        text = f"It was best on {name} at its end: no overtuning."
    elif table["share"] is None:
        text = f"On {name} nothing was won, and {short(table['amount'], 3)} lost: pure overtuning."
    else:
        lost = short(table["amount"], 3)
        text = f"Since its best on {name} {lost} was lost again, {percent(table['share'])} of the gain."
    against = table["against_default"]
    if against is None:
        return text
    if against > 0:
        return text + f" The result is worse than the default in {metric}, by {short(against, 3)}."
    return text + (f" It is better than the default by {short(-against, 3)}." if against < 0 else "")


def _curve(shot: Snapshot, figures: dict[str, Figure]) -> str:
    table = tuning_curve(shot)
    if not table["rows"]:
        return ""
    how = (
        f"What random search in this space reaches with n trials, estimated from the {table['trials']} random trials "
        f"of this study. The band holds the whole median curve with probability {table['level']:.0%}, if the trials "
        "were drawn independently and all ran to their end; where it reaches the edge of what was seen, it has no end."
    )
    told = f"Best of n random trials, n up to {table['trials']}"
    place = put(figures, "plot-tuning-curve", tuning_curve_figure(table), told)
    return element("h3", "What random trials reach") + _how(how) + place
