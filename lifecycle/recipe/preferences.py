"""The recipe's preference pairs: who answers, who judges, and which answers become a pair."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from lifecycle.endpoint.rubric import Rubric, read_rubric
from lifecycle.recipe.alignment import PreferenceSource
from lifecycle.recipe.base import RUNTIME, Section
from lifecycle.recipe.corpora import FilesRead
from lifecycle.recipe.endpoint import EndpointConfig

STAGES = ("sft_model", "dpo_model", "reward_model")
"""Models of the graph itself."""
RUBRIC = Path(__file__).parents[1] / "preferences" / "rubric.yaml"


class JudgeBase(Section):
    """What every judge states."""

    weight: float = Field(default=1.0, ge=0)
    """In the mean of all judges' scores, each from 0 to 1; 0 judges for comparison alone."""


class ReferenceJudge(JudgeBase):
    """Word overlap with the conversation's own answer (`lifecycle.preferences.score`)."""

    kind: Literal["reference"]


class RuleJudge(JudgeBase):
    """The rules that clean instructions, asked of each answer by itself, and exact answers of maths."""

    kind: Literal["rules"]
    maths_tasks: tuple[str, ...] = ()
    """Tasks whose reference ends in a number that the answer must end in, too. A reference in GSM8K's form (`#### 72`) is
    one whatever its task."""


class RewardJudge(JudgeBase):
    """A sequence classifier with one output in a Hugging Face folder, as `reward_model` and TRL make them."""

    kind: Literal["reward_model"]
    path: str | None = Field(default=None, min_length=1)
    """The folder, or that of an artifact; `$NAME` and `${NAME}` are taken from the environment. Null is the recipe's own
    `reward_model`, which is trained on the pairs of the first round and judges from the second one on."""
    max_length: int = Field(default=1024, gt=0)
    """Prompt and answer in tokens; longer ones get no score."""
    batch: Annotated[int, RUNTIME] = Field(default=32, gt=0)


class EndpointJudge(JudgeBase):
    """A language model that compares every two answers in both orders (Zheng et al. 2023, "Judging LLM-as-a-judge")."""

    kind: Literal["endpoint"]
    endpoint: EndpointConfig
    rubric: str | None = None
    """A YAML file of texts by language (`en`, `zh`) with `$question`, `$first` and `$second`; null takes ours."""

    def read_rubric(self) -> Rubric:
        """What the model is asked; raises RecipeError where the file is not there or damaged."""
        return read_rubric(self.rubric, RUBRIC, "preferences.judges.rubric", ("question", "first", "second"))


JudgeConfig = Annotated[ReferenceJudge | RuleJudge | RewardJudge | EndpointJudge, Field(discriminator="kind")]


class SampledModel(Section):
    """Another model that answers the same prompts."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    path: str = Field(min_length=1)
    """A Hugging Face folder with a chat template, or that of an artifact; variables as in every path."""


class PairingConfig(Section):
    """Which two answers to a prompt become a pair, and which pairs stay."""

    rejected: Literal["worst", "hard", "every"] = "worst"
    """Beside the best answer the worst one, or the best of those that are worse by the margin (a hard negative); `every`
    takes any two answers apart by the margin, the widest first."""
    pairs_per_prompt: int = Field(default=3, gt=0)
    """Most pairs of one prompt with `every`."""
    max_similarity: float = Field(default=0.95, gt=0, le=1)
    """F1 of the words of chosen and rejected, in any order, from which they are near-identical."""
    max_length_ratio: float | None = Field(default=None, ge=1)
    """Words of the longer answer over those of the shorter one; null does not limit."""
    max_longer_share: float = Field(default=1.0, ge=0.5, le=1)
    """Of the pairs of one source whose answers differ in length, those with the chosen one longer, and those with it
    shorter, may be this share at most; 0.5 makes length say nothing."""
    language_shares: dict[str, float] | None = None
    """Proportions of languages by ISO 639-1 code, as `{zh: 1, en: 1}`; other languages go. Null keeps what is there."""
    max_task_share: float = Field(default=1.0, gt=0, le=1)
    """Most that one task may be of all pairs. Half of the pairs stay, whatever it says: a task of which there are few does
    not take the others with it."""
    sampled_weight: float | None = Field(default=None, gt=0)
    """Share of the pairs made here, in proportion to the `weight` of the sources; given with all of these or with none."""
    chosen_rules: tuple[str, ...] = ("identity", "placeholder")
    """Rules of the instructions that a chosen answer must keep, also in pairs from files; by their names in the ledger."""

    @model_validator(mode="after")
    def _shares_are_positive(self) -> "PairingConfig":
        if self.language_shares is not None and not all(share > 0 for share in self.language_shares.values()):
            raise ValueError(f"language_shares {self.language_shares}: each must be above 0; one left out is dropped")
        return self


class PreferencesConfig(Section):
    """Existing pairs, and pairs made by sampling the SFT model and judging its answers."""

    sources: tuple[PreferenceSource, ...] = ()
    prompts: int = Field(default=400, gt=0)
    candidates: int = Field(default=4, ge=2)
    """Answers sampled per prompt and model."""
    temperatures: tuple[float, ...] = Field(default=(1.0,), min_length=1)
    """Taken in turns by the candidates; 0 takes the most likely token each time."""
    models: tuple[SampledModel, ...] = ()
    """Models that answer beside the SFT model."""
    engine: Literal["transformers", "vllm"] = "transformers"
    """`vllm` needs a GPU and `pip install lifecycle[vllm]`; its draws are others than those of `transformers`."""
    max_new_tokens: int = Field(default=48, gt=0)
    judges: tuple[JudgeConfig, ...] = Field(default=(ReferenceJudge(kind="reference"),), min_length=1)
    min_margin: float = Field(default=0.1, ge=0)
    """Least difference of score between chosen and rejected."""
    pairing: PairingConfig = PairingConfig()
    heldout_share: float = Field(default=0.15, gt=0, lt=1)
    """Pairs kept from training to measure reward accuracy."""
    seed: int = 11
    batch: Annotated[int, RUNTIME] = Field(default=64, gt=0)
    processes: Annotated[int, RUNTIME] = Field(default=1, gt=0)
    """Of the sampling, each with a GPU of its own where there are any; in a cluster they may be on several nodes."""

    @model_validator(mode="after")
    def _is_consistent(self) -> "PreferencesConfig":
        kinds = [judge.kind for judge in self.judges]
        if len(set(kinds)) != len(kinds):
            raise ValueError(f"judges: each kind once, got {kinds}")
        if not any(judge.weight for judge in self.judges):
            raise ValueError("judges: every weight is 0; one judge at least must decide")
        if any(not 0 <= each <= 10 for each in self.temperatures):
            raise ValueError(f"temperatures {list(self.temperatures)}: must be from 0 to 10")
        if len(self.temperatures) > self.candidates:
            raise ValueError(f"temperatures: {len(self.temperatures)} for {self.candidates} candidates; raise `candidates`")
        if sum(self.candidate_temperatures()) == 0:
            raise ValueError("temperatures: all are 0, so that all answers of a model would be equal")
        if self.own_reward_model() and not any(judge.weight for judge in self.judges if judge.kind != "reward_model"):
            raise ValueError(
                "judges: the recipe's own reward_model cannot judge the first round, where another must have weight"
            )
        names = [model.name for model in self.models]
        if len({*STAGES, *names}) != len(names) + len(STAGES):
            raise ValueError(f"models: names must be unique and other than {', '.join(STAGES)}, got {names}")
        weights = [getattr(source, "weight", None) for source in self.sources] + [self.pairing.sampled_weight]
        if any(weight is None for weight in weights) and any(weight is not None for weight in weights):
            raise ValueError("weight of the sources and pairing.sampled_weight: give all of them or none")
        return self

    def candidate_temperatures(self) -> tuple[float, ...]:
        """The temperature of each candidate of a model."""
        return tuple(self.temperatures[number % len(self.temperatures)] for number in range(self.candidates))

    def own_reward_model(self) -> bool:
        """Whether the recipe's own `reward_model` is a judge."""
        return any(isinstance(judge, RewardJudge) and judge.path is None for judge in self.judges)

    def files_read(self) -> tuple[FilesRead, ...]:
        """Models of the judges and samplers: what the stage of pairs reads beside its inputs, counted by content."""
        read = [FilesRead(name=f"preferences.models.{model.name}", path=model.path) for model in self.models]
        rewards = [judge.path for judge in self.judges if isinstance(judge, RewardJudge) and judge.path]
        return (*read, *(FilesRead(name="preferences.judges.reward_model", path=path) for path in rewards))
