from pathlib import Path

from fairlead.config import SettingError
from fairlead_cli.check.finding import found, refused
from tests.fairlead_cli.kit import configure


def test_a_finding_stands_where_its_key_is_written(tmp_path: Path) -> None:
    configuration = configure(tmp_path, "turnd:\n  engine: auto\n")
    finding = found(configuration, ("turnd", "engine"), "is slow", "write native")
    assert str(finding.problem) == f"{tmp_path / 'fairlead.yaml'}:2:11: turnd.engine: is slow; write native"
    assert not finding.fatal


def test_what_a_daemon_refuses_is_fatal(tmp_path: Path) -> None:
    finding = refused(configure(tmp_path), SettingError(("tls", "key"), "cannot be read", "check the path"))
    assert finding.fatal
    assert str(finding.problem).endswith("fairlead.yaml: tls.key: cannot be read; check the path")
