"""What a pod of the fake cluster is: a process with its variables, volumes, names and log."""

import sys
from pathlib import Path

import psutil
import pytest
from kubernetes.client.exceptions import ApiException

from tests.kubernetes.fake import FakeCluster, Image
from tests.kubernetes.running import wait_until
from tests.kubernetes.workloads import Client, ended, job, running


def output(api: Client, name: str) -> str:
    """The log of a one-pod job, once it has ended."""
    ended(api, name)
    return api.log(api.pods(name)[0].metadata.name)


def test_variables_are_those_of_the_manifest(
    fake_cluster: FakeCluster, api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that the manifest forgets must be missing, though the test itself has it."""
    monkeypatch.setenv("ONLY_THE_TEST_HAS_THIS", "1")
    fake_cluster.images["lifecycle:test"] = Image(environment={"FROM_IMAGE": "image"})
    env = [
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "RANK", "value": "rank $(JOB_COMPLETION_INDEX) of $(NOBODY) for $$(POD)"},
    ]
    env.insert(
        2,
        {
            "name": "JOB_COMPLETION_INDEX",
            "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"}},
        },
    )
    command = 'echo "$POD|$NODE|$RANK|$FROM_IMAGE|$ONLY_THE_TEST_HAS_THIS|"'
    api.create(job("env", command, pod={"container": {"env": env}}))
    text = output(api, "env")
    [pod] = api.pods("env")
    assert text == f"{pod.metadata.name}|{pod.spec.node_name}|rank 0 of $(NOBODY) for $(POD)|image||\n"


def test_volumes_are_where_the_container_looks(fake_cluster: FakeCluster, api: Client, tmp_path: Path) -> None:
    """Claims and host paths keep what is written, a ConfigMap is files, an emptyDir starts empty."""
    store, host = tmp_path / "store", tmp_path / "host"
    store.mkdir()
    fake_cluster.add_claim("store", store)
    api.core.create_namespaced_config_map(api.namespace, {"metadata": {"name": "job"}, "data": {"job.json": '{"a": 1}'}})
    volumes = [
        {"name": "store", "persistentVolumeClaim": {"claimName": "store"}},
        {"name": "host", "hostPath": {"path": str(host), "type": "DirectoryOrCreate"}},
        {"name": "job", "configMap": {"name": "job"}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
    ]
    mounts = [
        {"name": v["name"], "mountPath": path}
        for v, path in zip(volumes, ("/store", str(host), "/etc/job", "/dev/shm"), strict=True)
    ]
    command = f"cat /etc/job/job.json > /store/copy; ls /dev/shm | wc -l; echo kept > {host}/kept"
    api.create(job("volumes", command, pod={"volumes": volumes, "container": {"volumeMounts": mounts}}))
    assert output(api, "volumes") == "0\n"
    assert (store / "copy").read_text() == '{"a": 1}'
    assert (host / "kept").read_text() == "kept\n"


def test_missing_config_map_holds_the_pod_until_it_is_there(fake_cluster: FakeCluster, api: Client) -> None:
    """A job released before its ConfigMap waits; it does not fail."""
    volumes = [{"name": "job", "configMap": {"name": "later"}}]
    mounts = [{"name": "job", "mountPath": "/etc/job"}]
    api.create(job("early", "cat /etc/job/a", pod={"volumes": volumes, "container": {"volumeMounts": mounts}}))
    wait_until(lambda: any(event["reason"] == "FailedMount" for event in fake_cluster.events()))
    api.core.create_namespaced_config_map(api.namespace, {"metadata": {"name": "later"}, "data": {"a": "now"}})
    assert output(api, "early") == "now"


def test_ranks_find_each_other_by_name(api: Client) -> None:
    """Fact 15: `<job>-0.<service>` reaches rank 0, at a port that other jobs of the machine do not share."""
    api.core.create_namespaced_service(
        api.namespace,
        {
            "metadata": {"name": "pair"},
            "spec": {"clusterIP": "None", "selector": {"job-name": "pair"}, "publishNotReadyAddresses": True},
        },
    )
    program = (
        "import os, socket, sys, time\n"
        "address = (os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT']))\n"
        "if os.environ['JOB_COMPLETION_INDEX'] == '0':\n"
        "    with socket.create_server(address) as server:\n"
        "        connection, _ = server.accept()\n"
        "        print('heard', connection.recv(100).decode())\n"
        "    sys.exit()\n"
        "for _ in range(200):\n"
        "    try:\n"
        "        connection = socket.create_connection(address)\n"
        "        break\n"
        "    except ConnectionRefusedError:\n"
        "        time.sleep(0.02)\n"
        "connection.sendall(sys.argv[1].encode())\n"
    )
    env = [
        {"name": "MASTER_ADDR", "value": "pair-0.pair.default.svc.cluster.local"},
        {"name": "MASTER_PORT", "value": "29500"},
    ]
    pod = {"subdomain": "pair", "container": {"env": env, "args": ["--from=pair-1.pair"]}}
    api.create(job("pair", [sys.executable, "-c", program], 2, pod=pod))
    assert ended(api, "pair").status.succeeded == 2
    zero = next(pod for pod in api.pods("pair") if pod.metadata.name.startswith("pair-0"))
    one = next(pod for pod in api.pods("pair") if pod.metadata.name.startswith("pair-1"))
    assert api.log(zero.metadata.name) == f"heard --from={one.status.pod_ip}\n"


def test_name_needs_a_headless_service(api: Client) -> None:
    """Without the Service the name stays a name, which nothing resolves."""
    api.create(
        job(
            "alone",
            "echo $MASTER",
            pod={"subdomain": "alone", "container": {"env": [{"name": "MASTER", "value": "alone-0.alone"}]}},
        )
    )
    assert output(api, "alone") == "alone-0.alone\n"


def test_descendants_end_with_the_first_process(fake_cluster: FakeCluster, api: Client) -> None:
    """A worker in a session of its own outlives a killed launcher on one machine, never in a container."""
    api.create(job("family", "setsid sleep 300 & echo $!; exit 3"))
    ended(api, "family")
    child = int(api.log(api.pods("family")[0].metadata.name))
    wait_until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


def test_init_container_runs_first_and_its_failure_fails_the_pod(api: Client, tmp_path: Path) -> None:
    """One after the other, then the main container."""
    init = [{"name": "first", "image": "lifecycle:test", "command": ["sh", "-c", f"echo init > {tmp_path}/order"]}]
    api.create(job("init", f"echo main >> {tmp_path}/order", pod={"initContainers": init}))
    ended(api, "init")
    assert (tmp_path / "order").read_text() == "init\nmain\n"
    init[0]["command"] = ["false"]
    api.create(job("badinit", "true", pod={"initContainers": init}))
    assert ended(api, "badinit").status.conditions[-1].type == "Failed"


def test_program_that_is_not_there(api: Client) -> None:
    """A wrong command is an ended container, code 128."""
    api.create(job("typo", ["/no/such/program"]))
    ended(api, "typo")
    state = api.pods("typo")[0].status.container_statuses[0].state.terminated
    assert (state.exit_code, state.reason) == (128, "StartError")


def test_log_by_tail_time_and_container(fake_cluster: FakeCluster, api: Client, tmp_path: Path) -> None:
    """Each line has its own time; `sinceSeconds` and `tailLines` pick from the end."""
    api.create(job("lines", f"for i in 1 2 3; do echo $i; done; until [ -e {tmp_path}/go ]; do sleep 0.02; done; echo 4"))
    [pod] = running(api, "lines")
    name = pod.metadata.name
    wait_until(lambda: api.log(name) == "1\n2\n3\n")
    fake_cluster.advance(60)
    (tmp_path / "go").touch()
    ended(api, "lines")
    assert api.log(name, tail_lines=2) == "3\n4\n"
    assert api.log(name, container="main", limit_bytes=3) == "1\n2"
    stamped = api.log(name, timestamps=True).splitlines()
    assert [line.partition(" ")[2] for line in stamped] == list("1234")
    assert sorted(stamped) == stamped
    assert api.log(name, since_seconds=30) == "4\n"
    fake_cluster.advance(60)
    assert api.log(name, since_seconds=30) == ""
    with pytest.raises(ApiException) as wrong:
        api.log(name, container="other")
    assert wrong.value.status == 400


def test_followed_log_ends_with_the_container(api: Client) -> None:
    """A follower gets lines while the pod runs, and the end when it ends."""
    api.create(job("followed", "echo one; sleep 0.3; echo two"))
    [pod] = running(api, "followed")
    answer = api.core.read_namespaced_pod_log(pod.metadata.name, api.namespace, follow=True, _preload_content=False)
    assert b"".join(answer.stream()) == b"one\ntwo\n"
