"""The real graph on the cluster: base, SFT and DPO on two nodes each, sampling and an evaluation in two portions."""

import os
import shutil
import signal
import subprocess
from typing import Any

import pytest

from lifecycle.evaluation.results import Results
from resources.launchers.kubernetes.manifests import STAGE
from resources.launchers.kubernetes.reaper import survey
from tests.graph_home import RECIPE, Home, make_home
from tests.kubernetes.running import REAL, Place, View, code_of_this_checkout, wait_until, write_profile

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

TRAINED = ("base_model", "sft_model", "dpo_model")
MADE_IN_THE_CLUSTER = (*TRAINED, "preference_pairs", "dpo_eval")
SAME = (*TRAINED, "preference_pairs")
SECONDS = 900.0


def cluster_home(finished: Home, place: Place) -> Home:
    """A home in which everything is done but what runs in the cluster, and whose trainings run there."""
    home = make_home(place.store / "home")
    shutil.copytree(finished.path / "store", home.path / "store", ignore=shutil.ignore_patterns(".runs", "sampling"))
    for stage in MADE_IN_THE_CLUSTER:
        shutil.rmtree(home.path / "store" / stage)
    recipe = home.path / "recipe.yaml"
    text = RECIPE.read_text(encoding="utf-8")
    text = text.replace("evaluation:\n", "evaluation:\n  processes: 2\n").replace(
        "preferences:\n", "preferences:\n  processes: 2\n"
    )
    recipe.write_text(text, encoding="utf-8")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, cores // 2)))  # as many as two ranks of one machine have
    write_profile(
        place.profile,
        place.store,
        memory="2Gi",
        environment={"OMP_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1"} | code_of_this_checkout(place.store),
        network={"variables": {} if REAL else {"GLOO_SOCKET_IFNAME": "lo"}},
    )
    where = {"LIFECYCLE_CLUSTER": str(place.profile), "KUBECONFIG": str(place.kubeconfig)}
    return Home(home.path, home.environment | where | {"LIFECYCLE_RECIPE": str(recipe)})


def said(home: Home) -> str:
    return (home.path / "output.log").read_text(encoding="utf-8")


def jobs_of(view: View, stage: str) -> list[dict[str, Any]]:
    return [job for job in view.jobs() if job["metadata"]["labels"][STAGE] == stage]


def wait(what: Any, process: subprocess.Popen[bytes], home: Home) -> Any:
    """The first true answer of `what` while the process runs."""

    def look() -> Any:
        assert process.poll() is None, said(home)[-6000:]
        return what()

    return wait_until(look, "what the run was to do", SECONDS)


def test_the_graph_on_two_nodes_makes_what_one_machine_makes(finished: Home, place: Place, view: View) -> None:
    """Its supervisor is killed while the base model is trained, the next run adopts that; of SFT a node is drained."""
    home = cluster_home(finished, place)
    checkpoints = home.path / "store" / ".runs"
    first = home.start("run")
    wait(lambda: list(checkpoints.glob("*/checkpoints/step_*")), first, home)
    first.send_signal(signal.SIGKILL)
    first.wait()
    [orphan] = view.jobs()
    second = home.start("run")
    try:
        wait(lambda: len(view.running("sft_model")) == 2, second, home)
        for pod in view.running("sft_model")[1:]:
            view.evict(pod)
        assert second.wait(SECONDS) == 0, said(home)[-6000:]
    finally:
        second.kill()
        second.wait()

    assert f"{orphan['metadata']['name']}: adopted" in said(home)
    assert [job["metadata"]["uid"] for job in jobs_of(view, "base_model")] == [orphan["metadata"]["uid"]]
    before, after = finished.summary()["assets"], home.summary()["assets"]
    if not REAL:  # its nodes' processors may round otherwise than this machine's
        assert {stage: after[stage]["digest"] for stage in SAME} == {stage: before[stage]["digest"] for stage in SAME}
        anew = {name for name, asset in after.items() if not asset["reused"]}
        assert anew <= {*MADE_IN_THE_CLUSTER, "comparisons", "eval_report"}, "these two read the evaluation"
        check_portions(finished, home, before["dpo_eval"]["fingerprint"])
    check_cluster(view)


def check_portions(finished: Home, home: Home, fingerprint: str) -> None:
    """Two processes found what one had found, but for the rounding of other batches."""
    whole, portions = (Results.read(each.path / "store" / "dpo_eval" / fingerprint) for each in (finished, home))
    assert portions.answers is not None
    assert whole.answers is not None
    assert portions.answers.n == whole.answers.n
    assert {name: task.n for name, task in portions.tasks.items()} == {name: task.n for name, task in whole.tasks.items()}
    bits = [each.metrics()["heldout_bits_per_byte/bits_per_byte"].value for each in (whole, portions)]
    assert bits[0] == pytest.approx(bits[1], rel=1e-5)
    assert portions.preferences is not None
    assert whole.preferences is not None
    assert portions.preferences.margin == pytest.approx(whole.preferences.margin, rel=1e-3, abs=1e-4)
    shares = (home.path / "store" / ".runs" / fingerprint / "shares").glob("*.json")
    assert sorted(path.name for path in shares) == ["0-of-2.json", "1-of-2.json"]


def check_cluster(view: View) -> None:
    """Everything ran there, on two nodes, and nothing is left that somebody would have to own."""
    for stage in MADE_IN_THE_CLUSTER:
        assert {job["spec"]["completions"] for job in jobs_of(view, stage)} == {2}, stage
    view.nothing_runs()
    entries = survey(view.cluster, lambda run: False)
    assert {entry.owner for entry in entries} == {"over"}, entries
