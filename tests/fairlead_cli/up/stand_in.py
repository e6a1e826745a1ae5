"""What a supervisor sees of a daemon, without one: `python -m tests.fairlead_cli.up.stand_in PORT [BEHAVIOUR ...]`.

It tells the service manager that it has started, answers on its ops port, writes records and obeys signals; each
behaviour is one way of not doing so.
"""

import http.server
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType

PORT, BEHAVIOURS = int(sys.argv[1]), sys.argv[2:]


def say(event: str, level: str = "info", **fields: object) -> None:
    sys.stderr.write(json.dumps({"timestamp": "", "level": level, "logger": "x", "event": event, **fields}) + "\n")


class Ops(http.server.BaseHTTPRequestHandler):
    ready = "unready" not in BEHAVIOURS

    def do_GET(self) -> None:
        reasons = [] if Ops.ready else ["the moon is in the way"]
        body = json.dumps({"reasons": reasons}).encode()
        self.send_response(503 if reasons else 200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def leave(server: http.server.HTTPServer, word: str) -> Callable[[int, FrameType | None], None]:
    def handler(number: int, frame: FrameType | None) -> None:
        say(word)
        if "deaf" not in BEHAVIOURS:
            threading.Thread(target=server.shutdown).start()

    return handler


def reload(number: int, frame: FrameType | None) -> None:
    say("reloaded")
    Ops.ready = True


def main() -> int:
    if "refuse" in BEHAVIOURS:
        say("cannot start", "error", problem="turnd.listen[0]: udp://*:3478 is taken by dnsmasq (pid 7); stop it")
        return 1
    server = http.server.HTTPServer(("127.0.0.1", PORT), Ops)
    signal.signal(signal.SIGTERM, leave(server, "draining"))
    signal.signal(signal.SIGINT, leave(server, "stopping"))
    signal.signal(signal.SIGHUP, reload)
    say("started", pid=os.getpid())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(b"STATUS=fine\nREADY=1\n", "\0" + os.environ["NOTIFY_SOCKET"][1:])
    server.serve_forever(poll_interval=0.01)
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
