"""The inside of a network namespace with an agent that does as it is told, and a command that asks it.

Run by pod_chains.py: `unshare --net python3 stub_agent.py (404|hang|none) COMMAND…`."""

import http.server
import os
import subprocess
import sys
import threading

ADDRESS = "169.254.170.23"
REFUSAL = b"[0b1c]: (ResourceNotFoundException): No Pod Identity association found for the service account., fault: client\n"


class Agent(http.server.BaseHTTPRequestHandler):
    """One that has nothing, or one that says nothing."""

    mode = "404"
    asked = 0

    def do_GET(self):
        Agent.asked += 1
        if self.mode == "hang":
            threading.Event().wait()
        self.send_response(404)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(REFUSAL)))
        self.end_headers()
        self.wfile.write(REFUSAL)

    def log_message(self, *_):
        pass


def main():
    mode, *command = sys.argv[1:]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "address", "add", f"{ADDRESS}/32", "dev", "lo"], check=True)
    Agent.mode = mode
    if mode != "none":
        server = http.server.ThreadingHTTPServer((ADDRESS, 80), Agent)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    # Requests that hang are not waited for.
    code = subprocess.run(command).returncode
    print(f"agent: asked {Agent.asked} times", file=sys.stderr, flush=True)
    os._exit(code)


if __name__ == "__main__":
    main()
