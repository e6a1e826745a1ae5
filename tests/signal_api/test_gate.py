"""The gate: Host, Origin and size before anything else, and what the demo lets in."""

from collections.abc import AsyncIterator

import pytest

from tests.signal_api.service import Service
from tests.signal_api.worlds import JOIN_KEY


@pytest.fixture
async def demo() -> AsyncIterator[Service]:
    async with Service(demo=True, jwt=None) as service:
        yield service


@pytest.mark.parametrize("path", ["/", "/v1/ice", "/v1/info", "/v1/openapi.json", "/nothing"])
async def test_a_host_that_is_not_ours_gets_nothing(demo: Service, path: str) -> None:
    """A name server may say that rebound.example is 127.0.0.1; the page behind it stays outside."""
    reply = await demo.http.get(path, headers={"Host": "rebound.example"})
    assert (reply.status_code, reply.json()["code"]) == (421, "host_not_allowed")
    assert "rebound" not in str(reply.headers)


async def test_public_host_and_hosts_are_ours() -> None:
    async with Service(hosts=["signal.example"]) as service:
        reply = await service.http.get("/v1/info", headers={"Host": "signal.example:9000"})
        assert reply.status_code == 200


async def test_the_demo_is_open_to_who_sits_here(demo: Service) -> None:
    reply = await demo.http.get("/v1/ice")
    assert reply.status_code == 200
    port = demo.authority.partition(":")[2]
    named = await demo.http.get("/v1/info", headers={"Host": f"localhost:{port}"})
    assert named.json()["access"] == "open"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "198.51.100.7"},
        {"Forwarded": "for=198.51.100.7"},
        {"Via": "1.1 tunnel.example"},
    ],
)
async def test_the_demo_is_closed_to_what_comes_through_a_proxy(demo: Service, headers: dict[str, str]) -> None:
    reply = await demo.http.get("/v1/ice", headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (401, "unauthorized")
    assert (await demo.http.get("/v1/info", headers=headers)).json()["access"] == "token"
    with_key = await demo.http.get("/v1/ice", headers=headers | {"Authorization": f"Bearer {JOIN_KEY}"})
    assert with_key.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_pages_of_others_get_nothing_out_of_the_demo(demo: Service, headers: dict[str, str], method: str) -> None:
    reply = await demo.http.request(method, "/v1/ice", headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (403, "origin_not_allowed")
    assert "access-control-allow-origin" not in reply.headers


@pytest.mark.parametrize("client", ["unknown", "198.51.100.7:5000", "é", "::1%lo"])
async def test_whom_a_proxy_names_by_no_address_is_served_all_the_same(demo: Service, client: str) -> None:
    async with demo.http_from(client) as http:
        assert (await http.get("/v1/info")).status_code == 200


async def test_without_the_demo_nobody_is_let_in_without_a_token() -> None:
    async with Service() as service:
        reply = await service.http.get("/v1/ice")
        assert reply.status_code == 401
        assert reply.headers["www-authenticate"] == "Bearer"
        assert (await service.http.get("/v1/info")).json()["access"] == "token"


async def test_listed_pages_may_read_answers_and_ask_before() -> None:
    async with Service(origins=["https://app.example"]) as service:
        origin = {"Origin": "https://app.example"}
        reply = await service.http.get("/v1/ice", headers=origin | {"Authorization": f"Bearer {JOIN_KEY}"})
        assert reply.headers["access-control-allow-origin"] == "https://app.example"
        assert "link" in reply.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in reply.headers
        ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        preflight = await service.http.options("/v1/ice", headers=origin | ask)
        assert preflight.status_code == 204
        assert "authorization" in preflight.headers["access-control-allow-headers"]
        refused = await service.http.get("/v1/ice", headers=origin)
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://app.example", "its page may know why"


async def _chunks(total: int) -> AsyncIterator[bytes]:
    for _ in range(total // 4096):
        yield b" " * 4096


@pytest.mark.parametrize("declared", [True, False])
async def test_bodies_have_a_bound_whether_they_say_so_or_not(demo: Service, declared: bool) -> None:
    content = b" " * 70000 if declared else _chunks(80000)
    reply = await demo.http.post("/v1/ice", content=content, headers={"Content-Type": "application/json"})
    assert (reply.status_code, reply.json()["code"]) == (413, "frame_too_large")


async def test_every_answer_tells_browsers_what_they_may_not_do(demo: Service) -> None:
    for reply in [
        await demo.http.get("/"),
        await demo.http.get("/nothing"),
        await demo.http.get("/v1/ice"),
        await demo.http.get("/v1/ice", headers={"Host": "rebound.example"}),
    ]:
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cache-control"] in ("no-store", "no-cache")
        assert "server" not in reply.headers
    assert f"ws://{demo.authority}" in (await demo.http.get("/")).headers["content-security-policy"]


async def test_requests_are_counted_by_route_and_outcome(demo: Service) -> None:
    await demo.http.get("/v1/info")
    await demo.http.get("/no/such/path")
    await demo.http.get("/v1/ice", headers={"Host": "rebound.example"})
    counts = demo.instruments.http_requests
    assert counts["/v1/info", "2xx"] == 1
    assert counts["other", "4xx"] == 1
    assert counts["/v1/ice", "4xx"] == 1
    assert demo.instruments.origins_refused["host",] == 1


async def test_the_key_of_the_demo_is_asked_for_on_other_addresses(demo: Service) -> None:
    """From elsewhere the connection does not arrive on loopback; here its client does not."""
    async with demo.http_from("192.168.1.7") as elsewhere:
        assert (await elsewhere.get("/v1/ice")).status_code == 401
