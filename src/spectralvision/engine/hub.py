"""Names of repositories on the Hugging Face Hub."""

from huggingface_hub import constants
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from spectralvision.runs import UserError

PREFIXES = ("hf-hub:", "hf_hub:")
"""Both are understood by timm."""
LOGIN = "run `hf auth login`, or set HF_TOKEN to a token"


def host() -> str:
    """Return the address of the Hub; HF_ENDPOINT names another one."""
    return str(constants.ENDPOINT)


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
