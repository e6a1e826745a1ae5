"""The whole configuration at once: the shared keys and the sections of all daemons."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fairlead.config import DaemonSettings, Effective, Loaded, SharedSettings, validate
from fairlead.config.document import Document
from fairlead.tls import Certificate, load_certificate
from signal_api.config import SignalApiSettings
from stund.config import StundSettings
from turnd.config import TurndSettings


@dataclass(frozen=True, slots=True)
class Configuration:
    """What each daemon sees, read in one go."""

    document: Document
    shared: SharedSettings
    stund: StundSettings
    turnd: TurndSettings
    signal_api: SignalApiSettings

    @property
    def loaded_signal_api(self) -> Loaded[SignalApiSettings]:
        """As signal_api itself is handed it."""
        return Loaded(self.shared, self.signal_api, "signal_api", self.document)

    @property
    def has_certificate(self) -> bool:
        return self.shared.tls.certificate is not None

    def certificate(self) -> Certificate | None:
        """Reads the certificate as the daemons do; raises SettingError."""
        return load_certificate(self.shared.tls, ())

    def is_written(self, *key: str | int) -> bool:
        """Whether the file or the environment says something about a key."""
        return key in self.document.values

    def effective(self) -> Iterator[Effective]:
        """Every value that counts, the shared ones first; secrets as stars."""
        views: list[Loaded[StundSettings] | Loaded[TurndSettings] | Loaded[SignalApiSettings]] = [
            Loaded(self.shared, self.stund, "stund", self.document),
            Loaded(self.shared, self.turnd, "turnd", self.document),
            self.loaded_signal_api,
        ]
        sections = tuple(view.name for view in views)
        yield from (value for value in views[0].effective() if value.key[0] not in sections)
        for view in views:
            yield from (value for value in view.effective() if value.key[0] == view.name)


def read_configuration(path: Path | None, environ: Mapping[str, str]) -> Configuration:
    """Reads everything; raises ConfigError with all problems of all sections."""
    models: dict[str, type[DaemonSettings]] = {
        "stund": StundSettings,
        "turnd": TurndSettings,
        "signal_api": SignalApiSettings,
    }
    document, found = validate(path, environ, models)
    shared, stund, turnd, signal_api = (found[name] for name in ("", *models))
    assert isinstance(shared, SharedSettings)
    assert isinstance(stund, StundSettings)
    assert isinstance(turnd, TurndSettings)
    assert isinstance(signal_api, SignalApiSettings)
    return Configuration(document, shared, stund, turnd, signal_api)
