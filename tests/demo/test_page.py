"""The page of `spectralvision demo` in a real browser that reaches no other address."""

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from tests.helpers.browser import needs_browser, open_browser, open_page
from tests.helpers.run_folders import make_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.demo,
    needs_browser,
    pytest.mark.skipif(find_spec("gradio") is None, reason="needs the extra demo"),
]
WAIT = 90_000  # milliseconds, for a busy machine


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of the command, which has to end with Ctrl-C."""
    root = tmp_path_factory.mktemp("demo")
    run = make_run(root / "svt-run", "svt_h_s")
    same_layers = make_run(root / "scattering-run", "affnet_et", mixer_layer="scattering")
    gray = make_run(root / "gray-run", "test_resnet", in_chans=1)
    port = free_port()
    models = ["affnet_et.tiny_imagenet", run, same_layers, gray]
    words = ["demo", *models, "--no-browser", "--port", port]
    log = (root / "log").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-m", "spectralvision.cli", *map(str, words)], stdout=log, stderr=log
    )
    address = f"http://127.0.0.1:{port}/"
    for _ in range(240):
        time.sleep(0.5)
        assert process.poll() is None, (root / "log").read_text()
        try:
            urllib.request.urlopen(address, timeout=5).read()
            break
        except OSError:
            continue
    yield address
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0
    log.seek(0)
    text = log.read()
    log.close()
    assert f"page   {address} (Ctrl-C ends it)" in text
    assert "Traceback" not in text


@pytest.fixture(scope="module")
def browser():
    with open_browser() as one:
        yield one


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "photo.jpg"
    rows, columns = np.mgrid[:300, :400] / 300
    pixels = np.stack([rows, columns / 1.34, 1 - rows], axis=2)
    Image.fromarray((255 * pixels.clip(0, 1)).astype("uint8")).save(path)
    return path


def upload(page, path):
    page.set_input_files("#upload input[type=file]", str(path))


def wait_for_answer(page):
    page.wait_for_function("document.querySelector('#text')?.innerText.includes(' ms ')",
                           timeout=WAIT)  # fmt: skip


def choose(page, name, option):
    page.get_by_label(name, exact=True).click()
    page.get_by_role("option", name=re.compile(option)).first.click()


def probabilities(page):
    return re.findall(r"(\d+)%", page.inner_text("#scores"))


def test_upload_answer_and_slider(server, browser, photo):
    with open_page(browser, server) as page:
        upload(page, photo)
        wait_for_answer(page)
        assert len(probabilities(page)) >= 5
        before = page.inner_text("#scores")
        for name in ("seen", "answer", "layer"):
            page.wait_for_selector(f"#{name} img", timeout=WAIT)
            assert page.evaluate(f"document.querySelector('#{name} img').naturalWidth") >= 300

        number = page.locator("#highest input[type=number]")
        number.fill("0.03")
        number.press("Enter")
        page.wait_for_function(
            "text => document.querySelector('#scores').innerText !== text", arg=before,
            timeout=WAIT,
        )  # fmt: skip


def test_an_example_and_another_model(server, browser):
    with open_page(browser, server) as page:
        page.locator("button.gallery-item, .gallery button").first.click()
        wait_for_answer(page)
        assert not page.locator("#orientation").is_visible()
        choose(page, "Model", "svt-run")
        page.wait_for_function(
            "document.querySelector('#scores').innerText.includes('green')", timeout=WAIT
        )
        page.wait_for_selector("#layer img", timeout=WAIT)
        page.locator("#orientation").wait_for(timeout=WAIT)
        for name in ("seen", "answer", "layer"):
            page.locator(f"#{name}").hover()
            with page.expect_download(timeout=WAIT) as download:
                page.locator(f"#{name} a[download]").first.click()
            expected = {"seen": "input"}.get(name, name)
            assert download.value.suggested_filename == f"spectralvision-{expected}.png"

        # A model that cannot be used: a message, and nothing is left of the answer
        choose(page, "Model", "gray-run")
        page.get_by_text("This model takes images of 1 channels").first.wait_for(timeout=WAIT)
        page.wait_for_function("!document.querySelector('#text')?.innerText.includes(' ms ')")
        assert page.locator("#seen img, #layer img").count() == 0
        assert page.get_by_text("This image cannot be used").count() == 0


def test_layers_of_equal_names(server, browser):
    """Their explanation and orientations are those of the model, and of the layer chosen last."""
    with open_page(browser, server) as page:
        page.locator("button.gallery-item, .gallery button").first.click()
        wait_for_answer(page)
        layer = page.get_by_label("Layer").input_value()
        page.get_by_text("An adaptive frequency filter").wait_for(timeout=WAIT)
        page.wait_for_selector("#layer img", timeout=WAIT)

        for name, option in (("Model", "scattering-run"), ("Layer", "stages.4")):
            picture = page.evaluate("document.querySelector('#layer img').src")
            choose(page, name, option)
            page.wait_for_function(
                "before => { const image = document.querySelector('#layer img');"
                " return image && image.src !== before; }", arg=picture, timeout=WAIT,
            )  # fmt: skip
            if name == "Model":
                page.get_by_text("A scattering mixer").wait_for(timeout=WAIT)
                page.locator("#orientation").wait_for(timeout=WAIT)
                assert page.get_by_label("Layer").input_value() == layer


def test_a_number_outside_of_a_slider_is_its_end(server, browser, photo):
    with open_page(browser, server) as page:
        upload(page, photo)
        wait_for_answer(page)
        before = page.inner_text("#scores")
        number = page.locator("#highest input[type=number]")
        for value in ("0.03", "9"):
            number.fill(value)
            number.press("Enter")
            page.wait_for_function(
                "([text, same]) => (document.querySelector('#scores').innerText === text) === same",
                arg=[before, value == "9"], timeout=WAIT,
            )  # fmt: skip
        assert page.get_by_text("Error", exact=True).count() == 0


def test_what_is_no_image_gets_a_message(server, browser, photo, tmp_path):
    text, bomb = tmp_path / "notes.png", tmp_path / "bomb.png"
    text.write_text("no image")
    Image.new("1", (9000, 9000)).save(bomb)
    with open_page(browser, server) as page:
        for path, message in (
            (text, "This file cannot be read as an image"),
            (bomb, "This image has 81 million pixels"),
        ):
            upload(page, path)
            page.get_by_text(message).first.wait_for(timeout=WAIT)
            page.get_by_label(re.compile("Remove|Clear")).first.click()
        upload(page, photo)
        wait_for_answer(page)  # the page still works


def test_uploads_are_limited(server, browser, tmp_path):
    large = tmp_path / "large.png"
    large.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(21 * 1000 * 1000))
    with open_page(browser, server) as page:
        upload(page, large)
        page.get_by_text(re.compile("size", re.I)).first.wait_for(timeout=WAIT)


def test_a_narrow_screen(server, browser, photo):
    with open_page(browser, server, width=390) as page:
        upload(page, photo)
        wait_for_answer(page)
        page.locator("#layer").scroll_into_view_if_needed()  # the browser loads it only then
        page.wait_for_selector("#layer img", timeout=WAIT)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_ten_visitors_at_once_are_queued(server, browser, photo):
    pages = [browser.new_context().new_page() for _ in range(10)]
    for page in pages:
        page.goto(server)
        page.wait_for_selector("#upload input[type=file]", state="attached", timeout=WAIT)
    for page in pages:
        upload(page, photo)
    answers = []
    for page in pages:
        wait_for_answer(page)
        answers.append(page.inner_text("#scores"))
        page.context.close()
    assert len(set(answers)) == 1


def test_a_taken_port_is_named(server):
    port = server.rstrip("/").rpartition(":")[2]
    words = ["demo", "affnet_et.cifar10", "--no-browser", "--port", port]
    done = subprocess.run(
        [sys.executable, "-m", "spectralvision.cli", *words],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last == f"spectralvision: error: port {port} is taken: choose another --port."


def test_only_this_machine_is_served(server):
    """The address of the machine in its network is not listened on, and pages name no other."""
    port = int(server.rstrip("/").rpartition(":")[2])
    name = socket.gethostbyname(socket.gethostname())
    if not name.startswith("127."):
        with socket.socket() as one:
            one.settimeout(2)
            assert one.connect_ex((name, port)) != 0
    with urllib.request.urlopen(server) as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy


def test_numbers_beyond_a_slider():
    import gradio as gr

    from spectralvision.demo.page import HIGHEST, limit

    slider = gr.Slider(0.02, HIGHEST, HIGHEST)
    limit(slider, HIGHEST)
    assert [slider.preprocess(one) for one in (None, -1, 0.5, 9)] == [HIGHEST, 0.02, 0.5, HIGHEST]


def test_nothing_is_left_of_the_answer_where_there_is_no_image(tmp_path):
    from spectralvision.demo import page
    from spectralvision.demo.explorer import Explorer

    explorer = Explorer(["affnet_et.cifar10"])
    text = tmp_path / "notes.jpg"
    text.write_text("no image")
    show, rest = page._show(explorer), (0, page.HIGHEST, None, 0)
    assert show(explorer.names[0], None, *rest) == page.NOTHING
    with pytest.warns(UserWarning, match="This file cannot be read as an image"):
        assert show(explorer.names[0], str(text), *rest) == page.NOTHING
