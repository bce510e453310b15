"""Tells people of something through a webhook that takes Slack's JSON (Mattermost and others do), or says why it did not."""

import logging
import os

import dagster as dg

logger = logging.getLogger(__name__)

URL = "LIFECYCLE_WEBHOOK_URL"
"""The address is a secret: it is taken from the environment, and never logged."""
ATTEMPTS = 3
TIMEOUT_SECONDS = (3.0, 5.0)
LONGEST_PAUSE = 8.0
"""Three attempts end within 40 s: less than a sensor's tick may take."""
LONGEST_TEXT = 3000
PASSING = (408, 425, 429)


class Webhook(dg.ConfigurableResource, use_attribute_docstrings=True):
    """Where alerts go. Without the environment variable LIFECYCLE_WEBHOOK_URL they go nowhere."""

    pause: float = 1.0
    """Seconds before the second attempt, doubled before the third; a server's `Retry-After` counts instead."""

    def send(self, text: str) -> str | None:
        """Post `{"text": …}`; None when it was taken, else why not. Nothing is ever raised: an alert must not be a fault."""
        url = os.environ.get(URL)
        if not url:
            return f"{URL} is not set"
        problem = _deliver(url, text[:LONGEST_TEXT], self.pause)
        if problem:
            logger.warning("the webhook did not take an alert: %s", problem)
        return problem


def _deliver(url: str, text: str, pause: float) -> str | None:
    # They take 0.1 s to import, which every start of the code location would pay.
    import requests
    from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_attempt

    from lifecycle.endpoint.calls import retry_after

    waits: list[float] = []

    def post() -> str | None:
        waits.append(pause * 2 ** len(waits))
        try:
            response = requests.post(url, json={"text": text}, timeout=TIMEOUT_SECONDS, allow_redirects=False)
        except requests.RequestException as error:
            return type(error).__name__  # its message holds the address
        if response.ok and not response.is_redirect:
            return None
        stated = retry_after(response.headers.get("Retry-After"))
        if stated is not None:
            waits[-1] = stated
        if response.status_code in PASSING or response.status_code >= 500:
            return f"status {response.status_code}"
        raise _RefusedError(f"status {response.status_code}")

    def wait(_: RetryCallState) -> float:
        return min(waits[-1], LONGEST_PAUSE)

    retrying = Retrying(
        retry=retry_if_result(lambda problem: problem is not None),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait,
        retry_error_callback=lambda state: f"{state.outcome.result()} at each of {ATTEMPTS} attempts",  # type: ignore[union-attr]
    )
    try:
        return retrying(post)
    except _RefusedError as error:
        return str(error)


class _RefusedError(Exception):
    """The server will not take this message at any attempt."""
