"""HTTP: requests in, answers and streams out."""

import contextlib
import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

JSON = "application/json"


@dataclass(frozen=True)
class Request:
    """A request as the API sees it; query values are the last of their name."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


def flag(query: dict[str, str], name: str) -> bool:
    """Whether a query switches something on, in any of the spellings that Go takes for true."""
    return query.get(name, "").lower() in ("1", "t", "true")


@dataclass
class Answer:
    """Status and body: an object, text, or a stream of bytes that ends early after `cut_after` seconds."""

    code: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    stream: Iterator[bytes] | None = None
    cut_after: float | None = None


Handle = Callable[[Request], Answer]


class Server:
    """Serves `handle` on a free port of 127.0.0.1, which it keeps while it is stopped and started again."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._port = 0
        self._open: set[socket.socket] = set()
        self._http: ThreadingHTTPServer | None = None
        self._lock = threading.Lock()

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen."""
        outer = self

        class Handler(_Handler):
            handle_request = staticmethod(self._handle)
            connections = outer._open

        self._http = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._http.daemon_threads = True
        self._port = self._http.server_address[1]
        threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, name="fake-api", daemon=True
        ).start()

    def stop(self) -> None:
        """Refuse connections and cut those that are open."""
        with self._lock:
            if self._http is None:
                return
            self._http.shutdown()
            self._http.socket.close()
            self._http = None
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    handle_request: Handle
    connections: set[socket.socket]

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections.add(self.connection)

    def finish(self) -> None:
        self.connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not written to the test's output."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        answer = self.handle_request(Request(self.command, parts.path, query, headers, self.rfile.read(length)))
        with contextlib.suppress(ConnectionError, TimeoutError):
            self._send(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.code)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.stream is not None:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self._send_stream(answer)
            return
        if answer.body is None:
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        text = isinstance(answer.body, str)
        data = answer.body.encode() if text else json.dumps(answer.body).encode()
        if "Content-Type" not in answer.headers:
            self.send_header("Content-Type", "text/plain" if text else JSON)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _send_stream(self, answer: Answer) -> None:
        assert answer.stream is not None
        until = time.monotonic() + (answer.cut_after if answer.cut_after is not None else float("inf"))
        for piece in answer.stream:
            cut = time.monotonic() >= until
            if piece:
                # A connection breaks anywhere, not at the end of a line.
                sent = piece[: len(piece) // 2] if cut else piece
                self.wfile.write(f"{len(piece):x}\r\n".encode() + sent + (b"" if cut else b"\r\n"))
                self.wfile.flush()
            if cut or self._client_left():
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                return
        self.wfile.write(b"0\r\n\r\n")

    def _client_left(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
