"""What each verb does to stored objects."""

import base64
import copy
import json
import random
from collections.abc import Callable
from typing import Any

import yaml

from tests.kubernetes.fake import admission
from tests.kubernetes.fake.answers import ApiError, Object, bad_request, expired, unsupported_media
from tests.kubernetes.fake.applying import Managers
from tests.kubernetes.fake.decoding import Decoded, decode
from tests.kubernetes.fake.defaults import set_defaults
from tests.kubernetes.fake.deletion import check_preconditions, delete_object, delete_pod, going, place, settle
from tests.kubernetes.fake.patching import json_patch, merge, strategic
from tests.kubernetes.fake.quota import add_default_account, check_new
from tests.kubernetes.fake.resources import JOBS, NAMESPACES, PODS, Resource
from tests.kubernetes.fake.selectors import selected
from tests.kubernetes.fake.server import JSON, Answer, Request, flag
from tests.kubernetes.fake.store import Store, new_metadata

APPLY = "application/apply-patch+yaml"
ORPHAN_WARNING = (
    '299 - "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them '
    'or set propagationPolicy=Orphan to suppress this warning"'
)


_FIXED = ("name", "uid", "creationTimestamp", "resourceVersion", "namespace", "generation")
"""Metadata that no update changes."""


class Verbs:
    """Create, list, update, patch and delete."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._random = random.Random(13)
        self._managers = Managers()

    def create(self, resource: Resource, namespace: str, request: Request) -> Answer:
        """POST."""
        _check_content_type(request)
        decoded = decode(resource, request.body, request.query.get("fieldValidation", "Warn"))
        stored, headers = self._admit(resource, namespace, decoded)
        if request.query.get("dryRun"):
            if self.store.find(resource, *place(stored)):
                self.store.create(resource, stored)
            return Answer(201, _typed(resource, stored), headers)
        created = self.store.create(resource, stored)
        if resource is NAMESPACES:
            add_default_account(self.store, created["metadata"]["name"])
        return Answer(201, _typed(resource, created), headers)

    def _admit(self, resource: Resource, namespace: str, decoded: Decoded) -> tuple[Object, dict[str, str]]:
        item = decoded.item
        metadata = item.setdefault("metadata", {})
        if namespace and metadata.get("namespace", namespace) != namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        if resource.namespaced:
            metadata["namespace"] = namespace
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + "".join(self._random.choices("bcdfghjkl2456789", k=5))
        if resource.namespaced:
            self._check_namespace(resource, namespace, metadata.get("name", ""))
        warnings = admission.validate(resource, item, decoded.missing)
        item["metadata"] = new_metadata(self.store.clock, metadata)
        set_defaults(resource.kind, item)
        check_new(self.store, resource, item)
        return item, _warning_headers([*decoded.warnings, *warnings])

    def _check_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        found = self.store.get(NAMESPACES, "", namespace)
        if not going(found):
            return
        message = (
            f'{resource.qualified} "{name}" is forbidden: unable to create new content in namespace {namespace} '
            "because it is being terminated"
        )
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
        details = {"name": name} | ({"group": resource.group} if resource.group else {}) | {"kind": resource.plural}
        raise ApiError(403, "Forbidden", message, details | {"causes": [cause]})

    def collection(self, resource: Resource, namespace: str, query: dict[str, str]) -> Object:
        """GET of a collection, page by page where `limit` is given."""
        match = selected(resource, query.get("labelSelector", ""), query.get("fieldSelector", ""))
        with self.store.changed:
            items = [item for item in self.store.all(resource, namespace) if match(item)]
            version = self.store.version
        metadata: Object = {"resourceVersion": str(version)}
        if query.get("continue"):
            version, start = self._page(query["continue"])
            metadata["resourceVersion"] = str(version)
            items = [item for item in items if "/".join(place(item)) > start]
        limit = int(query.get("limit") or 0)
        if limit and len(items) > limit:
            token = {"v": "meta.k8s.io/v1", "rv": version, "start": "/".join(place(items[limit - 1]))}
            metadata["continue"] = base64.urlsafe_b64encode(json.dumps(token).encode()).decode()
            metadata["remainingItemCount"] = len(items) - limit
            items = items[:limit]
        plain = [{k: v for k, v in item.items() if k not in ("kind", "apiVersion")} for item in items]
        return {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": metadata, "items": plain}

    def _page(self, token: str) -> tuple[int, str]:
        content = json.loads(base64.urlsafe_b64decode(token))
        try:
            self.store.since("", content["rv"])
        except ApiError:
            raise expired("The provided continue parameter is too old to display a consistent list result.") from None
        return content["rv"], content["start"]

    def update(self, resource: Resource, namespace: str, name: str, sub: str, request: Request) -> Answer:
        """PUT."""
        _check_content_type(request)
        decoded = decode(resource, request.body, request.query.get("fieldValidation", "Warn"))
        item = decoded.item
        version = item.get("metadata", {}).get("resourceVersion", "")
        changed = self._replace(resource, namespace, name, sub, lambda old: item, version, bool(request.query.get("dryRun")))
        return Answer(200, _typed(resource, changed), _warning_headers(decoded.warnings))

    def patch(self, resource: Resource, namespace: str, name: str, sub: str, request: Request) -> Answer:
        """PATCH, of the kind that the content type names."""
        kind = request.headers.get("content-type", "").partition(";")[0]
        if kind == APPLY:
            return self._apply(resource, namespace, name, request)
        formats: dict[str, Callable[[Any, Any], Any]] = {
            "application/merge-patch+json": merge,
            "application/strategic-merge-patch+json": strategic,
            "application/json-patch+json": json_patch,
        }
        if kind not in formats:
            raise unsupported_media("415: Unsupported Media Type", {})
        try:
            body = json.loads(request.body)
        except ValueError as error:
            raise bad_request(f"error decoding patch: {error}") from None
        if kind == "application/json-patch+json" and isinstance(body, dict):
            raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
        version = str((body.get("metadata") or {}).get("resourceVersion", "")) if isinstance(body, dict) else ""
        dry = bool(request.query.get("dryRun"))
        changed = self._replace(resource, namespace, name, sub, lambda old: formats[kind](old, body), version, dry)
        return Answer(200, _typed(resource, changed))

    def _apply(self, resource: Resource, namespace: str, name: str, request: Request) -> Answer:
        manager, dry = request.query.get("fieldManager", ""), bool(request.query.get("dryRun"))
        if not manager:
            raise bad_request(
                "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value: is required for apply patch"
            )
        body = json.dumps(yaml.safe_load(request.body)).encode()
        decoded = decode(resource, body, request.query.get("fieldValidation", "Strict"))
        config = copy.deepcopy(decoded.item)
        config.setdefault("metadata", {})["name"] = name
        current = self.store.find(resource, namespace, name)
        if current is None:
            decoded.item["metadata"]["name"] = name
            stored, headers = self._admit(resource, namespace, decoded)
            stored = stored if dry else self.store.create(resource, stored)
            self._managers.remember(stored["metadata"]["uid"], manager, config)
            return Answer(201, _typed(resource, stored), headers)
        uid = current["metadata"]["uid"]
        if not flag(request.query, "force"):
            self._managers.check(uid, manager, config, current)
        changed = self._replace(resource, namespace, name, "", lambda old: strategic(old, config), "", dry)
        if not dry:
            self._managers.remember(uid, manager, config)
        return Answer(200, _typed(resource, changed), _warning_headers(decoded.warnings))

    def _replace(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        sub: str,
        new: Callable[[Object], Object],
        version: str,
        dry: bool,
    ) -> Object:
        def edit(stored: Object) -> None:
            whole = new(copy.deepcopy(stored))
            if sub == "status":
                stored["status"] = whole.get("status", {})
                return
            before = copy.deepcopy(stored)
            fixed = {k: before["metadata"][k] for k in _FIXED if k in before["metadata"]}
            stored.clear()
            stored |= whole
            stored["metadata"] = {k: v for k, v in whole["metadata"].items() if k != "managedFields"} | fixed
            if resource.status and "status" in before:
                stored["status"] = before["status"]
            admission.validate_change(resource, before, stored)
            if "generation" in fixed and stored.get("spec") != before.get("spec"):
                stored["metadata"]["generation"] += 1

        if dry:
            preview = copy.deepcopy(self.store.get(resource, namespace, name))
            edit(preview)
            return preview
        changed = self.store.change(resource, namespace, name, edit, version)
        settle(self.store, resource, changed)
        return changed

    def delete(self, resource: Resource, namespace: str, name: str, request: Request) -> Answer:
        """DELETE of one object."""
        options = _delete_options(request)
        headers = self.delete_warning(resource, request)
        item = self.store.get(resource, namespace, name)
        check_preconditions(resource, item, options.get("preconditions") or {})
        if options.get("dryRun"):
            return Answer(200, _typed(resource, item), headers)
        return Answer(200, self._delete(resource, item, options), headers)

    def _delete(self, resource: Resource, item: Object, options: Object) -> Object:
        if resource is PODS:
            return _typed(resource, delete_pod(self.store, item, options.get("gracePeriodSeconds")))
        if resource is NAMESPACES:
            return _typed(resource, self._terminate(item))
        default = "Orphan" if resource is JOBS else "Background"
        left = delete_object(self.store, resource, item, options.get("propagationPolicy") or default)
        if left is not None:
            return _typed(resource, left)
        details = {"name": item["metadata"]["name"]} | ({"group": resource.group} if resource.group else {})
        details |= {"kind": resource.plural, "uid": item["metadata"]["uid"]}
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}

    def _terminate(self, namespace: Object) -> Object:
        def edit(stored: Object) -> None:
            stored["metadata"].setdefault("deletionTimestamp", self.store.clock.stamp())
            stored["status"]["phase"] = "Terminating"

        return self.store.change(NAMESPACES, *place(namespace), edit)

    def delete_collection(self, resource: Resource, namespace: str, request: Request) -> Answer:
        """DELETE of everything that the selectors pick; answers with what was picked."""
        options = _delete_options(request)
        picked = self.collection(resource, namespace, request.query)
        for item in picked["items"]:
            self._delete(resource, self.store.get(resource, *place(item)), options)
        return Answer(200, picked, self.delete_warning(resource, request))

    def delete_warning(self, resource: Resource, request: Request) -> dict[str, str]:
        """The header by which the server warns that a job's pods will be left behind."""
        if resource is JOBS and not _delete_options(request).get("propagationPolicy"):
            return {"Warning": ORPHAN_WARNING}
        return {}


def _typed(resource: Resource, item: Object) -> Object:
    return {"kind": resource.kind, "apiVersion": resource.api_version} | item


def _check_content_type(request: Request) -> None:
    if request.headers.get("content-type", JSON).partition(";")[0].strip() not in (JSON, "*/*"):
        raise unsupported_media(
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json, application/yaml, application/vnd.kubernetes.protobuf"
        )


def _warning_headers(warnings: list[str]) -> dict[str, str]:
    quoted = [text.replace('"', '\\"') for text in warnings]
    return {"Warning": ", ".join(f'299 - "{text}"' for text in quoted)} if quoted else {}


def _delete_options(request: Request) -> Object:
    """The body, and the query over it."""
    try:
        options = json.loads(request.body) if request.body else {}
    except ValueError as error:
        raise bad_request(str(error)) from None
    for name in ("propagationPolicy", "dryRun"):
        if request.query.get(name):
            options[name] = request.query[name]
    if request.query.get("gracePeriodSeconds"):
        options["gracePeriodSeconds"] = int(request.query["gracePeriodSeconds"])
    if request.query.get("orphanDependents"):
        options["propagationPolicy"] = "Orphan" if request.query["orphanDependents"] == "true" else "Background"
    return options
