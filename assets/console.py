"""What a person sees in the terminal: the step and the message, nothing else. A failure is told once, by the command."""

import logging
from typing import Any

import dagster as dg


def _is_for_people(record: logging.LogRecord) -> bool:
    """Dagster's own events are in its UI, but for the one that says why nothing happens."""
    meta = _meta(record)
    message = meta.get("orig_message") or ""
    if meta.get("dagster_event") is not None:
        return "blocked by limit for pool" in message
    return not message.startswith(("[pipes]", "Dependencies for step"))


def _meta(record: logging.LogRecord) -> dict[str, Any]:
    return getattr(record, "dagster_meta", None) or {}


class _StepFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        meta = _meta(record)
        name = (meta.get("step_key") or "").split("__")[-1]
        message = meta.get("orig_message")
        return f"{self.formatTime(record, '%H:%M:%S')}  {name:<17} {message or record.getMessage()}"


@dg.logger(
    config_schema=dg.Field(str, default_value="INFO", is_required=False, description="Least level shown"),
    description="One line per message: time, asset, message.",
)
def console(init_context: dg.InitLoggerContext) -> logging.Logger:
    """A logger that prints `time  asset  message` to standard error."""
    logger = logging.Logger("lifecycle-console", level=init_context.logger_config)
    handler = logging.StreamHandler()
    handler.setFormatter(_StepFormatter())
    handler.addFilter(_is_for_people)
    logger.addHandler(handler)
    return logger
