"""Image files made of bytes that Pillow does not write: odd EXIF, bombs, other formats."""

import io
import struct
import zlib

from PIL import Image

ORIENTATION = 0x112
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\nshowpage\n%%EOF\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9"/></svg>'


def exif_with(*entries, tail=b""):
    """EXIF of (tag, type, count, 4 bytes) entries; `tail` starts at byte 14 + 12 for each entry."""
    ifd = struct.pack("<H", len(entries))
    for tag, kind, count, value in entries:
        ifd += struct.pack("<HHI", tag, kind, count) + value
    return b"Exif\0\0II" + struct.pack("<HI", 42, 8) + ifd + struct.pack("<I", 0) + tail


def oriented(value):
    """The EXIF entry of an orientation."""
    return (ORIENTATION, 3, 1, struct.pack("<HH", value, 0))


def jpeg(image, **options):
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def chunk(kind, content):
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def black_png(width, height, depth=8, color=2, extra=b""):
    """A PNG of zeros, compressed without holding it in memory; `extra` are chunks before them."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    row = bytes(1 + (width * channels * depth + 7) // 8)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(3)) if color == 3 else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + palette
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )


def red(size=(8, 4)):
    return Image.new("RGB", size, (200, 10, 10))
