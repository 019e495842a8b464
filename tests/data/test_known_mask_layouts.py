"""Layouts of images and masks of well-known data sets and tools, and of splits that lack some."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from spectralvision.data.known_mask_layouts import CITYSCAPES_IDS, VOC_CLASSES
from spectralvision.data.mask_pairs import describe_unpaired
from spectralvision.data.masks import IGNORED
from spectralvision.data.open_masks import open_masks
from spectralvision.runs import UserError
from tests.helpers.scenes import class_map, mask_folder, scene

CLASSES = ("background", "square", "disc")


def save_scene(number, image, mask, values=(0, 1, 2)):
    """Save a scene and its mask, whose classes have some values."""
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    scene(number)[0].save(image)
    Image.fromarray(np.array(values, np.uint8)[class_map(number)]).save(mask)


def lengths(data):
    return {split: len(images) for split, images in data.splits.items()}


def assert_first_scenes(data, **first):
    """Check the first class map of each split."""
    for split, number in first.items():
        assert np.array_equal(data.split(split).target(0).classes, class_map(number))


@pytest.mark.parametrize(
    ("images", "masks", "suffix"),
    [
        ("{}", "{}_labels", "_L"),  # CamVid on Kaggle
        ("{}", "{}annot", ""),  # CamVid of SegNet
        ("{}_images", "{}_masks", ""),
        ("{}", "{}", "_mask"),  # Roboflow
    ],
)
def test_masks_in_folders_beside_the_images_or_in_the_same(tmp_path, images, masks, suffix):
    for split, numbers in (("train", range(3)), ("val", range(3, 5)), ("test", range(5, 6))):
        for number in numbers:
            image = tmp_path / images.format(split) / f"{number}.png"
            save_scene(number, image, tmp_path / masks.format(split) / f"{number}{suffix}.png")
    (tmp_path / "class_names.txt").write_text("\n".join(CLASSES))
    data = open_masks(str(tmp_path))
    assert data.classes == CLASSES
    assert lengths(data) == {"train": 3, "val": 2, "test": 1}
    assert_first_scenes(data, train=0, val=3, test=5)
    assert data.facts == {}


def test_the_list_of_roboflow_is_in_the_folder_of_a_split(tmp_path):
    for number in range(2):
        save_scene(number, tmp_path / f"train/{number}.png", tmp_path / f"train/{number}_mask.png")
    scene(2)[0].save(tmp_path / "train" / "2.png")
    (tmp_path / "train" / "_classes.csv").write_text("Pixel Value, Class\n0, a\n1, b\n2, c\n")
    data = open_masks(str(tmp_path))
    assert data.classes == ("a", "b", "c")
    assert lengths(data) == {"train": 2}
    assert data.facts == {"without_mask": {"number": 1, "first": ["train: 2.png"]}}


@pytest.mark.parametrize("kind", ["labelTrainIds", "labelIds"])
def test_cityscapes(tmp_path, kind):
    """Square is road, disc is car, and background has a value that is not evaluated."""
    values = {"labelTrainIds": (255, 0, 13), "labelIds": (4, 7, 26)}
    for split, number in (("train", 0), ("train", 1), ("val", 2)):
        mask = tmp_path / "gtFine" / split / "ulm" / f"ulm_00000{number}_000019_gtFine"
        image = f"leftImg8bit/{split}/ulm/ulm_00000{number}_000019_leftImg8bit.png"
        for name in {kind, "labelIds"}:
            file = mask.with_name(f"{mask.name}_{name}.png")
            save_scene(number, tmp_path / image, file, values[name])
        Image.new("RGB", (64, 48)).save(mask.with_name(f"{mask.name}_color.png"))
    shutil.copytree(tmp_path / "leftImg8bit/val", tmp_path / "leftImg8bit/test")
    data = open_masks(str(tmp_path))
    assert len(data.classes) == 19
    assert [data.classes[number] for number in (0, 13, 18)] == ["road", "car", "bicycle"]
    assert list(CITYSCAPES_IDS)[13] == 26
    assert lengths(data) == {"train": 2, "val": 1}
    expected = np.array([IGNORED, 0, 13])[class_map(1)]
    assert np.array_equal(data.split("train").target(1).classes, expected)
    assert data.facts == {"unlabeled": {"test": 1}}


def voc_folder(root, lists):
    """Write four scenes in VOC's folders, and lists of them."""
    for number in range(4):
        image = root / "JPEGImages" / f"a {number}.png"
        save_scene(number, image, root / "SegmentationClass" / image.name)
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    for name, content in lists.items():
        (root / "ImageSets" / "Segmentation" / f"{name}.txt").write_bytes(content.encode())
    return root


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({"trainval": "a 0\na 1\n"}, {"train": 2}),
        ({"default": "a 0\na 1\na 2\n", "other": "a 3\n"}, {"all": 3}),
        ({"train": "\ufeffa 0\na 1.jpg\n", "val": "a 2\n", "trainval": "a 0\n"},
         {"train": 2, "val": 1}),
        ({"train": "a 0\n", "val": "a 2\n", "test": "b\n"}, {"train": 1, "val": 1}),
        ({}, {"all": 4}),
    ],
)  # fmt: skip
def test_lists_of_voc(tmp_path, lists, expected):
    """Names may have spaces and suffixes, and the file a byte order mark."""
    data = open_masks(str(voc_folder(tmp_path, lists)))
    assert lengths(data) == expected
    assert_first_scenes(data, **{next(iter(expected)): 0})
    assert "without_mask" not in data.facts
    assert data.facts.get("unlabeled", {}) == ({"test": 1} if "test" in lists else {})
    assert data.classes == (VOC_CLASSES if lists else ("0", "1", "2"))


def test_a_list_of_voc_without_masks_is_rejected(tmp_path):
    voc_folder(tmp_path, {"train": "a 0\n", "val": "b\n"})
    with pytest.raises(UserError) as error:
        open_masks(str(tmp_path))
    assert str(error.value) == (
        f"{tmp_path / 'ImageSets' / 'Segmentation' / 'val.txt'} lists no image of JPEGImages with "
        "a mask in SegmentationClass: add the masks, or remove the list."
    )


def test_the_colors_of_cvat(tmp_path):
    """Its export has VOC's folders, but classes and colors of its own; palettes have them, too."""
    voc_folder(tmp_path, {"default": "a 0\na 1\n"})
    lines = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:128,64,0::\ncar:0,9,9::\n"
    (tmp_path / "labelmap.txt").write_text(lines)
    colors = np.array([[0, 0, 0], [128, 64, 0], [0, 9, 9]], np.uint8)
    masks = tmp_path / "SegmentationClass"
    Image.fromarray(colors[class_map(0)]).save(masks / "a 0.png")
    palette = Image.fromarray(class_map(1)).convert("P")
    palette.putpalette(colors.flatten().tolist())
    palette.save(masks / "a 1.png")
    data = open_masks(str(tmp_path))
    assert data.classes == ("background", "road", "car")
    for number in range(2):
        assert np.array_equal(data.split("all").target(number).classes, class_map(number))


@pytest.fixture
def inside(tmp_path):
    """Return a folder of images and masks with train, val and test inside."""
    folder = mask_folder(tmp_path / "scenes", 4, 2)
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (tmp_path / "inside" / kind).mkdir(parents=True, exist_ok=True)
            shutil.copytree(folder / split / kind, tmp_path / "inside" / kind / split)
    for kind in ("images", "masks"):
        shutil.copytree(folder / "val" / kind, tmp_path / "inside" / kind / "test")
    shutil.copy(folder / "classes.json", tmp_path / "inside")
    return tmp_path / "inside"


@pytest.mark.parametrize("lacking", ["masks/val", "images/val", "masks/train"])
def test_train_or_val_without_masks_is_rejected(inside, lacking):
    shutil.rmtree(inside / lacking)
    with pytest.raises(UserError) as error:
        open_masks(str(inside))
    assert str(error.value) == (
        f"{inside / 'images'} has images without masks, or masks without images, in "
        f"{lacking[-5:].strip('/s')}: add the others, or move that split away."
    )


def test_another_name_of_the_folder_of_masks_is_rejected(tmp_path):
    folder = mask_folder(tmp_path / "scenes", 4, 2)
    (folder / "val" / "masks").rename(folder / "val" / "mask_png")
    with pytest.raises(UserError, match=r"images without masks, or .* in val: add the others"):
        open_masks(str(folder))


def test_test_images_without_masks_and_images_in_no_split_are_noted(inside):
    shutil.rmtree(inside / "masks" / "test")
    scene(9)[0].save(inside / "images" / "loose.png")
    (inside / "images" / "extra").mkdir()
    scene(10)[0].save(inside / "images" / "extra" / "b.png")
    data = open_masks(str(inside))
    assert lengths(data) == {"train": 4, "val": 2}
    assert data.facts["unlabeled"] == {"test": 2}
    assert describe_unpaired(data) == ["skip   2 images in no split: extra/b.png, loose.png"]


def test_folders_without_images_are_no_splits(tmp_path):
    folder = mask_folder(tmp_path / "scenes", 4, 2)
    for name in ("eval", "dev/docs"):
        (folder / name).mkdir(parents=True)
    shutil.rmtree(folder / "val")
    data = open_masks(str(folder))
    assert lengths(data) == {"train": 4}
    assert data.facts == {}


def test_images_of_the_left_camera_are_no_masks(tmp_path):
    for name in ("1", "1_L", "1_R"):
        scene(1)[0].save(tmp_path / f"{name}.png")
    with pytest.raises(UserError, match="has no folders of images and masks: --data takes"):
        open_masks(str(tmp_path))


def test_a_place_called_test_is_no_split(tmp_path):
    for place in ("north", "south", "test_site"):
        for number in range(2):
            image = tmp_path / "images" / place / f"{number}.png"
            save_scene(number, image, tmp_path / "masks" / place / f"{number}.png")
    assert lengths(open_masks(str(tmp_path))) == {"all": 6}


def test_a_list_outside_of_the_folder_that_wraps_the_data(tmp_path):
    folder = mask_folder(tmp_path / "data" / "scenes", 2, 2)
    (folder / "classes.json").unlink()
    (tmp_path / "data" / "classes.json").write_text(json.dumps(CLASSES))
    assert open_masks(str(tmp_path / "data")).classes == CLASSES
