from signal_api.protocol.effects import LeaveReason


def test_a_lost_connection_alone_is_no_final_end() -> None:
    assert [reason for reason in LeaveReason if not reason.is_final] == [LeaveReason.TIMEOUT]
