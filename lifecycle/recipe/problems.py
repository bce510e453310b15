"""What is wrong with a recipe, in words that its author can act on: the field, what was meant, and where it belongs."""

from collections.abc import Iterator
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

Location = tuple[int | str, ...]
SECTIONS_NAMED = 3
"""Sections that are named for a field that stands in several."""


def problems(error: ValidationError, recipe: type[BaseModel]) -> list[str]:
    """One line for every problem: where it is, and what to do."""
    return [_problem(item, recipe) for item in error.errors()]


def _problem(item: Any, recipe: type[BaseModel]) -> str:
    path, section = _follow(recipe, item["loc"])
    where = ".".join(path) or "(recipe)"
    text = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden" and section is not None:
        meant = _meant(path[-1], list(section.model_fields))
        homes = _homes(recipe, path)
        text = f"no such field{meant}{' Or it' if meant and homes else '; it' if homes else ''}{homes}"
        if not meant and not homes:
            text += f"; fields here: {', '.join(section.model_fields)}"
    elif item["type"] == "literal_error":
        text += _meant(item["input"], item["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", "))
    elif item["type"] == "union_tag_invalid":
        text += _meant(item["ctx"]["tag"], item["ctx"]["expected_tags"].replace("'", "").split(", "))
    return f"{where}: {text}"


def _meant(given: Any, choices: list[str]) -> str:
    close = get_close_matches(given, choices, n=1) if isinstance(given, str) else []
    return f"; did you mean `{close[0]}`?" if close else ""


def _homes(recipe: type[BaseModel], path: list[str]) -> str:
    """The sections that have a field of this name, nearest first."""
    every = {section for section, model in _sections(recipe, ()) if path[-1] in model.model_fields}
    found = sorted(every, key=lambda section: (-_shared(section, path), len(section), section))[:SECTIONS_NAMED]
    named = " or ".join(f"`{'.'.join(section)}`" if section else "the recipe itself" for section in found)
    return f" belongs to {named}" if named else ""


def _shared(section: tuple[str, ...], path: list[str]) -> int:
    """How many steps two paths have in common."""
    count = 0
    while count < min(len(section), len(path)) and section[count] == path[count]:
        count += 1
    return count


def _sections(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    yield path, model
    for name, field in model.model_fields.items():
        for inner in _models(field.annotation):
            yield from _sections(inner, (*path, name))


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a field's annotation names, through unions, tuples and `Annotated`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Annotated, Union, UnionType, tuple, list, dict):
        return [model for argument in get_args(annotation) for model in _models(argument)]
    return []


def _follow(model: type[BaseModel], location: Location) -> tuple[list[str], type[BaseModel] | None]:
    """The path as it is written in the recipe, and the section that holds its last step.

    pydantic also names the member of a union by its tag (`sources.0.jsonl.path`): that is no step of the recipe.
    """
    path: list[str] = []
    here: type[BaseModel] | None = model
    members: list[type[BaseModel]] = []
    for place, step in enumerate(location):
        tagged = [each for each in members if step in _tags(each)]
        if tagged:
            here, members = tagged[0], []
            continue
        path.append(str(step))
        if place == len(location) - 1 or isinstance(step, int):
            continue
        field = here.model_fields.get(step) if here else None
        members = _models(field.annotation) if field else []
        here = members[0] if len(members) == 1 else None
    return path, here


def _tags(model: type[BaseModel]) -> tuple[str, ...]:
    kind = model.model_fields.get("kind")
    return get_args(kind.annotation) if kind and get_origin(kind.annotation) is Literal else ()
