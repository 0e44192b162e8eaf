"""Which of the lines of Prefect's engine go to the worker's log: those that tell what nobody else does."""

import logging

ENGINE = ("prefect.flow_runs", "prefect.task_runs")
# Our own lines say both, with the run's fields; the stack of a failed stage is in its row.
SAID_BY_US = ("Finished in state", "Task run failed with exception")


def is_news(record: logging.LogRecord) -> bool:
    """A filter for a handler. The UI of Prefect shows all the same every line, beside its flow run."""
    if not record.name.startswith(ENGINE):
        return True
    return record.levelno >= logging.WARNING and not record.getMessage().startswith(SAID_BY_US)
