"""What is refused before it is stored, by kind."""

from tests.kubernetes.fake import names
from tests.kubernetes.fake.answers import Cause, Object, forbidden, invalid, required
from tests.kubernetes.fake.containerrules import port_name, port_number
from tests.kubernetes.fake.jobrules import job_change_rules, job_rules
from tests.kubernetes.fake.podrules import pod_rules, warnings
from tests.kubernetes.fake.resources import JOBS, Resource

MOST_BYTES = 2**20


def validate(resource: Resource, item: Object, missing: list[Cause]) -> list[str]:
    """Apply the rules of a kind to a new object; returns warnings. `missing` are the required fields that it lacks.

    Raises:
        ApiError: 422, with every mistake in the server's order.
    """
    rules = {"Job": job_rules, "Pod": _pod, "Service": _service, "ConfigMap": _config_map}.get(resource.kind, _plain)
    causes = rules(item) if not _unreadable(missing) else []
    known = {cause.field for cause in causes}
    causes += [cause for cause in missing if cause.field not in known]
    if causes:
        raise invalid(resource.qualified_kind, resource.group, resource.kind, item["metadata"].get("name", ""), causes)
    if resource.kind == "Job":
        return warnings(item["spec"]["template"]["spec"], "spec.template.spec")
    return warnings(item["spec"], "spec") if resource.kind == "Pod" else []


def validate_change(resource: Resource, before: Object, after: Object) -> None:
    """Apply the rules of a kind to a changed object.

    Raises:
        ApiError: 422.
    """
    causes = names.object_meta(after["metadata"])
    if resource is JOBS:
        causes += job_change_rules(before, after)
    if resource.kind == "ConfigMap" and before.get("immutable") and before.get("data") != after.get("data"):
        causes.append(forbidden("data", "field is immutable when `immutable` is set"))
    if causes:
        raise invalid(resource.qualified_kind, resource.group, resource.kind, before["metadata"]["name"], causes)


def _unreadable(missing: list[Cause]) -> bool:
    """Whether a part is missing without which the rules have nothing to look at."""
    return any(cause.field in ("spec", "spec.template", "spec.template.spec") for cause in missing)


def _plain(item: Object) -> list[Cause]:
    name = item["metadata"].get("name")
    if not name:
        return [required("metadata.name", "name or generateName is required")]
    return names.dns_subdomain("metadata.name", name) + names.object_meta(item["metadata"])


def _pod(item: Object) -> list[Cause]:
    return _plain(item) + pod_rules(item["spec"], "spec")


def _service(item: Object) -> list[Cause]:
    causes = names.service_name("metadata.name", item["metadata"].get("name", "")) + names.object_meta(item["metadata"])
    ports = item["spec"].get("ports") or []
    if not ports and item["spec"].get("clusterIP") != "None":
        causes.append(required("spec.ports"))
    for number, port in enumerate(ports):
        where = f"spec.ports[{number}]"
        if len(ports) > 1 and not port.get("name"):
            causes.append(required(f"{where}.name"))
        if port.get("name"):
            causes += port_name(f"{where}.name", port["name"]) if len(port["name"]) > 15 else []
        causes += port_number(f"{where}.port", port["port"])
    return causes + names.labels("spec.selector", item["spec"].get("selector"))


def _config_map(item: Object) -> list[Cause]:
    causes = _plain(item)
    data = item.get("data") or {}
    for key in data:
        causes += names.config_key(f"data[{key}]", key)
    if sum(len(value.encode()) for value in data.values()) > MOST_BYTES:
        causes.append(Cause("FieldValueTooLong", f"Too long: may not be more than {MOST_BYTES} bytes", ""))
    return causes
