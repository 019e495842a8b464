"""The files of onnxruntime-web: from npm, at one version with one checksum, or from a folder."""

import base64
import hashlib
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from spectralvision.runs import UserError

VERSION = "1.30.0"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""Of the package, in base64: `npm view onnxruntime-web@VERSION dist.integrity`."""
FILES = {
    "ort.wasm.bundle.min.js": "ort.wasm.bundle.min.mjs",
    "ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.bundle.min.js": "ort.webgpu.bundle.min.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm": "ort-wasm-simd-threaded.asyncify.wasm",
}
"""Name in a deployment folder -> in `dist` of the package: two files for the CPU (14 MB), two for
WebGPU (27 MB). Some servers do not send .mjs as JavaScript."""
FETCH_TIMEOUT_SECONDS = 900
CURE = "or give a folder with its files by --ort-web"


def fetch_files(folder: Path, sha512: str = SHA512) -> None:
    """Fetch the package with npm and write `FILES` into a folder.

    Args:
        folder: Is made.
        sha512: Of the package, in base64.

    Raises:
        UserError: npm is missing or fails, or the package is another one.
    """
    with TemporaryDirectory() as temporary:
        package = _pack(Path(temporary))
        found = digest(package)
        if found != sha512:
            raise UserError(
                f"npm fetched another onnxruntime-web {VERSION} than the known one (SHA-512 "
                f"{found[:16]}... instead of {sha512[:16]}...): check npm's registry, {CURE}."
            )
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(package) as archive:
            for name, original in FILES.items():
                _unpack(archive, f"package/dist/{original}", folder / name)


def digest(path: Path) -> str:
    """Return the SHA-512 of a file in base64, as npm states it."""
    return base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


def _pack(folder: Path) -> Path:
    """Return the package, written into a folder by npm."""
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(f"npm was not found: install it, {CURE}.")
    command = [npm, "pack", f"onnxruntime-web@{VERSION}", "--ignore-scripts"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=FETCH_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"npm did not fetch onnxruntime-web {VERSION} in {FETCH_TIMEOUT_SECONDS} seconds: "
            f"check the network, {CURE}."
        ) from None
    packages = list(folder.glob("*.tgz"))
    if done.returncode or len(packages) != 1:
        raise UserError(
            f"npm could not fetch onnxruntime-web {VERSION} ({_reason(done.stderr)}): check the "
            f"network, {CURE}."
        )
    return packages[0]


def _reason(text: str) -> str:
    """Return what npm says about an error, shortened."""
    lines = [re.sub(r"^npm (error|ERR!)\s*", "", line).strip() for line in text.splitlines()]
    said = [line for line in lines if line and not line.startswith("code ")]
    return said[0].rstrip(".")[:160] if said else "npm gives no reason"


def _unpack(archive: tarfile.TarFile, name: str, path: Path) -> None:
    """Write one regular file of an archive to a path."""
    try:
        source = archive.extractfile(name)
    except KeyError:
        source = None
    if source is None:
        raise UserError(f"the package onnxruntime-web {VERSION} has no {name}: {CURE[3:]}.")
    with source, open(path, "wb") as target:
        shutil.copyfileobj(source, target)


def copy_files(source: Path, folder: Path) -> None:
    """Copy `FILES` from `dist` of the package, or from `ort` of a deployment folder.

    Raises:
        UserError: A file is missing.
    """
    paths = _find_files(source)
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in paths.items():
        shutil.copyfile(path, folder / name)


def read_version(source: Path) -> str:
    """Return the version of the files in a folder.

    Raises:
        UserError: A file is missing, or is not of onnxruntime-web.
    """
    path = _find_files(source)["ort.wasm.bundle.min.js"]
    found = re.search(rb"ONNX Runtime Web v([\w.+-]+)", path.read_bytes()[:1000])
    if found is None:
        raise UserError(
            f"{path} is not of onnxruntime-web: give the folder dist of the npm package "
            f"onnxruntime-web {VERSION} by --ort-web."
        )
    return found[1].decode()


def _find_files(source: Path) -> dict[str, Path]:
    """Return the path of each of `FILES`."""
    paths: dict[str, Path] = {}
    for name, original in FILES.items():
        found = [source / one for one in (name, original) if (source / one).is_file()]
        if not found:
            raise UserError(
                f"--ort-web {source} has no {original}: give the folder dist of the npm package "
                f"onnxruntime-web {VERSION}, or the folder ort of an earlier export."
            )
        paths[name] = found[0]
    return paths
