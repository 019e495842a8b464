"""Formats of image files by suffix: which are read, and what helps with those that are not."""

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec

from PIL import features

from spectralvision.runs import install_command

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "HEIF": (".heic", ".heif", ".hif"),
}
"""Pillow's names of the formats that are read, each with its suffixes."""
PILLOW_FEATURES = {"WEBP": "webp", "AVIF": "avif", "JPEG2000": "jpg_2000"}
"""Formats that Pillow reads where it was built with a library."""

INSTALL_HEIF = f"run {install_command('heic')} to read them"
UPGRADE_PILLOW = "`pip install --upgrade pillow` reads them"
OTHER_SUFFIXES = {
    "develop raw photographs to JPEG": (
        ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf "
        ".raw .rw2 .rwl .sr2 .srf .srw .x3f"
    ),
    "export drawings and documents to PNG": (
        ".afphoto .ai .clip .eps .kra .pdf .ps .psb .psd .svg .svgz .xcf"
    ),
    "extract the frames of videos as JPEG": (
        ".3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .webm .wmv"
    ),
    "convert them to PNG": (
        ".dcm .dds .dib .exr .fit .fits .hdr .icns .ico .jxl .jxr .pcx .pfm .pic .ras .sgi .tga "
        ".wdp .xbm .xpm"
    ),
}
"""What helps -> suffixes of pictures and videos that are not read."""


@cache
def readable_formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats that this installation reads.

    HEIF is registered with Pillow if pillow-heif is installed.
    """
    supported = set(features.get_supported())
    formats = [name for name in SUFFIXES if PILLOW_FEATURES.get(name, "zlib") in supported]
    if find_spec("pillow_heif") is None:
        formats.remove("HEIF")
    else:
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
    return tuple(formats)


@cache
def readable_suffixes() -> frozenset[str]:
    """Return the suffixes, in lower case, of the formats that this installation reads."""
    return frozenset(suffix for name in readable_formats() for suffix in SUFFIXES[name])


@cache
def unreadable_suffixes() -> dict[str, str]:
    """Return suffix -> what helps, for pictures and videos that this installation cannot read."""
    cures = {suffix: cure for cure, text in OTHER_SUFFIXES.items() for suffix in text.split()}
    for name in SUFFIXES.keys() - set(readable_formats()):
        cure = INSTALL_HEIF if name == "HEIF" else UPGRADE_PILLOW
        cures |= dict.fromkeys(SUFFIXES[name], cure)
    return cures


NO_FORMAT = "no image format"
SIGNATURES = {
    b"ftyphei": ".heic",
    b"ftyphev": ".heic",
    b"ftypmif": ".heic",
    b"ftypavif": ".avif",
    b"ftypcrx": ".cr3",
    b"ftyp": ".mp4",
    b"JXL ": ".jxl",
}
"""Bytes from the fifth on of files that may have another suffix -> their own suffix."""


def describe_format(suffix: str, head: bytes) -> str:
    """Return why no image format fits a file, in a few words.

    Args:
        suffix: Of its name, or "".
        head: Its first bytes.
    """
    if not head:
        return "an empty file"
    cures = unreadable_suffixes()
    if suffix.lower() in cures:
        return f"{suffix.lower()}: {cures[suffix.lower()]}"
    content = next((own for start, own in SIGNATURES.items() if head[4:].startswith(start)), "")
    return f"content of a {content} file: {cures[content]}" if content in cures else NO_FORMAT


def describe_left_out(left_out: Mapping[str, int]) -> str:
    """Return how many files of which suffix were left out, and what helps.

    Args:
        left_out: Suffix, one of `unreadable_suffixes`, -> number of files.
    """
    cures = unreadable_suffixes()
    by_cure: dict[str, list[str]] = {}
    for suffix, number in sorted(left_out.items(), key=lambda item: (-item[1], item[0])):
        by_cure.setdefault(cures.get(suffix, "convert them to PNG"), []).append(
            f"{number} {suffix}"
        )
    return "; ".join(f"{', '.join(counts)}: {cure}" for cure, counts in by_cure.items())
