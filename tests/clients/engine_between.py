"""An engine's socket with something between: what a server asks is noted, and answered otherwise where a check says so."""

import re
import socket
import threading


def ask(host, method, path, body=b""):
    """One call of an engine, as a server makes it: the whole answer."""
    return passed(host, f"{method} /v1.40{path} HTTP/1.0\r\nHost: engine\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


def passed(host, request):
    with socket.socket(socket.AF_UNIX) as engine:
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
            head, _, body = self._read(connection)
            method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
            answer = self.when(method, path, body)
            try:
                connection.sendall(answer or passed(self.engine, head + b"\r\n\r\n" + body))
            except OSError:
                pass

    @staticmethod
    def _read(connection):
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(65536)
        head, end, body = request.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        while length and len(body) < int(length[1]):
            body += connection.recv(65536)
        return head, end, body
