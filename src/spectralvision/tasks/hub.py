"""Names of Hugging Face repositories, and what goes wrong with them, in sentences."""

from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from spectralvision.runs import UserError

PREFIXES = ("hf-hub:", "hf_hub:")  # timm takes both
LOGIN = "run `hf auth login`, or set HF_TOKEN to a token"


def host() -> str:
    """Where repositories are looked for; HF_ENDPOINT names another."""
    return str(constants.ENDPOINT)


def is_hub(name: str) -> bool:
    """Whether a name says that it is of a repository: hf_hub:OWNER/NAME."""
    return name.startswith(PREFIXES)


def repository(name: str) -> str:
    """OWNER/NAME, or OWNER/NAME@REVISION, of a name with or without `hf_hub:`.

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
            f"{name} does not name a repository: OWNER/NAME does, of letters, digits, '-', '_' and '.', "
            "at most 96 in all."
        )
    return bare


def explained(error: Exception, repo: str) -> str:
    """What an error of huggingface_hub means and how to mend it, a sentence without its full stop."""
    where = host()
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, GatedRepoError):
        return f"{repo} is gated: ask for access on its page at {where}, and {LOGIN}"
    if isinstance(error, RepositoryNotFoundError):
        return f"{where} has no repository {repo}, or a private one that your token may not see: {LOGIN} that may"
    if isinstance(error, RevisionNotFoundError):
        return f"{repo} has no such revision"
    if isinstance(error, LocalEntryNotFoundError | OfflineModeIsEnabled):
        return f"{where} cannot be reached, and {repo} was not loaded before: see whether there is a network"
    if isinstance(error, EntryNotFoundError):
        return f"{repo} is not a model in timm's format: it lacks config.json or the weights"
    if status == 401:
        return f"{where} does not accept your token: {LOGIN} that is valid"
    if status == 403:
        return f"your token may not write to {repo}: {LOGIN} that may"
    reason = " ".join(str(error).split())[:300].rstrip(".")
    if isinstance(error, HfHubHTTPError | ValueError):
        return f"{where} refuses {repo} ({reason})"
    return f"{where} cannot be reached ({reason}): see whether there is a network"
