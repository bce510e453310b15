"""The rules of pod templates, with the words of a 1.32 API server and in its order."""

from collections.abc import Callable

from tests.kubernetes.fake import names
from tests.kubernetes.fake.answers import Cause, Object, duplicate, forbidden, invalid_value, required, unsupported
from tests.kubernetes.fake.containerrules import container_rules

HOST_PATH_TYPES = ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"]
MOST = 2**31 - 1
DNS_POLICIES = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]


def template_rules(template: Object, path: str, job: Object) -> list[Cause]:
    """A template with its labels; the job's own labels are added before the rules are applied."""
    metadata = template.get("metadata") or {}
    added = {"batch.kubernetes.io/job-name": job["metadata"].get("name", ""), "job-name": job["metadata"].get("name", "")}
    causes = names.labels(f"{path}.labels", (metadata.get("labels") or {}) | added)
    for key in metadata.get("annotations") or {}:
        causes += names.qualified_name(f"{path}.annotations", key.lower())
    return causes + pod_rules(template["spec"], f"{path}.spec")


def pod_rules(spec: Object, path: str) -> list[Cause]:
    """A pod's spec."""
    volumes, causes = _volumes(spec.get("volumes") or [], f"{path}.volumes")
    if not spec.get("containers"):
        causes.append(required(f"{path}.containers"))
    seen: set[str] = set()
    for kind in ("containers", "initContainers"):
        for number, container in enumerate(spec.get(kind) or []):
            where = f"{path}.{kind}[{number}]"
            name = container.get("name", "")
            if not name:
                causes.append(required(f"{where}.name"))
            else:
                causes += names.dns_label(f"{where}.name", name)
            if name in seen:
                causes.append(duplicate(f"{where}.name", name))
            seen.add(name)
            causes += container_rules(container, where, volumes, bool(spec.get("hostNetwork")))
    causes += _restart_policy(spec, path)
    causes += names.labels(f"{path}.nodeSelector", spec.get("nodeSelector"))
    causes += _security(spec.get("securityContext") or {}, f"{path}.securityContext")
    causes += _affinity(spec.get("affinity") or {}, f"{path}.affinity")
    for number, toleration in enumerate(spec.get("tolerations") or []):
        causes += _toleration(toleration, f"{path}.tolerations[{number}]")
    for name in ("hostname", "subdomain"):
        if spec.get(name):
            causes += names.dns_label(f"{path}.{name}", spec[name])
    for name in ("serviceAccountName", "priorityClassName"):
        if spec.get(name):
            causes += names.dns_subdomain(f"{path}.{name}", spec[name])
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= MOST:
        causes.append(
            invalid_value(f"{path}.activeDeadlineSeconds", str(deadline), f"must be between 1 and {MOST}, inclusive")
        )
    if spec.get("dnsPolicy", "ClusterFirst") not in DNS_POLICIES:
        causes.append(unsupported(f"{path}.dnsPolicy", spec["dnsPolicy"], DNS_POLICIES))
    return causes


def warnings(spec: Object, path: str) -> list[str]:
    """What is accepted with a warning."""
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        return [f"{path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"]
    return []


def _restart_policy(spec: Object, path: str) -> list[Cause]:
    policies = ["Always", "OnFailure", "Never"]
    policy = spec.get("restartPolicy", "Always")
    return [] if policy in policies else [unsupported(f"{path}.restartPolicy", policy, policies)]


def _volumes(volumes: list[Object], path: str) -> tuple[dict[str, Object], list[Cause]]:
    """The volumes that mounts may name (those with a mistake do not count), and the mistakes."""
    good: dict[str, Object] = {}
    causes: list[Cause] = []
    for number, volume in enumerate(volumes):
        where, name = f"{path}[{number}]", volume.get("name", "")
        found = _source(volume, where)
        if not name:
            found.append(required(f"{where}.name"))
        else:
            found += names.dns_label(f"{where}.name", name)
        if name in good:
            found.append(duplicate(f"{where}.name", name))
        causes += found
        if not found:
            good[name] = volume
    return good, causes


def _source(volume: Object, path: str) -> list[Cause]:
    kinds = [name for name in volume if name != "name" and volume[name] is not None]
    order = ["emptyDir", "hostPath", "persistentVolumeClaim", "configMap", "secret"]
    kinds.sort(key=lambda name: order.index(name) if name in order else len(order))
    causes = _source_rules.get(kinds[0], lambda source, where: [])(volume[kinds[0]], f"{path}.{kinds[0]}") if kinds else []
    causes += [forbidden(f"{path}.{name}", "may not specify more than 1 volume type") for name in kinds[1:]]
    return causes


def _host_path(source: Object, path: str) -> list[Cause]:
    causes = [] if source.get("path") else [required(f"{path}.path")]
    if ".." in source.get("path", "").split("/"):
        causes.append(invalid_value(f"{path}.path", names.quote(source["path"]), "must not contain '..'"))
    if (source.get("type") or "") not in HOST_PATH_TYPES:
        causes.append(unsupported(f"{path}.type", source["type"], HOST_PATH_TYPES))
    return causes


_source_rules: dict[str, Callable[[Object, str], list[Cause]]] = {
    "hostPath": _host_path,
    "persistentVolumeClaim": lambda source, path: [] if source.get("claimName") else [required(f"{path}.claimName")],
    "configMap": lambda source, path: [] if source.get("name") else [required(f"{path}.name")],
    "secret": lambda source, path: [] if source.get("secretName") else [required(f"{path}.secretName")],
}


def _security(context: Object, path: str) -> list[Cause]:
    return [
        invalid_value(f"{path}.{name}", str(context[name]), f"must be between 0 and {MOST}, inclusive")
        for name in ("fsGroup", "runAsUser", "runAsGroup")
        if context.get(name) is not None and not 0 <= context[name] <= MOST
    ]


def _toleration(toleration: Object, path: str) -> list[Cause]:
    causes = names.qualified_name(f"{path}.key", toleration["key"]) if toleration.get("key") else []
    operator, value = toleration.get("operator", ""), toleration.get("value", "")
    if not toleration.get("key") and operator != "Exists":
        detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        causes.append(invalid_value(f"{path}.operator", names.quote(operator), detail))
    if toleration.get("tolerationSeconds") is not None and toleration.get("effect") != "NoExecute":
        detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        causes.append(invalid_value(f"{path}.effect", names.quote(toleration.get("effect", "")), detail))
    if operator == "Exists" and value:
        causes.append(
            invalid_value(f"{path}.operator", names.quote(value), "value must be empty when `operator` is 'Exists'")
        )
    if operator not in ("", "Exists", "Equal"):
        causes.append(unsupported(f"{path}.operator", operator, ["Equal", "Exists"]))
    effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"]
    if toleration.get("effect") and toleration["effect"] not in effects:
        causes.append(unsupported(f"{path}.effect", toleration["effect"], effects))
    return causes


def _affinity(affinity: Object, path: str) -> list[Cause]:
    node = affinity.get("nodeAffinity") or {}
    hard = node.get("requiredDuringSchedulingIgnoredDuringExecution")
    if hard is None:
        return []
    where = f"{path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
    if not hard.get("nodeSelectorTerms"):
        return [required(where, "must have at least one node selector term")]
    return [
        cause
        for number, term in enumerate(hard["nodeSelectorTerms"])
        for place, expression in enumerate(term.get("matchExpressions") or [])
        for cause in _expression(expression, f"{where}[{number}].matchExpressions[{place}]")
    ]


def _expression(expression: Object, path: str) -> list[Cause]:
    operator, values = expression.get("operator", ""), expression.get("values") or []
    causes = []
    if operator in ("In", "NotIn") and not values:
        causes.append(required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    if operator in ("Exists", "DoesNotExist") and values:
        causes.append(forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
    if operator in ("Gt", "Lt") and len(values) != 1:
        causes.append(required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'"))
    if operator not in ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"):
        causes.append(invalid_value(f"{path}.operator", names.quote(operator), "not a valid selector operator"))
    return causes + names.qualified_name(f"{path}.key", expression.get("key", ""))
