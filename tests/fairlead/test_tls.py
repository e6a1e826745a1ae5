import datetime
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from fairlead.config import SettingError, TlsSettings
from fairlead.metrics import Metrics
from fairlead.tls import ALPN_STUN, ALPN_TURN, declare_certificate, load_certificate
from tests.certificates import self_signed

PROTOCOLS = (ALPN_TURN, ALPN_STUN)


def test_without_a_certificate_there_is_no_tls() -> None:
    assert load_certificate(TlsSettings(), PROTOCOLS) is None


def test_a_certificate_knows_its_end(tmp_path: Path) -> None:
    files = self_signed(tmp_path, days=10)
    found = load_certificate(TlsSettings(certificate=files.certificate, key=files.key), PROTOCOLS)
    assert found is not None
    in_ten_days = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=10)
    assert found.expires == pytest.approx(in_ten_days.timestamp(), abs=60)
    assert found.context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_the_end_of_the_certificate_is_a_metric(tmp_path: Path) -> None:
    files = self_signed(tmp_path)
    found = load_certificate(TlsSettings(certificate=files.certificate, key=files.key), PROTOCOLS)
    current = [None, found]
    metrics = Metrics("stund")
    declare_certificate(metrics, lambda: current[-1])
    assert b"\nstund_certificate_expiry_timestamp_seconds " in metrics.expose()[1]
    current.pop()
    assert b"\nstund_certificate_expiry_timestamp_seconds " not in metrics.expose()[1]


def refused(certificate: Path, key: Path) -> SettingError:
    with pytest.raises(SettingError) as caught:
        load_certificate(TlsSettings(certificate=certificate, key=key), PROTOCOLS)
    return caught.value


def test_a_missing_file_names_its_key(tmp_path: Path) -> None:
    files = self_signed(tmp_path)
    missing = tmp_path / "none.pem"
    remedy = "check the path, and that the daemon's user may read it"
    assert str(refused(missing, files.key)) == (
        f"tls.certificate: {missing} cannot be read (No such file or directory); {remedy}"
    )
    assert str(refused(files.certificate, missing)) == (
        f"tls.key: {missing} cannot be read (No such file or directory); {remedy}"
    )


def test_what_is_no_certificate(tmp_path: Path) -> None:
    files = self_signed(tmp_path)
    error = refused(files.key, files.key)
    assert str(error) == (
        f"tls.certificate: {files.key} is no certificate in PEM form; it begins with -----BEGIN CERTIFICATE-----"
    )


def test_a_key_that_belongs_to_another(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    files, others = self_signed(tmp_path), self_signed(tmp_path / "other")
    error = refused(files.certificate, others.key)
    assert error.key == ("tls", "key")
    assert "KEY_VALUES_MISMATCH" in error.wrong


def test_a_key_with_a_passphrase_does_not_ask_the_terminal(tmp_path: Path) -> None:
    files = self_signed(tmp_path)
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
    )
    error = refused(files.certificate, files.key)
    assert "it has a passphrase" in error.wrong
    assert error.remedy.endswith("without passphrase")
