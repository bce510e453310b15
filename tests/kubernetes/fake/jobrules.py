"""The rules of jobs: new ones and changes of old ones."""

import json
from typing import Any

from tests.kubernetes.fake import names
from tests.kubernetes.fake.answers import Cause, Object, invalid_value, required, unsupported
from tests.kubernetes.fake.podrules import template_rules

MODES = ["NonIndexed", "Indexed"]
IMMUTABLE = (
    "completions",
    "selector",
    "manualSelector",
    "completionMode",
    "podFailurePolicy",
    "successPolicy",
    "backoffLimitPerIndex",
)
SCHEDULING = ("affinity", "nodeSelector", "tolerations", "schedulingGates")


def job_rules(job: Object) -> list[Cause]:
    """A new job, before defaults."""
    spec, name = job["spec"], job["metadata"].get("name", "")
    causes = names.object_meta(job["metadata"])
    causes = (
        names.dns_subdomain("metadata.name", name) + causes
        if name
        else [required("metadata.name", "name or generateName is required")]
    )
    for field in ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"):
        if (spec.get(field) or 0) < 0:
            causes.append(invalid_value(f"spec.{field}", str(spec[field]), "must be greater than or equal to 0"))
    causes += _mode(spec)
    causes += _selector(job)
    causes += _failure_policy(spec.get("podFailurePolicy") or {})
    if spec.get("successPolicy") and spec.get("completionMode") != "Indexed":
        causes.append(
            invalid_value("spec.successPolicy", _go_success(spec["successPolicy"]), "requires indexed completion mode")
        )
    causes += template_rules(spec["template"], "spec.template", job)
    causes += _restart_policy(spec)
    causes += _pod_names(name, spec)
    return causes


def _mode(spec: Object) -> list[Cause]:
    mode = spec.get("completionMode", "NonIndexed")
    if mode not in MODES:
        return [unsupported("spec.completionMode", mode, MODES)]
    if mode == "Indexed" and spec.get("completions") is None:
        return [required("spec.completions", "when completion mode is Indexed")]
    return []


def _selector(job: Object) -> list[Cause]:
    chosen = job["spec"].get("selector")
    if not chosen or job["spec"].get("manualSelector"):
        return []
    labels = ", ".join(f"{names.quote(k)}:{names.quote(v)}" for k, v in (chosen.get("matchLabels") or {}).items())
    shown = (
        f"v1.LabelSelector{{MatchLabels:map[string]string{{{labels}}}, MatchExpressions:[]v1.LabelSelectorRequirement(nil)}}"
    )
    return [invalid_value("spec.selector", shown, "`selector` not auto-generated")]


def _failure_policy(policy: Object) -> list[Cause]:
    causes: list[Cause] = []
    for number, rule in enumerate(policy.get("rules") or []):
        where = f"spec.podFailurePolicy.rules[{number}]"
        actions = ["Count", "FailIndex", "FailJob", "Ignore"]
        if rule.get("action") not in actions:
            causes.append(unsupported(f"{where}.action", rule.get("action", ""), actions))
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
        if codes and conditions:
            causes.append(
                invalid_value(where, "", "specifying one of OnExitCodes and OnPodConditions is required, but not both")
            )
        if codes:
            causes += _exit_codes(codes, f"{where}.onExitCodes")
        elif not conditions:
            causes.append(invalid_value(where, "", "specifying one of OnExitCodes and OnPodConditions is required"))
    return causes


def _exit_codes(codes: Object, path: str) -> list[Cause]:
    values, operator = codes.get("values") or [], codes.get("operator", "")
    causes: list[Cause] = []
    if operator not in ("In", "NotIn"):
        causes.append(unsupported(f"{path}.operator", operator, ["In", "NotIn"]))
    if not values:
        causes.append(invalid_value(f"{path}.values", "[]int32{}", "at least one value is required"))
    for number, value in enumerate(values):
        if operator == "In" and value == 0:
            causes.append(invalid_value(f"{path}.values[{number}]", "0", "must not be 0 for the In operator"))
    shown = f"[]int32{{{', '.join(map(str, values))}}}"
    if list(values) != sorted(values):
        causes.append(invalid_value(f"{path}.values", shown, "must be ordered"))
    elif len(set(values)) < len(values):
        causes.append(invalid_value(f"{path}.values", shown, "must be unique"))
    return causes


def _restart_policy(spec: Object) -> list[Cause]:
    policy, path = spec["template"]["spec"].get("restartPolicy", "Always"), "spec.template.spec.restartPolicy"
    if policy == "Always":
        return [required(path, 'valid values: "OnFailure", "Never"')]
    if policy not in ("OnFailure", "Never"):
        return [unsupported(path, policy, ["OnFailure", "Never"])]
    if spec.get("podFailurePolicy") and policy != "Never":
        detail = 'only "Never" is supported when podFailurePolicy is specified'
        return [invalid_value(path, names.quote(policy), detail)]
    return []


def _pod_names(name: str, spec: Object) -> list[Cause]:
    """The host names of an Indexed job's pods."""
    if spec.get("completionMode") != "Indexed" or not spec.get("completions"):
        return []
    host = f"{name}-{spec['completions'] - 1}"
    if not names.dns_label("", host):
        return []
    return [invalid_value("metadata.name", names.quote(name), f"will not able to create pod with invalid DNS label: {host}")]


def job_change_rules(before: Object, after: Object) -> list[Cause]:
    """What of a job may not change: nearly everything but suspension, parallelism and labels."""
    old, new = before["spec"], after["spec"]
    causes = [
        invalid_value(f"spec.{field}", _shown(new.get(field)), "field is immutable")
        for field in IMMUTABLE
        if old.get(field) != new.get(field) and not _elastic(field, old, new)
    ]
    if _fixed(before) == _fixed(after):
        return causes
    if old["suspend"] and not before["status"].get("startTime") and _fixed(before, True) == _fixed(after, True):
        return causes
    return [*causes, invalid_value("spec.template", "core.PodTemplateSpec{}", "field is immutable")]


def _elastic(field: str, old: Object, new: Object) -> bool:
    """An Indexed job may grow or shrink if completions and parallelism change together."""
    return field == "completions" and old["completionMode"] == "Indexed" and new.get("completions") == new.get("parallelism")


def _fixed(job: Object, free_scheduling: bool = False) -> Object:
    template = json.loads(json.dumps(job["spec"]["template"]))
    if free_scheduling:
        template["metadata"] = {}
        for name in SCHEDULING:
            template["spec"].pop(name, None)
    return template


def _shown(value: Any) -> str:
    return names.quote(value) if isinstance(value, str) else json.dumps(value)


def _go_success(policy: Object) -> str:
    rules = ", ".join("batch.SuccessPolicyRule{…}" for _ in policy.get("rules") or [])
    return f"batch.SuccessPolicy{{Rules:[]batch.SuccessPolicyRule{{{rules}}}}}"
