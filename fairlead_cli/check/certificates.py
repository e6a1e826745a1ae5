"""The certificate, as clients will judge it."""

import datetime
import ipaddress
from collections.abc import Iterator

from cryptography import x509

from fairlead.config import SettingError
from fairlead_cli.check.finding import Finding, found, refused
from fairlead_cli.configuration import Configuration

_KEY = ("tls", "certificate")
#: seconds before the end at which renewal should have happened: certbot renews 30 days before
_SOON = 14 * 86400


def find_certificate(configuration: Configuration, wall: float) -> Iterator[Finding]:
    """Whether the certificate can be served, for how long, and for which name. `wall` is Unix time."""
    try:
        certificate = configuration.certificate()
    except SettingError as error:
        yield refused(configuration, error)
        return
    file = configuration.shared.tls.certificate
    if certificate is None or file is None:
        return
    end = datetime.datetime.fromtimestamp(certificate.expires, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    renew = "renew it; SIGHUP has the daemons read it again"
    if certificate.expires <= wall:
        yield found(configuration, _KEY, f"{file} expired on {end}: clients refuse it", renew)
    elif certificate.expires <= wall + _SOON:
        yield found(configuration, _KEY, f"{file} expires soon, on {end}", renew)
    host = configuration.shared.public_host
    names = _names(x509.load_pem_x509_certificate(file.read_bytes()))
    if host is not None and not _covers(names, host):
        wrong = f"{file} is for {', '.join(names) or 'no name at all'}, but clients are told {host}"
        yield found(
            configuration, _KEY, wrong, "write the name of the certificate into public_host, or get another one"
        )


def _names(certificate: x509.Certificate) -> list[str]:
    """The names and addresses that clients may dial; the subject's common name counts for nobody any more."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    addresses = (str(address) for address in extension.value.get_values_for_type(x509.IPAddress))
    return [*extension.value.get_values_for_type(x509.DNSName), *addresses]


def _covers(names: list[str], host: str) -> bool:
    """A star stands for one label, the first (RFC 9525 section 6.3)."""
    try:
        return str(ipaddress.ip_address(host)) in names
    except ValueError:
        wanted = host.lower().rstrip(".")
        starred = "*." + wanted.partition(".")[2]
        return any(name.lower() in (wanted, starred) for name in names)
