"""How many requests and tokens may be sent in any minute."""

import threading
from collections import deque
from dataclasses import dataclass

WINDOW = 60.0
"""Seconds."""


@dataclass
class Reservation:
    """A request's place: the time at which it may be sent, and the tokens that it counts for."""

    start: float
    tokens: int


class Limits:
    """Gives every request the earliest time at which no window of sixty seconds holds more than the limits allow.

    Places are given in the order of asking. A request larger than the limit of tokens counts as the whole limit. Times are
    seconds of any clock that never goes back; the caller waits.
    """

    def __init__(self, requests: int | None, tokens: int | None) -> None:
        self._requests, self._tokens = requests, tokens
        self._recent: deque[Reservation] = deque()
        self._not_before = 0.0
        self._lock = threading.Lock()

    def reserve(self, tokens: int, now: float) -> Reservation:
        """A place for a request of about so many tokens; `settle` corrects them afterwards."""
        tokens = min(tokens, self._tokens) if self._tokens else tokens
        with self._lock:
            start = max(now, self._not_before, self._recent[-1].start if self._recent else now)
            while self._recent and self._recent[0].start <= start - WINDOW:
                self._recent.popleft()
            while self._recent and self._full(tokens):
                start = max(start, self._recent.popleft().start + WINDOW)
            place = Reservation(start, tokens)
            self._recent.append(place)
            return place

    def settle(self, place: Reservation, tokens: int) -> None:
        """What the request really used."""
        with self._lock:
            place.tokens = tokens

    def pause(self, until: float) -> None:
        """No request may start before."""
        with self._lock:
            self._not_before = max(self._not_before, until)

    def holds(self, place: Reservation) -> bool:
        """Whether the request may be sent at its time: no pause was called in the meantime."""
        return place.start >= self._not_before

    def _full(self, tokens: int) -> bool:
        if self._requests and len(self._recent) >= self._requests:
            return True
        return bool(self._tokens) and sum(place.tokens for place in self._recent) + tokens > (self._tokens or 0)
