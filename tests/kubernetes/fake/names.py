"""Names, labels and keys."""

import re

from tests.kubernetes.fake.answers import Cause, Object, invalid_value

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = rf"({_QUALIFIED})?"
_SERVICE = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_CONFIG_KEY = r"[-._a-zA-Z0-9]+"


def quote(text: str) -> str:
    """As Go's %q for the texts that occur here."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _check(path: str, value: str, pattern: str, longest: int, detail: str) -> list[Cause]:
    problems = []
    if len(value) > longest:
        problems.append(invalid_value(path, quote(value), f"must be no more than {longest} characters"))
    if not re.fullmatch(pattern, value):
        problems.append(invalid_value(path, quote(value), detail))
    return problems


def dns_label(path: str, value: str) -> list[Cause]:
    """RFC 1123 label: names of containers, volumes, hosts."""
    detail = (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
        f"an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
    )
    return _check(path, value, _LABEL, 63, detail)


def dns_subdomain(path: str, value: str) -> list[Cause]:
    """RFC 1123 subdomain: names of most objects."""
    detail = (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
        f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
    )
    return _check(path, value, _SUBDOMAIN, 253, detail)


def service_name(path: str, value: str) -> list[Cause]:
    """RFC 1035 label: names of services."""
    detail = (
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
        f"and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '{_SERVICE}')"
    )
    return _check(path, value, _SERVICE, 63, detail)


def config_key(path: str, value: str) -> list[Cause]:
    """Keys of ConfigMaps and Secrets."""
    detail = (
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
        f"'key-name', regex used for validation is '{_CONFIG_KEY}')"
    )
    return _check(path, value, _CONFIG_KEY, 253, detail)


def label_value(path: str, value: str) -> list[Cause]:
    """Values of labels and node selectors."""
    detail = (
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
        "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
        f"'{_VALUE}')"
    )
    return _check(path, value, _VALUE, 63, detail)


def qualified_name(path: str, key: str) -> list[Cause]:
    """Keys of labels and annotations: an optional domain and a name."""
    domain, slash, name = key.rpartition("/")
    detail = (
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
        "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
        f"'{_QUALIFIED}')"
    )
    problems = []
    if slash and not re.fullmatch(_SUBDOMAIN, domain):
        wanted = dns_subdomain(path, domain)[0].message.partition(": ")[2].partition(": ")[2]
        problems.append(invalid_value(path, quote(key), f"prefix part {wanted}"))
    if len(name) > 63:
        problems.append(invalid_value(path, quote(key), "name part must be no more than 63 characters"))
    if not re.fullmatch(_QUALIFIED, name):
        problems.append(invalid_value(path, quote(key), detail))
    return problems


def labels(path: str, values: dict[str, str] | None) -> list[Cause]:
    """A map of labels."""
    return [
        problem
        for key, value in (values or {}).items()
        for problem in [*qualified_name(path, key), *label_value(path, value or "")]
    ]


def object_meta(metadata: Object, path: str = "metadata") -> list[Cause]:
    """Labels and annotations of any object."""
    problems = labels(f"{path}.labels", metadata.get("labels"))
    for key in metadata.get("annotations") or {}:
        problems += qualified_name(f"{path}.annotations", key.lower())
    return problems
