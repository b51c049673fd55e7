"""An engine's socket with something between: what a server asks is noted, and answered otherwise where a check says so."""

import re
import socket
import threading

from harness import CLIENT_SECONDS_MAX


def ask(host, method, path, body=b""):
    """One call of an engine, as a server makes it: the whole answer."""
    return passed(host, f"{method} /v1.40{path} HTTP/1.0\r\nHost: engine\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


def passed(host, request):
    with socket.socket(socket.AF_UNIX) as engine:
        engine.settimeout(CLIENT_SECONDS_MAX)
        engine.connect(host.removeprefix("unix://"))
        engine.sendall(request)
        return b"".join(iter(lambda: engine.recv(65536), b""))


class Between:
    """A socket in front of an engine. `when(method, path, body)` gives an answer in its place, or None."""

    def __init__(self, bench, host, when):
        self.path = bench.dir / f"between-{id(self)}.sock"
        self.engine, self.when = host, when
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen(64)
        self.host = f"unix://{self.path}"
        threading.Thread(target=self._accept, daemon=True).start()
        bench.undo.append(self.listener.close)

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with connection:
            asked = self._read(connection)
            if asked is None:
                return
            head, body = asked
            method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
            answer = self.when(method, path, body)
            try:
                connection.sendall(answer or passed(self.engine, head + b"\r\n\r\n" + body))
            except OSError:
                pass

    @staticmethod
    def _read(connection):
        """Head and body of what is asked; None where the server goes away before its end."""
        request, length = b"", None
        while length is None or len(request) < length:
            part = connection.recv(65536)
            if not part:
                return None
            request += part
            if length is None and b"\r\n\r\n" in request:
                head = request.partition(b"\r\n\r\n")[0]
                said = re.search(rb"(?i)content-length: (\d+)", head)
                length = len(head) + 4 + (int(said[1]) if said else 0)
        head, _, body = request.partition(b"\r\n\r\n")
        return head, body
