"""Settings that compute something."""

from turnd.protocol.settings import LOWEST_CHANNEL, ChannelRange


def test_both_ranges_of_channels_begin_at_0x4000() -> None:
    assert [range(LOWEST_CHANNEL, each.highest + 1) for each in ChannelRange] == [
        range(0x4000, 0x8000),
        range(0x4000, 0x5000),
    ]
