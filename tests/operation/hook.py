"""A webhook on this machine: a real HTTP server that answers as it is told, and remembers what it was sent."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Hook:
    """`answers` are status and headers for the requests in their order; the last one is for all that follow."""

    url: str = ""
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=lambda: [(200, {})])
    bodies: list[Any] = field(default_factory=list)


@contextmanager
def hook() -> Iterator[Hook]:
    """Serves until the block ends."""
    served = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/json"
            served.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            status, headers = served.answers[min(len(served.bodies), len(served.answers)) - 1]
            self.send_response(status)
            for name, value in ({"Content-Length": "0"} | headers).items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}/services/secret"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
