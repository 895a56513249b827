"""serve: live pages of studies, for the machine they run on, or with a token for others.

    store ── shelf ────────── watches ─────────── app ───────── guard ─────── uvicorn
             which studies    one a study: pages  routes by     host, token,
             there are        in parts, kept by   mark, never   origin,
                              the log's length    by path       headers

Nothing of the file system can be asked for: a study is known by a mark made of its name, an asset by a fixed list.

Not here: the pages themselves, which `report` makes. Of a study nothing is changed but the note of a trial.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luthier.base.lazy import exports

if TYPE_CHECKING:
    from luthier.serve._app import application as application
    from luthier.serve._server import Server as Server
    from luthier.serve._server import serve as serve

__all__ = ["Server", "application", "serve"]

__getattr__, __dir__ = exports(__name__, {"application": "_app", "Server": "_server", "serve": "_server"})
