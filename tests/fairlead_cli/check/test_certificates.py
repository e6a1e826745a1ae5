import subprocess
import time
from pathlib import Path

import pytest

from fairlead_cli.check.certificates import find_certificate
from tests.certificates import self_signed
from tests.fairlead_cli.kit import configure

NOW = time.time()


def told(folder: Path, days: int, more: str = "") -> list[str]:
    files = self_signed(folder, days)
    text = f"tls: {{certificate: {files.certificate}, key: {files.key}}}\n{more}"
    return [finding.problem.wrong for finding in find_certificate(configure(folder, text), NOW)]


def test_none_is_nothing_to_tell(tmp_path: Path) -> None:
    assert list(find_certificate(configure(tmp_path), NOW)) == []


def test_a_good_one_is_nothing_to_tell(tmp_path: Path) -> None:
    assert told(tmp_path, days=30, more="public_host: localhost") == []


@pytest.mark.parametrize(("days", "said"), [(-1, "expired on "), (13, "expires soon, on ")])
def test_its_end_is_told_before_clients_tell_it(tmp_path: Path, days: int, said: str) -> None:
    (wrong,) = told(tmp_path, days)
    assert wrong.startswith(f"{tmp_path / 'certificate.pem'} {said}")


def test_one_that_is_not_there_keeps_daemons_from_starting(tmp_path: Path) -> None:
    text = f"tls: {{certificate: {tmp_path / 'no.pem'}, key: {tmp_path / 'no.key'}}}"
    (finding,) = find_certificate(configure(tmp_path, text), NOW)
    assert finding.fatal
    assert finding.problem.wrong == f"{tmp_path / 'no.pem'} cannot be read (No such file or directory)"


def test_one_for_another_name(tmp_path: Path) -> None:
    assert told(tmp_path, days=30, more="public_host: turn.example.org") == [
        f"{tmp_path / 'certificate.pem'} is for localhost, 127.0.0.1, ::1, but clients are told turn.example.org"
    ]


@pytest.mark.parametrize("host", ["LOCALHOST", "127.0.0.1", "0:0:0:0:0:0:0:1"])
def test_names_and_addresses_are_compared_as_clients_compare_them(tmp_path: Path, host: str) -> None:
    assert told(tmp_path, days=30, more=f'public_host: "{host}"') == []


def told_of(folder: Path, host: str, *options: str) -> list[str]:
    """The findings about a certificate of openssl's, made with these options."""
    make = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    files = {"keyout": folder / "key.pem", "out": folder / "certificate.pem"}
    out = [word for name, file in files.items() for word in (f"-{name}", str(file))]
    subprocess.run([*make, *out, "-subj", "/CN=turn.example.org", *options], check=True, capture_output=True)
    text = f"tls: {{certificate: {files['out']}, key: {files['keyout']}}}\npublic_host: {host}"
    return [finding.problem.wrong for finding in find_certificate(configure(folder, text), NOW)]


@pytest.mark.requires("openssl")
@pytest.mark.parametrize(
    ("host", "is_covered"), [("turn.example.org", True), ("example.org", False), ("a.turn.example.org", False)]
)
def test_a_star_stands_for_one_label(tmp_path: Path, host: str, is_covered: bool) -> None:
    told = told_of(tmp_path, host, "-addext", "subjectAltName=DNS:*.example.org")
    assert (told == []) is is_covered


@pytest.mark.requires("openssl")
def test_a_common_name_is_no_name(tmp_path: Path) -> None:
    (wrong,) = told_of(tmp_path, "turn.example.org")
    assert wrong.endswith("is for no name at all, but clients are told turn.example.org")
