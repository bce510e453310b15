"""What a person sees in the terminal: the step and the message, nothing else, unless something fails."""

import logging

import dagster as dg


class _StepFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        meta = getattr(record, "dagster_meta", None) or {}
        step = (meta.get("step_key") if isinstance(meta, dict) else getattr(meta, "step_key", None)) or ""
        message = meta.get("orig_message") if isinstance(meta, dict) else getattr(meta, "orig_message", None)
        name = step.split("__")[-1]
        return f"{self.formatTime(record, '%H:%M:%S')}  {name:<17} {message or record.getMessage()}"


@dg.logger(
    config_schema=dg.Field(str, default_value="INFO", is_required=False, description="Least level shown"),
    description="One line per message: time, asset, message.",
)
def console(init_context: dg.InitLoggerContext) -> logging.Logger:
    """A logger that prints `time  asset  message` to standard output."""
    logger = logging.Logger("lifecycle-console", level=init_context.logger_config)
    handler = logging.StreamHandler()
    handler.setFormatter(_StepFormatter())
    logger.addHandler(handler)
    return logger
