"""An nginx as the guide sets it up: buffering on, TLS in front."""

import socket
import subprocess
from pathlib import Path

from fairlead.datagram import Address
from tests.certificates import self_signed
from tests.interop.guide import block
from tests.loopback import quiet_port
from tests.processes import PATIENCE, wait_for
from tests.skipping import require_program

_CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {servers}
}}
"""


class Nginx:
    """Stands in front of signal_api at `backend`; it may be stopped and started."""

    def __init__(self, backend: Address, folder: Path) -> None:
        self.port = quiet_port(socket.SOCK_STREAM)
        tls = self_signed(folder)
        places = {
            "443": f"127.0.0.1:{self.port}",
            "127.0.0.1:8080": str(backend),
            "/etc/nginx/tls.crt": str(tls.certificate),
            "/etc/nginx/tls.key": str(tls.key),
        }
        self._file = folder / "nginx.conf"
        self._file.write_text(_CONFIGURATION.format(folder=folder, servers=block("nginx", places)))
        self.url = f"https://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        command = [require_program("nginx"), "-c", str(self._file), "-p", str(self._file.parent)]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_for("nginx", self._listens)

    def _listens(self) -> bool | None:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return None
        return True

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)
