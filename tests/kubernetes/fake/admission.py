"""What is refused before it is stored."""

import json

from tests.kubernetes.fake.answers import Object
from tests.kubernetes.fake.resources import Resource


def decode(resource: Resource, body: bytes, validation: str) -> tuple[Object, list[str]]:
    return json.loads(body), []


def validate(resource: Resource, item: Object) -> list[str]:
    return []


def validate_change(resource: Resource, before: Object, after: Object) -> None:
    pass
