"""Names of repositories on the Hugging Face Hub, and whether it can be reached."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub import constants
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from spectralvision.runs import UserError

PREFIXES = ("hf-hub:", "hf_hub:")
"""Both are understood by timm."""
CONNECT_SECONDS = 5.0
"""To find the address of the Hub and to connect to it."""
LOGIN = "run `hf auth login`, or set HF_TOKEN to a token"


def host() -> str:
    """Return the address of the Hub; HF_ENDPOINT names another one."""
    return str(constants.ENDPOINT)


def is_reachable(seconds: float = CONNECT_SECONDS) -> bool:
    """Return whether the Hub accepts a connection within so many seconds; a proxy is trusted."""
    address = urlsplit(host())
    if {address.scheme, "all"} & set(getproxies()):
        return True
    port = address.port or (80 if address.scheme == "http" else 443)
    answers = []

    def connect() -> None:
        with suppress(OSError), socket.create_connection((address.hostname, port), seconds):
            answers.append(True)

    # The search for an address has no time limit of its own
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(answers)


@contextmanager
def cache_if_unreachable() -> Iterator[None]:
    """Read from the local cache alone inside the block, if the Hub cannot be reached.

    huggingface_hub would first repeat each request for 40 s.
    """
    is_offline = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = is_offline or not is_reachable()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = is_offline


def is_hub(name: str) -> bool:
    """Return whether a name begins with `hf_hub:`."""
    return name.startswith(PREFIXES)


def parse_repository(name: str) -> str:
    """Return OWNER/NAME or OWNER/NAME@REVISION of a name with or without `hf_hub:`.

    Raises:
        UserError: It is not of this form.
    """
    bare = name[len(PREFIXES[0]) :] if is_hub(name) else name
    repo, at, revision = bare.partition("@")
    owner, slash, rest = repo.partition("/")
    try:
        validate_repo_id(repo)
    except HFValidationError:
        owner = ""
    if not (owner and slash and rest) or (at and (not revision or "@" in revision)):
        raise UserError(
            f"{name} is not the name of a repository: use OWNER/NAME with letters, digits, "
            "'-', '_' and '.', 96 characters at most."
        )
    return bare
