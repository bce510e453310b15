"""What the trainings of a recipe will need, before any of them starts: `lifecycle plan --preflight`."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from pyarrow.parquet import ParquetFile

from lifecycle.preferences.table import LABELS, TRAIN
from lifecycle.pretrained import start_directory
from lifecycle.recipe.fine_tuning import FineTuning
from lifecycle.recipe.recipe import Recipe
from lifecycle.stages import (
    BASE_MODEL,
    KTO_MODEL,
    PREFERENCE_PAIRS,
    PRETRAIN_MEMMAP,
    RAW_PREFERENCES,
    REWARD_MODEL,
    SFT_MEMMAP,
    SFT_MODEL,
    TOKENIZER,
    Stage,
    rounds_of,
    tunings_of,
)
from lifecycle.tokens.chat import PROBE, encode_conversations, load_tokenizer, mask_preview
from lifecycle.tokens.memmap import TokenMemmap
from lifecycle.training.config import CausalJobConfig
from lifecycle.training.data import arrange
from lifecycle.training.estimate import (
    Estimate,
    OnPreferences,
    Training,
    estimate,
    given_shape,
    new_shape,
    preference_estimate,
)
from lifecycle.training.preflight import check_pieces, check_tokenizer, check_trained, first_mask
from lifecycle.training.throughput import Shape

Made = Callable[[str], Path | None]
"""Directory of the last artifact of a stage, or None."""


def own_device() -> str | None:
    """Name of this machine's GPU, if it has one."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def needs(recipe: Recipe, made: Made, device: str | None, mfu: float) -> dict[str, Estimate]:
    """The estimate of each training, by stage. Nothing is loaded but configurations.

    Raises:
        ConfigurationError: memmap, tokenizer and given model, as far as they are there, do not belong together, or tasks,
            phases or passes are not as the recipe says.
        DataError: the model to start from is not there.
    """
    base, found = recipe.base_model, {}
    start = start_directory(base.start) if base.start else None
    tokenizer = made(TOKENIZER.name)
    if start and tokenizer:
        extension = check_pieces(tokenizer, start)
        if base.training:
            check_trained(extension, base.training)
    entries, pieces = recipe.tokenizer.vocab_size, recipe.tokenizer.new_pieces

    def shape_of(training: Training) -> Shape:
        return given_shape(start, training, pieces) if start else new_shape(base.architecture, entries, training)

    rounds = [(each.model, each.memmap, recipe.in_round(each.number)) for each in tunings_of(recipe)]
    for stage, memmap, own in ((BASE_MODEL, PRETRAIN_MEMMAP, recipe), (SFT_MODEL, SFT_MEMMAP, recipe), *rounds):
        training = base.training if stage is BASE_MODEL else own.sft.training
        if training is None:
            continue
        data = made(memmap.name)
        tokens, match, outline = None, "not made yet", ()
        if data:
            opened = TokenMemmap(data)
            tokens, entries = opened.describe.tokens, opened.describe.vocab_size
            if tokenizer:
                check_tokenizer(opened, tokenizer)
                match = f"match (tokenizer {opened.describe.tokenizer_digest})"
            outline = _outline(own, stage, opened, made)
            if stage is not BASE_MODEL and recipe.sft.pretraining:  # only the rest of each batch passes over this memmap
                tokens = round(tokens / (1 - recipe.sft.pretraining.share))
        made_of = estimate(shape_of(training), training, device, mfu, tokens)
        found[stage.name] = replace(made_of, notes=(("data and tokenizer", match), *outline, *made_of.notes))
    aligned: tuple[tuple[Stage, OnPreferences | None, Stage, str], ...] = (
        *((each.model, recipe.dpo, each.pairs, TRAIN) for each in rounds_of(recipe)),
        (KTO_MODEL, recipe.kto, RAW_PREFERENCES, LABELS),
        (REWARD_MODEL, recipe.reward_model, PREFERENCE_PAIRS, TRAIN),
    )
    for stage, training, rows, file in aligned:
        if training is not None:
            count = _rows(made(rows.name), file)
            found[stage.name] = preference_estimate(shape_of(training), training, device, mfu, count)
    return found


def preview(made: Made) -> str:
    """A conversation as Markdown, its trained tokens in bold: one of the SFT data, else question and answer in the template.

    Empty where there is no tokenizer yet.
    """
    tokenizer, data = made(TOKENIZER.name), made(SFT_MEMMAP.name)
    if tokenizer is None:
        return ""
    fast = load_tokenizer(tokenizer)
    if data is None:
        return mask_preview(fast, next(iter(encode_conversations(fast, [PROBE]))))
    return first_mask(TokenMemmap(data), tokenizer)


def _rows(directory: Path | None, file: str) -> int | None:
    return ParquetFile(directory / file).metadata.num_rows if directory else None


def _outline(recipe: Recipe, stage: Stage, memmap: TokenMemmap, made: Made) -> tuple[tuple[str, str], ...]:
    """What the steps of a training will see, as its job would say it; nothing while the text to mix in is not made."""
    if stage is BASE_MODEL:
        assert recipe.base_model.training is not None
        return arrange(CausalJobConfig(kind="pretrain", training=recipe.base_model.training), memmap, None).outline
    sft = recipe.sft
    text = made(PRETRAIN_MEMMAP.name) if sft.pretraining else None
    if sft.pretraining and text is None:
        return ()
    tuning = FineTuning.model_validate(sft.model_dump(include=set(FineTuning.model_fields)))
    config = CausalJobConfig(kind="sft", training=sft.training, fine_tuning=tuning)
    return arrange(config, memmap, TokenMemmap(text) if text else None).outline


def disk(found: dict[str, Estimate], home: Path) -> str:
    """Whether the checkpoints fit where they will lie, in words."""
    place = next(path for path in (home.resolve(), *home.resolve().parents) if path.exists())
    free = shutil.disk_usage(place).free
    needed = sum(each.checkpoints for each in found.values())
    verdict = "enough" if needed < free else "NOT ENOUGH"
    return f"disk: checkpoints take {needed / 1e9:.2f} GB, {free / 1e9:.2f} GB are free in {place}: {verdict}"
