from fairlead.metrics import Metrics
from fairlead.streams import declare_streams
from tests.fairlead.streams.echo import Echo, connected, serving
from tests.waiting import eventually


async def test_connections_are_told_as_they_are() -> None:
    metrics = Metrics("stund")
    async with serving(Echo()) as (server, address):
        declare_streams(metrics, server)
        assert b'stund_connections{transport="tcp"} 0.0\n' in metrics.expose()[1]
        async with connected(address):
            await eventually(lambda: server.half_open == 1)
            exposition = metrics.expose()[1]
            assert b'stund_connections{transport="tcp"} 1.0\n' in exposition
            assert b'stund_connections{transport="tls"} 0.0\n' in exposition
            assert b"stund_half_open_connections 1.0\n" in exposition
            assert b'stund_connections_refused_total{reason="half_open"} 0.0\n' in exposition
            assert b'stund_tls_handshakes_total{result="ok"} 0.0\n' in exposition
            assert b"stund_connections_expired_total 0.0\n" in exposition
