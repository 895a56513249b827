"""Plain HTTP without a client that tidies up what is asked, and small studies to serve."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import luthier as lu
from luthier.serve import Server

EVIL = "</title><script>window.hacked=1</script><img src=x onerror='window.hacked=2'>\"/../..\\&\u2028%{x}"
SECRET = "nobody may read this"
TOKEN = "0123456789abcdefTOKEN"


class Answer(NamedTuple):
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


def ask(server: Server, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
    """Ask for exactly that path; `content_type` becomes a header's name."""
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        line.putrequest(method, path, skip_host="host" in named, skip_accept_encoding=True)
        if body is not None and "content-length" not in named:
            named["content-length"] = str(len(body))
        for name, value in named.items():
            line.putheader(name, value)
        line.endheaders(body)
        found = line.getresponse()
        return Answer(found.status, {k.lower(): v for k, v in found.getheaders()}, found.read())
    finally:
        line.close()


def grown(study: lu.Study, n: int) -> None:
    """Add results to a study."""
    for _ in range(n):
        [trial] = study.ask()
        study.tell(trial.number, {o.name: abs(trial.config["x"] - 0.3) for o in study.problem.objectives})


def make(folder: Path, name: str, n: int, **more: Any) -> lu.Study:
    """A study with results, in a folder of its own, left open."""
    space = lu.Space(x=lu.Float(0, 1), y=lu.Int(1, 9), z=lu.Choice("a", "b"))
    study = lu.Study(space, searcher="random", folder=folder, name=name, **more)
    grown(study, n)
    return study
