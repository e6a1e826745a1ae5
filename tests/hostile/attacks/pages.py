"""Pages of others, and names that are not ours: what a browser would do for an attacker."""

from functools import partial

from tests.hostile.cases import attack
from tests.hostile.raw import Raw
from tests.hostile.target import APP, Target
from tests.processes import JOIN_KEY

#: {} is our own authority
FOREIGN = {
    "null, as from a file or a sandbox": "null",
    "another site": "https://evil.example",
    "our name as a part of another": "http://{}.evil.example",
    "our name as the user of another": "http://{}@evil.example",
    "our name without its port": "http://127.0.0.1",
    "our name with another port": "http://127.0.0.1:1",
    "our name by another scheme": "https://{}",
    "our name as a number": "http://2130706433",
    "our name with a path": "http://{}/",
    "a listed name with an ending": "https://app.example.evil.com",
    "a listed name with a beginning": "https://evil-app.example",
    "a listed name below another": "https://x.app.example",
    "a listed name by http": "http://app.example",
    "a listed name with another port": "https://app.example:444",
    "a listed name with a dot": "https://app.example.",
    "a listed name with a letter that looks alike": "https://\xe4pp.example",
    "a listed name, and another": f"{APP} https://evil.example",
    "a star": "*",
    "nothing but a scheme": "https://",
    "an extension": "chrome-extension://abcdefghijklmnop",
    "4,000 letters": "https://" + "a" * 4000,
}


def _refused(origin: str, target: Target) -> None:
    """No page of others opens a socket, reads an answer, or learns from a preflight that it may."""
    named = origin.format(target.place)
    key = f"Bearer {JOIN_KEY}"
    with Raw(target.place) as raw:
        answers = [raw.upgrade(Origin=named)]
    answers += [target.ask("GET", path, Origin=named, Authorization=key) for path in ("/v1/ice", "/v1/info")]
    answers.append(target.ask("POST", "/v1/sessions", b'{"v":1}', Origin=named))
    answers.append(target.ask("OPTIONS", "/v1/ice", Origin=named, Access_Control_Request_Method="GET"))
    answers.append(target.ask("GET", "/peerjs/id", Origin=named))
    for reply in answers:
        assert (reply.status, reply.code) == (403, "origin_not_allowed"), reply
        assert "access-control-allow-origin" not in reply.headers


for _name, _origin in FOREIGN.items():
    attack(f"origin: {_name}")(partial(_refused, _origin))


@attack("origin: none at all, on a WebSocket")
def _missing(target: Target) -> None:
    for path in ("/v1/ws", "/peerjs?key=peerjs&id=a&token=t"):
        with Raw(target.place) as raw:
            assert raw.upgrade(path, Origin="").code == "origin_not_allowed"


@attack("origin: two of them")
def _two(target: Target) -> None:
    with Raw(target.place) as raw:
        head = raw.head("GET", "/v1/info", {"Origin": APP})
        raw.send(head.replace(b"\r\n\r\n", b"\r\nOrigin: https://evil.example\r\n\r\n"))
        assert raw.reply().code == "origin_not_allowed"


@attack("origin: not said, but that the site is another")
def _fetched(target: Target) -> None:
    for site in ("cross-site", "same-site", "x"):
        assert target.ask("GET", "/v1/info", Sec_Fetch_Site=site).code == "origin_not_allowed"


@attack("host: a name of the attacker's that points here")
def _rebound(target: Target) -> None:
    names = ("evil.example", "127.0.0.1.evil.example", "localhost.evil", "[::1]", "evil@127.0.0.1", "127.0.0.2", "a b")
    for name in names:
        reply = target.ask("GET", "/v1/info", Host=name)
        assert reply.code == "host_not_allowed", (name, reply)
        assert name.encode() not in reply.body
        with Raw(target.place) as raw:
            assert raw.upgrade(Host=name, Origin=f"http://{name}").status in (400, 403, 421)


@attack("host: two of them, or none")
def _hosts(target: Target) -> None:
    place = f"Host: {target.place}\r\n"
    for hosts in (place + "Host: evil.example\r\n", ""):
        with Raw(target.place) as raw:
            raw.send(f"GET /v1/info HTTP/1.1\r\n{hosts}\r\n".encode())
            assert raw.reply().code == "bad_request"
    with Raw(target.place) as raw:
        raw.send(b"GET /v1/info HTTP/1.0\r\n\r\n")
        assert raw.reply().code == "host_not_allowed"


@attack("host: forwarded by nobody whom we trust")
def _forwarded(target: Target) -> None:
    told = {"X_Forwarded_Host": "app.example", "X_Forwarded_Proto": "https", "X_Forwarded_For": "127.0.0.1"}
    assert target.ask("GET", "/v1/info", Host="evil.example", **told).code == "host_not_allowed"
    assert target.ask("GET", "/v1/info", Origin=f"https://{target.place}", **told).code == "origin_not_allowed"
