"""The chat endpoint's client, against a real server on this machine."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from lifecycle.endpoint.calls import Address, retry_after
from lifecycle.endpoint.client import Endpoint
from lifecycle.endpoint.variables import KEY, URL
from lifecycle.errors import EndpointError
from lifecycle.recipe.endpoint import EndpointConfig
from tests.chat_server import KEY as PLANTED
from tests.chat_server import ChatServer, Reply, chat_server, said

CONFIG = EndpointConfig(model="judge-1", input_price=2.0, output_price=8.0)


def question(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def asked(body: dict[str, Any]) -> str:
    return body["messages"][-1]["content"]


def echo(body: dict[str, Any], _: int) -> Reply:
    return said(f"re: {asked(body)}")


def client(server: ChatServer, cache: Path, **changes: Any) -> Endpoint:
    return Endpoint(CONFIG.model_copy(update=changes), server.address, cache, backoff=0.01)


def texts(endpoint: Endpoint, questions: list[str]) -> list[str | None]:
    return [reply.answer.text if reply.answer else None for reply in endpoint.ask([question(each) for each in questions])]


def test_answers_come_in_the_order_of_the_questions_and_are_paid_for_once(tmp_path: Path) -> None:
    questions = [f"question {number}, 问题" for number in range(20)]
    with chat_server(echo) as server:
        first = client(server, tmp_path)
        assert texts(first, [*questions, questions[0]]) == [f"re: {each}" for each in [*questions, questions[0]]]
        again = client(server, tmp_path)
        assert texts(again, ["a new one", *questions]) == ["re: a new one", *(f"re: {each}" for each in questions)]
        texts(client(server, tmp_path, temperature=1.0), questions[:1])
    assert len(server.bodies) == 20 + 1 + 1, "equal questions are sent once; other settings are another question"
    assert (first.usage.requests, first.usage.kept, first.usage.input_tokens) == (21, 1, 200)
    assert first.usage.cost == pytest.approx(20 * (10 * 2.0 + 5 * 8.0) / 1e6)
    assert (again.usage.kept, again.usage.input_tokens) == (20, 10)
    assert server.authorizations == {f"Bearer {PLANTED}"}


def test_every_failure_that_passes_is_tried_again(tmp_path: Path) -> None:
    """Errors of the server, cut connections, silence, and 200 with something that is no answer."""
    half = said("half an answer")
    half.cut = True
    troubles = {
        "error": Reply(500, b"oops"),
        "busy": Reply(429, headers={"Retry-After": "0"}),
        "cut": half,
        "slow": Reply(seconds=60.0),
        "garbage": Reply(body=b"<html>not json"),
        "empty": said("  "),
        "other": Reply(body=b'{"choices": []}'),
    }
    with chat_server(lambda body, times: troubles[asked(body)] if times == 0 else echo(body, times)) as server:
        endpoint = client(server, tmp_path, timeout_seconds=2.0, attempts=9, concurrency=7)
        assert texts(endpoint, list(troubles)) == [f"re: {each}" for each in troubles]
    retries = endpoint.usage.retries
    expected = {"status_500": 1, "status_429": 1, "connection": 1, "timeout": 1, "unreadable_answer": 3}
    assert all(retries[reason] >= count for reason, count in expected.items()), retries
    assert not endpoint.usage.failures


def test_a_question_that_fails_at_every_attempt_leaves_its_own_place_empty(tmp_path: Path) -> None:
    """A reply that is missing must not move those behind it to another question; what failed is asked again next time."""

    def behaviour(body: dict[str, Any], times: int) -> Reply:
        if asked(body) == "bad" and times < 3:
            return Reply(body=b"{}")
        return Reply(400, b"too long") if asked(body) == "refused" else echo(body, times)

    with chat_server(behaviour) as server:
        endpoint = client(server, tmp_path, attempts=3)
        assert texts(endpoint, ["a", "bad", "b", "refused", "c"]) == ["re: a", None, "re: b", None, "re: c"]
        assert dict(endpoint.usage.failures) == {"unreadable_answer": 1, "status_400": 1}
        assert [asked(body) for body in server.bodies].count("refused") == 1
        assert texts(client(server, tmp_path), ["a", "bad", "c"]) == ["re: a", "re: bad", "re: c"]


def test_the_server_says_how_long_all_requests_wait(tmp_path: Path) -> None:
    """Twenty threads that each learn of the limit for themselves would be told twenty times."""
    with chat_server(
        lambda body, times: Reply(429, headers={"Retry-After": "1"}) if times == 0 else echo(body, 1)
    ) as server:
        assert texts(client(server, tmp_path, concurrency=1), ["a"]) == ["re: a"]
    first, second = server.times
    assert second - first >= 1.0
    later = datetime.now(UTC) + timedelta(seconds=90)
    assert 80 < (retry_after(format_datetime(later, usegmt=True)) or 0) <= 90
    assert retry_after("soon") is None


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(401, f"wrong key {PLANTED}".encode()), "not accepted"),
        (Reply(404), "no model"),
        (Reply(429, b'{"error": {"code": "insufficient_quota"}}'), "used up"),
        (Reply(429, headers={"Retry-After": "86400"}), "asks to wait"),
        (Reply(302, headers={"Location": "http://127.0.0.1:9/"}), "no answer to a chat"),
        (Reply(400, b"unknown field"), "none of 2"),
    ],
)
def test_an_endpoint_that_will_never_answer_ends_the_run_at_once(tmp_path: Path, reply: Reply, says: str) -> None:
    with chat_server(lambda *_: reply) as server:
        with pytest.raises(EndpointError, match=says) as caught:
            texts(client(server, tmp_path), ["a", "b"])
        assert len(server.bodies) <= 2, "it was not asked again"
    assert PLANTED not in str(caught.value)


def test_an_endpoint_that_is_away_is_an_error_and_not_a_thousand_missing_answers(tmp_path: Path) -> None:
    """The address is in requests' own messages, and behind them as the cause of the error: neither may reach a log."""
    with chat_server(echo) as server:
        pass
    with pytest.raises(EndpointError, match="in a row failed") as caught:
        texts(client(server, tmp_path, attempts=2), [f"question {number}" for number in range(100)])
    assert caught.value.__cause__ is None
    assert server.address.url not in str(caught.value)


def test_neither_key_nor_address_is_written_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="lifecycle")
    with chat_server(lambda body, times: Reply(503) if times == 0 else echo(body, times)) as server:
        monkeypatch.setenv(URL, server.address.url + "/")
        monkeypatch.setenv(KEY, PLANTED)
        endpoint = Endpoint(CONFIG, Address.from_environment(), tmp_path, backoff=0.01)
        replies = endpoint.ask([question("a")])
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login other password other\n")
        monkeypatch.setenv("NETRC", str(netrc))
        endpoint.ask([question("b")])
    assert server.authorizations == {f"Bearer {PLANTED}"}, "a .netrc must not sign in somebody else"
    kept = "".join(path.read_text() for path in tmp_path.rglob("*.json"))
    written = kept + caplog.text + repr((replies, endpoint.usage, endpoint.config, Address.from_environment()))
    written += json.dumps(endpoint.usage.facts())
    assert kept
    assert PLANTED not in written
    assert "127.0.0.1" not in written


@pytest.mark.parametrize("url", ["", "localhost:8000/v1"])
def test_an_address_is_asked_for_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv(URL, url)
    with pytest.raises(EndpointError, match=URL):
        Address.from_environment()


def test_a_damaged_answer_is_asked_for_again(tmp_path: Path) -> None:
    with chat_server(echo) as server:
        texts(client(server, tmp_path), ["a"])
        (entry,) = tmp_path.rglob("*.json")
        entry.write_text(entry.read_text().replace("re: a", "re: b"))
        assert texts(client(server, tmp_path), ["a"]) == ["re: a"]
    assert len(server.bodies) == 2


PROGRAM = """
import sys
from pathlib import Path
from lifecycle.endpoint.calls import Address
from lifecycle.endpoint.client import Endpoint
from lifecycle.recipe.endpoint import EndpointConfig
endpoint = Endpoint(EndpointConfig(model="judge-1", concurrency=2), Address.from_environment(), Path(sys.argv[1]))
endpoint.ask([[{"role": "user", "content": f"question {n}"}] for n in range(8)])
"""


def test_a_killed_run_pays_only_for_what_was_under_way(tmp_path: Path) -> None:
    """The fifth question hangs the first time; the run is killed there."""

    def behaviour(body: dict[str, Any], times: int) -> Reply:
        reply = echo(body, times)
        reply.seconds = 100.0 if asked(body) == "question 4" and times == 0 else 0.0
        return reply

    with chat_server(behaviour) as server:
        environment = {**os.environ, URL: server.address.url, KEY: PLANTED}
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)], env=environment)
        while len(list(tmp_path.rglob("*.json"))) < 7 and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.returncode == -signal.SIGKILL, "the run ended before it was killed"
        before = len(server.bodies)
        subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], env=environment, check=True)
    assert before == 8
    assert [asked(body) for body in server.bodies[before:]] == ["question 4"]
