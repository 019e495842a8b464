"""Images at http and https addresses, each fetched when it is opened.

Guarantees: redirects stay on http and https; an image takes at most `TIME_LIMIT_SECONDS` and
`MAX_BYTES`. Only addresses that a person has typed may come here, never those in data.
"""

import re
import threading
import time
from collections.abc import Sequence
from http.client import HTTPMessage
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from PIL import Image

from spectralvision.data.image_files import describe_error, open_image
from spectralvision.data.images import Images
from spectralvision.runs import UserError, format_bytes, format_duration

TIME_LIMIT_SECONDS = 30.0
"""For one image, from the look-up of the host to its last byte."""
MAX_BYTES = 2**27
CHUNK_BYTES = 2**16
SCHEMES = ("http", "https")
RESERVED = "%/:?#[]@!$&'()*+,;=~"
"""Characters of an address that keep their meaning; others are quoted as browsers do."""
MAX_REASON = 200
"""Characters of a server's words that are shown."""


class UrlImages(Images):
    """Images at addresses.

    Args:
        urls: The addresses.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        super().__init__([0] * len(urls))
        self.urls = urls

    def image(self, index: int) -> Image.Image:
        return open_image(fetch(self.urls[index]), self.urls[index])

    def name(self, index: int) -> str:
        return self.urls[index]


def is_url(word: str) -> bool:
    """Return whether a word is an address, of whatever scheme, and not a path."""
    return re.match(r"[a-z][a-z0-9+.-]+://", word, re.IGNORECASE) is not None


def fetch(url: str) -> bytes:
    """Return the content at an address.

    Raises:
        UserError: It cannot be fetched, is too large, or takes too long.
    """
    outcome: list[bytes | Exception] = []

    def download() -> None:
        try:
            outcome.append(_download(url, time.monotonic() + TIME_LIMIT_SECONDS))
        except Exception as error:  # of addresses, hosts and servers: many kinds
            outcome.append(error)

    # In a thread, as neither the look-up of a host nor slow headers have a time limit of their own
    thread = threading.Thread(target=download, daemon=True)
    thread.start()
    thread.join(TIME_LIMIT_SECONDS)
    result = outcome[0] if outcome else TimeoutError("timed out")
    if isinstance(result, Exception):
        raise UserError(f"{url} cannot be fetched ({_describe(result)}).")
    return result


def _download(url: str, deadline: float) -> bytes:
    request = Request(quote(url, safe=RESERVED), headers={"User-Agent": "spectralvision"})
    if request.type not in SCHEMES:
        raise ValueError(f"{request.type} addresses are not read, only http and https")
    with _build_opener().open(request, timeout=TIME_LIMIT_SECONDS) as response:
        length = int(response.headers.get("Content-Length", -1))
        content = bytearray()
        while chunk := response.read1(CHUNK_BYTES):
            content += chunk
            if max(length, len(content)) > MAX_BYTES:
                raise ValueError(f"more than {format_bytes(MAX_BYTES)}")
            if time.monotonic() > deadline:
                raise TimeoutError("timed out")
    if len(content) < length:
        raise ValueError("the connection ended early")
    return bytes(content)


class _WebRedirects(HTTPRedirectHandler):
    """Follow redirects to http and https only; urllib follows them to FTP too."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if not newurl.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
            reason = f"{msg} - Redirection to url {newurl!r} is not allowed"  # as urllib words it
            raise HTTPError(newurl, code, reason, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _build_opener() -> OpenerDirector:
    """Return what opens http and https, and no files or other schemes as urllib's default does."""
    opener = OpenerDirector()
    for handler in (
        ProxyHandler(),
        HTTPHandler(),
        HTTPSHandler(),
        HTTPDefaultErrorHandler(),
        HTTPErrorProcessor(),
        _WebRedirects(),
    ):
        opener.add_handler(handler)
    return opener


def _describe(error: Exception) -> str:
    """Return why an address cannot be fetched, in a few words."""
    if isinstance(error, HTTPError):
        error.close()
        return " ".join(f"{error.code} {error.reason}".split())[:MAX_REASON]
    if isinstance(error, URLError):
        error = error.reason if isinstance(error.reason, Exception) else ValueError(error.reason)
    if isinstance(error, TimeoutError):
        return f"it takes more than {format_duration(TIME_LIMIT_SECONDS)}"
    return describe_error(error)[:MAX_REASON]
