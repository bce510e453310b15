"""Answers by vLLM, where a GPU and the extra `vllm` are.

Written against vLLM's documented interface, and not run yet: our machines have no GPU.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lifecycle.errors import LifecycleError
from lifecycle.preferences.table import Answer

SEED_RANGE = 2**31


def load(directory: Path) -> Any:
    """The model in vLLM's engine.

    Raises:
        LifecycleError: vLLM is not installed.
    """
    try:
        from vllm import LLM  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise LifecycleError(
            "preferences.engine: vllm is not installed; `pip install lifecycle[vllm]` on a machine with a GPU, or use "
            "`engine: transformers`"
        ) from error
    return LLM(model=str(directory), enable_prefix_caching=True)


def answers(
    engine: Any,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    keys: Sequence[int],
    *,
    temperatures: Sequence[float],
    max_new_tokens: int,
    seed: int,
) -> list[list[Answer]]:
    """As `generate_answers`: one answer per prompt and temperature, each with a seed of its own.

    vLLM's kernels do not promise the same logits in every batch, so that the same seed may give other answers beside other
    prompts; what was answered once is kept.
    """
    from vllm import SamplingParams  # pyright: ignore[reportMissingImports]
    from vllm.inputs import TokensPrompt  # pyright: ignore[reportMissingImports]

    asked, settings = [], []
    for ids, key in zip(prompts, keys, strict=True):
        for number, temperature in enumerate(temperatures):
            asked.append(TokensPrompt(prompt_token_ids=ids))
            settings.append(
                SamplingParams(
                    temperature=temperature,
                    max_tokens=max_new_tokens,
                    seed=(seed + key + number) % SEED_RANGE,
                    stop_token_ids=[tokenizer.eos_token_id],
                )
            )
    outputs = [output.outputs[0] for output in engine.generate(asked, settings)]
    drawn = [Answer(each.text.strip(), len(each.token_ids), each.finish_reason == "stop") for each in outputs]
    return [drawn[begin : begin + len(temperatures)] for begin in range(0, len(drawn), len(temperatures))]
