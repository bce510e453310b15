"""Many questions to one chat endpoint: at once, within its limits, again where it failed, and never paid for twice."""

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from tenacity.nap import sleep_using_event

from lifecycle.endpoint.cache import Answer, load, request_key, save
from lifecycle.endpoint.calls import URL, Address, PassingError, RefusedError, call, estimated_tokens
from lifecycle.endpoint.limits import Limits, Reservation
from lifecycle.errors import EndpointError
from lifecycle.recipe.endpoint import EndpointConfig

logger = logging.getLogger(__name__)

Messages = Sequence[dict[str, str]]
LONGEST_BACKOFF = 60.0
FAILURES_IN_A_ROW = 8
"""So many requests that fail at every attempt mean that the endpoint is away, not that the requests are odd."""
SAID_EVERY = 15.0


@dataclass(frozen=True)
class Reply:
    """The answer to one request, or why there is none."""

    answer: Answer | None
    failure: str | None = None


@dataclass
class Usage:
    """What the requests of one client came to. Tokens that the server did not count are estimated from the text."""

    requests: int = 0
    """Asked for, whether sent or kept."""
    kept: int = 0
    """Answered from disk, or by an equal request."""
    retries: Counter[str] = field(default_factory=Counter)
    """Attempts that failed, by reason."""
    failures: Counter[str] = field(default_factory=Counter)
    """Requests that failed in the end, by reason."""
    input_tokens: int = 0
    """Of requests that were sent and answered now, as are the next."""
    output_tokens: int = 0
    cost: float = 0.0

    def facts(self) -> dict[str, Any]:
        """For manifests and the UI."""
        return {
            "requests": self.requests,
            "kept": self.kept,
            "retries": dict(sorted(self.retries.items())),
            "failures": dict(sorted(self.failures.items())),
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost": round(self.cost, 6),
        }


class Endpoint:
    """A chat endpoint, and what was asked of it so far."""

    def __init__(self, config: EndpointConfig, address: Address, cache: Path, backoff: float = 1.0) -> None:
        """
        Args:
            cache: a directory of answers by the content of their request; it serves every recipe and every run.
            backoff: seconds before the second attempt, at most; doubled before each further one.
        """
        self.config = config
        self.usage = Usage()
        self._address, self._cache = address, cache
        self._limits = Limits(config.requests_per_minute, config.tokens_per_minute)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._local = threading.local()
        self._in_a_row = 0
        self._wait = wait_random_exponential(multiplier=backoff, max=LONGEST_BACKOFF)

    def ask(self, requests: Sequence[Messages], what: str = "requests") -> list[Reply]:
        """The reply to each request, in their order; equal requests are sent once.

        Answers are kept as they come: a run that was killed, and asks again, sends only what is missing. A request that is
        refused, or fails at every attempt, gives a reply without an answer; a run that goes on may have nothing else left.

        Args:
            what: names the requests in the progress bar and the log.

        Raises:
            EndpointError: the endpoint refuses all requests or is away; what was answered until then is kept.
        """
        bodies = {request_key(body): body for body in map(self._body, requests)}
        keys = [request_key(self._body(request)) for request in requests]
        replies = {key: Reply(answer) for key in bodies if (answer := load(self._cache, key))}
        self.usage.requests += len(keys)
        self.usage.kept += len(keys) - (len(bodies) - len(replies))
        missing = {key: body for key, body in bodies.items() if key not in replies}
        sent = self._send(missing, what)
        if sent and not replies and not any(reply.answer for reply in sent.values()):
            raise EndpointError(f"none of {len(sent)} {what} was answered by the endpoint: {dict(self.usage.failures)}")
        replies |= sent
        return [replies[key] for key in keys]

    def _body(self, messages: Messages) -> dict[str, Any]:
        """The request as it is sent; its digest is the key of the answer."""
        config = self.config
        body: dict[str, Any] = {"model": config.model, "messages": list(messages), "max_tokens": config.max_tokens}
        given = {"temperature": config.temperature, "seed": config.seed}
        return body | {name: value for name, value in given.items() if value is not None}

    def _send(self, missing: dict[str, dict[str, Any]], what: str) -> dict[str, Reply]:
        replies: dict[str, Reply] = {}
        self._stop.clear()
        with ThreadPoolExecutor(self.config.concurrency, "endpoint") as pool, _progress(what, len(missing)) as show:
            futures = {pool.submit(self._reply, key, body): key for key, body in missing.items()}
            waiting = set(futures)
            try:
                while waiting:
                    done, waiting = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
                    replies |= {futures[future]: future.result() for future in done}
                    show(len(replies))
            finally:
                self._stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
        return replies

    def _reply(self, key: str, body: dict[str, Any]) -> Reply:
        retrying = Retrying(
            retry=retry_if_exception_type(PassingError),
            stop=stop_after_attempt(self.config.attempts),
            wait=self._seconds_to_wait,
            sleep=sleep_using_event(self._stop),
            reraise=True,
        )
        try:
            answer = retrying(self._attempt, body)
        except (PassingError, RefusedError) as failure:
            return self._failed(failure)
        save(self._cache, key, answer)
        with self._lock:
            self._in_a_row = 0
            usage, config = self.usage, self.config
            usage.input_tokens += answer.input_tokens
            usage.output_tokens += answer.output_tokens
            usage.cost += (answer.input_tokens * config.input_price + answer.output_tokens * config.output_price) / 1e6
        return Reply(answer)

    def _attempt(self, body: dict[str, Any]) -> Answer:
        text = json.dumps(body["messages"], ensure_ascii=False)
        place = self._place(estimated_tokens(text) + self.config.max_tokens)
        try:
            answer = call(self._session(), self._address, body, self.config.timeout_seconds)
        except PassingError as failure:
            with self._lock:
                self.usage.retries[failure.reason] += 1
            if failure.pause is not None:
                self._limits.pause(time.monotonic() + failure.pause)
            raise
        self._limits.settle(place, answer.input_tokens + answer.output_tokens)
        return answer

    def _place(self, tokens: int) -> Reservation:
        """Waits until a request of so many tokens may be sent."""
        while True:
            place = self._limits.reserve(tokens, time.monotonic())
            if self._stop.wait(max(0.0, place.start - time.monotonic())):
                raise EndpointError("the requests were given up")
            if self._limits.holds(place):
                return place

    def _seconds_to_wait(self, state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome else None
        if isinstance(failure, PassingError) and failure.pause is not None:
            return 0.0  # the pause holds every request, this one too
        return self._wait(state)

    def _failed(self, failure: PassingError | RefusedError) -> Reply:
        with self._lock:
            self.usage.failures[failure.reason] += 1
            self._in_a_row = self._in_a_row + 1 if isinstance(failure, PassingError) else 0
            away = self._in_a_row >= FAILURES_IN_A_ROW
        if away:
            raise EndpointError(
                f"{FAILURES_IN_A_ROW} requests in a row failed at all of {self.config.attempts} attempts, the last one with "
                f"{failure.reason}: is the endpoint at the address in {URL} up? What it answered is kept; run this again"
            )
        return Reply(None, failure.reason)

    def _session(self) -> requests.Session:
        """One for each thread: sessions are not safe to share."""
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        return self._local.session


@contextmanager
def _progress(what: str, total: int) -> Iterator[Any]:
    """A bar on a terminal, else a line in the log now and then; yields a function to call with the number done."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    said = time.monotonic()
    with Progress(console=console, disable=not console.is_terminal or not total, transient=True) as bar:
        task = bar.add_task(what, total=total)

        def show(done: int) -> None:
            nonlocal said
            bar.update(task, completed=done)
            if not console.is_terminal and (time.monotonic() - said > SAID_EVERY or done == total):
                said = time.monotonic()
                logger.info("%d of %d %s answered", done, total, what)

        yield show
