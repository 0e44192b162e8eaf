"""A process that runs notify stages until it is killed: `python notify_program.py RUN_ID…`, in this order.

Each run is begun, worked and ended as the worker does it; those that are over are left out.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from notifying import context_of, end_run, hold_run

from storage import database, runs, stages
from storage.records import IngestResult
from tasks.notify.stage import work


def main(run_ids: list[str]) -> None:
    """Work the runs that are not over."""
    results = database.get()
    print("ready", flush=True)
    for run_id in run_ids:
        with results.read() as session:
            run = runs.find_run(session, run_id)
            assert run is not None
            if run.completed_at:
                continue
            ingested = IngestResult.model_validate(stages.outputs_of(session, run.id)["ingest"])
        held = hold_run(results, run_id)
        work(context_of(held, ingested.changes))
        end_run(results, held)


if __name__ == "__main__":
    main(sys.argv[1:])
