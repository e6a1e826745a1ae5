"""The configuration: one YAML file for all daemons, environment variables over it, secrets in files of their own."""

from fairlead.config.keys import (
    SECTIONS,
    AuthSettings,
    LinkSettings,
    LogSettings,
    NamedSecret,
    SharedSettings,
    TlsSettings,
    User,
)
from fairlead.config.loading import DEFAULT, Effective, Loaded, load, validate
from fairlead.config.problems import ConfigError, Key, Place, Problem, SettingError, key_text
from fairlead.config.schema import AddressSetting, DaemonSettings, PathSetting, RedisSetting, Settings

__all__ = [
    "DEFAULT",
    "SECTIONS",
    "AddressSetting",
    "AuthSettings",
    "ConfigError",
    "DaemonSettings",
    "Effective",
    "Key",
    "LinkSettings",
    "Loaded",
    "LogSettings",
    "NamedSecret",
    "PathSetting",
    "Place",
    "Problem",
    "RedisSetting",
    "SettingError",
    "Settings",
    "SharedSettings",
    "TlsSettings",
    "User",
    "key_text",
    "load",
    "validate",
]
