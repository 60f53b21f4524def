"""What every command that works with settings does first."""

from __future__ import annotations

from pathlib import Path

from sync.errors import ConfigError
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


def env_file() -> str | None:
    """Return the `.env` that the settings were read from; None: this folder has none."""
    path = Path(".env").absolute()
    return str(path) if path.is_file() else None


def env_told() -> str:
    """Return in words where the settings came from."""
    path = env_file()
    return f"from the environment and {path}" if path else f"from the environment; there is no .env in {Path.cwd()}"


def require_a_system(settings: Settings) -> None:
    """Raise ConfigError where both systems are off: there is nothing to work on."""
    if not settings.mpw_on and not settings.mpservices_on:
        raise ConfigError(
            f"both systems are off: neither MPW_EMAIL nor MPSERVICES_TOKEN is set ({env_told()})",
            hint="start mpsync in the folder of its .env, or set them",
        )
