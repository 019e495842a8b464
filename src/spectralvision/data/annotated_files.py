"""Image files with annotations of objects: their sizes, and the images of a split."""

import os
import posixpath
import re
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from unicodedata import normalize

from spectralvision.data.annotation_problems import Problem, ProblemCounter
from spectralvision.data.find_images import list_folder, scan_folder, subfolders
from spectralvision.data.image_files import (
    FileSize,
    describe_error,
    open_regular_file,
    read_size,
)
from spectralvision.data.images import FileImages
from spectralvision.data.names import normalize_name
from spectralvision.data.object_store import AnnotatedImage, store_objects
from spectralvision.data.objects import ObjectImages
from spectralvision.runs import UserError

NUM_THREADS = 16
"""That read the heads of image files, which waits for the disk most of the time."""
CHUNK_FILES = 100
"""Files that a thread is given at once."""
HEAD_BYTES = 1 << 18
"""Of a file, in which its format shows."""
SURROGATE = re.compile("[\ud800-\udfff]")
"""What `read_lines` makes of bytes that are not UTF-8."""


def path_below(name: str, root: Path) -> str | None:
    """Return a path relative to a folder, with / between folders, or None if it is outside."""
    path = posixpath.normpath(name.replace("\\", "/"))
    if path.startswith("/"):
        for folder in (os.path.abspath(root), os.path.realpath(root)):
            if path == folder or path.startswith(f"{folder}/"):
                return posixpath.relpath(path, folder)
    is_outside = path == ".." or path.startswith(("/", "../")) or path[1:3] == ":/"
    return None if is_outside else path


def matches_head(path: Path, pattern: re.Pattern[bytes]) -> bool:
    """Return whether a pattern is in the first bytes of a file; False if it cannot be read."""
    try:
        with open_regular_file(path, any_size=True) as file:
            return pattern.search(file.read(HEAD_BYTES)) is not None
    except OSError:
        return False


def name_on_disk(root: Path, name: str) -> str | None:
    """Return the name of a file below a folder in the form it has there, or None without one.

    Names with accents have two forms in Unicode; macOS writes another one than most programs.
    """
    forms = (name, normalize("NFC", name), normalize("NFD", name))
    return next((form for form in forms if _exists(root / form)), None)


def _exists(path: Path) -> bool:
    try:
        return os.path.exists(path)
    except ValueError:  # a name that no file can have
        return False


class SiblingFiles:
    """Files with the same stem as others, beside them or in a folder that differs in one name.

    Args:
        root: Folder of the data set.
        names: In lower case, the names of folders such as `labels`.
        others: In lower case, what stands in place of one of them, such as `images`.
        is_wanted: Whether a file may be one.
    """

    def __init__(
        self,
        root: Path,
        names: Collection[str],
        others: Sequence[str],
        is_wanted: Callable[[Path], bool],
    ) -> None:
        self.root, self.names, self.others, self.is_wanted = root, names, others, is_wanted
        self._listed: dict[str, dict[str, str]] = {}
        self._found: dict[str, list[str]] = {}

    def find(self, file: str) -> str | None:
        """Return the file that belongs to another one, both relative to the root, or None."""
        folder, name = os.path.split(file)
        stem = normalize_name(os.path.splitext(name)[0])
        if folder not in self._found:
            self._found[folder] = self._find_folders(folder)
        for candidate in self._found[folder]:
            if stem in self._list(candidate):
                return os.path.join(candidate, self._list(candidate)[stem])
        return None

    def _find_folders(self, folder: str) -> list[str]:
        """Return where the files that belong to those of a folder may be."""
        parts = folder.split("/")
        places = [place for place, part in enumerate(parts) if part.lower() in self.names]
        found = []
        for place in reversed(places):
            before, after = "/".join(parts[:place]), parts[place + 1 :]
            after = [part for part in after if part.lower() not in self.names]
            found += [os.path.join(before, other, *after) for other in self._find_others(before)]
        return [*found, folder]

    def _find_others(self, folder: str) -> list[str]:
        path = self.root / folder
        name_of = {one.name.lower(): one.name for one in subfolders(path)} if path.is_dir() else {}
        return [name_of[other] for other in self.others if other in name_of]

    def _list(self, folder: str) -> dict[str, str]:
        """Return the wanted files of a folder by their stem."""
        if folder not in self._listed:
            path = self.root / folder
            entries = sorted(one.name for one in list_folder(path)) if path.is_dir() else []
            files = [name for name in entries if self.is_wanted(Path(name))]
            self._listed[folder] = {
                normalize_name(os.path.splitext(name)[0]): name for name in reversed(files)
            }
        return self._listed[folder]


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file that are not empty; names of files keep their bytes.

    Raises:
        UserError: It cannot be read.
    """
    try:
        with open_regular_file(path) as file:
            text = file.read().decode("utf-8-sig", "surrogateescape")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({describe_error(error)}).") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_class_names(path: Path) -> tuple[str, ...]:
    """Return the class names in a file, one a line.

    Raises:
        UserError: It cannot be read, is not UTF-8, or has a name twice or none.
    """
    lines = read_lines(path)
    if any(SURROGATE.search(line) for line in lines):
        raise UserError(f"{path} is not UTF-8: save it as UTF-8.")
    return check_class_names(lines, path)


def check_class_names(names: Iterable[object], source: Path) -> tuple[str, ...]:
    """Return class names; raise `UserError` if one occurs twice or there is none."""
    classes = tuple(normalize_name(name).strip() for name in names)
    if not classes:
        raise UserError(f"{source} has no class names: add them, one a line.")
    for name in classes:
        if classes.count(name) > 1:
            raise UserError(f"{source} has the class name {name!r} twice: rename one of them.")
    return classes


def read_sizes(root: Path, files: Sequence[str], problems: ProblemCounter) -> dict[str, FileSize]:
    """Return the size of each image file that exists and can be read; count the others."""
    chunks = [files[start : start + CHUNK_FILES] for start in range(0, len(files), CHUNK_FILES)]
    sizes: dict[str, FileSize] = {}
    with warnings.catch_warnings(), ThreadPoolExecutor(NUM_THREADS) as pool:
        warnings.simplefilter("ignore")  # of odd metadata, as in `open_image`
        found = pool.map(lambda chunk: [_try_read_size(root / file) for file in chunk], chunks)
        for file, size in zip(files, chain.from_iterable(found), strict=True):
            if isinstance(size, FileSize):
                sizes[file] = size
            elif isinstance(size, UserError):
                problems.add(Problem.UNREADABLE_FILE, f"{file} ({size})")
            else:
                problems.add(Problem.MISSING_FILE, file)
    return sizes


def _try_read_size(path: Path) -> FileSize | Exception:
    try:
        return read_size(path)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        return error


def fits(
    file: str, stated: tuple[int, int] | None, found: FileSize, problems: ProblemCounter
) -> bool:
    """Return whether an image has the size (H, W) that its annotations state; count if not."""
    if stated is None or stated == found.size:
        return True
    sizes = "{}x{} instead of {}x{}".format(*found.size[::-1], *stated[::-1])
    is_rotated = found.is_turned and stated == found.size[::-1]
    problems.add(Problem.ROTATED if is_rotated else Problem.OTHER_SIZE, f"{file} ({sizes})")
    return False


def build_images(
    root: Path,
    images: Sequence[AnnotatedImage],
    categories: Sequence[int],
    problems: ProblemCounter,
    source: str,
) -> ObjectImages:
    """Return the images of a split.

    Raises:
        UserError: It has no images, or no objects.
    """
    if not images:
        raise UserError(f"{source} has no usable image{problems.first()}: correct it.")
    objects = store_objects(images, problems)
    if not len(objects.boxes):
        raise UserError(f"{source} has no usable object{problems.first()}: correct it.")
    files = [image.file for image in images]
    return ObjectImages(FileImages(root, files, [0] * len(files)), objects, categories)


def count_unlisted(
    folders: Iterable[Path],
    listed: Iterable[Path],
    problems: ProblemCounter,
    problem: Problem = Problem.NOT_LISTED,
) -> dict[str, int]:
    """Count the images in folders that are not listed; return what is in formats not read."""
    known = {os.path.normpath(path) for path in listed}
    left_out: Counter[str] = Counter()
    others: dict[str, str] = {}
    for folder in sorted(set(folders)):
        found = scan_folder(folder)
        left_out.update(found.left_out)
        for file in found.images:
            path = os.path.normpath(folder / file)
            if path not in known:
                others.setdefault(path, file)
    real = {os.path.realpath(path) for path in known} if others else set()
    for path, file in others.items():
        if os.path.realpath(path) not in real:
            problems.add(problem, file)
    return dict(left_out)
