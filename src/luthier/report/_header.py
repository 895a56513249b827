"""The head of the page: what was searched, what was found, what it cost, how to go on."""

from __future__ import annotations

import json
from typing import Any

from luthier.report._html import element, escape
from luthier.report._values import duration, short

#: Rows of the Pareto set that the head of the page lists; the picture shows all.
MOST_IN_FRONT = 12


def header(facts: dict[str, Any]) -> str:
    """Title, cards, best configuration and command.

    Args:
        facts: From `report.text.summary`.

    Returns:
        Markup.
    """
    parts = [
        element("p", "luthier <span>study report</span>", class_="brand"),
        element("h1", escape(facts["name"])),
        element("p", _subtitle(facts), class_="subtitle"),
        element("div", "".join(_cards(facts)), class_="cards"),
        element("div", _found(facts) + _how(facts), class_="columns"),
    ]
    return element("header", "".join(parts))


def _subtitle(facts: dict[str, Any]) -> str:
    verbs = {"min": "minimise", "max": "maximise"}
    words = [
        " and ".join(f"{verbs[one['goal']]} <strong>{escape(one['name'])}</strong>" for one in facts["objectives"])
    ]
    for one in facts["constraints"]:
        words.append(f"{escape(one['name'])} ≤ {short(one['upper'])}")
    axis = facts["fidelity"]
    if axis is not None:
        words.append(f"{escape(axis['name'])} {short(axis['low'])} to {short(axis['high'])}")
    words.append(f"{escape(facts['searcher'])} + {escape(facts['scheduler'])}")
    words.append(f"seed {escape(facts['seed'])}")
    return " <i>·</i> ".join(f"<span>{part}</span>" for part in words)


def _card(title: str, figure: str, *lines: str, extra: str = "") -> str:
    body = element("h2", title) + element("p", figure, class_="figure") + extra
    return element("div", body + "".join(element("p", line) for line in lines if line), class_="card")


def _cards(facts: dict[str, Any]) -> list[str]:
    budget, axis = facts["budget"], facts["fidelity"]
    cards = [_best_card(facts), _trials_card(facts)]
    workers = budget["workers"]
    who = "" if not workers else f"{workers} worker{'s' if workers != 1 else ''}"
    who += f" ({escape(budget['executor'])})" if who and budget["executor"] else ""
    granted = "" if not budget["seconds"] else f"of {duration(budget['seconds'])} granted"
    title = "Virtual time" if budget["virtual"] else "Time"
    cards.append(
        _card(title, duration(budget["used_seconds"]), granted, f"{duration(budget['trial_seconds'])} in trials", who)
    )
    if axis is not None and budget["resource"] is not None:
        full = facts["trials"] * axis["high"]
        share = f"{100 * budget['resource'] / full:.0f} % of running every trial in full" if full else ""
        cards.append(
            _card("Resource spent", f"{_grouped(budget['resource'])} <small>{escape(axis['name'])}</small>", share)
        )
    return cards


def _grouped(number: float) -> str:
    """A large number with thin spaces."""
    return f"{number:,.0f}".replace(",", "\u202f") if abs(number) >= 1000 else short(number)


def _at(one: dict[str, Any], facts: dict[str, Any]) -> str:
    axis = facts["fidelity"]
    return "" if axis is None or one["resource"] is None else f" at {escape(axis['name'])} {short(one['resource'])}"


def _best_card(facts: dict[str, Any]) -> str:
    best, default = facts["best"], facts["default"]
    if len(facts["objectives"]) > 1:
        names = ", ".join(escape(one["name"]) for one in facts["objectives"])
        return _card("Pareto set", str(len(facts["pareto"])), f"trials that no other beats in {names}")
    name = facts["objectives"][0]["name"]
    if best is None:
        return _card(f"Best {escape(name)}", "–", "no trial has a usable result yet")
    error = best.get("stderr", {}).get(name)
    spread = "" if error is None else f" <small>± {short(error, 2)}</small>"
    beside = "default configuration: not run"
    if default is not None:
        value = default["values"][name]
        beside = f"default {short(value)}{_at(default, facts)}" if value is not None else f"default {default['status']}"
    gain, goal = facts["gain"], facts["objectives"][0]["goal"]
    verdict = ""
    if gain is not None and gain > 0:
        verdict = element("strong", f"{100 * gain:.3g} % {'lower' if goal == 'min' else 'higher'}", class_="gain")
        verdict += " than the default"
    elif gain is not None:
        verdict = (
            "the default itself is the best" if best["trial"] == default["trial"] else "the default was not beaten"
        )
    where = f"trial {best['trial']}{_at(best, facts)}"
    return _card(f"Best {escape(name)}", short(best["values"][name]) + spread, where, beside, verdict)


def _trials_card(facts: dict[str, Any]) -> str:
    granted = facts["budget"]["trials"]
    of = f" <small>of {granted}</small>" if granted else ""
    total = max(1, facts["trials"])
    bar = "".join(
        f'<span class="{status}" style="width:{100 * number / total:.4g}%"></span>'
        for status, number in facts["counts"].items()
    )
    key = "".join(
        element("li", f'<span class="dot {status}"></span>{number} {status}')
        for status, number in facts["counts"].items()
    )
    extra = element("div", bar, class_="bar", aria_hidden="true") + element("ul", key, class_="key")
    return _card("Trials", f"{facts['trials']}{of}", extra=extra)


def _found(facts: dict[str, Any]) -> str:
    best, default = facts["best"], facts["default"]
    if best is None:
        return _front(facts) if len(facts["objectives"]) > 1 else _panel("Best configuration", "None yet.")
    usual = {} if default is None else default["config"]
    rows = []
    for name in dict.fromkeys([*best["config"], *usual]):
        ours, theirs = best["config"].get(name), usual.get(name)
        cells = element("th", escape(name), scope="row") + element("td", _value(name, best["config"]))
        if default is not None:
            cells += element("td", _value(name, usual), class_="same" if ours == theirs else "other")
        rows.append(element("tr", cells))
    head = '<th scope="col">hyperparameter</th><th scope="col">best</th>'
    head += '<th scope="col">default</th>' if default is not None else ""
    table = element("table", f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>", class_="config")
    text = json.dumps(best["config"], ensure_ascii=False)
    button = element("button", "Copy as JSON", type="button", data_copy=text, class_="copy")
    title = element("div", element("h2", "Best configuration") + button, class_="row")
    return element("section", title + element("div", table, class_="scroll"), class_="panel")


def _panel(title: str, words: str) -> str:
    return element("section", element("h2", title) + element("p", words), class_="panel")


def _front(facts: dict[str, Any]) -> str:
    """The Pareto set by its values, an even sample where it is long."""
    front = facts["pareto"]
    if not front:
        return _panel("Pareto set", "None yet.")
    names = [one["name"] for one in facts["objectives"]]
    steps = min(len(front), MOST_IN_FRONT)
    chosen = [front[(i * (len(front) - 1)) // max(1, steps - 1)] for i in range(steps)]
    rows = []
    for one in chosen:
        text = json.dumps(one["config"], ensure_ascii=False)
        words = f"Copy configuration of trial {one['trial']}"
        button = element("button", "Copy", type="button", data_copy=text, class_="copy", aria_label=words)
        cells = element("th", f"trial {one['trial']}", scope="row")
        cells += "".join(element("td", short(one["values"][name])) for name in names) + element("td", button)
        rows.append(element("tr", cells))
    head = '<th scope="col"></th>' + "".join(element("th", escape(name), scope="col") for name in names)
    head += '<th scope="col">configuration</th>'
    table = element("table", f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>", class_="config")
    left = f"{steps} of {len(front)}, from one end to the other." if steps < len(front) else ""
    note = element("p", left, class_="note") if left else ""
    return element(
        "section", element("h2", "Pareto set") + element("div", table, class_="scroll") + note, class_="panel"
    )


def _value(name: str, config: dict[str, Any]) -> str:
    if name not in config:
        return element("span", "not active", class_="none")
    value = config[name]
    if isinstance(value, float):
        return element("span", short(value, 5), title=repr(value))
    return escape(value)


def _how(facts: dict[str, Any]) -> str:
    parts = [element("h2", "How it was chosen"), element("p", escape(facts["rule"]).capitalize() + ".")]
    if facts["command"]:
        button = element("button", "Copy", type="button", data_copy=facts["command"], class_="copy")
        parts.append(element("div", element("h2", "Continue or reproduce") + button, class_="row"))
        parts.append(element("pre", element("code", escape(facts["command"])), tabindex="0"))
        parts.append(
            element("p", "The log holds every decision: the same command goes on where it ended.", class_="note")
        )
    return element("section", "".join(parts), class_="panel")
