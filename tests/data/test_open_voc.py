"""Layouts of XML files with objects: VOC, Roboflow, LabelImg, Oxford-IIIT Pet."""

import pytest

from spectralvision.data.open_objects import has_objects, open_objects
from spectralvision.runs import UserError
from tests.data.test_open_objects import assert_has_boxes, names_of, voc_folder, voc_xml
from tests.helpers.scenes import scene


def write_voc(root, image, number=0, annotation=None):
    """Write a scene with its XML file, which is beside it unless another path is given."""
    annotation = annotation or image.replace(".png", ".xml")
    for path in (root / image, root / annotation):
        path.parent.mkdir(parents=True, exist_ok=True)
    scene(number)[0].save(root / image)
    (root / annotation).write_text(voc_xml(number))


def test_voc_of_roboflow_is_split_by_folders(tmp_path):
    write_voc(tmp_path, "train/a_jpg.rf.1.png")
    write_voc(tmp_path, "valid/train-7_jpg.rf.3.png")
    assert names_of(open_objects(str(tmp_path))) == {
        "train": ["train/a_jpg.rf.1.png"],
        "val": ["valid/train-7_jpg.rf.3.png"],
    }
    write_voc(tmp_path, "test1.png")
    with pytest.raises(UserError) as error:
        open_objects(str(tmp_path))
    assert str(error.value) == (
        f"{tmp_path}/test1.xml belongs to no split, but others do: put train, val or test into the "
        "name of its folder."
    )


def test_voc_of_labelimg_with_split_words_in_file_names(tmp_path):
    files = ["IMG_2.png", "test1.png", "test_train_03.png"]
    for file in files:
        write_voc(tmp_path, file)
    assert names_of(open_objects(str(tmp_path))) == {"all": files}


@pytest.mark.parametrize(
    "annotation", ["annotations/xmls/cat_1.xml", "Labels/cat_1.xml", "annotations/xmls/a/cat_1.xml"]
)
def test_voc_of_oxford_pets_and_capital_names(tmp_path, annotation):
    inner = "a/" if "/a/" in annotation else ""
    file = f"Images/{inner}cat_1.png"
    write_voc(tmp_path, file, 2, annotation)
    data = open_objects(str(tmp_path))
    assert (data.facts, names_of(data)) == ({}, {"all": [file]})
    assert_has_boxes(data.split("all"), 0, 2)


def test_voc_behind_a_link(tmp_path):
    voc_folder(tmp_path / "elsewhere")
    (tmp_path / "voc").mkdir()
    for folder in ("Annotations", "JPEGImages"):
        (tmp_path / "voc" / folder).symlink_to(tmp_path / "elsewhere" / folder)
    (tmp_path / "voc/Annotations/up").symlink_to(tmp_path)
    (tmp_path / "voc/labels").symlink_to("Annotations")
    data = open_objects(str(tmp_path / "voc"))
    assert (data.facts, len(data.split("all"))) == ({}, 5)


def write_lists(root, **lists):
    (root / "ImageSets/Main").mkdir(parents=True)
    for split, lines in lists.items():
        (root / f"ImageSets/Main/{split}.txt").write_text("\n".join(lines))


def test_voc_lists_with_folders_suffixes_flags_and_spaces(tmp_path):
    files = ["s1/a", "s2/a", "b", "c", "my photo", "d.v2", "e 1", "s1/f"]
    for number, file in enumerate(files):
        write_voc(tmp_path, f"JPEGImages/{file}.png", number, f"Annotations/{file}.xml")
    train = ["s1/a", "b.jpg", "c  1", "my photo", "d.v2", "e 1", "f.png -1", "b"]
    write_lists(tmp_path, train=train, val=["s2/a"])
    data = open_objects(str(tmp_path))
    order = ["s1/a", "b", "c", "my photo", "d.v2", "e 1", "s1/f"]
    assert data.facts == {}
    assert names_of(data) == {
        "train": [f"JPEGImages/{file}.png" for file in order],
        "val": ["JPEGImages/s2/a.png"],
    }
    assert_has_boxes(data.split("val"), 0, 1)


def test_voc_lists_with_a_name_of_two_files(tmp_path):
    for folder in ("s1", "s2"):
        write_voc(tmp_path, f"JPEGImages/{folder}/a.png", 0, f"Annotations/{folder}/a.xml")
    write_lists(tmp_path, train=["a"])
    with pytest.raises(UserError) as error:
        open_objects(str(tmp_path))
    assert str(error.value) == (
        f"{tmp_path}/ImageSets/Main/train.txt names 'a', which may be Annotations/s1/a.xml, "
        "Annotations/s2/a.xml: write its folder too."
    )


def test_voc_image_with_two_files(tmp_path):
    for annotation in ("Annotations/0.xml", "labels/0.xml"):
        write_voc(tmp_path, "images/0.png", 0, annotation)
    with pytest.raises(UserError) as error:
        open_objects(str(tmp_path))
    assert str(error.value) == (
        f"{tmp_path}/images/0.png has the annotation files Annotations/0.xml and labels/0.xml: "
        "keep one."
    )


@pytest.mark.parametrize("start", ["\ufeff<?xml version='1.0'?>\n<!-- <a> -->\n", "", "\n\n"])
def test_voc_after_a_prolog(tmp_path, start):
    write_voc(tmp_path, "0.png")
    (tmp_path / "0.xml").write_text(start + voc_xml(0))
    assert has_objects(tmp_path)
