"""Training that begins with a given model: matched with the tokenizer, adapted, partly frozen, or taken as it is."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from lifecycle.errors import CorruptArtifactError, DataError
from lifecycle.pretrained import load_model, start_directory
from lifecycle.recipe.adaptation import Adapter, StartingModel
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training.adapters import FILE, adapt, check_adapter, freeze, save_adapter
from lifecycle.training.adopt import adopt
from lifecycle.training.batches import PackedDocuments
from lifecycle.training.checkpoints import Checkpoints
from lifecycle.training.exits import ConfigurationError, ExitClass
from lifecycle.training.export import copy_tokenizer, logits_of
from lifecycle.training.frozen import leave_frozen_out, load_trained
from lifecycle.training.journal import read_metrics
from lifecycle.training.loss import WeightedLoss
from lifecycle.training.model import build_model, parameter_groups
from lifecycle.training.preflight import check_pieces
from tests.patience import PATIENCE
from tests.training import tiny


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> Path:
    """A model as somebody else might hand it over."""
    directory = tmp_path_factory.mktemp("given")
    architecture = tiny.ARCHITECTURE.model_copy(update={"hidden_size": 64, "intermediate_size": 128})
    build_model(architecture, tiny.VOCAB, torch.float32, 5, tokenizer).save_pretrained(str(directory))
    copy_tokenizer(tokenizer, directory)
    return directory


@pytest.fixture
def adapted(given: Path) -> PeftModel:
    return adapt(load_model(given, torch.float32), Adapter(rank=4), given, seed=0).peft


def plain(peft: PeftModel) -> Any:
    """The model itself, the adapter's layers in place."""
    return peft.get_base_model()


def named_weights(peft: PeftModel) -> dict[str, torch.Tensor]:
    return {name: parameter.detach() for name, parameter in plain(peft).named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("lora", {"processes": 2, "micro_batch": 1, "zero_stage": 3}),
        ("qlora", {"zero_stage": 2}),
        ("dora", {"zero_stage": 0, "precision": "fp32"}),
    ],
)
def test_an_adapter_is_trained_saved_reloaded_and_merged(
    tmp_path: Path, given: Path, sft_memmap: Path, kind: str, settings: dict[str, Any]
) -> None:
    """Under ZeRO-3 the parameters that PEFT would save are empty: an adapter of 433 kB that holds names alone."""
    adapter = {"kind": kind, "rank": 4, "alpha": 8.0}
    inputs = {"memmap": sft_memmap, "model": given}
    job = tiny.make_job(tmp_path, inputs, kind="sft", architecture=False, adapter=adapter, **settings)
    process = tiny.launch(job)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    facts = json.loads((tmp_path / "run" / "result.json").read_text())
    tensors = load_file(tmp_path / "out" / "adapter" / FILE)
    assert len(tensors) == facts["adapter_tensors"] == 2 * 7 * (3 if kind == "dora" else 2)
    assert all(tensor.any() for tensor in tensors.values())
    assert facts["adapter_parameters"] == sum(tensor.numel() for tensor in tensors.values())

    batch = PackedDocuments(TokenMemmap(sft_memmap), 64, "sft").batch(np.arange(2))
    base = load_model(given, torch.float32)
    before = logits_of(base, batch)
    unmerged = logits_of(plain(PeftModel.from_pretrained(base, str(tmp_path / "out" / "adapter"))), batch)
    merged = logits_of(load_model(tmp_path / "out", torch.float32), batch)
    tolerance = 1e-4 if settings.get("precision") == "fp32" else 0.05
    torch.testing.assert_close(merged, unmerged, rtol=tolerance, atol=tolerance)
    assert float((unmerged - before).abs().mean()) > 10 * float((unmerged - merged).abs().mean()), "nothing was learnt"
    for path in (tmp_path / "out" / "adapter").iterdir():
        assert str(given) not in path.read_text(errors="ignore"), "an artifact's bytes must not depend on where things lie"


def test_an_adapter_goes_on_from_checkpoints_that_hold_nothing_else(
    tmp_path: Path, given: Path, sft_memmap: Path, tokenizer: Path
) -> None:
    """They once held the frozen weights too: of a 7B model 14 GB each, for 80 MB that change."""
    tiny.make_memmap(tmp_path / "held_out", tokenizer, documents=20, masked=True, seed=8)
    held_out = np.memmap(tmp_path / "held_out" / "tokens.bin", dtype=np.uint16, mode="r+")
    held_out[:] = held_out.astype(np.int64) * 151 % (tiny.VOCAB - 3) + 3  # so that what is learnt soon makes it worse
    held_out.flush()
    inputs = {"memmap": sft_memmap, "model": given, "validation": tmp_path / "held_out"}
    settings: dict[str, Any] = {
        "adapter": {"kind": "lora", "rank": 4, "alpha": 8.0},
        "optimization": {"learning_rate": 3e-2, "warmup_steps": 0},
        "validation": {"every": 2, "sequences": 8, "choose": "best"},
        "steps": 6,
        "checkpoint_every": 2,
        "keep_checkpoints": 5,
        "precision": "fp32",
        "micro_batch": 1,
    }

    def train(home: Path, **more: Any) -> dict[int, float]:
        job = tiny.make_job(home, inputs, kind="sft", architecture=False, **settings | more)
        process = tiny.launch(job)
        output, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, output
        return {entry["step"]: entry["loss"] for entry in read_metrics(home / "run")}

    losses = train(tmp_path / "one")
    checkpoints = Checkpoints(tmp_path / "one" / "run", 5)
    state = torch.load(checkpoints.path("step_4") / "state" / "mp_rank_00_model_states.pt", weights_only=False)
    assert len(state["module"]) == 2 * 7 * 2
    assert all("lora_" in name for name in state["module"])
    best = checkpoints.steps("best")[0]
    assert best < 6
    for home, step in (("same", 4), ("two", 2)):
        shutil.copytree(tmp_path / "one" / "run", tmp_path / home / "run")
        copied = Checkpoints(tmp_path / home / "run", 5)
        for name in [f"{kind}_{n}" for kind in ("step", "best") for n in copied.steps(kind) if n > step]:
            shutil.rmtree(copied.path(name))
    assert train(tmp_path / "same") == losses
    for name in ("model.safetensors", f"adapter/{FILE}"):
        assert (tmp_path / "same" / "out" / name).read_bytes() == (tmp_path / "one" / "out" / name).read_bytes()
    two = train(tmp_path / "two", processes=2, zero_stage=3)
    assert two == pytest.approx(losses, rel=1e-4)
    assert Checkpoints(tmp_path / "two" / "run", 5).steps("best") == [best]


def test_a_checkpoint_without_a_trained_weight_is_refused(given: Path, adapted: PeftModel) -> None:
    module = WeightedLoss(plain(adapted))
    leave_frozen_out(module)
    state = module.state_dict()
    load_trained(state, module)
    missing = sorted(state)[3]
    with pytest.raises(CorruptArtifactError, match=rf"1 are missing and 0 too many; the first is {missing}"):
        load_trained({name: tensor for name, tensor in state.items() if name != missing}, module)


def test_continued_pretraining_starts_at_the_given_weights_and_leaves_frozen_ones(
    tmp_path: Path, given: Path, memmap: Path, tokenizer: Path
) -> None:
    inputs = {"memmap": memmap, "tokenizer": tokenizer, "model": given}
    frozen = ("model.embed_tokens.*", "model.layers.0.*")
    settings: dict[str, Any] = {"freeze": frozen, "precision": "fp32", "steps": 3}
    job = tiny.make_job(tmp_path, inputs, architecture=False, **settings)
    process = tiny.launch(job)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    before, after = load_model(given), load_model(tmp_path / "out")
    for name, parameter in after.named_parameters():
        same = torch.equal(parameter, before.get_parameter(name))
        assert same == name.startswith(("model.embed_tokens.", "model.layers.0.")), name


def test_an_adapter_without_numbers_is_refused(tmp_path: Path, adapted: PeftModel) -> None:
    empty = {name: torch.empty(0) for name in named_weights(adapted)}
    expected = save_adapter(adapted, empty, tmp_path)
    with pytest.raises(CorruptArtifactError, match="is empty"):
        check_adapter(tmp_path, expected)


def test_an_adapter_that_was_never_trained_is_refused(tmp_path: Path, adapted: PeftModel) -> None:
    expected = save_adapter(adapted, named_weights(adapted), tmp_path)
    with pytest.raises(CorruptArtifactError, match="never trained"):
        check_adapter(tmp_path, expected)


@pytest.mark.parametrize("fault", ["missing", "changed"])
def test_an_adapter_other_than_the_trained_one_is_refused(tmp_path: Path, adapted: PeftModel, fault: str) -> None:
    trained = {name: tensor + 0.01 for name, tensor in named_weights(adapted).items()}
    expected = save_adapter(adapted, trained, tmp_path)
    check_adapter(tmp_path, expected)
    tensors = load_file(tmp_path / FILE)
    name = sorted(tensors)[3]
    if fault == "missing":
        del tensors[name]
    else:
        tensors[name] = tensors[name] * 2
    save_file(tensors, tmp_path / FILE)
    with pytest.raises(CorruptArtifactError, match=r"13 tensors of 28|27 tensors of 28|not what was trained"):
        check_adapter(tmp_path, expected)


def test_an_adapter_changes_nothing_before_it_is_trained_and_leaves_zero_no_empty_group(
    given: Path, adapted: PeftModel, sft_memmap: Path
) -> None:
    model = plain(adapted)
    batch = PackedDocuments(TokenMemmap(sft_memmap), 64, "sft").batch(np.arange(1))
    torch.testing.assert_close(logits_of(model, batch), logits_of(load_model(given, torch.float32), batch))
    groups = parameter_groups(model, 0.1)
    assert sum(len(group["params"]) for group in groups) == len(named_weights(adapted)) > 0
    assert all(group["params"] for group in groups)


def test_targets_that_the_model_lacks_are_named(given: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"adapter\.targets \['query_key_value'\]"):
        adapt(load_model(given), Adapter(targets=("query_key_value",)), given, 0)


def test_a_freezing_pattern_that_matches_nothing_is_an_error(given: Path) -> None:
    model = load_model(given)
    with pytest.raises(ConfigurationError, match=r"transformer\.h.*matches no parameter.*model\.embed_tokens\.weight"):
        freeze(model, ("transformer.h.*",))
    with pytest.raises(ConfigurationError, match="nothing is left"):
        freeze(model, ("*",))


def test_a_model_of_other_pieces_is_refused(tmp_path: Path, given: Path, tokenizer: Path) -> None:
    """The ids mean other text to it: training runs, and the model unlearns everything."""
    check_pieces(tokenizer, given)
    other = tmp_path / "other"
    other.mkdir()
    copy_tokenizer(tokenizer, other)
    text = json.loads((other / "tokenizer.json").read_text())
    vocabulary = text["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (other / "tokenizer.json").write_text(json.dumps(text))
    with pytest.raises(ConfigurationError, match=r"'a' is \d+ in the one and \d+ in the other"):
        check_pieces(other, given)


def test_too_long_a_sequence_for_a_given_model_stops_the_job_at_once(tmp_path: Path, given: Path, sft_memmap: Path) -> None:
    inputs = {"memmap": sft_memmap, "model": given}
    job = tiny.make_job(tmp_path, inputs, kind="sft", architecture=False, sequence_length=256)
    process = tiny.launch(job)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitClass.CONFIGURATION.code, output
    assert "exceeds the 128 positions" in output


def test_a_given_model_may_be_the_base_model_as_it_is(tmp_path: Path, given: Path, tokenizer: Path) -> None:
    facts = adopt(given, tokenizer, tmp_path)
    assert facts["parameters"] == load_model(given).num_parameters()
    for name, parameter in load_model(tmp_path).named_parameters():
        assert torch.equal(parameter, load_model(given).get_parameter(name))
    assert (tmp_path / "tokenizer.json").read_bytes() == (tokenizer / "tokenizer.json").read_bytes()


def test_a_folder_of_pickles_is_no_model(tmp_path: Path, given: Path) -> None:
    (tmp_path / "config.json").write_bytes((given / "config.json").read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(DataError, match="safetensors"):
        start_directory(StartingModel(path=str(tmp_path)))
    with pytest.raises(CorruptArtifactError, match="cannot be loaded"):
        load_model(tmp_path)
