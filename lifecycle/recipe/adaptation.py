"""Where training starts from, and which of a model's weights it may change."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lifecycle.recipe.base import RUNTIME, Section


class StartingModel(Section):
    """A model to start from: a Hugging Face folder with safetensors, or a model of the Hub.

    Where it lies does not count for fingerprints; the digest of its files (of the Hub: name and commit) does.
    """

    path: Annotated[str | None, RUNTIME] = None
    """Directory; `$NAME` and `${NAME}` are taken from the environment."""
    hub: Annotated[str | None, RUNTIME] = None
    """Name on the Hub, as in `Qwen/Qwen3-0.6B`; read from the local cache where it is there."""
    revision: Annotated[str | None, RUNTIME] = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    """Commit of a model of the Hub, in full: it is what lineage records, and needs no network to be known."""

    @model_validator(mode="after")
    def _one_place(self) -> "StartingModel":
        if (self.path is None) == (self.hub is None):
            raise ValueError("a model to start from has either a path or the name of a model of the Hub")
        if self.hub is not None and self.revision is None:
            raise ValueError(f"model {self.hub}: give the `revision`, a full commit hash (`git ls-remote` shows it)")
        return self


class Adapter(Section):
    """Low-rank adaptation: all weights stay as they are, small matrices beside them are trained, and merged at the end."""

    kind: Literal["lora", "dora", "qlora"] = "lora"
    """LoRA (Hu et al. 2021), DoRA (Liu et al. 2024), QLoRA (Dettmers et al. 2023: the frozen weights in 4 bits; GPUs)."""
    rank: int = Field(default=16, gt=0)
    alpha: float = Field(default=32.0, gt=0)
    """The update is scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: tuple[str, ...] = ()
    """Ends of module names, as in `q_proj`; empty: every linear layer but the output."""
