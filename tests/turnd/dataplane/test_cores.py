import os
from pathlib import Path

import pytest

from turnd.dataplane.cores import usable_cores


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    (tmp_path / "pod" / "turnd").mkdir(parents=True)
    (tmp_path / "own").write_text("0::/pod/turnd\n")
    return tmp_path


@pytest.mark.parametrize(
    ("pod", "daemon", "cores"),
    [
        ("max 100000", "max 100000", 64),
        ("max 100000", "200000 100000", 2),
        ("350000 100000", "max 100000", 3),
        ("150000 100000", "400000 100000", 1),
        ("max 100000", "50000 100000", 1),
        ("no quota", "not two words", 64),
    ],
)
@pytest.mark.usefixtures("many")
def test_the_smallest_quota_counts(groups: Path, pod: str, daemon: str, cores: int) -> None:
    (groups / "pod" / "cpu.max").write_text(pod + "\n" if pod != "no quota" else "")
    (groups / "pod" / "turnd" / "cpu.max").write_text(daemon + "\n")
    assert usable_cores(groups, groups / "own") == cores


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("own", ["0::/../../elsewhere\n", "1:cpu:/v1\n", ""])
def test_a_group_out_of_sight_is_the_root(groups: Path, own: str) -> None:
    (groups / "own").write_text(own)
    (groups / "cpu.max").write_text("400000 100000\n")
    assert usable_cores(groups, groups / "own") == 4


@pytest.mark.usefixtures("many")
def test_no_control_groups_at_all(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "absent", tmp_path / "absent" / "own") == 64


def test_this_machine() -> None:
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))
