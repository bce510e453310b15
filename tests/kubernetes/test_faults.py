"""The faults that tests can order, as the real client and kubectl meet them."""

import shutil
import subprocess
import threading
from pathlib import Path

import psutil
import pytest
import urllib3
import yaml
from kubernetes import watch
from kubernetes.client.exceptions import ApiException

from tests.kubernetes.fake import FakeCluster, Image
from tests.kubernetes.raw import ask
from tests.kubernetes.running import wait_until
from tests.kubernetes.workloads import Client, connect, ended, job, running
from tests.patience import PATIENCE

COUNT = "i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo line $i; sleep 0.02; done"


@pytest.mark.parametrize("code", [401, 403, 409, 410, 415, 422, 429, 500, 503])
def test_refused_as_often_as_asked(fake_cluster: FakeCluster, api: Client, code: int) -> None:
    """One request of that verb, resource and name fails, and no other."""
    fake_cluster.faults.refuse(code, verb="get", resource="jobs", name="here")
    api.create(job("here", "true"))
    with pytest.raises(ApiException) as refused:
        api.job("here")
    assert refused.value.status == code
    assert api.job("here").metadata.name == "here"


def test_too_many_requests_says_when_to_come_back(fake_cluster: FakeCluster) -> None:
    """429 carries Retry-After."""
    fake_cluster.faults.refuse(429, retry_after=1)
    assert ask(fake_cluster.host, "GET", "/api/v1/nodes").headers["Retry-After"] == "1"
    assert ask(fake_cluster.host, "GET", "/api/v1/nodes").status == 200


def test_denied_right_is_refused_and_reviewed(fake_cluster: FakeCluster, api: Client) -> None:
    """A SelfSubjectAccessReview tells beforehand what a request would meet."""
    fake_cluster.access.deny("get", "pods/log")
    review = {
        "spec": {"resourceAttributes": {"namespace": "default", "verb": "get", "resource": "pods", "subresource": "log"}}
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert ask(fake_cluster.host, "POST", path, review).body["status"] == {"allowed": False}
    review["spec"]["resourceAttributes"]["verb"] = "list"
    assert ask(fake_cluster.host, "POST", path, review).body["status"] == {"allowed": True}
    api.create(job("logged", "true"))
    ended(api, "logged")
    with pytest.raises(ApiException) as refused:
        api.log(api.pods("logged")[0].metadata.name)
    assert refused.value.status == 403


def test_server_away_refuses_and_cuts_and_comes_back(fake_cluster: FakeCluster, api: Client, tmp_path: Path) -> None:
    """Its pods run on meanwhile."""
    api.create(job("away", f"until [ -e {tmp_path}/go ]; do sleep 0.02; done; echo done; touch {tmp_path}/gone"))
    [pod] = running(api, "away")
    follow = api.core.read_namespaced_pod_log(pod.metadata.name, api.namespace, follow=True, _preload_content=False)
    fake_cluster.away()
    with pytest.raises((urllib3.exceptions.HTTPError, OSError)):
        follow.read()
    with pytest.raises((urllib3.exceptions.HTTPError, OSError)):
        api.batch.api_client.rest_client.pool_manager.request("GET", fake_cluster.host, retries=False, timeout=5)
    (tmp_path / "go").touch()
    wait_until((tmp_path / "gone").exists, "the end of the pod")
    fake_cluster.back()

    def succeeded() -> bool:
        try:
            return api.job("away").status.succeeded == 1
        except (urllib3.exceptions.HTTPError, OSError):
            return False

    wait_until(succeeded)
    assert api.log(pod.metadata.name) == "done\n"


def test_cut_logs_lose_nothing_for_who_asks_again(fake_cluster: FakeCluster, api: Client, tmp_path: Path) -> None:
    """Connections break in the middle of a line; times tell a follower where it was."""
    fake_cluster.faults.cut_logs_every = 0.2
    go = tmp_path / "go"
    api.create(job("cut", f"{COUNT}; until [ -e {go} ]; do sleep 0.02; done; echo over"))
    [pod] = running(api, "cut")
    lines: dict[str, str] = {}
    cuts = 0
    while True:
        answer = api.core.read_namespaced_pod_log(
            pod.metadata.name, api.namespace, follow=True, timestamps=True, _preload_content=False
        )
        text = b""
        try:
            for piece in answer.stream():
                text += piece
        except (urllib3.exceptions.HTTPError, OSError):
            cuts += 1
            if cuts == 2:
                go.touch()
        else:
            lines |= {line.partition(" ")[0]: line.partition(" ")[2] for line in text.decode().splitlines()}
            break
        whole = text.decode().rpartition("\n")[0]
        lines |= {line.partition(" ")[0]: line.partition(" ")[2] for line in whole.splitlines()}
        if api.job("cut").status.succeeded:
            fake_cluster.faults.cut_logs_every = None
    assert cuts >= 2
    assert list(lines.values()) == [*(f"line {number}" for number in range(1, 61)), "over"]


def test_watch_goes_on_from_a_version_and_ends_with_410_when_it_is_forgotten(fake_cluster: FakeCluster, api: Client) -> None:
    """A watcher that was away for long must list again."""
    start = api.batch.list_namespaced_job(api.namespace).metadata.resource_version
    api.create(job("seen", "true"))
    ended(api, "seen")
    kinds = []
    for event in watch.Watch().stream(
        api.batch.list_namespaced_job, api.namespace, resource_version=start, timeout_seconds=60
    ):
        kinds.append((event["type"], [c.type for c in event["object"].status.conditions or []]))
        if "Complete" in kinds[-1][1]:
            break
    assert kinds[0] == ("ADDED", [])
    assert kinds[-2:] == [("MODIFIED", ["SuccessCriteriaMet"]), ("MODIFIED", ["SuccessCriteriaMet", "Complete"])]
    fake_cluster.forget_history()
    with pytest.raises(ApiException) as gone:
        next(watch.Watch().stream(api.batch.list_namespaced_job, api.namespace, resource_version=start, timeout_seconds=60))
    assert gone.value.status == 410


def test_cut_watch_can_be_resumed(fake_cluster: FakeCluster, api: Client) -> None:
    """The client goes on from the last version it saw, by itself."""
    fake_cluster.faults.cut_watches_every = 0.2
    api.create(job("long", "sleep 1"))
    seen: list[str] = []
    version = "0"
    while "Succeeded" not in seen:
        stream = watch.Watch().stream(
            api.core.list_namespaced_pod, api.namespace, resource_version=version, timeout_seconds=60
        )
        try:
            for event in stream:
                version = event["object"].metadata.resource_version
                seen += [event["object"].status.phase] if seen[-1:] != [event["object"].status.phase] else []
        except (urllib3.exceptions.HTTPError, OSError):
            continue
    assert seen == ["Pending", "Running", "Succeeded"]


def test_bookmarks_move_a_quiet_watch_forward(fake_cluster: FakeCluster, api: Client) -> None:
    """A watch of jobs learns of versions that only pods had, if it asked for bookmarks."""
    start = int(api.batch.list_namespaced_job(api.namespace).metadata.resource_version)
    api.core.create_namespaced_config_map(api.namespace, {"metadata": {"name": "other"}})
    stream = watch.Watch().stream(
        api.batch.list_namespaced_job, api.namespace, resource_version=start, allow_watch_bookmarks=True, timeout_seconds=60
    )
    threading.Timer(0.3, fake_cluster.advance, [60]).start()
    event = next(stream)
    assert event["type"] == "BOOKMARK"
    assert int(event["raw_object"]["metadata"]["resourceVersion"]) > start


def test_slow_server_is_slow(fake_cluster: FakeCluster, api: Client) -> None:
    """A client with a shorter patience gives up."""
    fake_cluster.faults.slow = 0.5
    with pytest.raises(urllib3.exceptions.HTTPError):
        api.batch.list_namespaced_job(api.namespace, _request_timeout=0.1)


def test_two_creators_one_winner(api: Client) -> None:
    """The name is what two supervisors fight over."""
    api.create(job("same", "true"))
    with pytest.raises(ApiException) as taken:
        api.create(job("same", "true"))
    assert taken.value.status == 409


def test_pages_are_whole_and_expire(fake_cluster: FakeCluster, api: Client) -> None:
    """Three pages of two; a page from before a compaction is 410."""
    for number in range(5):
        api.core.create_namespaced_config_map(api.namespace, {"metadata": {"name": f"page-{number}"}})
    names, token = [], None
    while True:
        page = api.core.list_namespaced_config_map(api.namespace, limit=2, _continue=token)
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert names == [f"page-{number}" for number in range(5)]
    token = api.core.list_namespaced_config_map(api.namespace, limit=2).metadata._continue
    fake_cluster.add_claim("change", fake_cluster.kubeconfig.parent)
    fake_cluster.forget_history()
    with pytest.raises(ApiException) as gone:
        api.core.list_namespaced_config_map(api.namespace, limit=2, _continue=token)
    assert gone.value.status == 410


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_creates_lists_logs_and_deletes(fake_cluster: FakeCluster, api: Client) -> None:
    """The other client that people use, with its own discovery, tables and validation."""

    def kubectl(*words: str, text: str = "") -> str:
        done = subprocess.run(
            ["kubectl", "--kubeconfig", str(fake_cluster.kubeconfig), *words],
            input=text,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return done.stdout + done.stderr

    assert "job.batch/shown created" in kubectl("create", "-f", "-", text=yaml.safe_dump(job("shown", "echo hello")))
    ended(api, "shown")
    assert "shown" in kubectl("get", "jobs")
    assert kubectl("logs", "job/shown") == "hello\n"
    wrong = job("Wrong", "true")
    assert 'The Job "Wrong" is invalid:' in kubectl("create", "-f", "-", text=yaml.safe_dump(wrong))
    assert 'job.batch "shown" deleted' in kubectl("delete", "job", "shown")
    wait_until(lambda: not fake_cluster.pods())


def test_nothing_runs_after_the_cluster_is_closed(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A test that leaves pods running must not leave processes."""
    cluster = FakeCluster(tmp_path_factory.mktemp("closed"))
    cluster.images["lifecycle:test"] = Image()
    api = connect(cluster)
    api.create(job("left", "echo $$; sleep 300"))
    [pod] = running(api, "left")
    pid = int(wait_until(lambda: api.log(pod.metadata.name)))
    cluster.close()
    assert not psutil.pid_exists(pid)
