"""Who may do what."""

from dataclasses import dataclass, field

from tests.kubernetes.fake.answers import ApiError, Object, unauthorized
from tests.kubernetes.fake.resources import Resource

ADMIN_TOKEN = "fake-admin"
GUEST_TOKEN = "fake-guest"


@dataclass
class User:
    """A user who may do everything but what is denied, or nothing at all."""

    name: str
    nothing: bool = False
    denied: set[tuple[str, str]] = field(default_factory=set)
    """Pairs of verb and resource, such as ("delete", "jobs") or ("get", "pods/log")."""

    def may(self, verb: str, resource: str) -> bool:
        return not self.nothing and (verb, resource) not in self.denied


class Access:
    """The users by their tokens: one who may do everything until something is denied, and one who may do nothing."""

    def __init__(self) -> None:
        self.users = {ADMIN_TOKEN: User("lifecycle"), GUEST_TOKEN: User("runner", nothing=True)}

    def deny(self, verb: str, resource: str) -> None:
        """Take a right from the user of the kubeconfig."""
        self.users[ADMIN_TOKEN].denied.add((verb, resource))

    def user(self, authorization: str) -> User:
        """The user of a request's header; without one the user of the kubeconfig, as kubectl sends no token without TLS.

        Raises:
            ApiError: 401, the token is not known.
        """
        found = self.users.get(authorization.removeprefix("Bearer ").strip() or ADMIN_TOKEN)
        if found is None:
            raise unauthorized()
        return found

    def check(self, user: User, verb: str, resource: Resource, sub: str, namespace: str, name: str) -> None:
        """Refuse what the user may not do.

        Raises:
            ApiError: 403.
        """
        plural = f"{resource.plural}/{sub}" if sub else resource.plural
        if user.may(verb, plural):
            return
        where = f' in the namespace "{namespace}"' if namespace and resource.namespaced else " at the cluster scope"
        named = f' "{name}"' if name else ""
        message = (
            f'{resource.qualified}{named} is forbidden: User "{user.name}" cannot {verb} resource "{plural}" '
            f'in API group "{resource.group}"{where}'
        )
        details = ({"name": name} if name else {}) | ({"group": resource.group} if resource.group else {})
        raise ApiError(403, "Forbidden", message, details | {"kind": resource.plural})

    def review(self, user: User, review: Object) -> Object:
        """Answer a SelfSubjectAccessReview."""
        asked = review["spec"].get("resourceAttributes") or {}
        plural = asked.get("resource", "")
        plural += f"/{asked['subresource']}" if asked.get("subresource") else ""
        return {
            "kind": "SelfSubjectAccessReview",
            "apiVersion": "authorization.k8s.io/v1",
            "metadata": {"creationTimestamp": None},
            "spec": review["spec"],
            "status": {"allowed": user.may(asked.get("verb", ""), plural)},
        }
