"""`pods/log`."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from tests.kubernetes.fake.answers import ApiError, Object, bad_request
from tests.kubernetes.fake.clock import Clock
from tests.kubernetes.fake.containers import Container, Line
from tests.kubernetes.fake.kubelet import Kubelet
from tests.kubernetes.fake.server import flag

IDLE_SECONDS = 0.05


def container_of(pod: Object, kubelet: Kubelet, query: dict[str, str]) -> Container | None:
    """The container whose log is asked for; None says that the pod has not been placed (204, no body).

    Raises:
        ApiError: 400, it does not exist, has not started, or has no previous life; 500, its node does not answer.
    """
    specs = {spec["name"]: spec for spec in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]}
    podname, name = pod["metadata"]["name"], query.get("container", "")
    if not name and len(pod["spec"]["containers"]) > 1:
        names = " ".join(spec["name"] for spec in pod["spec"]["containers"])
        raise bad_request(f"a container name must be specified for pod {podname}, choose one of: [{names}]")
    name = name or pod["spec"]["containers"][0]["name"]
    if name not in specs:
        raise bad_request(f"container {name} is not valid for pod {podname}")
    if not pod["spec"].get("nodeName"):
        return None
    node = pod["spec"]["nodeName"]
    if node in kubelet.dead_nodes:
        message = f'Get "https://{node}:10250/containerLogs": dial tcp: connect: no route to host'
        raise ApiError(500, "InternalError", message)
    run = kubelet.runs.get(pod["metadata"]["uid"])
    if flag(query, "previous"):
        if run is None or name not in run.previous:
            raise bad_request(f'previous terminated container "{name}" in pod "{podname}" not found')
        return run.previous[name]
    init = [spec["name"] for spec in pod["spec"].get("initContainers", [])]
    if run and name in init and len(run.init) > init.index(name):
        return run.init[init.index(name)]
    if run and name in run.containers:
        return run.containers[name]
    statuses = {entry["name"]: entry for entry in pod["status"].get("containerStatuses", [])}
    waiting = ((statuses.get(name) or {}).get("state") or {}).get("waiting") or {"reason": "ContainerCreating"}
    why = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}
    reason = why.get(waiting["reason"], waiting["reason"])
    raise bad_request(f'container "{name}" in pod "{podname}" is waiting to start: {reason}')


def read_log(container: Container, query: dict[str, str], clock: Clock) -> Iterator[bytes]:
    """The lines that the query asks for; with `follow` until the container ends. Empty bytes mean that nothing came yet."""
    since = 0.0
    if "sinceSeconds" in query:
        since = clock.now() - int(query["sinceSeconds"])
    if "sinceTime" in query:
        since = _seconds(query["sinceTime"])
    stamped = flag(query, "timestamps")
    with container.grown:
        lines, position = [line for line in container.lines if line.at >= since], len(container.lines)
    if "tailLines" in query:
        count = int(query["tailLines"])
        lines = lines[-count:] if count else []
    limit = int(query["limitBytes"]) if "limitBytes" in query else None
    text = b"".join(_write(line, stamped) for line in lines)
    yield text if limit is None else text[:limit]
    while flag(query, "follow"):
        with container.grown:
            if len(container.lines) == position and container.code is None:
                container.grown.wait(IDLE_SECONDS)
            lines, ended = container.lines[position:], container.code is not None
            position += len(lines)
        yield b"".join(_write(line, stamped) for line in lines)
        if ended and not lines:
            return


def _write(line: Line, stamped: bool) -> bytes:
    if not stamped:
        return line.text.encode()
    whole, fraction = divmod(line.at, 1)
    stamp = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{round(fraction * 1e9):09d}Z {line.text}".encode()


def _seconds(stamp: str) -> float:
    """Seconds since the epoch of an RFC 3339 time, nanoseconds included as far as a float holds them."""
    found = re.fullmatch(r"(.*?)(\.\d+)?(Z|[+-]\d\d:\d\d)", stamp)
    if not found:
        raise bad_request(f'parsing time "{stamp}" as RFC 3339 failed')
    return datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00")).timestamp() + float(found[2] or 0)
