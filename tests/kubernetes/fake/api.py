"""Paths and verbs of the API."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from tests.kubernetes.fake import resources
from tests.kubernetes.fake.access import Access, User
from tests.kubernetes.fake.answers import ApiError, Object, page_not_found
from tests.kubernetes.fake.deletion import delete_pod, place
from tests.kubernetes.fake.faults import Faults
from tests.kubernetes.fake.kubelet import Kubelet
from tests.kubernetes.fake.logs import container_of, read_log
from tests.kubernetes.fake.nodes import disrupt
from tests.kubernetes.fake.resources import PODS, Resource
from tests.kubernetes.fake.selectors import selected
from tests.kubernetes.fake.server import Answer, Request, flag
from tests.kubernetes.fake.store import Store
from tests.kubernetes.fake.verbs import Verbs
from tests.kubernetes.fake.watching import watch

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


class Api:
    """Answers requests."""

    def __init__(self, store: Store, kubelet: Kubelet, access: Access, faults: Faults) -> None:
        self.store = store
        self.kubelet = kubelet
        self.access = access
        self.faults = faults
        self.verbs = Verbs(store)

    def handle(self, request: Request) -> Answer:
        """The answer to a request; failures become their `Status`."""
        try:
            return self._route(request)
        except ApiError as error:
            return Answer(error.code, error.status(), error.headers)

    def _route(self, request: Request) -> Answer:
        user = self.access.user(request.headers.get("authorization", ""))
        parts = [part for part in request.path.split("/") if part]
        document = _discovery(parts) or resources.openapi(request.path)
        if document is not None:
            return Answer(200, document)
        if request.path in ("/healthz", "/livez", "/readyz"):
            return Answer(200, "ok")
        if parts == ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"]:
            return Answer(201, self.access.review(user, json.loads(request.body)))
        group, version, rest = ("", parts[1], parts[2:]) if parts[:1] == ["api"] else _group(parts)
        namespace = ""
        if rest[:1] == ["namespaces"] and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        resource = resources.find(group, version, rest[0]) if rest else None
        if resource is None or len(rest) > 3:
            raise page_not_found()
        name, sub = (rest[1] if len(rest) > 1 else ""), (rest[2] if len(rest) > 2 else "")
        return self._act(request, user, resource, namespace, name, sub)

    def _act(self, request: Request, user: User, resource: Resource, namespace: str, name: str, sub: str) -> Answer:
        verb = _verb(request, name)
        try:
            self.access.check(user, verb, resource, sub, namespace, name)
            self.faults.check(verb, f"{resource.plural}/{sub}" if sub else resource.plural, name)
            if sub == "log" and resource is PODS and verb == "get":
                return self._log(request, namespace, name)
            if sub == "eviction" and resource is PODS and verb == "create":
                return self._evict(request, namespace, name)
            if sub not in ("", "status"):
                raise page_not_found()
            return self._verb(request, verb, resource, namespace, name, sub)
        except ApiError as error:
            if verb in ("delete", "deletecollection"):
                error.headers |= self.verbs.delete_warning(resource, request)
            raise

    def _verb(self, request: Request, verb: str, resource: Resource, namespace: str, name: str, sub: str) -> Answer:
        match verb:
            case "get":
                return Answer(200, _typed(resource, self.store.get(resource, namespace, name)))
            case "list":
                return Answer(200, self.verbs.collection(resource, namespace, request.query))
            case "watch":
                return self._watch(request, resource, namespace, name)
            case "create":
                return self.verbs.create(resource, namespace, request)
            case "update":
                return self.verbs.update(resource, namespace, name, sub, request)
            case "patch":
                return self.verbs.patch(resource, namespace, name, sub, request)
            case "delete":
                return self.verbs.delete(resource, namespace, name, request)
            case "deletecollection":
                return self.verbs.delete_collection(resource, namespace, request)
        raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})

    def _watch(self, request: Request, resource: Resource, namespace: str, name: str) -> Answer:
        query = request.query
        match = selected(resource, query.get("labelSelector", ""), query.get("fieldSelector", ""))
        if name:
            match = lambda item, plain=match: plain(item) and item["metadata"]["name"] == name  # noqa: E731
        stream = watch(self.store, resource, namespace, match, query)
        return Answer(200, None, {"Content-Type": "application/json"}, stream, self.faults.cut_watches_every)

    def _log(self, request: Request, namespace: str, name: str) -> Answer:
        pod = self.store.get(PODS, namespace, name)
        container = container_of(pod, self.kubelet, request.query)
        if container is None:
            return Answer(204)
        lines = read_log(container, request.query, self.store.clock)
        if flag(request.query, "follow"):
            return Answer(
                200, None, {"Content-Type": "text/plain"}, self._until_gone(lines, pod), self.faults.cut_logs_every
            )
        return Answer(200, b"".join(lines).decode("utf-8", "replace"))

    def _until_gone(self, lines: Iterator[bytes], pod: Object) -> Iterator[bytes]:
        """A followed log ends, too, when the node does not answer any more."""
        for piece in lines:
            yield piece
            if pod["spec"]["nodeName"] in self.kubelet.dead_nodes:
                return

    def _evict(self, request: Request, namespace: str, name: str) -> Answer:
        pod = self.store.get(PODS, namespace, name)
        evict(self.store, pod)
        return Answer(201, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})


def evict(store: Store, pod: Object) -> None:
    """What the Eviction API does: mark the pod as disrupted, then delete it with its grace."""
    disrupt(store, pod, "EvictionByEvictionAPI", "Eviction API: evicting")
    delete_pod(store, store.get(PODS, *place(pod)))


def _typed(resource: Resource, item: Object) -> Object:
    return {"kind": resource.kind, "apiVersion": resource.api_version} | copy.deepcopy(item)


def _group(parts: list[str]) -> tuple[str, str, list[str]]:
    if parts[:1] != ["apis"] or len(parts) < 4:
        raise page_not_found()
    return parts[1], parts[2], parts[3:]


def _verb(request: Request, name: str) -> str:
    if request.method == "GET":
        if flag(request.query, "watch"):
            return "watch"
        return "get" if name else "list"
    if request.method == "DELETE":
        return "delete" if name else "deletecollection"
    return VERBS[request.method]


def _discovery(parts: list[str]) -> Any:
    match parts:
        case ["version"]:
            return resources.version_document()
        case ["api"]:
            address = [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}]
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": address}
        case ["apis"]:
            return resources.group_list()
        case ["api", "v1"]:
            return resources.resource_list("", "v1")
        case ["apis", group, version] if version in resources.GROUPS.get(group, []):
            return resources.resource_list(group, version)
    return None
