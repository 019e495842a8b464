"""Masks and layouts that do not fit: each is counted and named, or rejected in one sentence."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from spectralvision.data.open_masks import open_masks
from spectralvision.data.open_objects import open_objects
from spectralvision.data.splits import split_train_val
from spectralvision.runs import UserError
from spectralvision.tasks.segmentation.data import check_data
from tests.helpers.scenes import class_map, mask_folder


@pytest.fixture
def folder(tmp_path):
    return mask_folder(tmp_path / "scenes", 4, 2)


def train_mask(folder, number=1):
    return folder / "train" / "masks" / f"{number:03d}.png"


def save(folder, image, **options):
    image.save(train_mask(folder), **options)


def as_jpeg(folder):
    Image.open(train_mask(folder)).save(train_mask(folder).with_suffix(".jpg"))
    train_mask(folder).unlink()


def colored(folder):
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[..., 0] = 100 * class_map(1)
    save(folder, Image.fromarray(pixels))


def unknown_color(folder):
    (folder / "classes.json").write_text(json.dumps({"a": [0, 0, 0], "b": [100, 0, 0]}))
    for mask in folder.glob("*/masks/*.png"):
        Image.new("RGB", (64, 48)).save(mask)
    save(folder, Image.new("RGB", (64, 48), (1, 2, 3)))


def exif_turned(folder):
    image = Image.open(folder / "train" / "images" / "001.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(folder / "train" / "images" / "001.png", exif=exif)


SKIPPED = {
    "another size": (
        lambda folder: save(folder, Image.new("L", (32, 24))),
        "001.png has 32 x 24 pixels, but its image 64 x 48",
    ),
    "an unknown value": (
        lambda folder: save(folder, Image.new("L", (64, 48), 9)),
        "001.png has the value 9, which is not in the list of classes",
    ),
    "many unknown values": (
        lambda folder: save(folder, Image.linear_gradient("L").resize((64, 48))),
        "which are not in the list of classes",
    ),
    "16 bits, an unknown value": (
        lambda folder: save(folder, Image.fromarray(np.full((48, 64), 40_000, np.uint16))),
        "001.png has the value 40000, which is not in the list of classes",
    ),
    "colors without a list": (colored, "001.png has colors, but it is not known what they stand"),
    "an unknown color": (
        unknown_color,
        "001.png has the color (1, 2, 3), which is not in the list of classes",
    ),
    "JPEG": (as_jpeg, "JPEG may change class numbers: save masks as PNG"),
    "an empty file": (
        lambda folder: train_mask(folder).write_bytes(b""),
        "cannot be read as a mask (an empty file)",
    ),
    "a file that is cut off": (
        lambda folder: train_mask(folder).write_bytes(train_mask(folder).read_bytes()[:90]),
        "001.png cannot be read as a mask",
    ),
    "fractions": (
        lambda folder: Image.new("F", (64, 48)).save(train_mask(folder), "TIFF"),
        "001.png has no class numbers (mode F): use 8 or 16-bit values",
    ),
    "an image that EXIF turns": (
        exif_turned,
        "001.png has 64 x 48 pixels, but its image 48 x 64 with the rotation in its EXIF, which "
        "the mask ignores",
    ),
}


@pytest.mark.parametrize("case", SKIPPED)
def test_a_mask_that_cannot_be_used_is_skipped_and_named(folder, case):
    change, reason = SKIPPED[case]
    change(folder)
    data, notes = check_data(open_masks(str(folder)))
    skipped = [note for note in notes if note.startswith("skip   1 image without a usable mask: ")]
    assert len(skipped) == 1, notes
    assert reason in skipped[0]
    assert [one["image"] for one in data.facts["skipped"]] == ["001.png"]
    assert len(data.split("train")) == 3


NOTED = {
    "an image without a mask": (
        lambda folder: train_mask(folder).unlink(),
        "skip   1 image without a mask: train: 001.png",
    ),
    "masks without images": (
        lambda folder: [
            (folder / "val" / "images" / f"00{number}.png").unlink() for number in (4,)
        ],
        "skip   1 mask without an image: val: 004.png",
    ),
    "an unreadable image": (
        lambda folder: (folder / "train" / "images" / "001.png").write_bytes(b"text"),
        "skip   1 image that cannot be read: 001.png (no image format)",
    ),
    "an image of train in val": (
        lambda folder: shutil.copy(
            folder / "train" / "images" / "000.png", folder / "val" / "images" / "004.png"
        ),
        "note   1 image of val also in train, which makes val mIoU too high: 000.png = 004.png",
    ),
    "a class without pixels": (
        lambda folder: (folder / "classes.json").write_text(
            json.dumps(["background", "square", "disc", "star"])
        ),
        "note   no pixels in train: star",
    ),
    "ignored pixels": (
        lambda folder: save(folder, Image.new("L", (64, 48), 255)),
        "note   25.0% of the pixels of train are ignored",
    ),
    "few images": (lambda folder: None, "note   2 images in val: the metrics are uncertain"),
}


@pytest.mark.parametrize("case", NOTED)
def test_what_the_user_should_know_is_noted(folder, case):
    change, note = NOTED[case]
    change(folder)
    _, notes = check_data(open_masks(str(folder)))
    assert note in notes


def rename_all(folder):
    for number, mask in enumerate((folder / "train" / "masks").iterdir()):
        mask.rename(mask.with_name(f"m{number}.png"))


def two_images_of_one_name(folder):
    shutil.copy(folder / "train" / "images" / "000.png", folder / "train" / "images" / "000.bmp")


def no_masks(folder):
    for split in ("train", "val"):
        shutil.rmtree(folder / split / "masks")


def only_bad_masks(folder):
    for mask in folder.glob("train/masks/*.png"):
        Image.new("L", (64, 48), 9).save(mask)


REJECTED = {
    "no pair": (
        rename_all,
        "have no image and mask of the same name: give each mask the name of its image",
    ),
    "two images of one name": (
        two_images_of_one_name,
        "has 000.bmp and 000.png: rename one, as masks are found by the name without suffix",
    ),
    "no folder of masks": (no_masks, "has no folders of images and masks: --data takes"),
    "no usable mask": (only_bad_masks, "scenes has no mask that can be used in train"),
    "an empty folder": (
        lambda folder: shutil.rmtree(folder) or folder.mkdir(),
        "has no folders of images and masks",
    ),
    "no folder": (shutil.rmtree, "does not exist: --data takes a folder with images and masks"),
    "one class": (
        lambda folder: (folder / "classes.json").write_text('{"thing": 1, "void": 0}'),
        "scenes has one class (thing), but at least two classes are required",
    ),
    "a list that is cut off": (
        lambda folder: (folder / "classes.json").write_text('["a", '),
        "classes.json is not a list of classes",
    ),
    "one value in all masks": (
        lambda folder: [
            (folder / "classes.json").unlink(missing_ok=True),
            *(Image.new("L", (64, 48)).save(mask) for mask in folder.glob("*/masks/*.png")),
        ],
        "has masks with one value only (0): at least two classes are required",
    ),
    "values that are no class numbers": (
        lambda folder: [
            (folder / "classes.json").unlink(missing_ok=True),
            *(
                Image.fromarray(class_map(1).astype(np.uint16) * 12_000).save(mask)
                for mask in folder.glob("*/masks/*.png")
            ),
        ],
        "which do not look like class numbers: list the values of the classes in classes.json",
    ),
    "the same split twice": (
        lambda folder: shutil.copytree(folder / "val", folder / "validation"),
        "has the same split twice (val, validation)",
    ),
}


@pytest.mark.parametrize("case", REJECTED)
def test_what_cannot_be_used_at_all_is_rejected(folder, case):
    change, reason = REJECTED[case]
    change(folder)
    with pytest.raises(UserError) as error:
        check_data(split_train_val(open_masks(str(folder)), 0.2, seed=0))
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_is_no_data_set(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(UserError, match="has no folders of images and masks"):
        open_masks(str(tmp_path / "a.png"))
    with pytest.raises(UserError, match="--data is empty"):
        open_masks(" ")


def test_a_bad_mask_of_another_split_is_an_error_that_names_it(folder):
    """Splits beside train and val are not read before they are evaluated."""
    shutil.copytree(folder / "val", folder / "test")
    Image.new("L", (64, 48), 9).save(folder / "test" / "masks" / "004.png")
    data, _ = check_data(open_masks(str(folder)))
    with pytest.raises(UserError, match=r"004\.png has the value 9"):
        data.split("test").target(0)


def test_masks_are_no_annotations_of_objects(folder):
    """classes.json is not taken for COCO's format."""
    with pytest.raises(UserError, match="has no annotations of objects: --data takes a folder"):
        open_objects(str(folder))
