"""No minute holds more than the limits allow, whatever is asked and when."""

from hypothesis import given
from hypothesis import strategies as st

from lifecycle.endpoint.limits import WINDOW, Limits


@given(
    requests=st.integers(1, 5),
    tokens=st.integers(10, 100),
    asked=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 150)), min_size=1, max_size=30),
)
def test_no_window_holds_more_than_the_limits(requests: int, tokens: int, asked: list[tuple[int, int]]) -> None:
    limits, now, places = Limits(requests, tokens), 0.0, []
    for pause, wanted in asked:
        now += pause
        places.append((now, limits.reserve(wanted, now)))
    starts = [place.start for _, place in places]
    assert starts == sorted(starts), "first asked, first sent"
    for asked_at, place in places:
        assert place.start >= asked_at
        window = [other for _, other in places if place.start - WINDOW < other.start <= place.start]
        assert len(window) <= requests
        assert sum(other.tokens for other in window) <= tokens


def test_without_limits_nothing_waits_but_for_a_pause() -> None:
    limits = Limits(None, None)
    early = limits.reserve(10**9, 1.0)
    assert early.start == 1.0
    limits.pause(50.0)
    assert not limits.holds(early), "a request that waited for its place asks for another one"
    assert limits.reserve(1, 2.0).start == 50.0


def test_what_a_request_really_used_makes_room() -> None:
    limits = Limits(None, 100)
    place = limits.reserve(90, 0.0)
    limits.settle(place, 20)
    assert limits.reserve(70, 1.0).start == 1.0
    assert limits.reserve(70, 2.0).start == WINDOW + 1.0
