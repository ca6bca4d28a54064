"""How the service logs: one line an event on standard error, coloured for a terminal, `key=value` for a journal."""

import logging
import os
import sys

import structlog


def write_logs() -> None:
    """Set structlog up. COMUNIK_PBX_LOG=debug shows more, warning less."""
    level = logging.getLevelNamesMapping().get(os.environ.get("COMUNIK_PBX_LOG", "info").upper(), logging.INFO)
    terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
            if terminal
            else structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
