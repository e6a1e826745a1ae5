"""TLS contexts from certificate files: TLS 1.2 and newer, the protocol names of RFC 7443, and when it all expires."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from fairlead.config import SettingError, TlsSettings
from fairlead.metrics import LabelSet, Metrics

#: Offered by ALPN (RFC 7443 section 6.1); a client that offers none is served too.
ALPN_TURN, ALPN_STUN = "stun.turn", "stun.nat-discovery"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate in use: the context that serves it, and its end in Unix time."""

    context: ssl.SSLContext
    expires: float


def load_certificate(settings: TlsSettings, protocols: tuple[str, ...]) -> Certificate | None:
    """Reads the chain and the key; None where none is configured.

    Raises SettingError for files that are missing, unreadable, or do not belong together.
    """
    if settings.certificate is None or settings.key is None:
        return None
    chain = _read(settings.certificate, "certificate")
    _read(settings.key, "key")
    try:
        expires = x509.load_pem_x509_certificate(chain).not_valid_after_utc.timestamp()
    except ValueError:
        raise SettingError(
            ("tls", "certificate"),
            f"{settings.certificate} is no certificate in PEM form",
            "it begins with -----BEGIN CERTIFICATE-----",
        ) from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(list(protocols))
    # A key with a passphrase would make OpenSSL ask the terminal, and the daemon hang.
    try:
        context.load_cert_chain(settings.certificate, settings.key, password=_no_passphrase)
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise SettingError(
            ("tls", "key"),
            f"{settings.key} does not serve with {settings.certificate} ({reason})",
            "give the private key of the first certificate in the chain, in PEM form and without passphrase",
        ) from None
    return Certificate(context, expires)


def declare_certificate(metrics: Metrics, current: Callable[[], Certificate | None]) -> None:
    """Declares when the certificate that is served ends; no series while none is."""

    def expiry() -> Mapping[LabelSet, float]:
        certificate = current()
        return {} if certificate is None else {(): certificate.expires}

    text = "When the certificate that is served expires, in Unix time."
    metrics.gauge("certificate_expiry_timestamp_seconds", text, expiry)


def _no_passphrase() -> str:
    raise ValueError("it has a passphrase")


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        remedy = "check the path, and that the daemon's user may read it"
        raise SettingError(("tls", name), f"{path} cannot be read ({error.strerror})", remedy) from None
