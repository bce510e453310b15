"""Chat on a real (tiny, random) model: streaming, several turns, piped input, and clear errors."""

import io
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from lifecycle.chat import chat
from lifecycle.cli import app
from lifecycle.errors import LifecycleError
from tests.tiny_model import tiny_model
from tests.tracking.chain import small_recipe


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


class Recorder(io.StringIO):
    """An output that remembers each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)


def _talk(model: Path, text: str, max_new_tokens: int = 12, temperature: float = 0.0) -> Recorder:
    output = Recorder()
    chat(model, temperature=temperature, max_new_tokens=max_new_tokens, input_stream=io.StringIO(text), output_stream=output)
    return output


def _expected(model: Path, messages: list[dict[str, str]], max_new_tokens: int = 12) -> str:
    """The answer computed without chat: greedy, in the model's own template."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    network = AutoModelForCausalLM.from_pretrained(model).eval()
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        output = network.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
    return tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def test_the_second_turn_sees_the_first_and_reset_forgets_it(model: Path) -> None:
    first = _expected(model, [{"role": "user", "content": "one"}])
    history = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": first},
        {"role": "user", "content": "two"},
    ]
    second, alone = _expected(model, history), _expected(model, [{"role": "user", "content": "two"}])
    assert second != alone, "this model cannot show that the history is used"
    assert _talk(model, "one\ntwo\n").getvalue() == f"{first}\n{second}\n"
    said = _talk(model, "one\n\n/reset\ntwo\n/quit\nnever asked\n").getvalue()
    assert said == f"{first}\n(a new conversation)\n{alone}\n"


def test_the_answer_is_streamed(model: Path) -> None:
    output = _talk(model, "Return the absolute path.\n", max_new_tokens=40)
    assert sum(bool(part.strip()) for part in output.writes) > 1


def test_sampling_answers_too(model: Path) -> None:
    torch.manual_seed(0)
    assert _talk(model, "one\n", temperature=1.0).getvalue().endswith("\n")


def test_a_long_conversation_leaves_out_its_oldest_turns_and_says_so(model: Path) -> None:
    line = "what does the parameter mean? " * 2
    said = _talk(model, f"{line}\n" * 6, max_new_tokens=30).getvalue()
    assert "oldest turn(s) were left out" in said


def test_a_line_longer_than_the_context_is_an_error(model: Path) -> None:
    with pytest.raises(LifecycleError, match="context is 256 tokens"):
        _talk(model, "word " * 400 + "\n")


def test_a_missing_model_and_a_model_without_template_are_named(model: Path, tmp_path: Path) -> None:
    with pytest.raises(LifecycleError, match=r"absent: no model here"):
        _talk(tmp_path / "absent", "hello\n")
    AutoModelForCausalLM.from_pretrained(model).save_pretrained(tmp_path / "mute")
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path / "mute")
    with pytest.raises(LifecycleError, match="no chat template"):
        _talk(tmp_path / "mute", "hello\n")
    (tmp_path / "mute" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(LifecycleError, match="cannot be loaded"):
        _talk(tmp_path / "mute", "hello\n")


def test_every_model_of_the_recipe_has_a_name(tmp_path: Path) -> None:
    """A model of an earlier round, of fine-tuning between rounds, or of KTO could not be talked to."""
    small_recipe(
        tmp_path,
        lambda text: (
            f"{text}rounds: 2\nadded_instructions: "
            "[{round: 2, steps: 7, sources: [{kind: files, name: more, path: more.jsonl, licence: none}]}]\n"
        ),
    )
    recipe = tmp_path / "recipe.yaml"
    for model, stage in {
        "sft": "sft_model",
        "dpo": "dpo_model_r2",
        "sft_r2": "sft_model_r2",
        "dpo_r2": "dpo_model_r2",
    }.items():
        done = CliRunner().invoke(app, ["chat", model, "--recipe", str(recipe), "--home", str(tmp_path)])
        assert f"small/{stage} has not been made" in str(done.exception)
    done = CliRunner().invoke(app, ["chat", "sft_r3", "--recipe", str(recipe), "--home", str(tmp_path)])
    assert "neither base, sft, dpo, sft_r2, dpo_r2 nor a directory with a model" in " ".join(str(done.exception).split())
