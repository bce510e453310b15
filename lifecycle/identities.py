"""Which part of a recipe decides each stage's result: never what only decides how long it takes or whether it fails."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lifecycle.digests import digest_file, digest_json
from lifecycle.evaluation.harness_files import harness_digests
from lifecycle.evaluation.task_files import file_digests
from lifecycle.recipe.base import Section, identity
from lifecycle.recipe.cleaning import CleaningConfig
from lifecycle.recipe.corpora import read_identity
from lifecycle.recipe.curation import list_digests, list_file
from lifecycle.recipe.instruction_files import InstructionFiles
from lifecycle.recipe.preferences import EndpointJudge, JudgeConfig
from lifecycle.recipe.quality import samples
from lifecycle.recipe.recipe import Recipe
from lifecycle.tokens.base_files import base_digests
from lifecycle.tokens.templates import read_template, template_label

Identity = Callable[[Recipe, str | None], Any]
"""`identity(recipe, source)`: data that is digested into the fingerprint of a stage."""


@dataclass(frozen=True)
class InRound:
    """What decides a stage of a round's own fine-tuning: as of the stage it is like, by what the recipe adds there."""

    like: Identity
    number: int

    def __call__(self, recipe: Recipe, source: str | None) -> Any:
        return self.like(recipe.in_round(self.number), source)


LATER_OF_FILES = ("tolerance", "max_conversations")
JUDGED_LATER = ("sources", "scores", "embeddings", "selection")
"""Sections of `instructions` that decide nothing of what cleaning keeps."""
COMPARED_LATER = ("contamination", "sft_controls", "compare_with", "judges")
"""Sections of `evaluation` that decide nothing of what one model by itself is measured to be."""
SENSITIVE = "instructions.sensitive"


def source(recipe: Recipe, name: str | None) -> Any:
    """Not what decides only whether reading fails, or how text is judged or seen later."""
    assert name is not None
    return read_identity(recipe.source(name))


def cleaning(recipe: Recipe, name: str | None) -> Any:
    """What is done to one source, its own switches included, and the content of every list that it uses."""
    assert name is not None
    curation = recipe.curation.of(recipe.source(name))
    own = {key: value for key, value in identity(curation).items() if key in CleaningConfig.model_fields}
    model = {"min_score": recipe.quality_model.min_score} if recipe.quality_model else None
    return own | {"lists": list_digests(curation)} | ({"quality_model": model} if model else {})


def quality_model(recipe: Recipe, _: str | None) -> Any:
    """Thresholds of the recipe change cleaning alone; samples that are sources of the recipe count as these are read."""
    config = recipe.quality_model
    assert config is not None
    fields = {key: value for key, value in identity(config).items() if key not in ("positive", "negative", "min_score")}
    labelled = [{"good": good} | read_identity(sample) for sample, good in samples(recipe, config).values()]
    return fields | {"samples": labelled, "min_language_score": recipe.curation.min_language_score}


def corpus(recipe: Recipe, _: str | None) -> Any:
    """Files named by `decontaminate` and `against` count by content, as snapshots, wherever they lie."""
    curation = identity(recipe.curation)
    fields = ("minhash", "deduplication_scope", "repeated_text", "overlap", "heldout", "heldout_overlap")
    return {key: curation[key] for key in fields}


def heldout(recipe: Recipe, _: str | None) -> Any:
    """Not how many items are asked: all candidates are kept from training."""
    return {"max_bytes": recipe.curation.heldout.max_bytes, "seed": recipe.evaluation.seed}


def mix(recipe: Recipe, _: str | None) -> Any:
    sources = {each.name: {"epochs": each.epochs, "weight": each.weight} for each in recipe.sources}
    return {"seed": recipe.mix_seed, "sources": sources, "mix": identity(recipe.mix)}


def section(name: str) -> Identity:
    """A whole section of the recipe."""
    return lambda recipe, _: identity(getattr(recipe, name))


def tokenizer(recipe: Recipe, _: str | None) -> Any:
    """The chat template and the base tokenizer count by their content, not by where their files lie."""
    chosen = recipe.tokenizer.chat_template
    template = {"name": template_label(chosen), "text": digest_json(read_template(chosen))}
    base = recipe.tokenizer.base and base_digests(recipe.tokenizer.base)
    return identity(recipe.tokenizer) | {"chat_template": template, "base": base}


def base_model(recipe: Recipe, _: str | None) -> Any:
    """The shape of a given model is part of its bytes, which count as a snapshot."""
    section = identity(recipe.base_model)
    return {key: value for key, value in section.items() if not (recipe.base_model.start and key == "architecture")}


def sft_memmap(recipe: Recipe, _: str | None) -> Any:
    heldout = identity(recipe.sft.heldout)
    return {"max_tokens": recipe.instructions.max_tokens, "seed": recipe.mix_seed, "heldout": heldout}


def evaluation(recipe: Recipe, _: str | None) -> Any:
    """What one model is asked and how its answers are judged; task files and their data count by their content, and so do
    prompt files, as snapshots; tasks of lm-eval by the files of the installed package and the revision of their data."""
    own = {key: value for key, value in identity(recipe.evaluation).items() if key not in COMPARED_LATER}
    if recipe.evaluation.health:
        own["health"] = {key: value for key, value in own["health"].items() if key != "prompts"}
        own["identity"] = identity(recipe.instructions.identity)
    if recipe.evaluation.safety:
        own["safety"] |= {"sets": [{k: v for k, v in each.items() if k != "path"} for each in own["safety"]["sets"]]}
    harness = harness_digests(recipe.evaluation)
    return own | {"files": file_digests(recipe.evaluation)} | ({"harness": harness} if harness else {})


def contamination(recipe: Recipe, _: str | None) -> Any:
    return identity(recipe.evaluation.contamination)


def sft_controls(recipe: Recipe, _: str | None) -> Any:
    """How is fine-tuned, and by what is selected: what the arms have in common, and what chance replaces."""
    return {
        "controls": identity(recipe.evaluation.sft_controls),
        "memmap": sft_memmap(recipe, None),
        "sft": identity(recipe.sft),
        "selection": identity(recipe.instructions.selection),
    }


def comparisons(recipe: Recipe, _: str | None) -> Any:
    """Registered versions count as inputs, whatever alias named them; a given reward model as a snapshot."""
    return {"judges": [_judge(judge) for judge in recipe.evaluation.judges], "seed": recipe.evaluation.seed}


def report(recipe: Recipe, _: str | None) -> Any:
    """Not the gates: they are decided on the report each time, and change nothing that is in it."""
    return {"name": recipe.name}


def raw_instructions(recipe: Recipe, _: str | None) -> Any:
    """What is read; not what decides only whether reading fails (tolerance) or what cleaning keeps."""
    config = recipe.instructions
    sources = [_read_as(each) for each in config.sources]
    told = any(each.kind == "own_identity" for each in config.sources)
    return {"sources": sources} | ({"identity": identity(config.identity)} if told else {})


def _read_as(source: Section) -> dict[str, Any]:
    """What a source of instructions gives, whatever is kept of it."""
    later = LATER_OF_FILES if isinstance(source, InstructionFiles) else ()
    return {key: value for key, value in identity(source).items() if key not in later}


def instructions(recipe: Recipe, _: str | None) -> Any:
    """Lists of phrases count by their content."""
    config = recipe.instructions
    lists = {entry.category: digest_file(list_file(entry.path, SENSITIVE).path) for entry in config.sensitive}
    caps = {each.name: each.max_conversations for each in config.sources if each.kind == "files"}
    rules = {key: value for key, value in identity(config).items() if key not in JUDGED_LATER}
    return rules | {"caps": caps, "lists": lists}


def instruction_scores(recipe: Recipe, _: str | None) -> Any:
    """A given model and labelled samples count as snapshots, a rubric by its texts."""
    config = recipe.instructions.scores
    assert config is not None
    found = identity(config)
    if config.judge:
        found["judge"]["rubric"] = digest_json(config.judge.read_rubric().texts)
    if config.linear:
        for side in ("good", "bad"):
            found["linear"][side] = [_read_as(each) for each in getattr(config.linear, side)]
    return found


def instruction_embeddings(recipe: Recipe, _: str | None) -> Any:
    """The content of a given encoder counts as a snapshot."""
    return identity(recipe.instructions.embeddings)


def selected_instructions(recipe: Recipe, _: str | None) -> Any:
    return identity(recipe.instructions.selection)


def raw_preferences(recipe: Recipe, _: str | None) -> Any:
    """What is read; not how much of it counts."""
    return [{key: value for key, value in identity(each).items() if key != "weight"} for each in recipe.preferences.sources]


def preference_pairs(recipe: Recipe, _: str | None) -> Any:
    """Models and evaluation files count by their content, as snapshots, wherever they lie; a rubric does by its text."""
    config = recipe.preferences
    own = {key: value for key, value in identity(config).items() if key != "sources"}
    own["models"] = [model.name for model in config.models]
    own["judges"] = [_judge(judge) for judge in config.judges]
    return own | {
        "weights": [source.weight for source in config.sources],
        "rules": identity(recipe.instructions.rules),
        "identity": identity(recipe.instructions.identity),
        "overlap": identity(recipe.curation.overlap),
        "heldout_overlap": identity(recipe.curation.heldout_overlap),
    }


def _judge(judge: JudgeConfig) -> Any:
    own = identity(judge)
    if isinstance(judge, EndpointJudge):
        own["rubric"] = digest_json(judge.read_rubric().texts)
    return {key: value for key, value in own.items() if key != "path"}
