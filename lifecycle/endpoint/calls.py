"""One request to a chat endpoint: sent, read, and its failures sorted into those that pass and those that do not.

No message of an error holds the address or the key: requests' own messages do, so that they are not passed on.
"""

import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from lifecycle.endpoint.cache import Answer
from lifecycle.endpoint.variables import KEY, URL
from lifecycle.errors import EndpointError

CONNECT_SECONDS = 10.0
LONGEST_PAUSE = 900.0
"""Seconds that a server may ask to wait; one that asks for more has a quota of a day, and nobody should wait for it."""
REFUSED_FOR_ALL = {
    401: f"the key in {KEY} is not accepted",
    402: "the account has no balance",
    403: f"the key in {KEY} may not do this",
    404: f"there is no /chat/completions under the address in {URL}, or no model of this name",
}
PASSING = (408, 409, 425, 429)
"""And every status from 500."""
EXCERPT = 300
BYTES_PER_TOKEN = 3
"""About one Han character, or three Latin letters: rather too many tokens than too few."""


class PassingError(Exception):
    """This attempt failed; another may not."""

    def __init__(self, reason: str, pause: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.pause = reason, pause


class RefusedError(Exception):
    """The server will never answer this request; others it may."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Address:
    """Where the endpoint is, and how it knows us; neither is shown when this is printed."""

    url: str = field(repr=False)
    key: str | None = field(default=None, repr=False)

    @classmethod
    def from_environment(cls) -> "Address":
        """From `LIFECYCLE_ENDPOINT_URL` (`http://host:port/v1`) and `LIFECYCLE_ENDPOINT_KEY`; local servers may need no key.

        Raises:
            EndpointError: there is no address, or it is none.
        """
        url = os.environ.get(URL, "").rstrip("/")
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise EndpointError(
                f"{URL}: {'is not an http(s) address' if url else 'is not set'}; the recipe asks a chat endpoint: set it to "
                f"the address of one that speaks OpenAI's protocol (ending in /v1), and {KEY} to its key if it needs one"
            )
        return cls(url, os.environ.get(KEY) or None)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign a request, as requests' `auth` does: a header alone would be replaced from a `.netrc` of the machine."""
        if self.key:
            request.headers["Authorization"] = f"Bearer {self.key}"
        return request

    def conceal(self, text: str) -> str:
        """`text` without address and key, for messages."""
        for secret in (self.key, self.url, urlsplit(self.url).netloc, urlsplit(self.url).hostname):
            text = text.replace(secret, "***") if secret else text
        return text


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has, before anybody counts them."""
    return len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN + 1


def call(session: requests.Session, address: Address, body: dict[str, Any], timeout: float) -> Answer:
    """The endpoint's answer to one request.

    Raises:
        PassingError: no answer in time, a cut connection, too many requests, an error of the server, no readable answer.
        RefusedError: this request is refused (too long, filtered).
        EndpointError: no request would be answered: key, balance, address or model are wrong.
    """
    try:
        response = session.post(
            f"{address.url}/chat/completions",
            json=body,
            auth=address,
            timeout=(CONNECT_SECONDS, timeout),
            allow_redirects=False,  # a redirected POST becomes a GET
        )
    except requests.Timeout:
        raise PassingError("timeout") from None
    except requests.RequestException:
        raise PassingError("connection") from None
    if response.status_code != 200:
        raise _failure(response, address)
    try:
        return _read(response.json(), body)
    except (ValueError, KeyError, IndexError, TypeError):
        raise PassingError("unreadable_answer") from None


def _read(answer: Any, body: dict[str, Any]) -> Answer:
    choice = answer["choices"][0]
    text = choice["message"]["content"]
    if not isinstance(text, str) or not text.strip():
        raise ValueError("no text")
    usage = answer.get("usage") or {}
    asked = "".join(message["content"] for message in body["messages"])
    return Answer(
        text=text,
        finished=choice.get("finish_reason") != "length",
        input_tokens=int(usage.get("prompt_tokens") or estimated_tokens(asked)),
        output_tokens=int(usage.get("completion_tokens") or estimated_tokens(text)),
    )


def _failure(response: requests.Response, address: Address) -> Exception:
    status, said = response.status_code, address.conceal(response.text[: 4 * EXCERPT])[:EXCERPT]
    if status in REFUSED_FOR_ALL or (status == 429 and "insufficient_quota" in response.text):
        return EndpointError(
            f"the endpoint answers {status}: {REFUSED_FOR_ALL.get(status, 'the quota is used up')}; it says: {said}"
        )
    if status in PASSING or status >= 500:
        pause = retry_after(response.headers.get("Retry-After"))
        if pause is not None and pause > LONGEST_PAUSE:
            return EndpointError(
                f"the endpoint answers {status} and asks to wait for {pause:,.0f} s; run this again after that"
            )
        return PassingError(f"status_{status}", pause)
    if 400 <= status < 500:
        return RefusedError(f"status_{status}")
    return EndpointError(f"the endpoint answers {status}, which is no answer to a chat; is the address in {URL} right?")


def retry_after(header: str | None) -> float | None:
    """Seconds to wait by a `Retry-After` header (RFC 9110, section 10.2.3): seconds or a date; None where it is neither."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(header)
    except (ValueError, TypeError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.fromtimestamp(time.time(), UTC)).total_seconds())
