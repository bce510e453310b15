"""The recipe: one YAML file that describes a model's whole life."""

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from lifecycle.errors import RecipeError
from lifecycle.recipe.alignment import InstructionsConfig
from lifecycle.recipe.base import RUNTIME, Section
from lifecycle.recipe.consistency import check_sections
from lifecycle.recipe.corpora import CurationConfig, MixConfig, Source
from lifecycle.recipe.evaluation import EvaluationConfig
from lifecycle.recipe.fine_tuning import SftConfig
from lifecycle.recipe.gates import Gate
from lifecycle.recipe.operation import Operation
from lifecycle.recipe.preference_training import DpoConfig, KtoConfig, RewardModelConfig
from lifecycle.recipe.preferences import PreferencesConfig
from lifecycle.recipe.problems import problems
from lifecycle.recipe.quality import QualityModelConfig
from lifecycle.recipe.rounds import AddedInstructions
from lifecycle.recipe.training import BaseModelConfig, TokenizerConfig
from lifecycle.secrets import fields_with_credentials


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
    def _sections_fit(self) -> "Recipe":
        check_sections(self)
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
