"""What every command that works with settings does first."""

from __future__ import annotations

from sync.log import configure_logging
from sync.settings import Settings, load_settings, unknown_variables


def start() -> Settings:
    """Read the settings, start the log, and warn of variables that look like settings and are none.

    Raises ConfigError, before anything else has happened, when a setting is wrong.
    """
    settings = load_settings()
    configure_logging(settings.sync_log_level, settings.sync_log_format, settings.secrets())
    for name, meant in unknown_variables():
        import structlog

        structlog.get_logger().warning("settings.unknown_variable", name=name, did_you_mean=meant)
    return settings
