"""64 manifests, and what a real 1.32 server said of each."""

import json
from typing import Any

import pytest

from tests.kubernetes.fake import FakeCluster
from tests.kubernetes.raw import Reply, ask
from tests.shared_data import ROOT, shared

RECORDED = ROOT / "kubernetes" / "admission-cases.jsonl"
CASES = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()] if RECORDED.exists() else []
SHOWN = 110
"""The recording keeps this many characters of the first line that kubectl printed."""


def test_cases_are_here() -> None:
    """Without the recording the table below is empty, and this says so."""
    assert len(CASES) == 64 or shared("kubernetes/admission-cases.jsonl")


def post(cluster: FakeCluster, manifest: dict[str, Any]) -> Reply:
    """A strict dry run, sent as kubectl sends it: to the path that the manifest names."""
    path = f"/apis/{manifest['apiVersion']}/namespaces/{manifest['metadata']['namespace']}/jobs"
    return ask(cluster.host, "POST", f"{path}?dryRun=All&fieldValidation=Strict", manifest)


def printed(status: int, body: dict[str, Any]) -> str:
    """The first line that kubectl prints of a failure."""
    causes = (body.get("details") or {}).get("causes", [])
    if status == 422 and causes:
        head = f'The {body["details"]["kind"]} "{body["details"]["name"]}" is invalid: '
        return head + (f"{causes[0]['field']}: {causes[0]['message']}" if len(causes) == 1 else "")
    return f'Error from server ({body["reason"]}): error when creating "STDIN": {body["message"]}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One cluster for the table: dry runs leave nothing behind."""
    cluster = FakeCluster(tmp_path_factory.mktemp("admission"))
    yield cluster
    cluster.close()
    assert not cluster.errors, cluster.errors[0]


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_answer_is_the_recorded_one(server: FakeCluster, case: dict[str, Any]) -> None:
    """A fake that takes what a cluster refuses makes tests pass and deployments fail."""
    reply = post(server, case["manifest"])
    status, body, warning = reply.status, reply.body, reply.headers.get("Warning", "")
    recorded = case["message"]
    if case["api"] == "accepts":
        assert status == 201, body
        assert not recorded or recorded.removeprefix("Warning: ") in warning
    elif recorded.startswith("error: resource mapping not found"):
        assert status == 404, "kubectl finds no such version among the server's, and asks no further"
    elif recorded.startswith('error: unable to decode "STDIN": '):
        assert status == 400, "kubectl reads metadata itself; the server uses the same decoder"
        assert recorded.partition('"STDIN": ')[2] in body["message"]
    else:
        line = printed(status, body)
        assert line[:SHOWN].strip() == recorded


def test_dry_runs_store_nothing(server: FakeCluster) -> None:
    """A dry run is answered as if it had been stored, under a uid of its own."""
    assert server.jobs() == []
