"""The second backend of `ordered_map`: tasks on a Ray cluster.

`RAY_ADDRESS` says which one (`auto`: the one that this machine belongs to); without it Ray is started here for the length of
the process. Every node needs this package, the same libraries, and the store and its inputs under the same paths.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeVar

from lifecycle.errors import LifecycleError
from lifecycle.parallel import ATTEMPTS, IN_FLIGHT_PER_WORKER, worker_died

Item = TypeVar("Item")
Result = TypeVar("Result")


def ray_map(function: Callable[[Item], Result], source: Iterator[Item], workers: int) -> Iterator[Result]:
    """Results in order; Ray retries a task whose worker or node dies, on any node. Raises as `ordered_map` does."""
    connect(workers)
    import ray
    from ray.exceptions import RayError, RayTaskError

    @ray.remote(max_retries=ATTEMPTS - 1, num_cpus=1)
    def call(work: Callable[[Item], Result], item: Item) -> Result:
        return work(item)

    shared = ray.put(function)  # sent to each node once, not with each item
    waiting: deque[tuple[Item, ray.ObjectRef]] = deque()
    try:
        while True:
            missing = workers * IN_FLIGHT_PER_WORKER - len(waiting)
            waiting.extend((item, call.remote(shared, item)) for item in islice(source, missing))
            if not waiting:
                return
            item, reference = waiting[0]
            try:
                result = ray.get(reference)
            except RayTaskError as error:
                raise error.cause from None
            except RayError as error:  # the worker or its node died, or what it made was lost, more often than is retried
                raise worker_died(item) from error
            waiting.popleft()
            yield result
    finally:
        for _, reference in waiting:
            ray.cancel(reference)


def connect(workers: int) -> None:
    """Join the cluster of `RAY_ADDRESS`, or start one of `workers` processors here; nothing where that is done already.

    Raises:
        LifecycleError: Ray is not installed, or the cluster does not answer.
    """
    try:
        import ray
    except ImportError as error:
        raise LifecycleError("curation.executor: ray needs the package ray: install lifecycle[ray]") from error
    if ray.is_initialized():
        return
    address = os.environ.get("RAY_ADDRESS")
    here = {} if address else {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(address or "local", log_to_driver=False, configure_logging=False, **here)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise LifecycleError(f"no Ray cluster answers at RAY_ADDRESS={address!r}: {error}") from error
