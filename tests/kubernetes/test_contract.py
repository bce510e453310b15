"""The fake cluster answers as a real one did: the recorded requests are asked again, in order."""

import json
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.kubernetes.fake import FakeCluster, Image
from tests.kubernetes.fake.access import ADMIN_TOKEN, GUEST_TOKEN
from tests.kubernetes.raw import Reply, ask
from tests.kubernetes.recording import POD, by_object, normal, read
from tests.shared_data import ROOT, shared

FOLDER = ROOT / "kubernetes"
HERE = (FOLDER / "transcript.jsonl.gz").exists()
EXCHANGES = [entry for entry in read(FOLDER / "transcript.jsonl.gz") if "request" in entry] if HERE else []
KINDS = {
    "jobs": "/apis/batch/v1/namespaces/golden/jobs",
    "pods": "/api/v1/namespaces/golden/pods",
    "events": "/api/v1/namespaces/golden/events",
}
WATCHED = {kind: by_object(kind, read(FOLDER / f"watch-{kind}.jsonl.gz")) if HERE else {} for kind in KINDS}

TOKENS = {"bad token": "nobody", "no right": GUEST_TOKEN, "own rights asked": GUEST_TOKEN}
READY_FIRST = {"log followed to the end": "good", "delete, Background": "bg"}
"""Jobs that had two ready pods at a request whose answer does not show it."""
PATIENCE = 20.0
STEP = 0.1

DIFFERENT = {
    "batch/v1 resources": "the fake stores no CronJobs, and names neither categories nor storage hashes",
}


class Replay:
    """Asks the recorded requests of a fake cluster, and lets its time pass only where the recording had waited.

    So no state is missed on a busy machine; only the processes of the pods take real time.
    """

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.answers: list[Reply] = []
        self.seen: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}

    def run(self) -> None:
        for entry in EXCHANGES:
            self.answers.append(self._ask(entry))
            if entry["title"] == "namespace created":
                for kind in KINDS:
                    threading.Thread(target=self._watch, args=(kind,), daemon=True).start()
        self._until(lambda: all(len(self.seen[kind]) >= sum(map(len, WATCHED[kind].values())) for kind in KINDS))

    def _ask(self, entry: dict[str, Any]) -> Reply:
        request, title = entry["request"], entry["title"]
        path, body = self._translated(request["path"]), request["body"]
        if title in READY_FIRST:
            self._until(lambda: self._ready(READY_FIRST[title]) == 2)
        if title == "namespace deleted":
            self._until(lambda: not self.cluster.pods("golden"))
        if request["method"] in ("DELETE", "PATCH") and isinstance(entry["body"], dict):
            self.cluster.step(0)
            self._reach(entry["body"], path)
        replies: list[Reply] = []

        def answered() -> bool:
            token = TOKENS.get(title, ADMIN_TOKEN)
            replies.append(ask(self.cluster.host, request["method"], path, body, request["contentType"], token))
            return request["method"] != "GET" or title in DIFFERENT or same(entry, replies[-1])

        self._until(answered)
        return replies[-1]

    def _ready(self, name: str) -> int:
        return next((j["status"].get("ready", 0) for j in self.cluster.jobs("golden") if j["metadata"]["name"] == name), 0)

    def _reach(self, recorded: dict[str, Any], path: str) -> None:
        """Wait until the object that will be changed is where the recorded answer shows it."""
        listed = recorded.get("items", [])
        for item in listed or ([recorded] if recorded["kind"] in ("Job", "Pod") and recorded["status"] else []):
            where = path.partition("?")[0] + (f"/{item['metadata']['name']}" if listed else "")
            self._until(lambda p=where, i=item: reached(i, ask(self.cluster.host, "GET", p).body))

    def _translated(self, path: str) -> str:
        """The path with the names of this run's pods."""

        def named(prefix: str) -> list[str]:
            names = [pod["metadata"]["name"] for pod in self.cluster.pods("golden")]
            return [name for name in names if name.startswith(prefix)]

        def name(found: re.Match[str]) -> str:
            prefix = f"{found[1]}-{found[2]}-"
            self._until(lambda: bool(named(prefix)))
            return named(prefix)[0]

        return POD.sub(name, path)

    def _until(self, true: Callable[[], bool]) -> None:
        """Let time pass until something holds; what never does is told by the comparison that follows."""
        until = time.monotonic() + PATIENCE
        while not true() and time.monotonic() < until:
            self.cluster.step(STEP)

    def _watch(self, kind: str) -> None:
        request = urllib.request.Request(
            f"{self.cluster.host}{KINDS[kind]}?watch=true&allowWatchBookmarks=true",
            headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
        )
        try:
            with urllib.request.urlopen(request) as lines:
                for line in lines:
                    self.seen[kind].append(json.loads(line))
        except OSError:
            return


def reached(recorded: dict[str, Any], item: dict[str, Any]) -> bool:
    """Whether an object is where the recorded one was: its status, and whether an owner still claims it."""
    owned = [bool(one.get("metadata", {}).get("ownerReferences")) for one in (recorded, item)]
    return normal(recorded["status"]) == normal(item.get("status")) and owned[0] == owned[1]


def same(entry: dict[str, Any], reply: Reply) -> bool:
    return entry["status"] == reply.status and normal(entry["body"]) == normal(reply.body)


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    """The whole recording, asked once of a cluster with the recorded node and image."""
    shared("kubernetes/transcript.jsonl.gz")
    cluster = FakeCluster(tmp_path_factory.mktemp("contract"), scale=0, nodes=0)
    cluster.add_node("127.0.0.1")
    cluster.images["k8s.local/busybox:1"] = Image()
    done = Replay(cluster)
    try:
        done.run()
        yield done
    finally:
        cluster.close()
    assert not cluster.errors, cluster.errors[0]


@pytest.mark.parametrize("number", range(len(EXCHANGES)), ids=[f"{n}-{entry['title']}" for n, entry in enumerate(EXCHANGES)])
def test_exchange(replay: Replay, number: int) -> None:
    """Status, headers and the whole body, but for what belongs to one run."""
    entry, reply = EXCHANGES[number], replay.answers[number]
    assert (reply.status, reply.headers.get("Warning")) == (entry["status"], entry["headers"].get("Warning"))
    assert reply.headers.get("Content-Type") == entry["headers"].get("Content-Type")
    if entry["title"] in DIFFERENT:
        keep = {key: normal(entry["body"][key]) for key in ("kind", "apiVersion", "reason", "code") if key in entry["body"]}
        assert {key: normal(reply.body[key]) for key in keep} == keep
        return
    assert normal(reply.body) == normal(entry["body"])


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in WATCHED[kind]])
def test_watched(replay: Replay, kind: str, name: str) -> None:
    """Every object goes through the recorded states in the recorded order."""
    recorded = WATCHED[kind][name]
    seen = by_object(kind, replay.seen[kind]).get(name, [])
    assert seen[: len(recorded)] == recorded


def test_recording_is_here() -> None:
    """Without the recording the tables above are empty, and this says so."""
    assert len(EXCHANGES) == 68 or shared("kubernetes/transcript.jsonl.gz")
