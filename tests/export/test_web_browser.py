"""The page of the target web in a real browser, compared with PyTorch on the same images."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from spectralvision.data.open_masks import open_masks
from spectralvision.export import verify
from spectralvision.export.base import Network
from spectralvision.export.ort_web import fetch_files
from spectralvision.export.registry import find_target
from spectralvision.export.standalone.classify import classify
from spectralvision.export.standalone.detect import detect
from spectralvision.export.standalone.prepare_image import FILTERS, open_image, prepare, read_config
from spectralvision.export.standalone.segment import segment
from spectralvision.export.web import PAGE
from spectralvision.runs import UserError, write_json
from spectralvision.tasks.detection.model import save_model as save_detector
from spectralvision.tasks.exporting import ExportConfig, export
from spectralvision.tasks.registry import task_of
from spectralvision.tasks.segmentation import model as segmentation
from spectralvision.tasks.segmentation.config import SegmentationConfig
from tests.helpers.browser import needs_browser, open_browser, open_page, serve_folder
from tests.helpers.detection import tiny_detector
from tests.helpers.image_bytes import exif_with, oriented
from tests.helpers.pictures import image_folder
from tests.helpers.run_folders import make_run
from tests.helpers.scenes import mask_folder, scene

pytestmark = [pytest.mark.slow, needs_browser, pytest.mark.timeout(1200)]

MODEL = "affnet_et.cifar10"
POINT = 0.01
"""Largest difference of a probability."""
INT8_POINTS = 0.05
"""The same between runtimes that round differently."""
LEVELS, MEAN_LEVELS = 4, 0.4
"""Of 255, between resizing rows first and columns first, which round differently."""
WIDTHS = (320, 360, 1280)
READY = '#status:text-is("Ready for an image")'
DECODE = "(text) => Uint8ClampedArray.from(atob(text), (one) => one.charCodeAt(0))"
RESIZE = f"""async ([text, width, height, newWidth, newHeight, method]) => {{
  const {{ resizeImage }} = await import("./resize.js");
  const data = ({DECODE})(text);
  return [...resizeImage({{ data, width, height }}, newWidth, newHeight, method)];
}}"""
PREPARE = f"""async ([text, width, height, config]) => {{
  const {{ prepare }} = await import("./prepare.js");
  const found = prepare({{ data: ({DECODE})(text), width, height }}, config);
  return [[...found.values], found.height, found.width];
}}"""
SEND = """([kind, name, text]) => {
  const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  const files = new DataTransfer();
  if (text) files.items.add(new File([bytes], name));
  const event = kind === "drop"
    ? new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true })
    : new ClipboardEvent("paste", { clipboardData: files, bubbles: true, cancelable: true });
  document.getElementById("stage").dispatchEvent(event);
}"""


def blobs(height, width, seed):
    """Return (H, W, 3) bytes: smooth spots of colors."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    pixels = np.zeros((height, width, 3)) + rng.uniform(0, 255, 3)
    for _ in range(6):
        y, x = rng.uniform(0, height), rng.uniform(0, width)
        size = rng.uniform(0.1, 0.4) * min(height, width)
        spot = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * size**2))[..., None]
        pixels = pixels * (1 - spot) + rng.uniform(0, 255, 3) * spot
    return pixels.round().astype(np.uint8)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Image files: large, wide JPEG, small, transparent, on its side."""
    folder = tmp_path_factory.mktemp("images")
    Image.fromarray(blobs(300, 400, 1)).save(folder / "large.png")
    Image.fromarray(blobs(120, 331, 2)).save(folder / "wide.jpg", quality=95)
    Image.fromarray(blobs(24, 20, 3)).save(folder / "small.png")
    alpha = np.linspace(0, 255, 150).round().astype(np.uint8)[:, None].repeat(130, 1)
    pixels = np.concatenate([blobs(150, 130, 4), alpha[..., None]], axis=2)
    Image.fromarray(pixels).save(folder / "transparent.png")
    rotated = Image.fromarray(blobs(90, 170, 5))
    rotated.save(folder / "rotated.jpg", quality=95, exif=exif_with(oriented(6)))
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def ort(tmp_path_factory):
    """The files of onnxruntime-web."""
    folder = tmp_path_factory.mktemp("runtime") / "ort"
    try:
        fetch_files(folder)
    except UserError as error:
        if "npm was not found" in str(error) or "could not fetch" in str(error):
            pytest.skip(str(error))
        raise
    return folder


@pytest.fixture(scope="module")
def browser():
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def site(tmp_path_factory, ort):
    """The page of a trained classifier."""
    out = tmp_path_factory.mktemp("sites") / "classifier"
    export(ExportConfig(model=MODEL, target="web", out=out, ort_web=ort))
    return out


def network_of(model):
    """Return the outputs of PyTorch, for what `standalone/` takes."""
    task = task_of(model)
    deployable = task.deployable(task.load(model).eval(), None, "auto")
    height, width = deployable.size
    network = Network(
        module=deployable.module.eval(),
        example=torch.zeros(1, 3, height, width),
        outputs=deployable.outputs,
    )
    return lambda values: network.run(torch.from_numpy(values))


def entries(page):
    """Return the shown names with their scores, and the boxes of objects."""
    page.wait_for_selector("#times:not([hidden])")
    rows = page.locator("#results li").all()
    found = [
        (row.locator(".label").inner_text(), row.locator(".score").inner_text()) for row in rows
    ]
    boxes = [[float(one) for one in (row.get_attribute("data-box") or "").split()] for row in rows]
    return [name for name, _ in found], [float(text[:-1]) / 100 for _, text in found], boxes


def encode(content):
    return base64.b64encode(content).decode()


@pytest.mark.parametrize("kind", ["choose", "drop", "paste"])
def test_classes_and_probabilities_are_those_of_pytorch(browser, site, images, kind):
    run, config = network_of(MODEL), read_config(site)
    with serve_folder(site) as address, open_page(browser, address) as page:
        page.wait_for_selector(READY)
        tops = set()
        for path in images:
            if kind == "choose":
                page.set_input_files("#file", path)
            else:
                page.evaluate(SEND, [kind, path.name, encode(path.read_bytes())])
            names, scores, _ = entries(page)
            expected = classify(run, config, path)
            order = np.argsort(-expected, kind="stable")[:5]
            assert names == [config["labels"][index] for index in order], path
            assert np.abs(np.array(scores) - expected[order]).max() < POINT, path
            assert page.inner_text("#status") == f"Most probable: {names[0]}"
            assert not page.is_visible("#error")
            tops.add(tuple(names))
            page.evaluate("() => document.getElementById('times').hidden = true")
        assert len(tops) > 1
        facts = page.inner_text("#facts")
        assert "64 \N{MULTIPLICATION SIGN} 64 pixels" in facts
        assert "onnxruntime-web 1." in facts
        assert page.inner_text("h1") == MODEL


@pytest.mark.parametrize("width", WIDTHS)
def test_no_width_scrolls_sideways(browser, site, images, width):
    sides = "() => [document.documentElement.scrollWidth, window.innerWidth]"
    with serve_folder(site) as address, open_page(browser, address, width=width) as page:
        page.wait_for_selector(READY)
        assert page.evaluate(sides) == [width, width]
        page.set_input_files("#file", images[0])
        entries(page)
        assert page.evaluate(sides) == [width, width]


def test_the_camera_starts_and_stops(browser, site):
    with serve_folder(site) as address, open_page(browser, address) as page:
        page.wait_for_selector(READY)
        page.click("#camera")
        names, _, _ = entries(page)
        assert len(names) == 5
        assert page.is_visible("#video")
        assert page.inner_text("#camera") == "Stop camera"
        page.click("#camera")
        page.wait_for_selector("#hint:not([hidden])")
        assert page.evaluate("() => document.getElementById('video').srcObject") is None
        assert page.locator("#results li").count() == 0


def test_the_gpu_gives_the_same_or_the_cpu_takes_over(browser, site, images):
    """Headless browsers mostly have no GPU."""
    with serve_folder(site) as address, open_page(browser, address) as page:
        page.wait_for_selector(READY)
        assert page.is_visible("#processor") == page.evaluate("() => 'gpu' in navigator")
        if not page.is_visible("#processor"):
            pytest.skip("this browser has no WebGPU")
        page.set_input_files("#file", images[0])
        expected = entries(page)
        page.select_option("#processor", "gpu")
        page.wait_for_selector("#processor:enabled")
        names, scores, _ = entries(page)
        assert names == expected[0]
        assert np.abs(np.array(scores) - np.array(expected[1])).max() < POINT
        if page.input_value("#processor") == "cpu":
            assert page.inner_text("#error").startswith("The GPU could not be used (")


def test_what_cannot_work_is_said_in_one_sentence(browser, site, tmp_path):
    (tmp_path / "note.txt").write_text("no image")
    with serve_folder(site) as address:
        with open_page(browser, address) as page:
            page.wait_for_selector(READY)
            page.set_input_files("#file", tmp_path / "note.txt")
            page.wait_for_selector("#error:has-text('note.txt is not an image')")
            page.evaluate(SEND, ["drop", "", ""])
            page.wait_for_selector("#error:has-text('No image was dropped or pasted')")
        with open_page(browser, address) as page:
            page.context.clear_permissions()
            page.evaluate("() => { navigator.mediaDevices.getUserMedia = async () => {"
                          " throw new DOMException('', 'NotAllowedError'); }; }")  # fmt: skip
            page.click("#camera")
            page.wait_for_selector("#error:has-text('The camera was not allowed')")
            assert page.inner_text("#camera") == "Start camera"
    with open_page(browser, (site / "index.html").as_uri()) as page:
        page.wait_for_selector("#error:has-text('was opened as a file')")


def test_a_missing_model_is_said(browser, site, tmp_path):
    for path in site.iterdir():
        if path.name != "model.onnx":
            (tmp_path / path.name).symlink_to(path)
    with serve_folder(tmp_path) as address, open_page(browser, address) as page:
        page.wait_for_selector("#error:has-text('model.onnx was not found beside this page')")


def test_int8_runs(browser, ort, tmp_path, monkeypatch):
    monkeypatch.setattr(verify, "MIN_AGREEMENT", 0)  # the model is untrained
    run = make_run(tmp_path / "run", "affnet_et")
    data = image_folder(tmp_path / "photos")
    out = tmp_path / "site"
    settings = {"model": str(run), "out": out, "int8": True, "data": str(data), "ort_web": ort}
    assert export(ExportConfig(target="web", **settings))["int8"]
    config, load = read_config(out), find_target("web").load(out)
    path = data / "red" / "0.png"
    expected = classify(load, config, path)
    with serve_folder(out) as address, open_page(browser, address) as page:
        page.set_input_files("#file", path)
        names, scores, _ = entries(page)
        assert "INT8" in page.inner_text("#facts")
    order = np.argsort(-expected, kind="stable")
    assert names == [config["labels"][index] for index in order]
    assert np.abs(np.array(scores) - expected[order]).max() < INT8_POINTS


def test_masks_are_those_of_pytorch(browser, ort, tmp_path):
    root = mask_folder(tmp_path / "scenes", 2, 2)
    config = SegmentationConfig(data=str(root), model="affnet_et", input_size=64)
    model, _ = segmentation.build_model(config, open_masks(str(root)))
    run = tmp_path / "run"
    run.mkdir()
    segmentation.save_model(model, run)
    write_json(run / "run.json", {"task": "segmentation"})
    out = tmp_path / "site"
    export(ExportConfig(model=str(run), target="web", out=out, ort_web=ort))
    settings = read_config(out)
    path = tmp_path / "scene.png"
    scene(5, (90, 121))[0].save(path)
    expected = segment(network_of(str(run)), settings, open_image(path))
    with serve_folder(out) as address, open_page(browser, address) as page:
        page.set_input_files("#file", path)
        names, fractions, _ = entries(page)
        styles = [one.get_attribute("style") for one in page.locator(".swatch").all()]
        source = page.evaluate("() => document.getElementById('overlay').toDataURL()")
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))))
    counts = np.bincount(expected.ravel(), minlength=len(settings["labels"])) / expected.size
    order = np.argsort(-counts, kind="stable")
    assert names == [settings["labels"][index] for index in order if counts[index]]
    assert len(names) > 1
    assert np.abs(np.array(fractions) - counts[order][: len(names)]).max() < POINT
    colors = np.array([json.loads(f"[{style.split('(')[1].split(')')[0]}]") for style in styles])
    distances = np.abs(drawn[..., None, :3].astype(int) - colors).sum(-1)
    found = order[distances.argmin(-1)]
    assert (found == expected).mean() > 0.995


@pytest.mark.parametrize("kind", ["fcos", "ssdlite"])
def test_objects_are_those_of_pytorch(browser, ort, tmp_path, kind):
    model = tiny_detector(kind)
    for name, values in model.named_parameters():
        if "classification" in name and values.ndim == 4 and len(values) % 2 == 0:
            torch.nn.init.normal_(values, std=0.1)
    run = tmp_path / "run"
    run.mkdir()
    save_detector(model.eval(), run)
    write_json(run / "run.json", {"task": "detection"})
    out = tmp_path / "site"
    export(ExportConfig(model=str(run), target="web", out=out, ort_web=ort))
    settings = read_config(out)
    path = tmp_path / "scene.png"
    scene(5, (90, 121))[0].save(path)
    expected = detect(network_of(str(run)), settings, open_image(path))
    with serve_folder(out) as address, open_page(browser, address) as page:
        page.set_input_files("#file", path)
        names, scores, boxes = entries(page)
    assert len(expected.scores) > 1
    assert names == [settings["labels"][label] for label in expected.labels]
    assert np.abs(np.array(scores) - expected.scores).max() < POINT
    assert np.abs(np.array(boxes) - expected.boxes).max() < 0.2


@pytest.mark.parametrize("method", FILTERS)
def test_images_are_resized_as_by_pillow(browser, method):
    pixels = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    text = encode(image.convert("RGBA").tobytes())
    with serve_folder(PAGE) as address, open_page(browser, address, "resize.js") as page:
        for width, height in ((83, 61), (83, 20), (17, 61), (16, 13), (200, 131), (1, 1), (90, 7)):
            found = page.evaluate(RESIZE, [text, 83, 61, width, height, method])
            # In two steps, as the order in which Pillow takes them depends on its version
            rows = image.resize((width, image.height), FILTERS[method])
            expected = np.asarray(rows.resize((width, height), FILTERS[method]))
            difference = np.abs(np.array(found).reshape(expected.shape) - expected.astype(int))
            assert difference.max() <= 1
            assert difference.mean() < 0.01


@pytest.mark.parametrize("mode", ["crop", "stretch", "fit"])
def test_inputs_are_those_of_the_script(browser, mode):
    statistics = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    config = {"mode": mode, "interpolation": "bicubic", "crop_pct": 0.9, **statistics}
    with serve_folder(PAGE) as address, open_page(browser, address, "resize.js") as page:
        for sides in ((40, 40), (33, 50), (120, 31)):
            for height, width in ((61, 83), (90, 31), (20, 20)):
                image = Image.fromarray(blobs(height, width, height))
                text = encode(image.convert("RGBA").tobytes())
                settings = {**config, "size": list(sides), "short_side": 24}
                values, tall, wide = page.evaluate(PREPARE, [text, width, height, settings])
                expected, size = prepare(image, settings)
                assert (tall, wide) == size
                difference = np.abs(np.array(values).reshape(expected.shape) - expected)
                assert difference.max() < LEVELS / 255 / 0.224
                assert difference.mean() < MEAN_LEVELS / 255 / 0.224
