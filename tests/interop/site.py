"""Somebody's web site on loopback: files of a folder, served as they are."""

import contextlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class _Handler(SimpleHTTPRequestHandler):
    # Whatever the machine's own table of types says.
    extensions_map = {".html": "text/html", ".js": "text/javascript", "": "application/octet-stream"}  # noqa: RUF012

    def log_message(self, *args: Any) -> None:
        """Says nothing of a request."""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The origin under which a folder is served, as long as the context lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
