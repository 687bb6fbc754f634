"""A server of this process in place of the network: the Hub's data sets, and files at addresses.

It answers as the Hugging Face Hub does to ``huggingface_hub`` (listing, HEAD, ranges), and as any
web server for other paths. ``stop`` ends every answer at a byte of its file, as a connection that
breaks does.
"""

import hashlib
import http.server
import json
import threading
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Server(http.server.ThreadingHTTPServer):
    """Serves ``folder/datasets/OWNER/NAME`` as repositories of the Hub, other files as they are.

    Args:
        folder: what it serves.
    """

    def __init__(self, folder):
        self.folder, self.stop, self.pages = Path(folder), None, False
        self.fetched = []  # of each GET of a file: its path and the first byte that was sent
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *error):
        self.shutdown()
        super().__exit__(*error)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0].strip("/")
        if path.startswith("api/datasets/"):
            return self.listing(
                self.server.folder / path.removeprefix("api/").split("/revision/")[0]
            )
        file = self.server.folder / path.replace(f"/resolve/{COMMIT}/", "/")
        if self.server.pages:
            return self.page()
        if not file.is_file():
            return self.send_error(404)
        self.file(file)

    def page(self):
        body = b"<!DOCTYPE html><title>Log in to the network</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def listing(self, folder):
        if not folder.is_dir():
            return self.send_error(404)
        files = [
            {"rfilename": str(path.relative_to(folder)), "size": path.stat().st_size}
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        ]
        name = str(folder.relative_to(self.server.folder / "datasets"))
        body = json.dumps({"id": name, "sha": COMMIT, "siblings": files, "tags": []}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def file(self, file):
        data = file.read_bytes()
        first = int(self.headers.get("Range", "bytes=0-").partition("=")[2].partition("-")[0])
        if first >= len(data) > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            return self.end_headers()
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(data) - first))
        self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.server.fetched.append((self.path.partition("?")[0], first))
            self.wfile.write(data[first : self.server.stop])

    def log_message(self, *_):
        pass


def as_hub(server, monkeypatch):
    """Let ``huggingface_hub`` ask a server in place of the Hub."""
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "ENDPOINT", server.url)
    template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(hub, "HUGGINGFACE_CO_URL_TEMPLATE", template)
