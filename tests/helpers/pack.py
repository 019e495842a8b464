"""Archives for tests, of a folder or of single members."""

import io
import tarfile
import zipfile
from pathlib import Path


def pack(folder: Path, archive: Path, top: str = "") -> Path:
    """Write the files of a folder into a zip or tar archive by its suffix, below `top`."""
    files = {f"{top}{file.relative_to(folder)}": file for file in sorted(folder.rglob("*.*"))}
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, file in files.items():
                packed.write(file, name)
        return archive
    kind = {".tar": "", ".gz": "gz", ".tgz": "gz", ".xz": "xz", ".bz2": "bz2"}[archive.suffix]
    with tarfile.open(archive, f"w:{kind}") as packed:  # type: ignore[call-overload]
        for name, file in files.items():
            packed.add(file, name)
    return archive


def pack_members(archive: Path, members: dict[str, bytes], **attributes: object) -> Path:
    """Write members by name and content; `attributes` are set on each of their headers."""
    with (
        zipfile.ZipFile(archive, "w")
        if archive.suffix == ".zip"
        else tarfile.open(archive, "w") as packed
    ):
        for name, content in members.items():
            if isinstance(packed, zipfile.ZipFile):
                info = zipfile.ZipInfo(name)
                vars_of(info, attributes)
                packed.writestr(info, content)
            else:
                header = tarfile.TarInfo(name)
                header.size = len(content)
                vars_of(header, attributes)
                packed.addfile(header, io.BytesIO(content))
    return archive


def vars_of(header: object, attributes: dict[str, object]) -> None:
    for attribute, value in attributes.items():
        setattr(header, attribute, value)
