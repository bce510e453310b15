"""Failures as the API server words them: `Status` objects."""

from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True)
class Cause:
    """One mistake in a field."""

    reason: str
    message: str
    field: str


def invalid_value(path: str, value: str, detail: str) -> Cause:
    """A value that is not allowed; `value` as Go prints it (strings in double quotes)."""
    return Cause("FieldValueInvalid", f"Invalid value: {value}: {detail}", path)


def required(path: str, detail: str = "") -> Cause:
    """A field without a value."""
    return Cause("FieldValueRequired", "Required value" + (f": {detail}" if detail else ""), path)


def unsupported(path: str, value: str, allowed: list[str]) -> Cause:
    """A value outside a closed list."""
    names = ", ".join(f'"{name}"' for name in allowed)
    return Cause("FieldValueNotSupported", f'Unsupported value: "{value}": supported values: {names}', path)


def duplicate(path: str, value: str) -> Cause:
    """A value that occurs twice where it must be unique."""
    return Cause("FieldValueDuplicate", f'Duplicate value: "{value}"', path)


def not_found(path: str, value: str) -> Cause:
    """A reference to something that does not exist in the same object."""
    return Cause("FieldValueNotFound", f'Not found: "{value}"', path)


def forbidden(path: str, detail: str) -> Cause:
    """A field that must not be set here."""
    return Cause("FieldValueForbidden", f"Forbidden: {detail}", path)


@dataclass
class ApiError(Exception):
    """A refused request: everything that its `Status` says."""

    code: int
    reason: str
    message: str
    details: Object | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def status(self) -> Object:
        """The body of the answer."""
        body: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details is not None:
            body["details"] = self.details
        return body | {"code": self.code}


def bad_request(message: str) -> ApiError:
    """400: the request cannot be read."""
    return ApiError(400, "BadRequest", message)


def absent(qualified: str, group: str, plural: str, name: str) -> ApiError:
    """404: no such object."""
    return ApiError(404, "NotFound", f'{qualified} "{name}" not found', _details(name, group, plural))


def page_not_found() -> ApiError:
    """404 for a path that no resource serves; the real body is plain text, which clients treat alike."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def conflict(qualified: str, group: str, kind: str, name: str, why: str) -> ApiError:
    """409: somebody else was there first."""
    message = f'Operation cannot be fulfilled on {qualified} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(name, group, kind))


def exists(qualified: str, group: str, plural: str, name: str) -> ApiError:
    """409: the name is taken."""
    return ApiError(409, "AlreadyExists", f'{qualified} "{name}" already exists', _details(name, group, plural))


def unauthorized() -> ApiError:
    """401: the token is not known."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def expired(message: str) -> ApiError:
    """410: the resource version lies before what the server remembers."""
    return ApiError(410, "Expired", message)


def unsupported_media(message: str, details: Object | None = None) -> ApiError:
    """415: a content type that the verb does not take."""
    return ApiError(415, "UnsupportedMediaType", message, details)


def invalid(qualified_kind: str, group: str, kind: str, name: str, causes: list[Cause]) -> ApiError:
    """422: the object can be read and breaks rules."""
    lines = [f"{cause.field}: {cause.message}" for cause in causes]
    text = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
    details = _details(name, group, kind) | {
        "causes": [{"reason": c.reason, "message": c.message, "field": c.field} for c in causes]
    }
    return ApiError(422, "Invalid", f'{qualified_kind} "{name}" is invalid: {text}', details)


def _details(name: str, group: str, kind: str) -> Object:
    return {"name": name} | ({"group": group} if group else {}) | {"kind": kind}
