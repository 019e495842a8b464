"""A run to a Hugging Face repository, or into a folder like one; it comes back as `--model hf_hub:OWNER/NAME`."""

import os
import tempfile
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.errors import RepositoryNotFoundError

from spectralvision.runs import UserError, disk_full
from spectralvision.tasks import hub
from spectralvision.tasks.card import card
from spectralvision.tasks.loading import architecture, find_model, load_model

SENT = ("config.json", "model.safetensors")  # of the run, as they are
CARD = "README.md"


def push(
    run: str,
    target: str,
    public: bool = False,
    license: str | None = None,
    replace_card: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Sends the weights of a run with their configuration and a card.

    Args:
        run: Its folder.
        target: OWNER/NAME of a repository, which is made where there is none; or a new folder: local-dir:FOLDER, or a
            path that is absolute, begins with a dot, or exists.
        public: Whether everybody may see a repository.
        license: Of the weights, as the Hub writes it, such as apache-2.0.
        replace_card: Also where the repository has a card, which may have been edited.
        dry_run: Stop before anything is written or sent.

    Returns:
        run, target, model, files (name and bytes of each), card (its text), visibility, card_kept, url.

    Raises:
        UserError: No run, a target that cannot be, no token, no network, no permission.
    """
    source = _run_folder(run)
    folder = _folder(target)
    place = f"local-dir:{folder}" if folder else f"hf_hub:{_repository(target)}"
    model = load_model(str(source))
    name = folder.resolve().name if folder else place.rpartition("/")[2]
    text = card(model, source, name, place, license)
    sizes = {CARD: len(text.encode()), **{file: (source / file).stat().st_size for file in SENT}}
    result: dict[str, Any] = {
        "run": run,
        "target": place,
        "model": architecture(model),
        "files": [{"name": file, "bytes": size} for file, size in sizes.items()],
        "card": text,
        "visibility": None if folder else "public" if public else "private",
        "card_kept": False,
        "url": None,
    }
    if dry_run:
        return result
    if folder:
        _write(source, folder, text)
        return result
    sent = _send(source, place.partition(":")[2], text, public, replace_card)
    if sent["card_kept"]:
        result["files"] = [file for file in result["files"] if file["name"] != CARD]
    return result | sent


def _run_folder(run: str) -> Path:
    path = Path(run.removeprefix("local-dir:")).expanduser()
    if not path.is_dir():
        raise UserError(f"{run} is not a run folder: push takes one that train or convert has written.")
    find_model(str(path))  # says what else it may lack
    if lacking := [file for file in SENT if not (path / file).is_file()]:
        raise UserError(f"{run} is not a run folder: it has no {lacking[0]}.")
    return path


def _folder(target: str) -> Path | None:
    """The folder that a target means, new or empty; None where it means a repository."""
    path = Path(target.removeprefix("local-dir:")).expanduser()
    written = target.startswith(("local-dir:", ".", "~")) or path.is_absolute()
    if not written and (hub.is_hub(target) or not path.exists()):
        return None
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        cure = "" if written or "/" not in target else f"; hf_hub:{target} is the repository of that name"
        raise UserError(f"{target} exists and is not an empty folder: name another{cure}.")
    return path


def _repository(target: str) -> str:
    repo = hub.repository(target)
    if "@" in repo:
        raise UserError(f"push sends to the main revision: leave @{repo.partition('@')[2]} out.")
    return repo


def _write(source: Path, folder: Path, text: str) -> None:
    """Makes the folder whole or not at all."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as beside:
            made = Path(beside) / "made"
            made.mkdir()
            (made / CARD).write_text(text, encoding="utf-8")
            for file in SENT:
                (made / file).write_bytes((source / file).read_bytes())
            os.replace(made, folder)
    except OSError as error:
        reason = "the disk is full: make room" if disk_full(error) else f"name another ({error})"
        raise UserError(f"{folder} cannot be written: {reason}.") from None


def _send(source: Path, repo: str, text: str, public: bool, replace_card: bool) -> dict[str, Any]:
    """One commit with all files; a repository that is there already keeps its visibility and its card."""
    if get_token() is None:
        raise UserError(f"there is no token for {hub.host()}: {hub.LOGIN} that may write.")
    api = HfApi(library_name="spectralvision")
    try:
        there = _there(api, repo)
        if there and there.private == public:
            is_now, cure = ("private", "leave --public out") if public else ("public", "give --public")
            raise UserError(f"{repo} is {is_now}: {cure}, or change it in its settings at {hub.host()}.")
        kept = bool(there) and not replace_card and CARD in [file.rfilename for file in there.siblings or []]
        if not there:
            api.create_repo(repo, private=not public, exist_ok=True)
        operations = [CommitOperationAdd(file, source / file) for file in SENT]
        if not kept:
            operations.append(CommitOperationAdd(CARD, text.encode()))
        commit = api.create_commit(repo, operations, commit_message=f"{source.resolve().name} of spectralvision")
    except UserError:
        raise
    except Exception as error:  # a network fails in many ways
        raise UserError(f"{hub.explained(error, repo)}.") from None
    return {"url": f"{hub.host()}/{repo}", "commit": commit.oid, "card_kept": kept}


def _there(api: HfApi, repo: str) -> Any:
    try:
        return api.model_info(repo)
    except RepositoryNotFoundError:
        return None
