"""The rules of one container."""

from decimal import Decimal

from tests.kubernetes.fake import names
from tests.kubernetes.fake.answers import Cause, Object, duplicate, invalid_value, not_found, required, unsupported
from tests.kubernetes.fake.quantities import quantity

PULL_POLICIES = ["Always", "IfNotPresent", "Never"]
PROTOCOLS = ["SCTP", "TCP", "UDP"]
STANDARD = {"cpu", "memory", "ephemeral-storage"}
MOST_PORT = 65535
MOST = 2**31 - 1


def container_rules(container: Object, path: str, volumes: dict[str, Object], host_network: bool) -> list[Cause]:
    """Everything but the container's name."""
    causes = [] if container.get("image") else [required(f"{path}.image")]
    policy = container.get("imagePullPolicy")
    if policy and policy not in PULL_POLICIES:
        causes.append(unsupported(f"{path}.imagePullPolicy", policy, PULL_POLICIES))
    causes += _ports(container.get("ports") or [], f"{path}.ports", host_network)
    causes += _environment(container.get("env") or [], f"{path}.env")
    causes += _mounts(container.get("volumeMounts") or [], f"{path}.volumeMounts", volumes)
    causes += _resources(container.get("resources") or {}, f"{path}.resources")
    context = container.get("securityContext") or {}
    return causes + [
        invalid_value(f"{path}.securityContext.{name}", str(context[name]), f"must be between 0 and {MOST}, inclusive")
        for name in ("runAsUser", "runAsGroup")
        if context.get(name) is not None and not 0 <= context[name] <= MOST
    ]


def _ports(ports: list[Object], path: str, host_network: bool) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for number, port in enumerate(ports):
        where, inside = f"{path}[{number}]", port.get("containerPort", 0)
        if name := port.get("name"):
            causes += port_name(f"{where}.name", name)
            causes += [duplicate(f"{where}.name", name)] if name in seen else []
            seen.add(name)
        if not inside:
            causes.append(required(f"{where}.containerPort"))
        else:
            causes += port_number(f"{where}.containerPort", inside)
        outside = port.get("hostPort", 0)
        if outside:
            causes += port_number(f"{where}.hostPort", outside)
            if host_network and outside != inside:
                detail = "must match `containerPort` when `hostNetwork` is true"
                causes.append(invalid_value(f"{where}.hostPort", str(outside), detail))
        if port.get("protocol", "TCP") not in PROTOCOLS:
            causes.append(unsupported(f"{where}.protocol", port["protocol"], PROTOCOLS))
    return causes


def port_number(path: str, value: int) -> list[Cause]:
    """1 to 65535."""
    if 1 <= value <= MOST_PORT:
        return []
    return [invalid_value(path, str(value), f"must be between 1 and {MOST_PORT}, inclusive")]


def port_name(path: str, value: str) -> list[Cause]:
    """IANA service name."""
    causes = []
    if len(value) > 15:
        causes.append(invalid_value(path, names.quote(value), "must be no more than 15 characters"))
    if not all(c.isascii() and (c.islower() or c.isdigit() or c == "-") for c in value):
        detail = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
        causes.append(invalid_value(path, names.quote(value), detail))
    if not any(c.isalpha() for c in value):
        causes.append(invalid_value(path, names.quote(value), "must contain at least one letter (a-z)"))
    return causes


def _environment(entries: list[Object], path: str) -> list[Cause]:
    causes = []
    for number, entry in enumerate(entries):
        where = f"{path}[{number}]"
        if not entry.get("name"):
            causes.append(required(f"{where}.name"))
        elif "=" in entry["name"] or not all(" " <= c <= "~" for c in entry["name"]):
            detail = "a valid environment variable name must consist only of printable ASCII characters other than '='"
            causes.append(invalid_value(f"{where}.name", names.quote(entry["name"]), detail))
        if entry.get("value") and entry.get("valueFrom"):
            causes.append(invalid_value(f"{where}.valueFrom", '""', "may not be specified when `value` is not empty"))
    return causes


def _mounts(mounts: list[Object], path: str, volumes: dict[str, Object]) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for number, mount in enumerate(mounts):
        where, name, target = f"{path}[{number}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            causes.append(required(f"{where}.name"))
        elif name not in volumes:
            causes.append(not_found(f"{where}.name", name))
        if not target:
            causes.append(required(f"{where}.mountPath"))
        if target in seen:
            causes.append(invalid_value(f"{where}.mountPath", names.quote(target), "must be unique"))
        seen.add(target)
        # The server's own path of this mistake lacks the index.
        sub = mount.get("subPath") or ""
        if sub.startswith("/"):
            causes.append(invalid_value(f"{path}.subPath", names.quote(sub), "must be a relative path"))
        if ".." in sub.split("/"):
            causes.append(invalid_value(f"{path}.subPath", names.quote(sub), "must not contain '..'"))
    return causes


def _resources(resources: Object, path: str) -> list[Cause]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    causes: list[Cause] = []
    for part, amounts in (("limits", limits), ("requests", requests)):
        for name, value in amounts.items():
            causes += _amount(f"{path}.{part}[{name}]", name, value)
    if causes:
        return causes
    for name, value in requests.items():
        whole = name not in STANDARD
        if name not in limits:
            if whole:
                causes.append(required(f"{path}.limits", "Limit must be set for non overcommitable resources"))
            continue
        limit = limits[name]
        if whole and quantity(value) != quantity(limit):
            detail = f"must be equal to {name} limit of {limit}"
            causes.append(invalid_value(f"{path}.requests", names.quote(str(value)), detail))
        elif quantity(value) > quantity(limit):
            detail = f"must be less than or equal to {name} limit of {limit}"
            causes.append(invalid_value(f"{path}.requests", names.quote(str(value)), detail))
    return causes


def _amount(path: str, name: str, value: str | int) -> list[Cause]:
    if name not in STANDARD and not name.startswith("hugepages-") and "/" not in name:
        shown = names.quote(name)
        return [
            invalid_value(path, shown, "must be a standard resource type or fully qualified"),
            invalid_value(path, shown, "must be a standard resource for containers"),
        ]
    amount = quantity(value)
    if amount < 0:
        return [invalid_value(path, names.quote(str(value)), "must be greater than or equal to 0")]
    if "/" in name and amount != amount.to_integral_value():
        return [invalid_value(path, _go_quantity(amount), "must be an integer")]
    return []


def _go_quantity(amount: Decimal) -> str:
    """A quantity of thousandths as Go prints its fields."""
    milli = int(amount * 1000)
    return (
        f"resource.Quantity{{i:resource.int64Amount{{value:{milli}, scale:-3}}, "
        f'd:resource.infDecAmount{{Dec:(*inf.Dec)(nil)}}, s:"{milli}m", Format:"DecimalSI"}}'
    )
