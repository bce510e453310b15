"""A Kubernetes cluster for tests: an HTTP API server, controllers, and pods that are local processes.

`FakeCluster(folder, scale=10.0, nodes=3, gpus=0, namespace="default")`; tests get one as the fixture `fake_cluster`, and
give its `kubeconfig` to the real client, or to `kubectl --kubeconfig`.

Use it
    `.kubeconfig`, `.host`, `.namespace`    where it is
    `.images[name] = Image(entrypoint=(), environment={})`    images that can be pulled; any other gives ErrImagePull
    `.add_claim(name, folder)`    a bound PersistentVolumeClaim over a local folder
    `.add_node(name, gpus, labels, taints)`, `.set_gpus(node, count)`, `.nodes`, `.add_namespace(name)`
    `.jobs()`, `.pods()`, `.events()`    what is stored, without the API
    `.advance(seconds)`    let the cluster's time pass; timers run `scale` times faster anyway, timestamps do not
    `.step(seconds)`    the same, and wait until every controller has acted on it; for `scale=0`, where time stands still

Break it
    `.evict(pod)`, `.pressure(pod)`, `.oom(pod)`, `.kill(pod)`, `.lose_node(name)`, `.remove_node(name)`
    `.away(seconds)`    the API server refuses and cuts connections for that many real seconds, or until `.back()`
    `.forget_history()`    watches and pages from older resource versions get 410
    `.access.deny(verb, resource)`    403, and a SelfSubjectAccessReview says so
    `.faults.refuse(code, verb=, resource=, name=, times=, retry_after=)`    400 to 5xx on chosen requests
    `.faults.slow`, `.faults.cut_logs_every`, `.faults.cut_watches_every`    real seconds

Pods
    A container is its `command` and `args` as a local process, with the interpreter of the tests first in PATH, the
    repository in PYTHONPATH, the variables of its image, and nothing of the test's own environment. Its processes end with
    its first process; SIGTERM reaches that one only, and only if it handles the signal. Volumes: hostPath as it is,
    a claim as its folder, emptyDir and ConfigMap as temporary folders. Where a mount path is not the local path, it is
    rewritten in command, arguments and variables, never in files: give volumes whose path stands in files a mount path
    that is the folder. Names `<hostname>.<headless service>` become addresses in 127.0.0.0/8 in the same places, and
    the variable MASTER_PORT a free port, the same for all pods of a job; a port written as a literal stays as it is.

Not imitated: probes, limits of memory and CPU, read-only mounts, sidecars, pod affinity, topology spread, preemption by
priority, success policies, back-off per index, Kueue (a test releases a suspended job itself), managedFields, protobuf,
TLS (so a request without a token is the kubeconfig's user). While the API server is away, controllers go on.
"""

from tests.kubernetes.fake.cluster import FakeCluster
from tests.kubernetes.fake.mounts import Image

__all__ = ["FakeCluster", "Image"]
