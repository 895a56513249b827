"""`luthier list`: what there is: searchers, schedulers, executors, benchmarks, studies of a store."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from luthier.cli._options import Debug, Json

_ROOMS = {"searchers": "searcher", "schedulers": "scheduler", "executors": "executor", "stopping": "stopping"}
_WHAT = (*_ROOMS, "benchmarks", "studies")


def list_(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="WHAT",
            help="searchers, schedulers, executors, stopping, benchmarks or studies.",
            show_default=False,
        ),
    ] = None,
    store: Annotated[
        str | None, typer.Argument(metavar="STORE", help="Folder or URL, for studies.", show_default=False)
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Own arguments and features too.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List what there is, with a line on each."""
    from luthier.base.errors import ArgumentError, did_you_mean
    from luthier.cli import _json

    if what is not None and what not in _WHAT:
        raise ArgumentError(f"list {what!r} is not known. {did_you_mean(what, _WHAT)}")
    if (store is not None) != (what == "studies"):
        raise ArgumentError("list studies needs a store, and nothing else takes one: luthier list studies FOLDER.")
    if store is not None:
        _studies(store, as_json=as_json)
        return
    shown = [what] if what is not None else [*_ROOMS, "benchmarks"]
    found = {name: _benchmarks() if name == "benchmarks" else _room(name, verbose=verbose) for name in shown}
    if as_json:
        _json.write(found)
        return
    for name, entries in found.items():
        if entries or what is not None:
            _print(name, entries, head=what is None)
    print(
        f"next: luthier tune --{_ROOMS[what]} NAME"
        if what in ("searchers", "schedulers", "stopping")
        else "next: luthier tune --help"
    )


def _room(room: str, *, verbose: bool) -> list[dict[str, Any]]:
    from luthier.base.registry import load, names, summary
    from luthier.cli._own import options

    kind = _ROOMS[room]
    entries: list[dict[str, Any]] = []
    for name in names(kind):
        entry: dict[str, Any] = {"name": name}
        try:
            entry["summary"] = summary(kind, name)
            if verbose:
                cls = load(kind, name)
                if kind == "searcher":
                    entry["features"] = sorted(cls.supports)  # type: ignore[attr-defined]
                entry["options"] = options(kind, name)
        except (ImportError, AttributeError, SyntaxError) as error:
            # another package's entry point is broken: say so, and list the others
            entry["summary"] = f"cannot be loaded: {error}"
        entries.append(entry)
    return entries


def _benchmarks() -> list[dict[str, Any]]:
    from luthier.bench import names

    return [{"name": name} for name in names()]


def _print(room: str, entries: list[dict[str, Any]], *, head: bool) -> None:
    if head:
        print(room)
    indent = "  " if head else ""
    width = max((len(entry["name"]) for entry in entries), default=0)
    if room == "benchmarks" and head and len(entries) > 5:
        families: dict[str, int] = {}
        for entry in entries:
            family = entry["name"].partition("/")[0]
            families[family] = families.get(family, 0) + 1
        for family, count in families.items():
            print(f"{indent}{family}/...  {count} tasks: luthier list benchmarks")
        return
    for entry in entries:
        print(f"{indent}{entry['name']:<{width}}  {entry.get('summary', '')}".rstrip())
        if entry.get("features"):
            print(f"{indent}    features: {', '.join(entry['features'])}")
        for option in entry.get("options", []):
            print(f"{indent}    {option['name']}={option['default']}  {option['type']}")


def _places(store: str) -> list[str]:
    """The stores that a word names: itself, or those in a folder of studies' folders."""
    from pathlib import Path

    from luthier.base.errors import StudyNotFound
    from luthier.study.listing import studies

    folder = Path(store).expanduser()
    if "://" in store or not folder.is_dir() or (folder / "study.db").is_file():
        return [store]
    try:
        return list(dict.fromkeys(entry.where for entry in studies(store)))
    except StudyNotFound:
        return [store]  # it says what is allowed


def _studies(store: str, *, as_json: bool) -> None:
    import shlex

    from luthier.cli import _json

    found = [_of_store(place) for place in _places(store)]
    rows = [row for _, some in found for row in some]
    if as_json:
        _json.write({"store": found[0][0] if len(found) == 1 else store, "studies": rows})
        return
    for row in rows:
        made = datetime.fromtimestamp(row["created"]).strftime("%Y-%m-%d %H:%M")
        where = f"{row['where']}: " if len(found) > 1 else ""
        print(
            f"{where}{row['name']}  {', '.join(row['objectives'])}; {row['searcher']} with {row['scheduler']}, "
            f"{row['events']} events, made {made}"
        )
    if rows:
        print(f"next: luthier show {shlex.quote(rows[-1]['where'])}")
    else:
        print("no study yet; next: luthier tune --help")


def _of_store(store: str) -> tuple[str, list[dict[str, Any]]]:
    """A store's address, and a line on each of its studies."""
    from luthier.runtime.storage import open_storage

    with open_storage(store) as opened:
        url = opened.url
        rows: list[dict[str, Any]] = [
            {
                "name": row.name,
                "where": f"{url}#{row.name}",
                "seed": row.seed,
                "created": row.created,
                "schema": row.schema,
                "events": opened.head(row.id),
                "objectives": [objective["name"] for objective in row.problem["objectives"]],
                "searcher": row.problem["searcher"]["name"],
                "scheduler": row.problem["scheduler"]["name"],
            }
            for row in opened.studies()
        ]
    return url, rows
