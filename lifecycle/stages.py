"""The stages of the life, as data: what each depends on and which part of the recipe decides its result.

Assets, `lifecycle plan` and the tests all read this one table. A stage's `code_version` changes when its code would
give other bytes for the same input.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from lifecycle import code_versions, identities
from lifecycle.identities import Identity, InRound
from lifecycle.recipe.recipe import Recipe
from lifecycle.recipe.selection import COUNTED
from lifecycle.rounds import Round, Tuning


@dataclass(frozen=True)
class Stage:
    """One asset of the graph. `identity(recipe, source)` is the part of the recipe that decides its result.

    `with_a_model`: made or measured with a model, so that another setting always gives other bytes; any other stage may
    filter or format its way to the same ones.
    """

    name: str
    code_version: str
    inputs: tuple[str, ...]
    identity: Identity
    per_source: bool = False
    with_a_model: bool = False


RAW_CORPORA = Stage("raw_corpora", code_versions.RAW_CORPORA, (), identities.source, per_source=True)
QUALITY_MODEL = Stage("quality_model", "1", (), identities.quality_model)
CLEANED_CORPORA = Stage(
    "cleaned_corpora", code_versions.CLEANED_CORPORA, ("raw_corpora",), identities.cleaning, per_source=True
)
CORPUS = Stage("corpus", code_versions.CORPUS, ("cleaned_corpora",), identities.corpus)
HELDOUT_TEXT = Stage("heldout_text", "2", ("corpus",), identities.heldout)
TOKENIZER = Stage("tokenizer", "2", ("corpus",), identities.tokenizer)
PRETRAIN_MEMMAP = Stage("pretrain_memmap", "3", ("corpus", "tokenizer"), identities.mix)
BASE_MODEL = Stage("base_model", "2", ("pretrain_memmap", "tokenizer"), identities.base_model, with_a_model=True)
RAW_INSTRUCTIONS = Stage("raw_instructions", "4", ("corpus",), identities.raw_instructions)
INSTRUCTIONS = Stage("instructions", "5", ("raw_instructions", "tokenizer", "heldout_text"), identities.instructions)
INSTRUCTION_SCORES = Stage(
    "instruction_scores",
    "1",
    ("instructions", "tokenizer", "base_model"),
    identities.instruction_scores,
    with_a_model=True,
)
INSTRUCTION_EMBEDDINGS = Stage(
    "instruction_embeddings", "2", ("instructions",), identities.instruction_embeddings, with_a_model=True
)
SELECTED_INSTRUCTIONS = Stage(
    "selected_instructions", "1", ("instructions", "instruction_embeddings"), identities.selected_instructions
)
SFT_MEMMAP = Stage("sft_memmap", "3", ("instructions", "tokenizer"), identities.sft_memmap)
SFT_MODEL = Stage("sft_model", "2", ("base_model", "sft_memmap"), identities.section("sft"), with_a_model=True)
RAW_PREFERENCES = Stage("raw_preferences", "3", ("corpus",), identities.raw_preferences)
PREFERENCE_PAIRS = Stage(
    "preference_pairs",
    "7",
    ("raw_preferences", "instructions", "sft_model", "heldout_text"),
    identities.preference_pairs,
    with_a_model=True,
)
DPO_MODEL = Stage("dpo_model", "3", ("sft_model", "preference_pairs"), identities.section("dpo"), with_a_model=True)
BASE_EVAL = Stage("base_eval", "3", ("base_model", "heldout_text"), identities.evaluation, with_a_model=True)
SFT_EVAL = Stage("sft_eval", "3", ("sft_model", "heldout_text"), identities.evaluation, with_a_model=True)
DPO_EVAL = Stage(
    "dpo_eval",
    "6",
    ("dpo_model", "sft_model", "preference_pairs", "heldout_text"),
    identities.evaluation,
    with_a_model=True,
)
CONTAMINATION = Stage("contamination", "1", ("base_eval", "heldout_text"), identities.contamination)
SFT_CONTROLS = Stage(
    "sft_controls", "1", ("base_model", "tokenizer", "sft_memmap"), identities.sft_controls, with_a_model=True
)
COMPARISONS = Stage("comparisons", "2", ("sft_eval", "heldout_text"), identities.comparisons, with_a_model=True)
"""Of recipes with `evaluation.contamination`, `evaluation.sft_controls`, and `evaluation.compare_with` or `.judges`."""
EVAL_REPORT = Stage("eval_report", "6", ("base_eval", "sft_eval", "dpo_eval", "heldout_text"), identities.report)

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

MIXED_SFT_MODEL = replace(SFT_MODEL, inputs=("base_model", "sft_memmap", "pretrain_memmap"))
"""The stage `sft_model` of a recipe that mixes pretraining text into its batches."""


ADOPTED_BASE = replace(BASE_MODEL, inputs=("tokenizer",))
"""The stage `base_model` of a recipe that takes a given model as it is; it needs no `pretrain_memmap`."""


SCORES_BY_GIVEN_MODEL = replace(INSTRUCTION_SCORES, inputs=("instructions", "tokenizer"))
"""The stage `instruction_scores` of a recipe that names the model whose losses are measured."""

REWARD_MODEL = Stage(
    "reward_model", "1", ("sft_model", "preference_pairs"), identities.section("reward_model"), with_a_model=True
)
KTO_MODEL = Stage(
    "kto_model",
    "1",
    ("sft_model", "raw_preferences", "preference_pairs", "heldout_text"),
    identities.section("kto"),
    with_a_model=True,
)
KTO_EVAL = replace(DPO_EVAL, name="kto_eval", inputs=("kto_model", *DPO_EVAL.inputs[1:]))
"""Stages of recipes with the sections `reward_model` and `kto`."""


def rounds_of(recipe: Recipe) -> tuple[Round, ...]:
    """The rounds of a recipe. The first keeps its plain names, so that another round reuses what the first one made."""
    rounds = [Round(SFT_MODEL, PREFERENCE_PAIRS, DPO_MODEL, DPO_EVAL)]
    for number in range(2, recipe.rounds + 1):
        tuning = _tuning(recipe, number, rounds[-1].model) if recipe.added(number) else None
        start = tuning.model if tuning else rounds[-1].model
        pairs = _in_round(PREFERENCE_PAIRS, number, {SFT_MODEL.name: start.name})
        if recipe.preferences.own_reward_model():
            pairs = replace(pairs, inputs=(*pairs.inputs, REWARD_MODEL.name))
        model = _in_round(DPO_MODEL, number, {SFT_MODEL.name: start.name, PREFERENCE_PAIRS.name: pairs.name})
        evaluated = {SFT_MODEL.name: start.name, PREFERENCE_PAIRS.name: pairs.name, DPO_MODEL.name: model.name}
        rounds.append(Round(start, pairs, model, _in_round(DPO_EVAL, number, evaluated), tuning))
    return tuple(rounds)


def tunings_of(recipe: Recipe) -> tuple[Tuning, ...]:
    """The rounds of a recipe that begin with fine-tuning."""
    return tuple(each.tuning for each in rounds_of(recipe) if each.tuning)


def _tuning(recipe: Recipe, number: int, start: Stage) -> Tuning:
    raw = _in_round(RAW_INSTRUCTIONS, number, {})
    cleaned = _in_round(INSTRUCTIONS, number, {RAW_INSTRUCTIONS.name: raw.name})
    memmap = _in_round(SFT_MEMMAP, number, {INSTRUCTIONS.name: cleaned.name})
    like = MIXED_SFT_MODEL if recipe.sft.pretraining else SFT_MODEL
    model = _in_round(like, number, {BASE_MODEL.name: start.name, SFT_MEMMAP.name: memmap.name})
    raw, cleaned, memmap, model = (
        replace(stage, identity=InRound(stage.identity, number)) for stage in (raw, cleaned, memmap, model)
    )
    evaluation = _in_round(SFT_EVAL, number, {SFT_MODEL.name: model.name})
    return Tuning(number, start, raw, cleaned, memmap, model, evaluation)


def report_of(recipe: Recipe) -> Stage:
    """The stage `eval_report` over all models of a recipe."""
    further = [each.name for each in further_of(recipe)]
    return replace(EVAL_REPORT, inputs=(*evaluations_of(recipe), HELDOUT_TEXT.name, *further))


def evaluations_of(recipe: Recipe) -> tuple[str, ...]:
    """Names of the evaluations of a recipe, one of each model."""
    rounds = (stage.name for each in rounds_of(recipe) for stage in each.evaluations())
    return (BASE_EVAL.name, SFT_EVAL.name, *rounds, *((KTO_EVAL.name,) if recipe.kto else ()))


def further_of(recipe: Recipe) -> tuple[Stage, ...]:
    """What the report shows beside the evaluations, where the recipe asks for it."""
    config, rounds = recipe.evaluation, rounds_of(recipe)
    stages = []
    if config.contamination:
        pretrained = recipe.base_model.training is not None or recipe.sft.pretraining is not None
        conversations = sft_memmap_of(recipe).inputs[0]
        pairs = (*(each.pairs.name for each in rounds), *((RAW_PREFERENCES.name,) if recipe.kto else ()))
        added = (each.instructions.name for each in tunings_of(recipe))
        read = (*((CORPUS.name,) if pretrained else ()), conversations, *added, *pairs)
        stages.append(replace(CONTAMINATION, inputs=(*CONTAMINATION.inputs, *read)))
    if config.sft_controls:
        stages.append(_sft_controls(recipe))
    if config.compare_with or config.judges:
        last = (rounds[-1].evaluation.name, rounds[-1].model.name)
        reward = (REWARD_MODEL.name,) if config.own_reward_model() else ()
        stages.append(replace(COMPARISONS, inputs=(*last, *COMPARISONS.inputs, *reward)))
    return tuple(stages)


def _sft_controls(recipe: Recipe) -> Stage:
    """Another selection is made from what the recipe's own one was made from; all conversations are needed to measure it."""
    selected = (each.inputs for each in _of_instructions(recipe) if each.name == SELECTED_INSTRUCTIONS.name)
    read = [*next(selected, ()), *sft_memmap_of(recipe).inputs[1:]]
    read += [PRETRAIN_MEMMAP.name] if recipe.sft.pretraining else []
    return replace(SFT_CONTROLS, inputs=tuple(dict.fromkeys((*SFT_CONTROLS.inputs, *read))))


def evaluated_model(evaluation: str) -> str:
    """What the report calls the model of an evaluation: `dpo` of `dpo_eval`, `dpo_r2` of `dpo_eval_r2`."""
    return evaluation.replace("_eval", "")


def evaluation_of(model: str) -> str:
    """The evaluation of what the report calls `model`."""
    return _with_suffix(model, "eval")


def model_of(model: str) -> str:
    """The stage that makes what the report calls `model`: `dpo_model_r2` of `dpo_r2`."""
    return _with_suffix(model, "model")


def _with_suffix(model: str, suffix: str) -> str:
    kind, _, number = model.partition("_")
    return f"{kind}_{suffix}" + (f"_{number}" if number else "")


def _in_round(stage: Stage, number: int, renamed: Mapping[str, str]) -> Stage:
    inputs = tuple(renamed.get(name, name) for name in stage.inputs)
    return replace(stage, name=f"{stage.name}_r{number}", inputs=inputs)


def stages_of(recipe: Recipe) -> tuple[Stage, ...]:
    """The stages of one recipe's life: `STAGES`, with what it asks for in place of the usual, without what it can spare."""
    own: dict[Stage, tuple[Stage, ...]] = {}
    if recipe.quality_model:
        own[CLEANED_CORPORA] = (QUALITY_MODEL, SCORED_CORPORA)
    if recipe.sft.pretraining:
        own[SFT_MODEL] = (MIXED_SFT_MODEL,)
    if recipe.base_model.training is None:
        own |= {BASE_MODEL: (ADOPTED_BASE,)} | ({} if recipe.sft.pretraining else {PRETRAIN_MEMMAP: ()})
    own[INSTRUCTIONS] = (INSTRUCTIONS, *_of_instructions(recipe))
    own[SFT_MEMMAP] = (sft_memmap_of(recipe),)
    _, *further = rounds_of(recipe)
    own[DPO_MODEL] = (
        *((REWARD_MODEL,) if recipe.reward_model else ()),
        DPO_MODEL,
        *(stage for each in further for stage in each.made()),
        *((KTO_MODEL,) if recipe.kto else ()),
    )
    own[DPO_EVAL] = (
        DPO_EVAL,
        *(stage for each in further for stage in each.evaluations()),
        *((KTO_EVAL,) if recipe.kto else ()),
    )
    own[EVAL_REPORT] = (*further_of(recipe), report_of(recipe))
    return tuple(each for stage in STAGES for each in own.get(stage, (stage,)))


def _of_instructions(recipe: Recipe) -> Iterator[Stage]:
    """What is measured of the cleaned conversations, and what is chosen by it."""
    config = recipe.instructions
    if config.scores:
        yield SCORES_BY_GIVEN_MODEL if config.scores.model else INSTRUCTION_SCORES
    if config.embeddings:
        by_base = ("base_model",) if config.embeddings.kind == "checkpoint" else ()
        yield replace(INSTRUCTION_EMBEDDINGS, inputs=(*INSTRUCTION_EMBEDDINGS.inputs, *by_base))
    if config.selection:
        measured = () if config.selection.by.column in COUNTED else (INSTRUCTION_SCORES.name,)
        yield replace(SELECTED_INSTRUCTIONS, inputs=(*SELECTED_INSTRUCTIONS.inputs, *measured))


def memmap_stages(recipe: Recipe) -> tuple[Stage, ...]:
    """The stages behind the cleaned sources that end in token memmaps and need no model: work for the CPU.

    `sft_memmap` is among them only where no model measures what it is made from.
    """
    stages = {stage.name: stage for stage in stages_of(recipe)}
    with_models: set[str] = set()
    for stage in stages.values():  # each after its inputs
        if stage.with_a_model or with_models & set(stage.inputs):
            with_models.add(stage.name)
    memmaps = {PRETRAIN_MEMMAP.name, SFT_MEMMAP.name, *(each.memmap.name for each in tunings_of(recipe))}
    wanted: set[str] = set()
    for stage in reversed(stages.values()):
        if stage.name in {*memmaps, *wanted} - with_models and not stage.per_source:
            wanted |= {stage.name, *stage.inputs}
    return tuple(stage for stage in stages.values() if stage.name in wanted and not stage.per_source)


def sft_memmap_of(recipe: Recipe) -> Stage:
    """The stage `sft_memmap`: of what was selected, where the recipe selects; with difficulty, where phases go by what was
    measured of it."""
    read = SELECTED_INSTRUCTIONS if recipe.instructions.selection else INSTRUCTIONS
    phases = recipe.sft.phases
    by_difficulty = recipe.instructions.scores is not None and phases is not None and phases.by == "difficulty"
    return replace(SFT_MEMMAP, inputs=(read.name, "tokenizer", *([INSTRUCTION_SCORES.name] if by_difficulty else [])))


def stage_of(recipe: Recipe, name: str) -> Stage | None:
    """The stage of this name in the life of `recipe`, None where it has none."""
    return next((stage for stage in stages_of(recipe) if stage.name == name), None)


REGISTERED_EVAL = "registered_eval"
"""The stage of evaluations of registered versions, each an input of `comparisons` as `registered_eval/<name>/<version>`."""
CHAMPION = "champion"
START = "start"
"""Name of the snapshot of the model that `base_model.start` names."""
