"""`luthier serve`: live pages of studies in the browser."""

from __future__ import annotations

from typing import Annotated

import typer

from luthier.base.threads import single_thread
from luthier.cli._options import Debug, Json


def serve(
    where: Annotated[
        str,
        typer.Argument(
            metavar="STUDY",
            help="Folder of a study or of several, a database file, the address of a store, or URL#NAME.",
        ),
    ],
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Where to listen; others than this machine need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", metavar="N", help="Port; 0 takes a free one.")] = 8700,
    write: Annotated[bool, typer.Option("--write", help="Let notes on trials be written; needs a token.")] = False,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show studies in the browser, live, until Ctrl-C.

    By itself only this machine can look. With another --host, or with --write, a token is drawn and printed as part of
    the address; the variable LUTHIER_TOKEN gives one instead.
    """
    single_thread()
    import logging
    import os

    from luthier.cli import _json
    from luthier.cli._text import plural
    from luthier.serve import Server

    server = Server(where, host=host, port=port, write=write, token=os.environ.get("LUTHIER_TOKEN") or None)
    if as_json:
        _json.write({"url": server.url, "studies": server.studies, "port": server.port, "token": server.token})
    else:
        print(f"{plural(server.studies, 'study').replace('studys', 'studies')} at {server.url}", flush=True)
        if not server.local:
            print("anybody with this address can read; the line is not encrypted: prefer ssh -L or a proxy with TLS")
        print("Ctrl-C ends it", flush=True)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("warning: %(message)s"))
    logging.getLogger("luthier.serve").addHandler(handler)
    if show:
        import webbrowser

        webbrowser.open(server.url)
    server.run()
