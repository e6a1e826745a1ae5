"""Listeners follow the configuration, all or nothing."""

from pathlib import Path

import pytest

from fairlead.config import SettingError
from fairlead.datagram import Transport
from fairlead.listeners import parse_listener
from tests.turnd.conftest import Settle, Start
from tests.turnd.wire import udp_socket
from turnd.listening import Entries

MOST = int(Path("/proc/sys/net/core/rmem_max").read_text())


def entries(*texts: str) -> Entries:
    return [(("turnd", "listen", place), parse_listener(text)) for place, text in enumerate(texts)]


async def test_what_stays_in_the_configuration_stays_open(settle: Settle, start: Start) -> None:
    listening = (await start(settle(listen=[]))).listening
    listening.apply(entries("udp://127.0.0.1:0", "tcp://127.0.0.1:0"))
    before = listening.targets()
    listening.apply(entries("udp://127.0.0.1:0"))
    assert listening.targets() == [target for target in before if target.transport is Transport.UDP]


async def test_a_star_opens_both_families(settle: Settle, start: Start) -> None:
    listening = (await start(settle(listen=[]))).listening
    listening.apply(entries("udp://*:0"))
    assert "0.0.0.0" in {target.address.host for target in listening.targets()}


async def test_one_that_cannot_be_opened_takes_the_others_back(settle: Settle, start: Start) -> None:
    listening = (await start(settle(listen=[]))).listening
    with udp_socket() as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingError) as caught:
            listening.apply(entries("udp://127.0.0.1:0", "tcp://127.0.0.1:0", f"udp://127.0.0.1:{port}"))
    assert caught.value.key == ("turnd", "listen", 2)
    assert listening.targets() == []


async def test_a_receive_buffer_that_the_kernel_cuts_short_is_told_with_the_remedy(
    settle: Settle, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    listening = (await start(settle(listen=[], buffers={"listeners": 1 << 30}))).listening
    listening.apply(entries("udp://127.0.0.1:0"))
    (line,) = [text for record in caplog.records if "small receive buffer" in (text := record.getMessage())]
    assert f"'bytes': {MOST}," in line
    assert "net.core.rmem_max=1073741824" in line
