"""Plain requests to an API server, for what the client library hides."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from tests.kubernetes.fake.access import ADMIN_TOKEN


@dataclass(frozen=True)
class Reply:
    """An answer with its body parsed where it is JSON."""

    status: int
    headers: dict[str, str]
    body: Any


def ask(host: str, method: str, path: str, body: Any = None, kind: str | None = None, token: str = ADMIN_TOKEN) -> Reply:
    """Send one request; `body` is text, an object to be written as JSON, or None, and `kind` its content type."""
    data = None if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
    headers = {"Authorization": f"Bearer {token}"} | (
        {"Content-Type": kind or "application/json"} if data is not None else {}
    )
    request = urllib.request.Request(host + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return _reply(answer.status, dict(answer.headers), answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return _reply(refused.code, dict(refused.headers), refused.read())


def _reply(status: int, headers: dict[str, str], body: bytes) -> Reply:
    if headers.get("Content-Type", "").startswith("application/json"):
        return Reply(status, headers, json.loads(body))
    return Reply(status, headers, body.decode())
