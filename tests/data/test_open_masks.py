"""Images and masks on disk: every layout, and what is left out."""

import json
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spectralvision.data.known_mask_layouts import VOC_CLASSES
from spectralvision.data.masks import IGNORED
from spectralvision.data.open_masks import open_masks
from spectralvision.data.scan_masks import validate_masks
from spectralvision.data.shard_columns import Columns
from spectralvision.data.splits import fingerprint, split_train_val
from spectralvision.runs import UserError
from tests.helpers.pictures import encoded, table_file
from tests.helpers.scenes import class_map, mask_folder, scene


@pytest.fixture
def folder(tmp_path):
    return mask_folder(tmp_path / "scenes", 4, 2)


def assert_scenes(data, split, numbers):
    """Check images and class maps against the scenes of these numbers."""
    images = data.split(split)
    assert len(images) == len(numbers) > 0
    for index, number in enumerate(numbers):
        assert np.array_equal(np.asarray(images.image(index)), np.asarray(scene(number)[0]))
        classes, source = images.target(index)
        assert classes.dtype == np.int16
        assert np.array_equal(classes, class_map(number))
        assert f"{number:03d}" in source


def test_splits_with_images_and_masks(folder):
    data = open_masks(str(folder))
    assert data.classes == ("background", "square", "disc")
    assert list(data.splits) == ["train", "val"]
    assert_scenes(data, "train", range(4))
    assert_scenes(data, "val", range(4, 6))
    assert not data.split("train").has_labels


def test_an_edited_mask_has_another_fingerprint(folder):
    known = fingerprint(open_masks(str(folder)).split("train"))
    assert fingerprint(open_masks(str(folder)).split("train")) == known
    mask = next((folder / "train" / "masks").iterdir())
    Image.fromarray(np.random.default_rng(0).integers(0, 3, (48, 64), np.uint8)).save(mask)
    assert fingerprint(open_masks(str(folder)).split("train")) != known


def test_images_and_masks_with_splits_inside(folder, tmp_path):
    root = tmp_path / "other"
    for kind, name in (("images", "images"), ("masks", "annotations")):
        for split, word in (("train", "training"), ("val", "validation")):
            shutil.copytree(folder / split / kind, root / name / word)
    shutil.copy(folder / "classes.json", root)
    data = open_masks(str(root))
    assert_scenes(data, "train", range(4))
    assert_scenes(data, "val", range(4, 6))


def test_without_splits_inside_a_wrapping_folder(folder, tmp_path):
    root = tmp_path / "download" / "scenes-v2"
    shutil.copytree(folder / "train", root)
    shutil.copy(folder / "classes.json", root)
    data = split_train_val(open_masks(str(tmp_path / "download")), 0.25, seed=0)
    assert {name: len(images) for name, images in data.splits.items()} == {"train": 3, "val": 1}


@pytest.mark.parametrize("suffix", ["_mask", "_L", "-mask", "_seg"])
def test_masks_with_a_suffix(folder, suffix):
    for mask in (folder / "train" / "masks").iterdir():
        mask.rename(mask.with_name(f"{mask.stem}{suffix}.png"))
    assert_scenes(open_masks(str(folder)), "train", range(4))


def test_pascal_voc(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True)
    for number in range(4):
        scene(number)[0].save(root / "JPEGImages" / f"2007_{number:03d}.png")
        mask = Image.fromarray(np.where(class_map(number) == 2, 255, class_map(number)))
        mask = mask.convert("L").convert("P")
        mask.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
        mask.save(root / "SegmentationClass" / f"2007_{number:03d}.png")
    lists = root / "ImageSets" / "Segmentation"
    (lists / "train.txt").write_text("2007_000\n2007_002\n2007_009\n")
    (lists / "val.txt").write_text("2007_001\n")
    (lists / "test.txt").write_text("2008_001\n")
    data = open_masks(str(tmp_path / "VOCdevkit"))
    assert data.classes == VOC_CLASSES
    assert len(VOC_CLASSES) == 21
    assert {name: len(images) for name, images in data.splits.items()} == {"train": 2, "val": 1}
    assert data.facts["without_mask"] == {"number": 1, "first": ["train: 2007_009"]}
    classes = data.split("train").target(1).classes
    expected = class_map(2).astype(np.int16)
    assert (expected == 2).any()
    assert np.array_equal(classes, np.where(expected == 2, IGNORED, expected))


def test_ade20k(tmp_path):
    """The value 0 is ignored, and classes count from 1."""
    root = mask_folder(tmp_path / "ADEChallengeData2016" / "x", 2, 2).parent
    for kind, name in (("images", "images"), ("masks", "annotations")):
        for split, word in (("train", "training"), ("val", "validation")):
            (root / name).mkdir(exist_ok=True)
            (root / "x" / split / kind).rename(root / name / word)
    shutil.rmtree(root / "x")
    (root / "objectInfo150.txt").write_text("Idx\tName\n1\twall\n2\tbuilding, edifice\n")
    data = open_masks(str(root))
    assert data.classes == ("wall", "building")
    expected = class_map(0).astype(np.int16) - 1
    assert IGNORED in expected
    assert np.array_equal(data.split("train").target(0).classes, expected)


@pytest.mark.parametrize("mask_column", ["annotation", "other"])
def test_shards(tmp_path, mask_column):
    masks = [encoded(Image.fromarray(class_map(number))) for number in range(3)]
    images = [encoded(scene(number)[0]) for number in range(3)]
    columns = {"image": images, mask_column: masks, "scene_category": [0, 1, 2]}
    table_file(tmp_path / "data" / "train-0.parquet", **columns)
    table_file(tmp_path / "data" / "validation-0.parquet", **columns)
    data = open_masks(str(tmp_path / "data"))
    assert data.classes == ("0", "1", "2")
    assert data.facts["columns"] == {"image": "image", "label": mask_column}
    images = data.split("val")
    assert np.array_equal(images.target(2).classes, class_map(2))
    assert np.array_equal(np.asarray(images.image(2)), np.asarray(scene(2)[0]))
    with pytest.raises(UserError, match="no column 'mask' of masks for --label-column"):
        open_masks(str(tmp_path / "data"), Columns(label="mask"))


def test_colors(folder):
    colors = {"background": [0, 0, 0], "square": [200, 0, 0], "disc": [0, 0, 99]}
    (folder / "classes.json").write_text(json.dumps(colors))
    table = np.array(list(colors.values()), np.uint8)
    for mask in folder.glob("*/masks/*.png"):
        Image.fromarray(table[np.asarray(Image.open(mask))]).save(mask)
    assert_scenes(open_masks(str(folder)), "train", range(4))


def test_masks_of_16_bits_and_of_one_bit(folder):
    for mask in folder.glob("*/masks/*.png"):
        Image.fromarray(np.asarray(Image.open(mask)).astype(np.uint16)).save(mask)
    assert_scenes(open_masks(str(folder)), "train", range(4))
    (folder / "classes.json").unlink()
    for mask in folder.glob("*/masks/*.png"):
        Image.fromarray(np.asarray(Image.open(mask)) > 0).save(mask)
    data = open_masks(str(folder))
    assert data.classes == ("background", "foreground")
    assert np.array_equal(data.split("val").target(0).classes, class_map(4) > 0)


def test_the_binary_masks_of_an_editor(folder):
    """Black and white, as gray or as RGB with equal channels."""
    (folder / "classes.json").unlink()
    for number, mask in enumerate(folder.glob("*/masks/*.png")):
        image = Image.fromarray(np.where(np.asarray(Image.open(mask)), 255, 0).astype(np.uint8))
        image.convert("RGB" if number % 2 else "L").save(mask)
    data = open_masks(str(folder))
    assert data.classes == ("background", "foreground")
    assert np.array_equal(data.split("train").target(1).classes, class_map(1) > 0)


@pytest.mark.parametrize("white", [255, 65535])
def test_two_listed_classes_of_black_and_white_masks(folder, white):
    (folder / "classes.json").unlink()
    (folder / "classes.txt").write_text("background\nperson\n")
    for mask in folder.glob("*/masks/*.png"):
        values = np.where(np.asarray(Image.open(mask)), white, 0)
        Image.fromarray(values.astype(np.uint16 if white > 255 else np.uint8)).save(mask)
    data = open_masks(str(folder))
    assert data.classes == ("background", "person")
    assert np.array_equal(data.split("train").target(1).classes, class_map(1) > 0)


def test_two_listed_classes_with_ignored_pixels(folder):
    (folder / "classes.json").write_text('["background", "person"]')
    for mask in folder.glob("*/masks/*.png"):
        values = np.array([0, 1, 255], np.uint8)[np.asarray(Image.open(mask))]
        Image.fromarray(values).save(mask)
    expected = np.array([0, 1, IGNORED])[class_map(1)]
    assert len(np.unique(expected)) == 3
    assert np.array_equal(open_masks(str(folder)).split("train").target(1).classes, expected)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_masks_of_any_mode_are_read_by_listed_colors(folder, mode):
    """As gray masks with a list that has colors, and PNGs that a tool reduced to a palette."""
    (folder / "classes.json").unlink()
    (folder / "class_dict.csv").write_text("name,r,g,b\nother,0,0,0\nroad,255,255,255\n")
    for mask in folder.glob("*/masks/*.png"):
        image = Image.fromarray(np.where(np.asarray(Image.open(mask)), 255, 0).astype(np.uint8))
        image.convert("RGB").convert(mode).save(mask)
    data = open_masks(str(folder))
    assert data.classes == ("other", "road")
    assert np.array_equal(data.split("train").target(1).classes, class_map(1) > 0)


def test_validation_counts_pixels_and_leaves_out_what_does_not_fit(folder):
    masks = folder / "train" / "masks"
    Image.new("L", (63, 48)).save(masks / "001.png")
    Image.new("L", (64, 48), 77).save(masks / "002.png")
    data, bad, pixels = validate_masks(open_masks(str(folder)))
    assert [(one.split, one.image, one.reason) for one in bad] == [
        ("train", "001.png", "001.png has 63 x 48 pixels, but its image 64 x 48"),
        ("train", "002.png", "002.png has the value 77, which is not in the list of classes"),
    ]
    assert {name: len(images) for name, images in data.splits.items()} == {"train": 2, "val": 2}
    expected = sum(np.bincount(class_map(number).ravel(), minlength=4) for number in (0, 3))
    assert pixels.tolist() == expected.tolist()
    assert pixels[1:3].sum() > 0


def test_ignored_pixels_are_counted_apart(folder):
    path = folder / "train" / "masks" / "000.png"
    mask = class_map(0)
    mask[:5] = 255
    Image.fromarray(mask).save(path)
    data, bad, pixels = validate_masks(open_masks(str(folder)))
    assert not bad
    assert pixels[3] == 5 * 64
    assert (data.split("train").target(0).classes[:5] == IGNORED).all()


def test_the_fingerprint_depends_on_the_masks(folder, tmp_path):
    first = fingerprint(open_masks(str(folder)).split("train"))
    mask = folder / "train" / "masks" / "003.png"
    mask.rename(mask.with_name("003_mask.png"))
    assert fingerprint(open_masks(str(folder)).split("train")) != first


def test_classes_are_decoded_only_where_none_are_listed(folder):
    Path(folder / "train" / "masks" / "000.png").write_bytes(b"")
    assert len(open_masks(str(folder)).split("train")) == 4


def test_names_are_matched_in_either_form_of_unicode(folder):
    for path in folder.rglob("000.png"):
        form = "NFC" if path.parent.name == "images" else "NFD"
        path.rename(path.with_name(unicodedata.normalize(form, "größe é.png")))
    data = open_masks(str(folder))
    assert len(data.split("train")) == 4
    assert not data.facts


def test_a_folder_of_labelme_is_named(tmp_path):
    (tmp_path / "0.json").write_text(json.dumps({"version": "5", "shapes": []}))
    scene(0)[0].save(tmp_path / "0.png")
    with pytest.raises(UserError, match=r"as of labelme: convert them to COCO's format\."):
        open_masks(str(tmp_path))
