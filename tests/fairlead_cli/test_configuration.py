from pathlib import Path

import pytest

from fairlead.config import ConfigError, SettingError
from fairlead_cli.configuration import read_configuration
from tests.certificates import self_signed
from tests.fairlead_cli.kit import configure, write


def test_every_section_is_read(tmp_path: Path) -> None:
    found = configure(
        tmp_path,
        """
        public_host: turn.example.org
        stund: {classic: true}
        turnd: {engine: python}
        signal_api: {listen: "*:9000"}
        """,
    )
    assert found.shared.public_host == "turn.example.org"
    assert found.stund.classic
    assert found.turnd.engine == "python"
    assert found.signal_api.listen == "*:9000"


def test_the_problems_of_all_sections_come_at_once(tmp_path: Path) -> None:
    file = write(tmp_path, "stund: {classik: true}\nturnd: {engine: warp}\nsignal_api: {demo: perhaps}\nlog: {x: 1}\n")
    with pytest.raises(ConfigError) as caught:
        read_configuration(file, {})
    keys = [problem.key for problem in caught.value.problems]
    assert keys == [("stund", "classik"), ("turnd", "engine"), ("signal_api", "demo"), ("log", "x")]
    assert str(caught.value.problems[0]).startswith(f"{file}:1:9: stund.classik: ")


def test_written_is_what_the_file_or_the_environment_says(tmp_path: Path) -> None:
    found = configure(tmp_path, "signal_api: {demo: false}", FAIRLEAD__TURND__ENGINE="python")
    assert found.is_written("signal_api", "demo")
    assert found.is_written("turnd", "engine")
    assert not found.is_written("signal_api", "ice", "turn")


def test_every_value_is_told_once_the_shared_ones_first(tmp_path: Path) -> None:
    keys = [value.key for value in configure(tmp_path, "auth: {realm: example.org}").effective()]
    assert len(keys) == len(set(keys))
    tops = list(dict.fromkeys(key[0] for key in keys))
    assert tops == ["log", "auth", "tls", "link", "public_host", "stund", "turnd", "signal_api"]


def test_secrets_are_stars(tmp_path: Path) -> None:
    found = configure(
        tmp_path, "auth: {secrets: [{name: current, value: swordfish}]}\nsignal_api: {join_key: aaaaaaaaaaaaaaaa}"
    )
    told = {value.key: value.text for value in found.effective()}
    assert told["auth", "secrets", 0, "value"] == told["signal_api", "join_key"] == "*****"


def test_the_certificate_is_read_as_daemons_read_it(tmp_path: Path) -> None:
    assert configure(tmp_path).certificate() is None
    files = self_signed(tmp_path)
    found = configure(tmp_path, f"tls: {{certificate: {files.certificate}, key: {files.key}}}")
    assert found.has_certificate
    assert found.certificate() is not None
    files.key.unlink()
    with pytest.raises(SettingError, match=r"tls.key: .* cannot be read"):
        found.certificate()
