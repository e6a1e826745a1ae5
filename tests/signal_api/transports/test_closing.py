"""The close that is a frame."""

import json

from signal_api.protocol.refusals import CloseCode
from signal_api.transports.closing import close_frame, is_final


def test_a_close_carries_the_number_of_a_websocket() -> None:
    frame = json.loads(close_frame(CloseCode.REPLACED, "elsewhere").encode(None))
    assert frame == {"type": "close", "data": {"code": 4009, "reason": "elsewhere"}}


def test_which_codes_end_it_for_good() -> None:
    assert is_final(CloseCode.REPLACED)
    assert is_final(CloseCode.NORMAL)
    assert not is_final(CloseCode.SLOW_CONSUMER)
    assert not is_final(CloseCode.ROTATE)
