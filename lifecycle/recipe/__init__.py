"""The recipe: one YAML file that describes a model's whole life."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from lifecycle.errors import RecipeError
from lifecycle.recipe.alignment import InstructionsConfig
from lifecycle.recipe.base import RUNTIME, Section, identity
from lifecycle.recipe.corpora import CurationConfig, FileSource, MixConfig, Source
from lifecycle.recipe.evaluation import BESIDE_TASKS, DOCUMENTED_TASKS, FURTHER, TEXT_ONLY_TASK, EvaluationConfig
from lifecycle.recipe.fine_tuning import SftConfig
from lifecycle.recipe.gates import CHAMPION, FINAL, Gate
from lifecycle.recipe.operation import Operation
from lifecycle.recipe.preference_training import DpoConfig, KtoConfig, RewardModelConfig
from lifecycle.recipe.preferences import PreferencesConfig
from lifecycle.recipe.problems import problems
from lifecycle.recipe.quality import QualityModelConfig
from lifecycle.recipe.rounds import AddedInstructions
from lifecycle.recipe.training import BaseModelConfig, TokenizerConfig
from lifecycle.secrets import fields_with_credentials

__all__ = ["Recipe", "identity", "load_recipe", "parse_recipe"]


class Recipe(Section):
    """Everything that decides what a model becomes, and (marked runtime) how it is computed."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """The model's name: prefix of its asset keys and of its registered models."""
    description: Annotated[str, RUNTIME] = ""
    """What the model is for, in a sentence: shown on its pages in MLflow."""
    intended_use: Annotated[str, RUNTIME] = ""
    """Who may use the models for what, and what they are not for: a section of their cards."""
    owner: Annotated[str, RUNTIME] = "team:models"
    """Shown in the Dagster UI: an e-mail address or `team:NAME`."""
    sources: tuple[Source, ...] = Field(min_length=1)
    curation: CurationConfig = CurationConfig()
    quality_model: QualityModelConfig | None = None
    """Where it is given, cleaning also drops what this model scores low."""
    tokenizer: TokenizerConfig = TokenizerConfig()
    mix_seed: int = 13
    """Order of documents in the memmaps."""
    mix: MixConfig = MixConfig()
    base_model: BaseModelConfig
    instructions: InstructionsConfig
    sft: SftConfig
    preferences: PreferencesConfig = PreferencesConfig()
    rounds: int = Field(default=1, ge=1, le=9)
    """How often pairs are sampled and trained on: each round begins with the model of the one before."""
    added_instructions: tuple[AddedInstructions, ...] = ()
    """Rounds that begin with fine-tuning on conversations of their own."""
    dpo: DpoConfig = DpoConfig()
    """The same settings in every round."""
    kto: KtoConfig | None = None
    """Where it is given, a model is also trained on labelled answers, and measured beside the others."""
    reward_model: RewardModelConfig | None = None
    """Where it is given, a model that scores answers is trained on the pairs of the first round."""
    evaluation: EvaluationConfig = EvaluationConfig()
    gates: tuple[Gate, ...] = Field(min_length=1)
    operation: Annotated[Operation, RUNTIME] = Operation()
    """What runs by itself: schedules, sensors, proposals to train, retention, alerts (docs/operating.md)."""

    @model_validator(mode="after")
    def _names_are_consistent(self) -> "Recipe":
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise ValueError(f"sources: every name must be unique, got {names}")
        documented = {source.name for source in self.sources if source.kind == "python_docs"}
        for section, entries in (("instructions", self.instructions.sources), ("preferences", self.preferences.sources)):
            for entry in entries:
                unknown = set(getattr(entry, "sources", ())) - documented
                if unknown:
                    raise ValueError(
                        f"{section}.sources: {sorted(unknown)} are not python_docs sources of this recipe; "
                        "for conversations or pairs of your own use {kind: files, name: …, path: …, licence: …}"
                    )
            files = [entry.name for entry in entries if entry.kind == "files"]
            if len(set(files)) != len(files):
                raise ValueError(f"{section}.sources: every name must be unique, got {files}")
        positions = self.base_model.max_positions
        for training in (self.base_model.training, self.sft.training):
            if training and positions and training.sequence_length > positions:
                raise ValueError(
                    f"sequence_length {training.sequence_length} exceeds base_model.architecture.max_positions {positions}"
                )
        return self

    @model_validator(mode="before")
    @classmethod
    def _no_passwords(cls, data: Any) -> Any:
        """A recipe is kept with what was made of it, in the store and in MLflow."""
        if found := list(fields_with_credentials(data)):
            raise ValueError(
                f"{', '.join(found)}: a password in an address would be kept in manifests and MLflow; take it from the "
                "environment (`$NAME`), or from the settings of the file system (AWS_*, ~/.netrc, …)"
            )
        return data

    @model_validator(mode="after")
    def _lengths_fit(self) -> "Recipe":
        """What would otherwise fail, or measure something else, after hours of training."""
        positions = self.base_model.max_positions
        limits = (
            ("instructions.max_tokens", self.instructions.max_tokens, "sft.training.sequence_length"),
            *(
                (f"{name}.max_length", config.max_length, "base_model.architecture.max_positions")
                for name, config in (("dpo", self.dpo), ("kto", self.kto), ("reward_model", self.reward_model))
                if config
            ),
            ("evaluation.context", self.evaluation.context, "base_model.architecture.max_positions"),
            ("preferences.max_new_tokens", self.preferences.max_new_tokens * 2, "base_model.architecture.max_positions"),
            ("evaluation.max_new_tokens", self.evaluation.max_new_tokens * 2, "base_model.architecture.max_positions"),
        )
        for name, value, limit in limits:
            allowed = self.sft.training.sequence_length if limit.startswith("sft") else positions
            if allowed and value > allowed:
                twice = " (twice it: the prompt needs room too)" if name.endswith("new_tokens") else ""
                raise ValueError(f"{name}{twice} {value} exceeds {limit} {allowed}")
        return self

    @model_validator(mode="after")
    def _additions_belong_to_a_round(self) -> "Recipe":
        numbers = [each.round for each in self.added_instructions]
        wrong = next((number for number in numbers if number > self.rounds or numbers.count(number) > 1), None)
        if wrong:
            raise ValueError(
                f"added_instructions: round {wrong} stands there twice, or is none of this recipe's {self.rounds}"
            )
        names = Counter(
            source.name
            for sources in (self.instructions.sources, *(each.sources for each in self.added_instructions))
            for source in sources
            if source.kind == "files"
        )
        if self.added_instructions and (repeated := sorted(name for name, count in names.items() if count > 1)):
            raise ValueError(f"added_instructions: every source needs a name of its own; {repeated} stand more than once")
        return self

    @model_validator(mode="after")
    def _own_reward_model_is_made(self) -> "Recipe":
        if self.preferences.own_reward_model() and (self.reward_model is None or self.rounds < 2):
            raise ValueError(
                "preferences.judges: a reward_model without `path` is the recipe's own, made in the first round for the "
                "next ones: it needs the section `reward_model` and `rounds: 2` or more"
            )
        return self

    @model_validator(mode="after")
    def _answers_for_kto_are_given(self) -> "Recipe":
        if self.kto and not any(source.kind == "files" for source in self.preferences.sources):
            raise ValueError(
                "kto: learns from answers that were labelled as wanted or not, which no source of this recipe has; give "
                "such a file in preferences.sources (kind: files)"
            )
        return self

    @model_validator(mode="after")
    def _controls_something(self) -> "Recipe":
        if self.evaluation.sft_controls is None:
            return self
        selection, phases = self.instructions.selection, self.sft.phases
        if not ((selection and not selection.random) or (phases and phases.order != "random")):
            raise ValueError(
                "evaluation.sft_controls: nothing of this recipe can be left to chance; it needs `sft.phases` or "
                "`instructions.selection`, which are not random themselves"
            )
        if self.sft.heldout is None:
            raise ValueError("evaluation.sft_controls: measures held-out conversations; say `sft: {heldout: {share: 0.05}}`")
        if self.sft.balance.coba:
            raise ValueError("evaluation.sft_controls: sft.balance.coba weighs each training by itself; leave one out")
        return self

    @model_validator(mode="after")
    def _own_reward_model_compares(self) -> "Recipe":
        if self.evaluation.own_reward_model() and self.reward_model is None:
            raise ValueError(
                "evaluation.judges: a reward_model without `path` is the recipe's own: it needs the section `reward_model`"
            )
        return self

    @model_validator(mode="after")
    def _gates_name_what_is_measured(self) -> "Recipe":
        measured = (*(each.task for each in self.evaluation.tasks), *BESIDE_TASKS, *FURTHER)
        for gate in self.gates:
            if gate.metric.split("/")[0] not in measured:
                raise ValueError(f"gates: {gate.metric!r} begins with none of what is measured: {', '.join(measured)}")
            documented = any(source.kind == "python_docs" for source in self.sources)
            if not documented and gate.metric.split("/")[0] in (*DOCUMENTED_TASKS, *BESIDE_TASKS):
                raise ValueError(
                    f"gates: {gate.metric!r} is measured on documented objects and this recipe has no python_docs source; "
                    f"use {TEXT_ONLY_TASK}/bits_per_byte with at_most"
                )
        return self

    @model_validator(mode="after")
    def _gates_name_models_of_this_recipe(self) -> "Recipe":
        made = {"base", "sft", "dpo", *(f"dpo_r{number}" for number in range(2, self.rounds + 1))}
        made |= {"kto"} if self.kto else set()
        made |= {f"sft_r{each.round}" for each in self.added_instructions}
        for gate in self.gates:
            for name in (gate.model, gate.compared_to):
                if name not in (*made, FINAL, CHAMPION, None):
                    raise ValueError(f"gates: {gate.metric!r}: this recipe makes no model {name}; it makes {sorted(made)}")
        final = "dpo" if self.rounds == 1 else f"dpo_r{self.rounds}"
        itself = next((gate for gate in self.gates if gate.model == FINAL and gate.compared_to == final), None)
        if itself:
            raise ValueError(f"gates: {itself.metric!r}: the final model of this recipe is {final}; compare it with another")
        names = Counter(gate.name for gate in self.gates)
        twice = next((gate for gate in self.gates if names[gate.name] > 1), None)
        if twice:
            raise ValueError(f"gates: two ask the same of {twice.model} {twice.metric!r}: {twice.kind}; keep one of them")
        return self

    @model_validator(mode="after")
    def _samples_are_known(self) -> "Recipe":
        own = {source.name for source in self.sources}
        for field in ("positive", "negative") if self.quality_model else ():
            for each in getattr(self.quality_model, field):
                name = each if isinstance(each, str) else each.name
                if isinstance(each, str) and name not in own:
                    raise ValueError(f"quality_model.{field}: no source named {name!r}; this recipe has {sorted(own)}")
                if not isinstance(each, str) and name in own:
                    raise ValueError(f"quality_model.{field}: {name!r} is a source of this recipe: give its name alone")
        return self

    @model_validator(mode="after")
    def _looks_at_own_sources(self) -> "Recipe":
        kinds = {source.name: source for source in self.sources}
        for field, groups in (("schedules", self.operation.schedules), ("drops", self.operation.drops)):
            for group in groups:
                unknown = sorted(set(group.sources or ()) - set(kinds))
                if unknown:
                    raise ValueError(f"operation.{field}: {group.name} names {unknown}; this recipe has {sorted(kinds)}")
        for drop in self.operation.drops:
            others = [name for name in drop.sources if not isinstance(kinds[name], FileSource)]
            if others:
                raise ValueError(f"operation.drops: {drop.name} names {others}, which have no path: use a schedule")
        return self

    @model_validator(mode="after")
    def _mix_is_one_kind(self) -> "Recipe":
        weighted = [source.name for source in self.sources if source.weight is not None]
        missing = [source.name for source in self.sources if source.weight is None]
        if weighted and missing:
            raise ValueError(f"sources: weight is given for {weighted} and not for {missing}; give it for all or for none")
        if weighted and self.mix.temperature is not None:
            raise ValueError("mix.temperature and the sources' weight both decide the shares of tokens: give one of them")
        if self.mix.tokens and not weighted and self.mix.temperature is None:
            raise ValueError(
                "mix.tokens: needs mix.temperature (1 keeps the sources' own shares) or a weight for every source"
            )
        by_tokens = bool(weighted) or self.mix.temperature is not None
        repeated = [source.name for source in self.sources if source.epochs != 1]
        if by_tokens and repeated:
            raise ValueError(
                f"sources: epochs of {repeated} and a mix by tokens both decide; use mix.max_epochs as the limit"
            )
        return self

    def added(self, number: int) -> AddedInstructions | None:
        """The conversations that this round begins with, where it does."""
        return next((each for each in self.added_instructions if each.round == number), None)

    def in_round(self, number: int) -> "Recipe":
        """The recipe as the fine-tuning of a later round follows it; it is this one where nothing is added for it."""
        added = self.added(number)
        if added is None:
            return self
        own = {"instructions": added.conversations(self.instructions), "sft": added.fine_tuning(self.sft)}
        return self.model_copy(update=own)

    def source(self, name: str) -> Source:
        """The source called `name`; raises RecipeError when there is none."""
        for source in self.sources:
            if source.name == name:
                return source
        raise RecipeError(f"no source named {name!r}; this recipe has {[source.name for source in self.sources]}")


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a field given twice is an error; the standard loader silently takes the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """The mapping, after looking for repeated keys."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(problem=f"{key.value} is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_recipe(path: str | Path) -> Recipe:
    """Read and check one recipe file.

    Raises:
        RecipeError: the file is missing, is not YAML, or a field is unknown, missing or of the wrong type;
            the message names every such field.
    """
    path = Path(path)
    try:
        return parse_recipe(path.read_text(encoding="utf-8"), path)
    except OSError as error:
        raise RecipeError(f"{path}: cannot read the recipe: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not valid YAML: {error}") from error


def parse_recipe(text: str, path: str | Path) -> Recipe:
    """The recipe that a file holds; `path` is what errors call it. Raises RecipeError as `load_recipe` does."""
    try:
        data = yaml.load(text, _UniqueKeys)
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of fields, this file holds {type(data).__name__}")
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        lines = [f"  {line}" for line in problems(error, Recipe)]
        raise RecipeError(f"{path}: {len(lines)} problem(s) in the recipe:\n" + "\n".join(lines)) from error
