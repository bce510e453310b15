"""What tests can make go wrong between client and server."""

import threading
import time
from dataclasses import dataclass, field

from tests.kubernetes.fake.answers import ApiError

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass
class Refusal:
    """Requests that will be answered with a failure."""

    code: int
    verb: str
    resource: str
    name: str
    times: int
    message: str
    retry_after: int | None


@dataclass
class Faults:
    """Knobs; all may be turned while the cluster runs. Seconds are real ones."""

    slow: float = 0.0
    """Every request waits this long before it is answered."""
    cut_logs_every: float | None = None
    """A followed log loses its connection after this long."""
    cut_watches_every: float | None = None
    """A watch loses its connection after this long."""
    refused: list[Refusal] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def refuse(
        self,
        code: int,
        *,
        verb: str = "",
        resource: str = "",
        name: str = "",
        times: int = 1,
        message: str = "",
        retry_after: int | None = None,
    ) -> None:
        """Answer the next `times` matching requests with `code`; an empty verb, resource or name matches all.

        Verbs are those of RBAC: get, list, watch, create, update, patch, delete, deletecollection. A log is the resource
        `pods/log`. `retry_after` adds the header that 429 and 503 carry.
        """
        with self.lock:
            self.refused.append(
                Refusal(code, verb, resource, name, times, message or f"refused by the test: {code}", retry_after)
            )

    def check(self, verb: str, resource: str, name: str) -> None:
        """Raise what was asked for.

        Raises:
            ApiError: the request is to be refused.
        """
        if self.slow:
            time.sleep(self.slow)
        with self.lock:
            for refusal in self.refused:
                wanted = (refusal.verb in ("", verb), refusal.resource in ("", resource), refusal.name in ("", name))
                if not all(wanted):
                    continue
                refusal.times -= 1
                self.refused = [other for other in self.refused if other.times > 0]
                headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
                raise ApiError(refusal.code, REASONS.get(refusal.code, "Unknown"), refusal.message, {}, headers)
