"""The preference program as a process: what it learns, what a kill does to it, and what it refuses."""

import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from lifecycle.digests import digest_file
from lifecycle.errors import DataError
from lifecycle.jobs import TrainingJob
from lifecycle.preferences.table import HELDOUT
from lifecycle.recipe.preference_training import DpoConfig
from lifecycle.training import kto, reward
from lifecycle.training.exits import ExitClass, NumericsError
from lifecycle.training.journal import read_metrics
from lifecycle.training.memory import preference_disk_bytes
from lifecycle.training.preference import main
from lifecycle.training.preference_data import read_pairs
from lifecycle.training.preference_heldout import scores
from lifecycle.training.throughput import shape_of
from tests.launching import launch
from tests.patience import PATIENCE
from tests.training.held import held
from tests.training_preference.fixtures import (
    job,
    kto_job,
    labels_directory,
    pairs_directory,
    result,
    reward_job,
    run,
    start,
)

COMPARED = ("loss", "learning_rate", "gradient_norm", "rewards/accuracies", "rewards/margins", "logps/chosen")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pairs_directory(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, model_directory: Path, pairs: Path) -> TrainingJob:
    """One uninterrupted run."""
    which = job(tmp_path_factory.mktemp("whole"), model_directory, pairs)
    assert run(which) == 0, (Path(which.run_dir) / "log.txt").read_text()[-3000:]
    return which


def figures(which: TrainingJob, names: tuple[str, ...] = COMPARED) -> dict[int, tuple[float, ...]]:
    return {entry["step"]: tuple(entry[name] for name in names) for entry in read_metrics(Path(which.run_dir))}


def weights(which: TrainingJob) -> str:
    return digest_file(Path(which.output) / "model.safetensors")


def wait_for_step(which: TrainingJob, process, step: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        metrics = read_metrics(Path(which.run_dir))
        if metrics and metrics[-1]["step"] >= step:
            return
        time.sleep(0.005)


def test_it_learns_the_preference_and_exports_a_usable_model(finished: TrainingJob):
    facts = result(finished)
    assert facts["steps"] == 30
    assert facts["loss_first"] == pytest.approx(0.693147, abs=1e-5)
    assert facts["loss_last"] < 0.4
    assert facts["heldout_pairs"] == 12
    assert facts["heldout_reward_accuracy"] == 1.0
    assert facts["heldout_chosen_logp"]["after"] > facts["heldout_chosen_logp"]["before"]
    model = AutoModelForCausalLM.from_pretrained(finished.output)
    tokenizer = AutoTokenizer.from_pretrained(finished.output)
    assert tokenizer.chat_template
    assert len(tokenizer) == model.config.vocab_size
    assert not any(str(Path(finished.run_dir).parent) in file.read_text() for file in Path(finished.output).glob("*.json"))
    assert {path.stem for path in (Path(finished.run_dir) / "plots").glob("*.png")} == {
        "dpo_loss",
        "dpo_rewards",
        "throughput",
    }


def test_two_processes_give_the_same_model_as_one(tmp_path: Path, model_directory, pairs, finished):
    """Same pairs in the same steps: sums differ only in their order, 1e-5 of losses and 1e-5 of weights around 1.

    The first run of it took minutes: DeepSpeed compiled a shared-memory kernel that training never calls.
    """
    which = job(tmp_path, model_directory, pairs, processes=2)
    gives_the_same_with_two_processes(finished, which, COMPARED)
    shape = shape_of(AutoModelForCausalLM.from_pretrained(model_directory))
    for each in (finished, which):
        saved = (Path(each.run_dir) / "checkpoints" / "checkpoint-30").rglob("*")
        size = sum(path.stat().st_size for path in saved if path.suffix in (".pt", ".safetensors"))
        foretold = preference_disk_bytes(shape, DpoConfig.model_validate(each.config["dpo"])) / 3
        assert size == pytest.approx(foretold, rel=0.2)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_run_continues_with_the_same_losses(tmp_path: Path, model_directory, pairs, finished, how):
    """Killed between two checkpoints: the steps that follow, and the weights, equal an undisturbed run's."""
    which = job(tmp_path, model_directory, pairs)
    waiting, variables, go = held(which, 5)
    process = start(waiting, **variables)
    wait_for_step(which, process, 5)
    process.send_signal(how)
    go.touch()
    code = process.wait(timeout=PATIENCE)
    assert code == (-signal.SIGKILL if how == signal.SIGKILL else ExitClass.PREEMPTION.code)
    stopped_at = read_metrics(Path(which.run_dir))[-1]["step"]
    assert 5 <= stopped_at < 30
    assert run(which) == 0, (Path(which.run_dir) / "log.txt").read_text()[-3000:]
    journal = (Path(which.run_dir) / "journal.jsonl").read_text()
    assert '"kind": "resume", "step": 0' in journal.splitlines()[0]
    resumed_at = int(journal.rpartition('"kind": "resume", "step": ')[2].partition("}")[0])
    assert 0 < resumed_at <= stopped_at
    assert resumed_at == stopped_at or how == signal.SIGKILL
    assert figures(which) == figures(finished)
    assert weights(which) == weights(finished)
    assert not result(finished)["reference_logps"]["reused"]
    assert result(which)["reference_logps"]["reused"]
    assert "reference log-probabilities reused" in journal


def test_a_damaged_checkpoint_is_named_and_not_used(tmp_path: Path, model_directory, pairs, finished):
    """All checkpoints lost bytes, and one was never finished: the run goes on from nothing, to the same result."""
    which = job(tmp_path, model_directory, pairs)
    shutil.copytree(finished.run_dir, which.run_dir)
    checkpoints = Path(which.run_dir) / "checkpoints"
    for checkpoint in checkpoints.iterdir():
        (checkpoint / "optimizer.pt").write_bytes(b"damaged")
    shutil.copytree(checkpoints / "checkpoint-28", checkpoints / "checkpoint-29")
    (checkpoints / "checkpoint-29" / "complete.json").unlink()
    (checkpoints / "checkpoint-27").mkdir()
    (checkpoints / "checkpoint-27" / "complete.json").write_text('{"fingerprint": 7}')
    assert run(which) == 0
    log = (Path(which.run_dir) / "log.txt").read_text()
    assert "checkpoint-27: it was not written to its end; it is not used" in log
    assert "checkpoint-28: optimizer.pt is missing or damaged; it is not used" in log
    assert "checkpoint-29: it was not written to its end; it is not used" in log
    assert weights(which) == weights(finished)


@pytest.fixture
def _own_signal_handler():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("_own_signal_handler")
def test_what_is_not_finite_stops_the_run(tmp_path: Path, model_directory, pairs):
    """transformers logs NaN losses as 0 by default; here they end the run with the class numerics, and nothing is saved."""
    which = job(tmp_path, model_directory, pairs, learning_rate=1e30)
    with pytest.raises(NumericsError, match=r"step 2.*nan"):
        main(which)
    assert not list((Path(which.run_dir) / "checkpoints").glob("checkpoint-*"))


def test_pairs_that_are_all_too_long_give_one_clear_error(tmp_path: Path, model_directory, pairs):
    which = job(tmp_path, model_directory, pairs, max_length=8)
    with pytest.raises(DataError, match=r"40 are longer than dpo.max_length 8"):
        main(which)


@pytest.mark.usefixtures("_own_signal_handler")
def test_an_adapter_whose_loss_lowers_both_answers_is_flagged(tmp_path: Path, model_directory, pairs):
    """APO-down pushes both answers down: the run goes on, and says that it has forgotten how to answer.

    The reference is the model without the adapter, so the first loss is that of no difference; the best step's weights are
    what is exported, merged, beside the adapter.
    """
    settings = {"loss_type": ["apo_down"], "learning_rate": 1e-2, "validation_every": 5, "choose": "best"}
    which = job(tmp_path, model_directory, pairs, adapter={"rank": 4}, **settings)
    main(which)
    facts = result(which)
    assert facts["loss_first"] == pytest.approx(1.0, abs=1e-5)
    assert facts["log_probabilities_collapsed"]
    assert "much less probable than under the reference" in (Path(which.run_dir) / "journal.jsonl").read_text()
    measured = {entry["step"]: entry for entry in read_metrics(Path(which.run_dir)) if "heldout/accuracy" in entry}
    assert sorted(measured) == [5, 10, 15, 20, 25, 30]
    best = max(measured.values(), key=lambda entry: (entry["heldout/accuracy"], -entry["heldout/loss"]))
    assert facts["best_step"] == best["step"]
    assert facts["heldout_loss"] == best["heldout/loss"]
    assert facts["heldout_kl"] == best["heldout/kl"] > 0
    assert {path.name for path in (Path(which.output) / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    merged = AutoModelForCausalLM.from_pretrained(which.output)
    moved = [not torch.equal(a, b) for a, b in zip(merged.parameters(), _untrained(which).parameters(), strict=True)]
    assert any(moved)


def _untrained(which: TrainingJob) -> AutoModelForCausalLM:
    return AutoModelForCausalLM.from_pretrained(which.inputs["model"])


@pytest.mark.usefixtures("_own_signal_handler")
def test_kto_learns_from_single_answers(tmp_path: Path, model_directory):
    """From labels alone it comes to prefer what the held-out pairs prefer; their prompts are kept from it."""
    labels = labels_directory(tmp_path / "labels")
    which = kto_job(tmp_path, model_directory, labels)
    kto.main(which)
    facts = result(which)
    assert facts["loss_first"] == pytest.approx(0.5, abs=1e-5)
    assert (facts["rows"], facts["wanted"]) == (39, 23)
    assert facts["left_out"] == {"evaluation_prompt": 0, "heldout_pair": 1, "too_long": 0}
    assert facts["heldout_reward_accuracy"] == 1.0
    template = AutoTokenizer.from_pretrained(model_directory).chat_template
    assert AutoTokenizer.from_pretrained(which.output).chat_template == template
    two = kto_job(tmp_path / "two", model_directory, labels, processes=2, micro_batch=4)
    gives_the_same_with_two_processes(which, two, ("loss", "kl", "rewards/margins", "gradient_norm"))
    goes_on_to_the_same_weights(which, kto.main)


@pytest.mark.usefixtures("_own_signal_handler")
def test_a_reward_model_becomes_a_classifier(tmp_path: Path, model_directory, pairs):
    which = reward_job(tmp_path, model_directory, pairs, learning_rate=3e-3)
    reward.main(which)
    facts = result(which)
    low, high = facts["heldout_reward_accuracy_interval"]
    assert low < facts["heldout_reward_accuracy"] == high == 1.0
    classifier = AutoModelForSequenceClassification.from_pretrained(which.output)
    tokenizer = AutoTokenizer.from_pretrained(which.output)
    assert classifier.config.num_labels == 1
    rendered = read_pairs(pairs / HELDOUT, tokenizer, None)
    good, bad = (scores(classifier, rendered.side(side), tokenizer.pad_token_id, 3) for side in ("chosen", "rejected"))
    assert facts["heldout_reward_margin"] == pytest.approx(float((good - bad).mean()), rel=1e-4)
    two = reward_job(tmp_path / "two", model_directory, pairs, learning_rate=3e-3, processes=2)
    gives_the_same_with_two_processes(which, two, ("loss", "accuracy", "margin", "gradient_norm"))
    goes_on_to_the_same_weights(which, reward.main)


def goes_on_to_the_same_weights(which: TrainingJob, program: Callable[[TrainingJob], None]) -> None:
    """As a run that was killed after its checkpoint of step 28 goes on: the last step is all that is left of it to do."""
    before = weights(which)
    checkpoints = Path(which.run_dir) / "checkpoints"
    shutil.rmtree(checkpoints / "checkpoint-30")
    shutil.rmtree(which.output)
    program(which)
    assert '"kind": "resume", "step": 28' in (Path(which.run_dir) / "journal.jsonl").read_text()
    assert result(which)["steps"] == 30
    assert weights(which) == before


def gives_the_same_with_two_processes(alone: TrainingJob, which: TrainingJob, compared: tuple[str, ...]) -> None:
    """Losses, and weights of size 1, to 1e-5: a sum over two ranks is only rounded otherwise."""
    facts = launch(which.model_copy(update={"processes": 2}))
    assert facts["engine"] == "DeepSpeed ZeRO-1, 2 processes"
    one, two = figures(alone, compared), figures(which, compared)
    assert list(one) == list(two)
    for step, values in one.items():
        assert two[step] == pytest.approx(values, rel=1e-4, abs=1e-5), f"step {step}: {compared}"
    weights_alone, weights_of_two = (load_file(Path(each.output) / "model.safetensors") for each in (alone, which))
    for name, weight in weights_alone.items():
        torch.testing.assert_close(weights_of_two[name], weight, rtol=0, atol=1e-5)
