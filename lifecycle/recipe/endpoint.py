"""The recipe's description of a chat endpoint: what is asked of it, how fast, and what it costs; never where it is."""

from typing import Annotated

from pydantic import Field

from lifecycle.recipe.base import RUNTIME, Section


class EndpointConfig(Section):
    """Any server that speaks OpenAI's `POST /chat/completions`.

    Its address and key come from the environment (`lifecycle.endpoint.client`), so that neither a recipe nor anything
    that is made from one can hold them.
    """

    model: str = Field(min_length=1)
    """As the server names it; where it has dated names give one, for an undated one may mean other weights tomorrow."""
    temperature: float | None = Field(default=0.0, ge=0)
    """Null leaves it to the server; some models refuse the field."""
    max_tokens: int = Field(default=512, gt=0)
    """Longest answer."""
    seed: int | None = None
    requests_per_minute: Annotated[int | None, RUNTIME] = Field(default=None, gt=0)
    """In any sixty seconds; null does not limit."""
    tokens_per_minute: Annotated[int | None, RUNTIME] = Field(default=None, gt=0)
    """Of questions and answers together, in any sixty seconds."""
    concurrency: Annotated[int, RUNTIME] = Field(default=4, gt=0)
    """Requests under way at once."""
    timeout_seconds: Annotated[float, RUNTIME] = Field(default=120, gt=0)
    """How long the server may say nothing."""
    attempts: Annotated[int, RUNTIME] = Field(default=6, gt=0)
    """Of one request, before it counts as failed."""
    input_price: Annotated[float, RUNTIME] = Field(default=0, ge=0)
    """Of a million tokens of questions, in any currency."""
    output_price: Annotated[float, RUNTIME] = Field(default=0, ge=0)
    """Of a million tokens of answers."""
