"""One request to the API server: retried while the server is away, refusals as errors of ours, the answer as plain JSON."""

import json
import logging
from collections.abc import Callable
from typing import Any

import urllib3
from kubernetes.client import ApiException
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from lifecycle.errors import JobFailedError
from lifecycle.training.exits import ExitClass

logger = logging.getLogger(__name__)

PASSING = (429, 500, 502, 503, 504)
LONGEST_WAIT = 15.0
REQUEST_SECONDS = (10.0, 60.0)
"""To connect, and to wait for an answer."""
SAID_AFTER = 4
"""So many failures in a row are more than a cut connection."""


def call(function: Callable[..., Any], *args: Any, patience: float, passed_on: tuple[int, ...] = (), **options: Any) -> Any:
    """The JSON answer of a method of the client library.

    Args:
        patience: seconds for which it is tried again while the server cannot be reached.
        passed_on: status codes of refusals that the caller wants to see.

    Raises:
        ApiException: a refusal of `passed_on`.
        JobFailedError: class `configuration` for any other refusal, `network` when the patience has ended.
    """
    named = next((arg for arg in args if isinstance(arg, str)), "")
    doing = f"{function.__name__.replace('_', ' ')} {named}".strip()
    retrying = Retrying(
        retry=retry_if_exception(_passes),
        wait=wait_random_exponential(multiplier=0.5, max=LONGEST_WAIT),
        stop=stop_after_delay(patience),
        before_sleep=_say,
        reraise=True,
    )
    try:
        answer = retrying(function, *args, _preload_content=False, _request_timeout=REQUEST_SECONDS, **options)
    except ApiException as error:
        if error.status in passed_on:
            raise
        raise _refused(doing, error) from error
    except urllib3.exceptions.HTTPError as error:
        message = f"the Kubernetes API server has not been reachable for {patience:.0f} s ({doing}: {error})"
        raise JobFailedError(message, ExitClass.NETWORK.value) from error
    return json.loads(answer.data)


def _passes(error: BaseException) -> bool:
    if isinstance(error, ApiException):
        return error.status in PASSING
    return isinstance(error, urllib3.exceptions.HTTPError)


def _say(state: RetryCallState) -> None:
    if state.attempt_number == SAID_AFTER and state.outcome:
        logger.warning("the Kubernetes API server does not answer (%s); trying on", state.outcome.exception())


def _refused(doing: str, error: ApiException) -> JobFailedError:
    try:
        said = json.loads(error.body or "{}").get("message", error.reason)
    except ValueError:
        said = error.reason
    where = ExitClass.NETWORK if _passes(error) else ExitClass.CONFIGURATION
    return JobFailedError(f"Kubernetes refused ({doing}): {error.status} {said}", where.value)
