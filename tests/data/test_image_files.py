"""Image files of any format and mode are decoded to upright 8-bit RGB on white."""

import io

import numpy as np
import pytest
from PIL import Image

from spectralvision.data.image_files import open_image, to_rgb
from spectralvision.runs import UserError
from tests.helpers.pictures import encoded, picture


def pixel(image):
    return image.getpixel((0, 0))


def test_exif_rotation_is_applied():
    image = Image.new("RGB", (4, 2), "black")
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: rotate by 90 degrees clockwise
    file = encoded(image, "PNG")
    assert open_image(file).size == (4, 2)
    turned = io.BytesIO()
    image.save(turned, "PNG", exif=exif)
    opened = open_image(turned.getvalue())
    assert opened.size == (2, 4)
    assert opened.getpixel((1, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_transparency_turns_white(mode):
    if mode == "P":
        image = Image.new("P", (2, 2), 0)
        image.info["transparency"] = 0
    elif mode == "RGB":
        image = Image.new("RGB", (2, 2), (9, 9, 9))
        image.info["transparency"] = (9, 9, 9)
    else:
        image = Image.new(mode, (2, 2), (0,) * len(mode))
    assert pixel(to_rgb(image)) == (255, 255, 255)


def test_opaque_pixels_keep_their_colour():
    image = Image.new("RGBA", (2, 2), (10, 20, 30, 255))
    assert pixel(to_rgb(image)) == (10, 20, 30)


def test_16_bit_grey_is_scaled_not_clipped():
    grey = Image.fromarray(np.array([[0, 257 * 128], [65535, 257 * 10]], dtype=np.uint16))
    out = np.asarray(open_image(encoded(grey)))
    assert out.shape == (2, 2, 3)
    assert out[..., 0].tolist() == [[0, 128], [255, 10]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [([[0.0, 0.5]], [[0, 128]]), ([[0.0, 200.4]], [[0, 200]])],
)
def test_float_images(values, expected):
    image = Image.fromarray(np.array(values, dtype=np.float32))
    assert np.asarray(to_rgb(image))[..., 2].tolist() == expected


def test_small_32_bit_integers_are_8_bit_values():
    image = Image.fromarray(np.array([[7, 255]], dtype=np.int32))
    assert np.asarray(to_rgb(image))[..., 0].tolist() == [[7, 255]]


def test_cmyk_and_animation(tmp_path):
    assert open_image(encoded(Image.new("CMYK", (3, 3)), "JPEG")).mode == "RGB"
    frames = [picture("red", 0), picture("blue", 0)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    red, _, blue = np.asarray(open_image(tmp_path / "a.gif")).reshape(-1, 3).mean(0)
    assert red > 150 > blue  # the first frame


@pytest.mark.parametrize("content", [b"", b"not an image", encoded(picture("red", 1))[:200]])
def test_files_that_are_not_images(tmp_path, content):
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.png cannot be read as an image \("):
        open_image(path)
    with pytest.raises(UserError, match="does not exist"):
        open_image(tmp_path / "none.png")
