"""What every part of a recipe shares: strict models, and the line between identity and runtime."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict


class RuntimeField:
    """Marks a field that changes how a result is computed, never what it is.

    Write `workers: Annotated[int, RUNTIME] = 2`; such a field stays out of every fingerprint.
    """


RUNTIME = RuntimeField()


Model = TypeVar("Model", bound=BaseModel)


class Section(BaseModel):
    """Base of all recipe models: unknown fields are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def identity(value: Any) -> Any:
    """The part of a recipe value that changes the result, as plain JSON data.

    Fields marked `RUNTIME` are left out at every depth; everything else is kept,
    defaults included, so that a changed default changes the fingerprint.
    """
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {
            name: identity(getattr(value, name))
            for name, field in fields.items()
            if not any(isinstance(mark, RuntimeField) for mark in field.metadata)
        }
    if isinstance(value, dict):
        return {str(key): identity(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [identity(item) for item in value]
    return value


def merged(section: Model, given: BaseModel) -> Model:
    """`section` with the fields that were stated in `given`, at every depth; defaults of `given` count for nothing.

    A section that is stated over one that is absent is taken whole; null takes a section away.
    """
    update = {}
    for name in given.model_fields_set:
        below, above = getattr(section, name), getattr(given, name)
        both = isinstance(below, BaseModel) and isinstance(above, BaseModel)
        update[name] = merged(below, above) if both else above
    return section.model_copy(update=update) if update else section
