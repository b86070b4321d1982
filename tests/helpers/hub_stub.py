"""As much of the hub's HTTP interface as a download needs, over a folder ``owner/name/file``."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0" * 40


@contextmanager
def hub(root: Path) -> Iterator[str]:
    """Serve ``root``; gives the address for ``HF_ENDPOINT``."""
    handler = type("Handler", (_Handler,), {"root": root})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    root: Path

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:  # api/models/<owner>/<name>/tree/main
            folder = self.root.joinpath(*parts[2:4])
            files = [
                {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": COMMIT}
                for file in sorted(folder.iterdir())
            ]
            self._send(json.dumps(files).encode(), with_body)
            return
        repository, file = self.root.joinpath(*parts[:2]), parts[-1]  # <repo>/resolve/main/<file>
        if not repository.is_dir():
            self._send(b"", with_body, 404, {"X-Error-Code": "RepoNotFound"})
        elif not (repository / file).is_file():
            self._send(b"", with_body, 404, {"X-Error-Code": "EntryNotFound"})
        else:
            self._send((repository / file).read_bytes(), with_body)

    def _send(
        self, body: bytes, with_body: bool, status: int = 200, more: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        headers = {
            "Content-Length": str(len(body)),
            "ETag": f'"{hashlib.sha256(body).hexdigest()}"',
            "X-Repo-Commit": COMMIT,
            **(more or {}),
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
