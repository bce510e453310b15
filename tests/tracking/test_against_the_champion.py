"""A new model beside the champion of the day: the right one, on the same items, read again when it counts."""

import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from lifecycle.artifacts import Store
from lifecycle.evaluation.champion import compare_with_champion
from lifecycle.evaluation.figures import read_report
from lifecycle.evaluation.gates import decide_gates
from lifecycle.locks import StoreLock
from lifecycle.recipe.gates import Gate
from lifecycle.tracking import promotion
from lifecycle.tracking.connection import connect
from lifecycle.tracking.gate_tags import REPORT_TAG
from lifecycle.tracking.promotion import Promotion, promote, promote_version, rollback
from lifecycle.tracking.registry import RegisteredVersion, find_version, opponent
from tests.tracking.chain import small_recipe
from tests.tracking.judged import Judged, judged_life
from tests.tracking.test_registry_and_lineage import record_all

GATES = (Gate(metric="kind_of_object/acc", compared_to="champion", no_worse_by=2),)


@dataclass(frozen=True)
class Lives:
    """Models of rising accuracy, made once; each test has a registry of its own."""

    store: Store
    by_accuracy: dict[float, Judged]
    other_settings: Judged
    other_text: Judged


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Lives:
    directory = tmp_path_factory.mktemp("lives")
    store = Store(directory / "store")

    def life(accuracy: float, change: str = "", items: int = 12) -> Judged:
        own = f"dpo: {{learning_rate: {accuracy / 1000}}}\n{change}"  # it makes each model another one
        return judged_life(small_recipe(directory, lambda text: text + own), store, accuracy, items)

    return Lives(
        store,
        {accuracy: life(accuracy) for accuracy in (0.7, 0.8, 0.9)},
        life(0.95, "evaluation: {max_new_tokens: 32}\n"),
        life(0.8, "curation: {heldout: {max_bytes: 900000}}\n", items=11),
    )


def take_part(uri: str, store: Store, one: Judged) -> Promotion:
    record_all(uri, store, {"dpo_model": one.made["dpo_model"]})

    def decide(version: RegisteredVersion | None):
        beside = compare_with_champion(store, one.report, version.label, version.digest, version.report) if version else None
        return decide_gates(one.report.path, GATES, beside)

    model = one.model
    return promote(
        uri, "small_dpo", model.fingerprint, model.digest, decide, report=one.report.fingerprint, store_root=store.root
    )


def test_a_model_clearly_worse_than_the_champion_is_refused_and_the_same_model_is_not_its_own_rival(
    tracking_uri: str, lives: Lives
) -> None:
    store, first = lives.store, lives.by_accuracy[0.8]
    assert take_part(tracking_uri, store, first).moved, "there is no champion yet, and its gate holds"
    assert opponent(tracking_uri, "small_dpo", first.model.digest) is None
    again = take_part(tracking_uri, store, first)
    assert (again.moved, again.champion) == (False, "small_dpo/1")
    assert "champion already" in again.reason
    worse = take_part(tracking_uri, store, lives.by_accuracy[0.7])
    assert (worse.moved, worse.champion) == (False, "small_dpo/1")
    assert "kind_of_object/acc of dpo is 0.7, worse by" in worse.reason
    assert "of the champion small_dpo/1 over 300 items that both answered" in worse.reason
    better = take_part(tracking_uri, store, lives.by_accuracy[0.9])
    assert (better.moved, better.champion, better.previous) == (True, "small_dpo/3", "small_dpo/1")


def test_other_settings_or_a_lost_report_refuse_with_the_reason(tracking_uri: str, lives: Lives) -> None:
    """Figures by other settings look like figures, and say nothing."""
    take_part(tracking_uri, lives.store, lives.by_accuracy[0.8])
    other = take_part(tracking_uri, lives.store, lives.other_settings)
    assert not other.moved
    assert "small_dpo/1 was evaluated otherwise: evaluation.max_new_tokens 48 → 32" in other.reason
    connect(tracking_uri).set_model_version_tag("small_dpo", "1", REPORT_TAG, "0" * 32)
    lost = take_part(tracking_uri, lives.store, lives.by_accuracy[0.9])
    assert f"the evaluation report {'0' * 32} of small_dpo/1 is gone" in lost.reason


def test_on_other_held_out_text_only_common_items_count(lives: Lives) -> None:
    """New data is held out with every curation; a champion must not be beyond comparison for that."""
    store, first, curated = lives.store, lives.by_accuracy[0.8], lives.other_text
    inputs = [store.input_artifact(each.report, "heldout_text").digest for each in (first, curated)]
    assert inputs[0] != inputs[1]
    beside = compare_with_champion(store, curated.report, "small_dpo/1", "d", first.report.fingerprint)
    assert (beside.problem, beside.metrics) == (None, {}), "its figures are of other text: no column of them"
    assert {each.metric: each.items for each in beside.contrasts} == {
        "kind_of_object/acc": 300,
        "answers/reference_score": 24,
    }, "bits per byte and held-out pairs are of other text"
    shown = [sample["prompt"] for sample in read_report(curated.report.path)["samples"]]
    assert len(shown) == 10
    assert {prompt: each.answer for prompt, each in beside.answers.items()} == {
        prompt: f"dpo says {i}" for i, prompt in enumerate(shown)
    }, "its answers to the questions that are shown"


def test_a_gate_decided_with_another_champion_is_void(tracking_uri: str, lives: Lives) -> None:
    """Two versions were both judged beside the first champion; when one replaced it, the other must be judged anew."""
    store = lives.store
    for accuracy in (0.7, 0.8):
        assert take_part(tracking_uri, store, lives.by_accuracy[accuracy]).moved
    rollback(tracking_uri, "small_dpo", store)
    assert find_version(tracking_uri, "small_dpo@champion").label == "small_dpo/1"
    assert promote_version(tracking_uri, "small_dpo/2", store).moved, "judged beside version 1, which is the champion again"
    refused = promote_version(tracking_uri, "small_dpo/1", store)
    assert (refused.moved, refused.champion) == (False, "small_dpo/2")
    assert "was decided against no champion, and the champion is small_dpo/2 now" in refused.reason
    assert rollback(tracking_uri, "small_dpo", store).champion == "small_dpo/1", "going back needs no new comparison"


def test_promotion_reads_again_under_the_lock_of_the_store(
    tracking_uri: str, lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read before the lock was held may be old: MLflow's aliases and tags know no compare-and-set."""
    store = lives.store
    for accuracy in (0.7, 0.8):
        take_part(tracking_uri, store, lives.by_accuracy[accuracy])
    arrived, own_lock = threading.Event(), promotion._only_one

    def announced(root: Path, name: str) -> StoreLock:
        arrived.set()
        return own_lock(root, name)

    monkeypatch.setattr(promotion, "_only_one", announced)
    said: list[Promotion] = []
    back = threading.Thread(target=lambda: said.append(rollback(tracking_uri, "small_dpo", store)))
    with own_lock(store.root, "small_dpo"):
        back.start()
        assert arrived.wait(120)
        client = connect(tracking_uri)
        tag = client.get_model_version("small_dpo", "1").tags["lifecycle.gate.0"]
        client.set_model_version_tag("small_dpo", "1", "lifecycle.gate.0", tag.replace('"passed": true', '"passed": false'))
    back.join()
    assert (said[0].moved, said[0].champion) == (False, "small_dpo/2")
    assert "gate failed: kind_of_object/acc" in said[0].reason
