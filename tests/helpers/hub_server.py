"""A small local stand-in for the Hugging Face Hub: what sending and fetching files needs."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_test"
LARGE = (".safetensors", ".bin")  # sent apart, as the Hub has it


class Hub:
    """Repositories {OWNER/NAME: {"private": bool, "files": {name: bytes}}}; `me` may write its
    own."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, Any]] = {}
        self.blobs: dict[str, bytes] = {}
        self.commits = 0
        self.url = ""

    def of(self, owner_name: str, private: bool = False) -> dict[str, bytes]:
        """The files of a repository that is made where there is none."""
        return self.repos.setdefault(owner_name, {"private": private, "files": {}})["files"]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, content: Any = b"", status: int = 200, **headers: str) -> None:
        if not isinstance(content, bytes):
            content, headers = (
                json.dumps(content).encode(),
                {"Content-Type": "application/json"} | headers,
            )
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _refuse(self, status: int, code: str = "") -> None:
        self._answer(
            {"error": code or "refused"},
            status,
            X_Error_Code=code,
            X_Error_Message=code or "refused",
        )

    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _repo(self, name: str) -> dict[str, Any] | None:
        repo = self.hub.repos.get(name)
        return None if repo is None or (repo["private"] and not self._known()) else repo

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/main)?", path):
            if repo := self._repo(match[1]):
                files = [{"rfilename": name} for name in repo["files"]]
                self._answer(
                    {"id": match[1], "private": repo["private"], "sha": "c" * 40, "siblings": files}
                )
            else:
                self._refuse(404, "RepoNotFound")
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            repo = self._repo(match[1])
            if repo is None:
                self._refuse(404, "RepoNotFound")
            elif match[2] not in ("main", "c" * 40):
                self._refuse(404, "RevisionNotFound")
            elif match[3] not in repo["files"]:
                self._refuse(404, "EntryNotFound")
            else:
                content = repo["files"][match[3]]
                self._answer(
                    content, ETag=f'"{hashlib.sha256(content).hexdigest()}"', X_Repo_Commit="c" * 40
                )
        else:
            self._refuse(404)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        path, body = (
            self.path.partition("?")[0],
            self.rfile.read(int(self.headers["Content-Length"])),
        )
        if path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif not self._known():
            self._refuse(401)
        elif path == "/api/repos/create":
            wanted = json.loads(body)
            owner, name = wanted.get("organization") or "me", wanted["name"]
            if owner != "me":
                self._refuse(403)
            else:
                private = wanted.get("private", wanted.get("visibility") == "private")
                self.hub.of(f"{owner}/{name}", bool(private))
                self._answer({"url": f"{self.hub.url}/{owner}/{name}"})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", path):
            if not match[1].startswith("me/"):
                self._refuse(403)
            elif match[2] == "preupload":
                files = [file["path"] for file in json.loads(body)["files"]]
                modes = {file: "lfs" if file.endswith(LARGE) else "regular" for file in files}
                told = [
                    {"path": file, "uploadMode": mode, "shouldIgnore": False}
                    for file, mode in modes.items()
                ]
                self._answer({"files": told})
            else:
                self._commit(match[1], [json.loads(line) for line in body.splitlines()])
        elif path.endswith(".git/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            href = {
                one["oid"]: {"upload": {"href": f"{self.hub.url}/lfs/{one['oid']}"}}
                for one in objects
            }
            self._answer(
                {
                    "transfer": "basic",
                    "objects": [one | {"actions": href[one["oid"]]} for one in objects],
                }
            )
        else:
            self._refuse(404)

    def do_PUT(self) -> None:
        self.hub.blobs[self.path.rpartition("/")[2]] = self.rfile.read(
            int(self.headers["Content-Length"])
        )
        self._answer()

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.hub.of(name)[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.hub.of(name)[value["path"]] = self.hub.blobs[value["oid"]]
        self.hub.commits += 1
        oid = f"{self.hub.commits:040x}"
        self._answer(
            {"success": True, "commitOid": oid, "commitUrl": f"{self.hub.url}/{name}/commit/{oid}"}
        )


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub at `url` while the block runs."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
