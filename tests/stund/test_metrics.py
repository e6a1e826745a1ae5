from fairlead.datagram import Address, Transport
from fairlead.metrics import Metrics
from fairlead.reasons import Reason
from fairlead.stun.binding import Reply
from stund.metrics import StundMetrics

MODERN, CLASSIC = bytes.fromhex("000100002112a442") + bytes(12), bytes(20)


def lines(metrics: Metrics) -> list[str]:
    return metrics.expose()[1].decode().splitlines()


def test_every_series_is_there_from_the_start_and_there_are_not_many() -> None:
    metrics = Metrics("stund")
    StundMetrics(metrics)
    ours = [line for line in lines(metrics) if line.startswith("stund_")]
    assert {line.rpartition(" ")[2] for line in ours if "datapath" not in line} == {"0.0"}
    assert 'stund_datapath{datapath="python"} 1.0' in ours
    assert len(ours) < 200


def test_an_answer_is_counted_by_transport_family_kind_and_code() -> None:
    metrics = Metrics("stund")
    counted = StundMetrics(metrics)
    counted.answered(Transport.UDP, Address("192.0.2.1", 1), MODERN, Reply(bytes(32), 0))
    counted.answered(Transport.TLS, Address("2001:db8::1", 1), CLASSIC, Reply(bytes(56), 420))
    found = lines(metrics)
    assert 'stund_requests_total{family="ipv4",kind="rfc8489",transport="udp"} 1.0' in found
    assert 'stund_requests_total{family="ipv6",kind="rfc3489",transport="tls"} 1.0' in found
    assert 'stund_responses_total{code="success",transport="udp"} 1.0' in found
    assert 'stund_responses_total{code="420",transport="tls"} 1.0' in found
    assert 'stund_request_bytes_total{transport="udp"} 20.0' in found
    assert 'stund_response_bytes_total{transport="tls"} 56.0' in found


def test_a_drop_is_counted_by_its_reason() -> None:
    metrics = Metrics("stund")
    StundMetrics(metrics).dropped(Transport.TCP, Reason.MALFORMED)
    assert 'stund_dropped_total{reason="malformed",transport="tcp"} 1.0' in lines(metrics)
