"""A chat endpoint on this machine: a real HTTP server that answers as it is told, and remembers what it was asked."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lifecycle.endpoint.calls import Address

KEY = "sk-planted-0123456789"


@dataclass
class Reply:
    """What the server sends; `cut` closes the connection in the middle of the body, `seconds` waits before it."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    cut: bool = False


Behaviour = Callable[[dict[str, Any], int], Reply]
"""From a request's body and how often this very request came before."""


def said(text: str, input_tokens: int = 10, output_tokens: int = 5) -> Reply:
    """A sound answer of the assistant."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": input_tokens, "completion_tokens": output_tokens}
    return Reply(body=json.dumps({"choices": [choice], "usage": usage}, ensure_ascii=False).encode())


@dataclass
class ChatServer:
    """A running server: `bodies` and `times` of the requests in the order of their arrival."""

    address: Address
    bodies: list[dict[str, Any]]
    times: list[float]
    authorizations: set[str | None]


@contextmanager
def chat_server(behaviour: Behaviour, key: str | None = KEY) -> Iterator[ChatServer]:
    """Serves until the block ends."""
    seen: dict[str, int] = {}
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            body = json.loads(content)
            with lock:
                times = seen[content.decode()] = seen.get(content.decode(), -1) + 1
                server.bodies.append(body)
                server.times.append(time.monotonic())
                server.authorizations.add(self.headers.get("Authorization"))
            reply = behaviour(body, times) if self.path == "/v1/chat/completions" else Reply(404)
            time.sleep(reply.seconds)
            try:
                self._send(reply)
            except (BrokenPipeError, ConnectionResetError):  # a client that no longer waits
                self.close_connection = True

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)
            self.close_connection = reply.cut

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server = ChatServer(Address(f"http://127.0.0.1:{http.server_port}/v1", key), [], [], set())
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
