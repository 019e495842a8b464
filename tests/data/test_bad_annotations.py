"""Annotations that cannot be used as they are: each is counted and named, or rejected."""

import json
import os

import pytest
from PIL import Image

from spectralvision.data.annotation_problems import describe_annotation_problems
from spectralvision.data.open_objects import open_objects
from spectralvision.runs import UserError, printable
from tests.data.test_open_objects import voc_folder, voc_xml, write_coco, yolo_folder
from tests.helpers.scenes import coco_annotations

NAN, INF = float("nan"), float("inf")


def first(key, **values):
    """Return a change of the first image or annotation; None removes an entry."""

    def change(content):
        entry = content[key][0]
        entry.update(values)
        for name in [name for name, value in values.items() if value is None]:
            del entry[name]

    return change


def obj(**values):
    return first("annotations", **values)


def picture(**values):
    return first("images", **values)


def append(key, entry=None, **values):
    """Return a change that adds a copy of the first entry with other values, or something else."""
    return lambda content: content[key].append(entry if entry else content[key][0] | values)


def replace(key, value):
    return lambda content: content.update({key: value})


def triangle(size, **values):
    return obj(segmentation={"size": size, **values})


# Two scenes, 100 and 101, with one and two objects: change -> images, objects, note
COUNTED = {
    "beyond": (
        obj(bbox=[50, 20, 30, 9]),
        2,
        3,
        "note   1 box that extends beyond its image, clipped: 000.png (annotation 1)",
    ),
    "huge": (
        obj(bbox=[1, 2, 1e300, 9]),
        2,
        3,
        "note   1 box that extends beyond its image, clipped: 000.png (annotation 1)",
    ),
    "outside": (
        obj(bbox=[64, 0, 5, 5]),
        2,
        2,
        "skip   1 box outside of its image: 000.png (annotation 1)",
    ),
    "no width": (
        obj(bbox=[5, 5, 0, 5], segmentation=None),
        2,
        2,
        "skip   1 box without area: 000.png (annotation 1)",
    ),
    "negative height": (
        obj(bbox=[5, 5, 5, -5], segmentation=None),
        2,
        2,
        "skip   1 box without area: 000.png (annotation 1)",
    ),
    "nan": (
        obj(bbox=[NAN, 5, 5, 5]),
        2,
        2,
        "skip   1 object without a usable box: 000.png (annotation 1)",
    ),
    "infinite": (
        obj(bbox=[5, 5, INF, 5]),
        2,
        2,
        "skip   1 object without a usable box: 000.png (annotation 1)",
    ),
    "too large for a float": (
        obj(bbox=[5, 5, 10**400, 5]),
        2,
        2,
        "skip   1 object without a usable box: 000.png (annotation 1)",
    ),
    "three numbers": (
        obj(bbox=[5, 5, 5]),
        2,
        2,
        "skip   1 object without a usable box: 000.png (annotation 1)",
    ),
    "text box": (
        obj(bbox="5 5 5 5"),
        2,
        2,
        "skip   1 object without a usable box: 000.png (annotation 1)",
    ),
    "neither box nor mask": (
        obj(bbox=None, segmentation=None),
        2,
        2,
        "skip   1 object without a usable box: 000.png (annotation 1)",
    ),
    "no dict": (
        append("annotations", [1]),
        2,
        3,
        "skip   1 object without a usable box: annotation 4",
    ),
    "unknown category": (
        obj(category_id=9),
        2,
        2,
        "skip   1 object of a class not listed: 000.png (annotation 1, category_id 9)",
    ),
    "no category": (
        obj(category_id=None),
        2,
        2,
        "skip   1 object of a class not listed: 000.png (annotation 1, category_id None)",
    ),
    "unknown image": (
        obj(image_id=5),
        2,
        2,
        "skip   1 object of an image not listed: annotation 1, image_id 5",
    ),
    "list as image": (
        obj(image_id=[5]),
        2,
        2,
        "skip   1 object of an image not listed: annotation 1, image_id [5]",
    ),
    "same object twice": (
        append("annotations"),
        2,
        3,
        "skip   1 object listed twice: 000.png (annotation 1)",
    ),
    "same number": (
        append("annotations", bbox=[1, 1, 9, 9]),
        2,
        4,
        "note   1 object with the number of another one, kept: 000.png (annotation 1)",
    ),
    "crowd of 2": (
        obj(iscrowd=2),
        2,
        3,
        "note   1 object with an iscrowd other than 0 and 1, taken as 0: 000.png (annotation 1)",
    ),
    "two points": (
        obj(segmentation=[[1, 2, 3, 4]]),
        2,
        3,
        "skip   1 polygon with fewer than three points, its object kept: 000.png (annotation 1)",
    ),
    "odd polygon": (
        obj(segmentation=[[1, 2, 3, 4, 5, 6, 7]]),
        2,
        3,
        "skip   1 polygon that cannot be read, its object kept: 000.png (annotation 1)",
    ),
    "nan polygon": (
        obj(segmentation=[[1, 2, 3, NAN, 5, 6]]),
        2,
        3,
        "skip   1 polygon that cannot be read, its object kept: 000.png (annotation 1)",
    ),
    "far polygon": (
        obj(segmentation=[[1, 2, 3, 1e9, 5, 6]]),
        2,
        3,
        "skip   1 polygon that cannot be read, its object kept: 000.png (annotation 1)",
    ),
    "text mask": (
        obj(segmentation="abc"),
        2,
        3,
        "skip   1 mask that cannot be read, its box kept: 000.png (annotation 1)",
    ),
    "mask size": (
        triangle([64, 48], counts=[0, 3072]),
        2,
        3,
        "skip   1 mask of another size than its image, its box kept: 000.png (annotation 1)",
    ),
    "negative mask size": (
        triangle([-48, -64], counts=[0, 3072]),
        2,
        3,
        "skip   1 mask of another size than its image, its box kept: 000.png (annotation 1)",
    ),
    "no mask size": (
        triangle(None, counts=[0, 3072]),
        2,
        3,
        "skip   1 mask that cannot be read, its box kept: 000.png (annotation 1)",
    ),
    "short runs": (
        triangle([48, 64], counts=[0, 3071]),
        2,
        3,
        "skip   1 mask that cannot be read, its box kept: 000.png (annotation 1)",
    ),
    "negative runs": (
        triangle([48, 64], counts=[-1, 3073]),
        2,
        3,
        "skip   1 mask that cannot be read, its box kept: 000.png (annotation 1)",
    ),
    "broken text of runs": (
        triangle([48, 64], counts="n~\u00e9"),
        2,
        3,
        "skip   1 mask that cannot be read, its box kept: 000.png (annotation 1)",
    ),
    "empty mask": (
        triangle([48, 64], counts=[3072]),
        2,
        3,
        "skip   1 mask that cannot be read, its box kept: 000.png (annotation 1)",
    ),
    "no objects": (obj(image_id=101), 2, 3, "note   1 image without objects, kept: 000.png"),
    "image without id": (
        picture(id=None),
        1,
        2,
        "skip   1 image entry that cannot be read: 000.png (its id None is not a whole number)",
    ),
    "image with a text id": (
        picture(id="img_1"),
        1,
        2,
        "skip   1 image entry that cannot be read: 000.png (its id 'img_1' is not a whole number)",
    ),
    "image of text": (
        append("images", "000.png"),
        2,
        3,
        "skip   1 image entry that cannot be read: image 3 of annotations.json",
    ),
    "negative size": (
        picture(width=-64),
        1,
        2,
        "skip   1 image entry that cannot be read: 000.png",
    ),
    "image twice": (append("images"), 2, 3, "note   1 image listed twice, merged: 000.png"),
    "image twice by name": (
        append("images", id=102),
        2,
        3,
        "note   1 image listed twice, merged: 000.png",
    ),
    "missing": (
        append("images", file_name="gone\u2603.png", id=7),
        2,
        3,
        "skip   1 image whose file is missing: gone\u2603.png",
    ),
    "name that no file has": (
        append("images", file_name="a\0b", id=7),
        2,
        3,
        "skip   1 image that cannot be read: a\\x00b (embedded null byte)",
    ),
    "other size": (
        picture(width=128, height=96),
        1,
        2,
        "skip   1 image of another size than its annotations state: 000.png (64x48 "
        "instead of 128x96)",
    ),
}


def open_changed(root, change):
    """Open two scenes after a change of their annotations, without the files that it adds."""
    content = coco_annotations(range(2))
    path = write_coco(root, content)
    change(content)
    with open(path, "w") as file:
        json.dump(content, file)
    return open_objects(path)


@pytest.mark.parametrize("case", COUNTED)
def test_counted(tmp_path, case):
    change, num_images, num_objects, note = COUNTED[case]
    data = open_changed(tmp_path, change)
    images = data.split("all")
    assert (len(images), len(images.objects.boxes)) == (num_images, num_objects)
    assert note in list(map(printable, describe_annotation_problems(data)))
    for objects in images.objects:
        assert (objects.boxes[:, 2:] > objects.boxes[:, :2]).all()
        assert (objects.boxes >= 0).all()
        assert (objects.boxes <= [64, 48, 64, 48]).all()


FORMAT = "annotations of COCO's format have images, annotations and categories."
REJECTED = {
    "no annotations": (replace("annotations", []), "{} has no annotations: add some."),
    "annotations of text": (
        replace("annotations", "none"),
        "{} has no list of annotations: " + FORMAT,
    ),
    "no images": (replace("images", []), "{} has no list of images: " + FORMAT),
    "no categories": (replace("categories", []), "{} has no list of categories: " + FORMAT),
    "same category name": (
        first("categories", name="disc"),
        "{} has the category name 'disc' twice: rename one of them.",
    ),
    "same category id": (
        first("categories", id=7),
        "{} has the category id 7 twice: give each its own.",
    ),
    "category without name": (
        first("categories", name=None),
        "{} has the category {{'id': 3}}: give it an id and a name.",
    ),
    "same image id": (
        append("images", file_name="b.png"),
        "{} has the image id 100 twice (000.png, b.png): give each image its own.",
    ),
    "above": (
        picture(file_name="../a.png"),
        "{} names the file '../a.png': write paths below the folder of the images.",
    ),
    "absolute": (
        picture(file_name="/etc/a.png"),
        "{} names the file '/etc/a.png': write paths below the folder of the images.",
    ),
    "drive": (
        picture(file_name="C:\\a.png"),
        "{} names the file 'C:\\\\a.png': write paths below the folder of the images.",
    ),
    "no object left": (
        lambda content: [
            one.update(bbox=[0, 0, 0, 0], segmentation=None) for one in content["annotations"]
        ],
        "{} has no usable object (3 boxes without area: 000.png (annotation 1)): correct it.",
    ),
}


@pytest.mark.parametrize("case", REJECTED)
def test_rejected(tmp_path, case):
    change, message = REJECTED[case]
    with pytest.raises(UserError) as error:
        open_changed(tmp_path, change)
    assert str(error.value) == message.format(tmp_path / "annotations.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [{"id": 1', "{} is empty or cut off: copy or download it again."),
        ('{"images": [{"id": "a', "{} is empty or cut off: copy or download it again."),
        ("", "{} is empty or cut off: copy or download it again."),
        (
            "image,label",
            "{} cannot be read as JSON (Expecting value: line 1 column 1 (char 0)).",
        ),
        ("[" * 100_000, "{} cannot be read as JSON (it is nested too deeply)."),
        (
            "[]",
            "{} has a JSON list, but annotations of COCO's format are an object with images, "
            "annotations and categories.",
        ),
    ],
)
def test_no_coco_json(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError) as error:
        open_objects(str(tmp_path / "a.json"))
    assert str(error.value) == message.format(tmp_path / "a.json")


def test_a_missing_folder_of_images(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(coco_annotations(range(2))))
    with pytest.raises(UserError) as error:
        open_objects(str(tmp_path))
    assert str(error.value) == (
        f"no image that {tmp_path / 'a.json'} lists exists, such as 000.png: put the images beside "
        f"it or into {tmp_path / 'images'}."
    )


def test_files_that_are_broken_rotated_or_not_listed(tmp_path):
    content = coco_annotations(range(4))
    path = write_coco(tmp_path, content)
    (tmp_path / "000.png").write_bytes(b"no image")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 48)).save(tmp_path / "001.png", exif=exif)
    Image.new("RGB", (64, 48)).save(tmp_path / "other.png")
    (tmp_path / "a.svg").write_text("")
    data = open_objects(path)
    assert len(data.split("all")) == 2
    assert describe_annotation_problems(data) == [
        "skip   formats that are not read: 1 .svg: export drawings and documents to PNG",
        "skip   1 image that cannot be read: 000.png (no image format)",
        "skip   1 image with a rotation in EXIF that its annotations ignore: 001.png "
        "(48x64 instead "
        "of 64x48)",
        "skip   1 image that no annotation file lists: other.png",
    ]


def test_names_that_are_not_utf_8(tmp_path):
    content = coco_annotations(range(2))
    content["images"][0]["file_name"] = os.fsdecode(b"caf\xe9.png")
    content["images"][1]["file_name"] = "\U0001f600.png"
    path = write_coco(tmp_path, content)
    text = json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogateescape")
    (tmp_path / "annotations.json").write_bytes(text)
    images = open_objects(path).split("all")
    assert [images.name(index) for index in range(2)] == [
        os.fsdecode(b"caf\xe9.png"),
        "\U0001f600.png",
    ]
    assert images.image(0).size == images.image(1).size == (64, 48)


YOLO = {
    "class index": (
        "2 .5 .5 .2 .2",
        "skip   1 object of a class not listed: train/labels/0.txt line 2, class 2",
    ),
    "negative class": (
        "-1 .5 .5 .2 .2",
        "skip   1 object of a class not listed: train/labels/0.txt line 2, class -1",
    ),
    "pixels": (
        "0 30 20 10 10",
        "skip   1 label line with a number outside of 0 to 1: train/labels/0.txt line 2",
    ),
    "words": (
        "disc .5 .5 .2 .2",
        "skip   1 label line that cannot be read: train/labels/0.txt line 2",
    ),
    "nan": ("0 nan .5 .2 .2", "skip   1 label line that cannot be read: train/labels/0.txt line 2"),
    "three numbers": (
        "0 .5 .5 .2",
        "skip   1 label line that cannot be read: train/labels/0.txt line 2",
    ),
    "confidence": (
        "0 .5 .5 .2 .2 .9",
        "skip   1 label line that cannot be read: train/labels/0.txt line 2",
    ),
    "no area": ("0 .5 .5 0 .2", "skip   1 box without area: train/images/0.png (line 2)"),
    "beyond": (
        "0 .9 .5 .4 .2",
        "note   1 box that extends beyond its image, clipped: train/images/0.png (line 2)",
    ),
    "twice": (
        "0 .5 .5 .2 .2\n0 .5 .5 .2 .2",
        "skip   1 object listed twice: train/labels/0.txt line 3",
    ),
}


@pytest.mark.parametrize("case", YOLO)
def test_lines_of_yolo(tmp_path, case):
    root = yolo_folder(tmp_path)
    (root / "classes.txt").write_text("disc\nsquare\n")
    line, note = YOLO[case]
    with open(root / "train/labels/0.txt", "a") as file:
        file.write(f"\n{line}\n")
    assert describe_annotation_problems(open_objects(str(root))) == [note]


NAMES = "names: [disc, square]\n"
YAML = {
    "no names": ("train: train/images", "{0}/data.yaml has no class names: add a list `names`."),
    "same name": (
        "names: [a, a]",
        "{0}/data.yaml has the class name 'a' twice: rename one of them.",
    ),
    "gap": ("names: {0: a, 2: b}", "{0}/data.yaml should number its names from 0 to 1."),
    "nc": (NAMES + "nc: 3", "{0}/data.yaml has 2 names, but nc is 3: correct one of them."),
    "above": (
        NAMES + "train: ../../a",
        "{0}/data.yaml has '../../a' as train: write a path below its folder.",
    ),
    "absolute": (
        NAMES + "train: /etc",
        "{0}/data.yaml has '/etc' as train: write a path below its folder.",
    ),
    "missing": (
        NAMES + "train: gone",
        "{0}/data.yaml has 'gone' as train, which does not exist: correct the path.",
    ),
    "number": (NAMES + "train: 5", "{0}/data.yaml has 5 as train: write the path of a folder."),
    "list": ("- a", "{0}/data.yaml should have names, train and val, not ['a']."),
    "no labels": (
        NAMES + "train: bare",
        "{0} (train) has no label file for any image, such as bare/0.png: put them into a "
        "folder `labels` beside `images`.",
    ),
}


@pytest.mark.parametrize("case", YAML)
def test_descriptions_of_yolo(tmp_path, case):
    root = yolo_folder(tmp_path)
    (root / "bare").mkdir()
    Image.new("RGB", (64, 48)).save(root / "bare/0.png")
    text, message = YAML[case]
    (root / "data.yaml").write_text(text.replace("{0}", "{{0}}") if case != "gap" else text)
    with pytest.raises(UserError) as error:
        open_objects(str(root))
    assert str(error.value) == message.replace("{0}", str(root))


def test_yolo_without_class_names_or_test_images(tmp_path):
    root = yolo_folder(tmp_path)
    with pytest.raises(UserError) as error:
        open_objects(str(root))
    assert str(error.value) == (
        f"{root} has YOLO labels but no class names: add a data.yaml, or a classes.txt with one "
        "name a line."
    )
    (root / "data.yaml").write_text(f"{NAMES}train: train\nval: val\ntest: ../test/images")
    notes = describe_annotation_problems(open_objects(str(root)))
    assert notes == ["skip   1 split whose images are missing: test"]


VOC = {
    "cut off": (
        voc_xml(0)[:90],
        "skip   1 image whose annotation file cannot be read: Annotations/0.xml "
        "(unclosed token: line 1, column 85)",
    ),
    "entities": (
        '<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>',
        "skip   1 image whose annotation file cannot be read: Annotations/0.xml "
        "(entities are not read)",
    ),
    "other tag": (
        "<plist/>",
        "skip   1 image whose annotation file cannot be read: Annotations/0.xml (<plist> "
        "in place of <annotation>)",
    ),
    "unknown name": (
        voc_xml(0).replace("square", "cat").replace("disc", "cat"),
        "skip   1 object of a class not listed: JPEGImages/0.png (object 1, 'cat')",
    ),
    "no box": (
        "<annotation><object><name>disc</name></object></annotation>",
        "skip   1 object without a usable box: JPEGImages/0.png (object 1)",
    ),
    "other size": (
        voc_xml(0).replace("<width>64", "<width>65"),
        "skip   1 image of another size than its annotations state: JPEGImages/0.png "
        "(64x48 instead of 65x48)",
    ),
}


@pytest.mark.parametrize("case", VOC)
def test_xml_files(tmp_path, case):
    root = voc_folder(tmp_path, count=3)
    (root / "classes.txt").write_text("disc\nsquare\n")
    text, note = VOC[case]
    (root / "Annotations/0.xml").write_text(text)
    assert note in describe_annotation_problems(open_objects(str(root)))


def test_xml_files_without_image_and_images_without_xml_file(tmp_path):
    root = voc_folder(tmp_path, count=4)
    (root / "Annotations/0.xml").unlink()
    (root / "JPEGImages/1.png").unlink()
    assert describe_annotation_problems(open_objects(str(root))) == [
        "skip   1 image that no annotation file lists: 0.png",
        "skip   1 annotation file without an image: Annotations/1.xml",
    ]


@pytest.mark.parametrize("spec", ["", "gone", "a.txt", "empty"])
def test_no_data_set(tmp_path, spec):
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "empty").mkdir()
    reason = {
        "": "--data is empty: give ",
        "gone": f"{tmp_path}/gone does not exist: --data takes ",
        "a.txt": f"{tmp_path}/a.txt is a file of another kind: --data takes ",
        "empty": f"{tmp_path}/empty has no annotations of objects: --data takes ",
    }[spec]
    with pytest.raises(UserError) as error:
        open_objects(f"{tmp_path}/{spec}" if spec else "")
    assert str(error.value) == (
        f"{reason}a folder of images with annotations/instances_train.json (COCO), "
        "Annotations/*.xml (VOC) or labels/*.txt (YOLO), or one .json of COCO's format or .yaml of "
        "YOLO's."
    )
