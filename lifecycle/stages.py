"""The stages of the life, as data: what each depends on and which part of the recipe decides its result.

Assets, `lifecycle plan` and the tests all read this one table. A stage's `code_version` changes when its code would
give other bytes for the same input.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lifecycle.artifacts import Artifact, InputReference
from lifecycle.digests import digest_json
from lifecycle.errors import LifecycleError
from lifecycle.recipe import Recipe, identity
from lifecycle.recipe.cleaning import CleaningConfig
from lifecycle.recipe.curation import list_digests
from lifecycle.recipe.quality import samples
from lifecycle.tokens.base_files import base_digests
from lifecycle.tokens.templates import read_template, template_label

Identity = Callable[[Recipe, str | None], Any]


@dataclass(frozen=True)
class Stage:
    """One asset of the graph. `identity(recipe, source)` is the part of the recipe that decides its result."""

    name: str
    code_version: str
    inputs: tuple[str, ...]
    identity: Identity
    per_source: bool = False


LATER = ("epochs", "weight", "tolerance", "curation")


def _source(recipe: Recipe, source: str | None) -> Any:
    """Not what decides only whether reading fails (tolerance) or how text is judged or seen later."""
    assert source is not None
    return {key: value for key, value in identity(recipe.source(source)).items() if key not in LATER}


def _cleaning(recipe: Recipe, source: str | None) -> Any:
    """What is done to one source, its own switches included, and the content of every list that it uses."""
    assert source is not None
    curation = recipe.curation.of(recipe.source(source))
    own = {key: value for key, value in identity(curation).items() if key in CleaningConfig.model_fields}
    model = {"min_score": recipe.quality_model.min_score} if recipe.quality_model else None
    return own | {"lists": list_digests(curation)} | ({"quality_model": model} if model else {})


def _quality_model(recipe: Recipe, _: str | None) -> Any:
    """Thresholds of the recipe change cleaning alone; samples that are sources of the recipe count as these are read."""
    config = recipe.quality_model
    assert config is not None
    fields = {key: value for key, value in identity(config).items() if key not in ("positive", "negative", "min_score")}
    labelled = [
        {"good": good} | {key: value for key, value in identity(source).items() if key not in LATER}
        for source, good in samples(recipe, config).values()
    ]
    return fields | {"samples": labelled, "min_language_score": recipe.curation.min_language_score}


def _corpus(recipe: Recipe, _: str | None) -> Any:
    """Files named by `decontaminate` and `against` count by content, as snapshots, wherever they lie."""
    curation = identity(recipe.curation)
    return {key: curation[key] for key in ("minhash", "repeated_text", "overlap", "heldout", "heldout_overlap")}


def _heldout(recipe: Recipe, _: str | None) -> Any:
    evaluation = recipe.evaluation
    return {
        "max_bytes": recipe.curation.heldout.max_bytes,
        "max_items": evaluation.max_items,
        "win_rate_prompts": evaluation.win_rate_prompts,
        "seed": evaluation.seed,
    }


def _mix(recipe: Recipe, _: str | None) -> Any:
    sources = {source.name: {"epochs": source.epochs, "weight": source.weight} for source in recipe.sources}
    return {"seed": recipe.mix_seed, "sources": sources, "mix": identity(recipe.mix)}


def _section(name: str) -> Identity:
    return lambda recipe, _: identity(getattr(recipe, name))


def _tokenizer(recipe: Recipe, _: str | None) -> Any:
    """The chat template and the base tokenizer count by their content, not by where their files lie."""
    chosen = recipe.tokenizer.chat_template
    template = {"name": template_label(chosen), "text": digest_json(read_template(chosen))}
    base = recipe.tokenizer.base and base_digests(recipe.tokenizer.base)
    return identity(recipe.tokenizer) | {"chat_template": template, "base": base}


def _base_model(recipe: Recipe, _: str | None) -> Any:
    """The shape of a given model is part of its bytes, which count as a snapshot."""
    section = identity(recipe.base_model)
    return {key: value for key, value in section.items() if not (recipe.base_model.start and key == "architecture")}


def _sft_memmap(recipe: Recipe, _: str | None) -> Any:
    return {"max_tokens": recipe.instructions.max_tokens, "seed": recipe.mix_seed}


def _report(recipe: Recipe, _: str | None) -> Any:
    return {"name": recipe.name, "gates": identity(recipe.gates)}


def _raw_preferences(recipe: Recipe, _: str | None) -> Any:
    return identity(recipe.preferences.sources)


def _preference_pairs(recipe: Recipe, _: str | None) -> Any:
    return {key: value for key, value in identity(recipe.preferences).items() if key != "sources"}


RAW_CORPORA = Stage("raw_corpora", "5", (), _source, per_source=True)
QUALITY_MODEL = Stage("quality_model", "1", (), _quality_model)
CLEANED_CORPORA = Stage("cleaned_corpora", "5", ("raw_corpora",), _cleaning, per_source=True)
CORPUS = Stage("corpus", "4", ("cleaned_corpora",), _corpus)
HELDOUT_TEXT = Stage("heldout_text", "1", ("corpus",), _heldout)
TOKENIZER = Stage("tokenizer", "2", ("corpus",), _tokenizer)
PRETRAIN_MEMMAP = Stage("pretrain_memmap", "3", ("corpus", "tokenizer"), _mix)
BASE_MODEL = Stage("base_model", "1", ("pretrain_memmap", "tokenizer"), _base_model)
RAW_INSTRUCTIONS = Stage("raw_instructions", "2", ("corpus",), _section("instructions"))
INSTRUCTIONS = Stage("instructions", "2", ("raw_instructions", "tokenizer", "heldout_text"), _section("instructions"))
SFT_MEMMAP = Stage("sft_memmap", "2", ("instructions", "tokenizer"), _sft_memmap)
SFT_MODEL = Stage("sft_model", "1", ("base_model", "sft_memmap"), _section("sft"))
RAW_PREFERENCES = Stage("raw_preferences", "2", ("corpus",), _raw_preferences)
PREFERENCE_PAIRS = Stage(
    "preference_pairs", "2", ("raw_preferences", "instructions", "sft_model", "heldout_text"), _preference_pairs
)
DPO_MODEL = Stage("dpo_model", "1", ("sft_model", "preference_pairs"), _section("dpo"))
BASE_EVAL = Stage("base_eval", "1", ("base_model", "heldout_text"), _section("evaluation"))
SFT_EVAL = Stage("sft_eval", "1", ("sft_model", "heldout_text"), _section("evaluation"))
DPO_EVAL = Stage("dpo_eval", "2", ("dpo_model", "sft_model", "preference_pairs", "heldout_text"), _section("evaluation"))
EVAL_REPORT = Stage("eval_report", "2", ("base_eval", "sft_eval", "dpo_eval", "heldout_text"), _report)

STAGES: tuple[Stage, ...] = (
    RAW_CORPORA,
    CLEANED_CORPORA,
    CORPUS,
    HELDOUT_TEXT,
    TOKENIZER,
    PRETRAIN_MEMMAP,
    BASE_MODEL,
    RAW_INSTRUCTIONS,
    INSTRUCTIONS,
    SFT_MEMMAP,
    SFT_MODEL,
    RAW_PREFERENCES,
    PREFERENCE_PAIRS,
    DPO_MODEL,
    BASE_EVAL,
    SFT_EVAL,
    DPO_EVAL,
    EVAL_REPORT,
)
"""Those of every recipe, each after its inputs. `champion` is not here: it makes no artifact."""

SCORED_CORPORA = replace(CLEANED_CORPORA, inputs=("raw_corpora", "quality_model"))
"""The stage `cleaned_corpora` of a recipe with a quality model."""


def stages_of(recipe: Recipe) -> tuple[Stage, ...]:
    """The stages of one recipe's life: `STAGES`, with the optional ones that it asks for."""
    if recipe.quality_model is None:
        return STAGES
    with_model = [(QUALITY_MODEL, SCORED_CORPORA) if stage is CLEANED_CORPORA else (stage,) for stage in STAGES]
    return tuple(stage for some in with_model for stage in some)


CHAMPION = "champion"
SNAPSHOT = "snapshot"
START = "start"
"""Name of the snapshot of the model that `base_model.start` names."""


def input_references(
    stage: Stage, inputs: Mapping[str, Artifact | Mapping[str, Artifact]], snapshots: Mapping[str, str] | None = None
) -> tuple[InputReference, ...]:
    """What `stage` was given, under the names that decide its fingerprint and that lineage shows.

    One artifact keeps the upstream's name; an upstream made per source and read whole gives `<upstream>/<source>` each;
    raw bytes are `snapshot` (the stage's one source) or `snapshot/<name>`.

    Args:
        inputs: artifacts by upstream stage name, or by source where all sources of a per-source stage are read.
        snapshots: digests of raw bytes that the stage reads itself, by name.

    Raises:
        LifecycleError: the inputs are not those that the stage table names.
    """
    if set(inputs) != set(stage.inputs):
        raise LifecycleError(f"{stage.name}: made from {sorted(stage.inputs)}, but was given {sorted(inputs)}")
    references: list[InputReference] = []
    for name in stage.inputs:
        given = inputs[name]
        if isinstance(given, Artifact):
            references.append(_reference(name, given))
        else:
            references += [_reference(f"{name}/{source}", given[source]) for source in sorted(given)]
    for name, digest in sorted((snapshots or {}).items()):
        label = name if name.split("/")[0] == SNAPSHOT else f"{SNAPSHOT}/{name}"
        references.append(InputReference(name=label, stage=SNAPSHOT, fingerprint=digest, digest=digest))
    return tuple(references)


def _reference(name: str, artifact: Artifact) -> InputReference:
    return InputReference(name=name, stage=artifact.stage, fingerprint=artifact.fingerprint, digest=artifact.digest)
