"""Upload a run to a Hugging Face repository, or copy it into a folder of the same layout.

Both are loaded again with `--model hf_hub:OWNER/NAME` or `--model local-dir:FOLDER`.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.errors import RepositoryNotFoundError
from torch import nn

from spectralvision.engine import hub
from spectralvision.engine.errors import explain_hub_error
from spectralvision.engine.model_io import architecture, find_model, load_model
from spectralvision.runs import UserError, expand_user, is_disk_full
from spectralvision.sharing.model_card import CLASSIFIER, CardKind, write_card

RUN_FILES = ("config.json", "model.safetensors")  # copied unchanged
CARD_FILE = "README.md"


def push(
    run: str,
    target: str,
    public: bool = False,
    license: str | None = None,
    replace_card: bool = False,
    dry_run: bool = False,
    kind: CardKind = CLASSIFIER,
    load: Callable[[str], nn.Module] = load_model,
) -> dict[str, Any]:
    """Upload the weights of a run with their configuration and a model card.

    Args:
        run: Run folder.
        target: OWNER/NAME of a repository, which is created if it does not exist; or a new folder:
            local-dir:FOLDER, or a path that is absolute, starts with a dot, or exists.
        public: Whether everybody can see the repository.
        license: Licence of the weights as the Hub writes it, such as apache-2.0.
        replace_card: Overwrite the card of an existing repository, which may have been edited.
        dry_run: Stop before anything is written or uploaded.
        kind: What the card of a model of this task says.
        load: Returns the model of a run folder.

    Returns:
        run, target, model, files (name and bytes of each), card (its text), visibility, card_kept,
        url.

    Raises:
        UserError: `run` is not a run folder, the target is not valid, or the token, the network or
            the permission is missing.
    """
    # 1. Resolve both ends and write the card
    source = _find_run_folder(run)
    folder = _parse_folder(target)
    place = f"local-dir:{folder}" if folder else f"hf_hub:{_parse_repository(target)}"
    model = load(str(source))
    name = folder.resolve().name if folder else place.rpartition("/")[2]
    card = write_card(model, source, name, place, license, kind)
    result: dict[str, Any] = {
        "run": run,
        "target": place,
        "model": architecture(model),
        "files": _list_files(source, card),
        "card": card,
        "visibility": None if folder else "public" if public else "private",
        "card_kept": False,
        "url": None,
    }
    if dry_run:
        return result

    # 2. Copy or upload
    if folder:
        _copy(source, folder, card)
        return result
    uploaded = _upload(source, place.partition(":")[2], card, public, replace_card)
    if uploaded["card_kept"]:
        result["files"] = [file for file in result["files"] if file["name"] != CARD_FILE]
    return result | uploaded


def _list_files(source: Path, card: str) -> list[dict[str, Any]]:
    files = [{"name": CARD_FILE, "bytes": len(card.encode())}]
    return files + [{"name": name, "bytes": (source / name).stat().st_size} for name in RUN_FILES]


def _find_run_folder(run: str) -> Path:
    path = expand_user(run.removeprefix("local-dir:"))
    if not path.is_dir():
        raise UserError(
            f"{run} is not a run folder: push needs one written by `spectralvision train` or "
            "`spectralvision convert`."
        )
    find_model(str(path))  # raises a sentence about config.json
    missing = [name for name in RUN_FILES if not (path / name).is_file()]
    if missing:
        raise UserError(f"{run} is not a run folder: it has no {missing[0]}.")
    return path


def _parse_folder(target: str) -> Path | None:
    """Return the new or empty folder that a target names; None if it names a repository."""
    path = expand_user(target.removeprefix("local-dir:"))
    is_path = target.startswith(("local-dir:", ".", "~")) or path.is_absolute()
    if not is_path and (hub.is_hub(target) or not path.exists()):
        return None
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        cure = ""
        if not is_path and "/" in target:
            cure = f", or use hf_hub:{target} for the repository of that name"
        raise UserError(f"{target} exists and is not an empty folder: choose another{cure}.")
    return path


def _parse_repository(target: str) -> str:
    repo = hub.parse_repository(target)
    if "@" in repo:
        revision = repo.partition("@")[2]
        raise UserError(f"push uploads to the main revision: remove @{revision} from the target.")
    return repo


def _copy(source: Path, folder: Path, card: str) -> None:
    """Create the folder with all its files, or not at all."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as beside:
            complete = Path(beside) / "complete"
            complete.mkdir()
            (complete / CARD_FILE).write_text(card, encoding="utf-8")
            for name in RUN_FILES:
                (complete / name).write_bytes((source / name).read_bytes())
            os.replace(complete, folder)
    except OSError as error:
        cure = "the disk is full: free some space"
        if not is_disk_full(error):
            cure = f"choose another folder ({error})"
        raise UserError(f"{folder} cannot be written: {cure}.") from None


def _upload(source: Path, repo: str, card: str, public: bool, replace_card: bool) -> dict[str, Any]:
    """Upload all files in one commit; an existing repository keeps its visibility and its card."""
    if get_token() is None:
        raise UserError(f"there is no token for {hub.host()}: {hub.LOGIN} that may write.")
    if not hub.is_reachable():
        raise UserError(f"{hub.host()} cannot be reached: check the network connection.")
    api = HfApi(library_name="spectralvision")
    try:
        # 1. Find or create the repository
        info = _find_repository(api, repo)
        if info is None:
            api.create_repo(repo, private=not public, exist_ok=True)
        else:
            _check_visibility(info, repo, public)

        # 2. Upload the files
        keep_card = info is not None and not replace_card and _has_card(info)
        files = [CommitOperationAdd(name, source / name) for name in RUN_FILES]
        if not keep_card:
            files.append(CommitOperationAdd(CARD_FILE, card.encode()))
        message = f"Upload {source.resolve().name} with spectralvision"
        commit = api.create_commit(repo, files, commit_message=message)
    except UserError:
        raise
    except Exception as error:  # a network fails in many ways
        raise UserError(f"{explain_hub_error(error, repo)}.") from None
    return {"url": f"{hub.host()}/{repo}", "commit": commit.oid, "card_kept": keep_card}


def _find_repository(api: HfApi, repo: str) -> Any:
    try:
        return api.model_info(repo)
    except RepositoryNotFoundError:
        return None


def _check_visibility(info: Any, repo: str, public: bool) -> None:
    """Raise `UserError` if the repository is private and should be public, or the reverse."""
    if info.private != public:
        return
    state = "private" if public else "public"
    cure = "remove --public" if public else "add --public"
    raise UserError(f"{repo} is {state}: {cure}, or change it in its settings at {hub.host()}.")


def _has_card(info: Any) -> bool:
    return CARD_FILE in [file.rfilename for file in info.siblings or []]
