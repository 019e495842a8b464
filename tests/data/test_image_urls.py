"""Images at addresses: what is fetched, from where, and within which limits."""

import io
import time

import numpy as np
import pytest

from spectralvision.data import image_urls
from spectralvision.data.image_paths import image_paths
from spectralvision.data.image_urls import fetch, is_url
from spectralvision.runs import UserError
from tests.helpers.pictures import encoded, picture
from tests.helpers.web_server import redirect, send, serve

PNG = encoded(picture("red", 0))


@pytest.fixture(autouse=True)
def _without_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def send_without_length(request):
    request.send_response(200)
    request.end_headers()
    request.wfile.write(PNG)


def send_slowly(request):
    request.send_response(200)
    request.end_headers()
    for _ in range(100):
        request.wfile.write(b"x")
        time.sleep(0.05)


def send_slow_headers(request):
    for _ in range(100):
        request.wfile.write(b"H")
        time.sleep(0.05)


def send_nothing(request):
    time.sleep(5)


ANSWERS = {
    "/a.png": send(PNG),
    "/no-length": send_without_length,
    "/caf%C3%A9%20x.png?size=1&b=%20": send(PNG),
    "/moved": redirect("/a.png"),
    "/twice": redirect("/moved", 301),
    "/loop": redirect("/loop"),
    "/to-file": redirect("file:///etc/hostname"),
    "/to-ftp": redirect("ftp://127.0.0.1/a.png"),
    "/to-data": redirect("data:image/png;base64,AAAA"),
    "/short": send(PNG[:100], Content_Length=str(len(PNG))),
    "/large": send(PNG, Content_Length=str(2**40)),
    "/page": send(b"<html></html>"),
    "/empty": send(b""),
    "/bad-length": send(PNG, Content_Length="many"),
    "/slow": send_slowly,
    "/slow-headers": send_slow_headers,
    "/nothing": send_nothing,
}


@pytest.fixture(scope="module")
def server():
    with serve(ANSWERS) as address:
        yield address


PATHS = ["/a.png", "/no-length", "/moved", "/twice", "/a.png#x", "/caf\u00e9 x.png?size=1&b=%20"]


@pytest.mark.parametrize("path", PATHS)
def test_an_image_at_an_address(server, path):
    images = image_paths([server + path])
    assert (len(images), images.name(0)) == (1, server + path)
    assert np.array_equal(np.asarray(images.image(0)), np.asarray(picture("red", 0)))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/gone", "404 Not Found"),
        ("/loop", "302 The HTTP server returned a redirect error"),
        ("/to-file", "302 Found - Redirection to url 'file:///etc/hostname' is not allowed"),
        ("/to-data", "302 Found - Redirection to url 'data:image/png;base64,AAAA' is not allowed"),
        ("/to-ftp", "302 Found - Redirection to url 'ftp://127.0.0.1/a.png' is not allowed"),
        ("/short", "the connection ended early"),
        ("/large", "more than 128.0 MiB"),
        ("/bad-length", "invalid literal"),
    ],
)
def test_what_cannot_be_fetched_is_one_sentence(server, path, reason):
    with pytest.raises(UserError) as error:
        image_paths([server + path]).image(0)
    assert str(error.value).startswith(f"{server}{path} cannot be fetched ({reason}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("path", "reason"), [("/page", "no image format"), ("/empty", "an empty")])
def test_what_is_no_image_is_reported_as_such(server, path, reason):
    with pytest.raises(UserError, match=rf"{path} cannot be read as an image \({reason}"):
        image_paths([server + path]).image(0)


@pytest.mark.parametrize("path", ["/slow", "/slow-headers", "/nothing"])
def test_the_time_of_one_image_is_bounded(server, path, monkeypatch):
    monkeypatch.setattr(image_urls, "TIME_LIMIT_SECONDS", 0.4)
    start = time.monotonic()
    with pytest.raises(UserError, match=r"cannot be fetched \(it takes more than 0\.4 s\)"):
        fetch(server + path)
    assert time.monotonic() - start < 2


def test_the_size_of_one_image_is_bounded_without_its_length(server, monkeypatch):
    monkeypatch.setattr(image_urls, "MAX_BYTES", 1024)
    with pytest.raises(UserError, match=r"cannot be fetched \(more than 1\.0 KiB\)"):
        fetch(f"{server}/no-length")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:1/a.png", "Connection refused"),
        ("ftp://127.0.0.1/a.png", "ftp addresses are not read, only http and https"),
        ("file:///etc/hostname", "file addresses are not read, only http and https"),
        ("s3://bucket/a.png", "s3 addresses are not read, only http and https"),
        ("http://", "no host given"),
        ("http://127.0.0.1:port/a.png", "nonnumeric port: 'port'"),
        ("http://[::1/a.png", "Invalid IPv6 URL"),
        ("http://127.0.0.1:99999999/a.png", ""),
        ("http://\udcff/a.png", "'utf-8' codec can't encode"),
        ("http://a\x00b/a.png", ""),
    ],
)
def test_bad_addresses_are_one_sentence(url, reason):
    assert is_url(url)
    with pytest.raises(UserError, match=r"cannot be fetched \(") as error:
        image_paths([url]).image(0)
    assert f"({reason}" in str(error.value)


@pytest.mark.parametrize(
    "word", ["a.png", "/a.png", "./http:/a.png", "C:/a.png", "a b://c", "://x"]
)
def test_paths_are_no_addresses(word):
    assert not is_url(word)


def test_addresses_in_a_list_of_paths_are_not_fetched(server):
    images = image_paths(["-"], io.BytesIO(f"{server}/a.png\n".encode()))
    with pytest.raises(UserError, match=r"a\.png does not exist"):
        images.image(0)
