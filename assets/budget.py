"""What of a budget of GPU-hours is spent."""

import dagster as dg

from lifecycle.artifacts import Store
from lifecycle.usage import gpu_hours, uses


def spent_gpu_hours(instance: dg.DagsterInstance, store: Store, since: float, until: float) -> float:
    """GPU-hours of all jobs of the store between two moments (seconds since 1970), those of killed runs to the run's end."""

    def ended(run_id: str) -> float | None:
        record = instance.get_run_record_by_id(run_id)
        if record is None:
            return 0.0  # deleted with all that is known of it
        return (record.end_time or record.update_timestamp.timestamp()) if record.dagster_run.is_finished else None

    return gpu_hours(uses(store.root), since, until, ended)
