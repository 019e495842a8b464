"""The page: choose a model and an image, and see what the model makes of it.

Nothing on it comes from another address, and none is called: fonts are those of the system, usage
statistics are off, and the browser is told to load from this server only.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_pil_to_cache
from gradio.utils import get_upload_folder
from PIL import Image
from starlette.middleware import Middleware

from spectralvision.demo.explorer import TOP, Explorer
from spectralvision.ops import ORIENTATIONS
from spectralvision.runs import UserError

HOST = "127.0.0.1"
MAX_UPLOAD = "20mb"
MAX_QUEUE = 40
"""Visitors that wait; more are told to come back."""
HIGHEST = 1.5
"""Fraction of the Nyquist frequency beyond the corners of every spectrum."""
NOTHING = (None, "", None, None, None)
"""What the page shows without an image."""
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "media-src 'self' data: blob:; worker-src 'self' blob:; connect-src 'self' data: blob:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'self'"
)
TEXT = """# spectralvision
Choose a model and an image. Everything is computed on this machine, and nothing leaves it."""
FILTER_TEXT = """An adaptive frequency filter multiplies the spectrum of each channel by a mask that
it computes from the image. The three channels whose masks have the most energy are shown.
**Amplitude**: bright frequencies are kept or amplified, dark ones are removed; zero frequency is in
the middle. **Phase**: by how much a frequency is shifted. **Kernel**: the same mask in space; the
filter convolves the feature map with it."""
BAND_TEXT = """A scattering mixer splits the feature map into a lowpass and bands at six
orientations by a dual-tree complex wavelet transform, and blends the channels of each band with
learned weights. One orientation is shown **before** and **after** blending: the mean amplitude
over the channels, and amplitude and phase of the channel that has the most energy."""


def uploaded_path(payload: Any) -> str | None:
    """Return the path of an upload, which Gradio has checked to be one.

    It takes the place of the image input's own `preprocess`, which decodes the image. (A subclass
    would make Gradio write a file beside this one.)
    """
    return None if payload is None or payload.path is None else str(payload.path)


def save_picture(image: Image.Image | None, name: str) -> str | None:
    """Write a picture where Gradio keeps what it serves, with the name that a download gets."""
    if image is None:
        return None
    return save_pil_to_cache(image, get_upload_folder(), f"spectralvision-{name}", "png")


def limit(slider: gr.Slider, start: float) -> None:
    """Set a number that is typed into a slider to the nearest in its range, and none to `start`."""

    def nearest(number: float | None) -> float:
        return start if number is None else min(max(number, slider.minimum), slider.maximum)

    slider.preprocess = nearest


class SecurityHeaders:
    """Adds the policy to every answer."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [
                    *message.get("headers", []),
                    (b"content-security-policy", POLICY.encode()),
                    (b"referrer-policy", b"no-referrer"),
                    (b"x-content-type-options", b"nosniff"),
                ]
                message = {**message, "headers": headers}
            await send(message)

        await self.app(scope, receive, send_with_policy)


def build_page(explorer: Explorer, examples: Sequence[Path]) -> gr.Blocks:
    """Return the page for some models, with example images."""
    first = explorer.names[0]
    layers = explorer.layers(first)
    picture: dict[str, Any] = {
        "interactive": False, "format": "png", "buttons": ["download", "fullscreen"]
    }  # fmt: skip
    blocks = gr.Blocks(title="spectralvision", analytics_enabled=False, delete_cache=(600, 3600))
    with blocks as page:
        gr.Markdown(TEXT)

        # 1. Model and image, and the answer
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                model = gr.Dropdown(explorer.names, value=first, label="Model")
                image = gr.Image(
                    type="filepath", sources=["upload", "webcam", "clipboard"], label="Image",
                    height=300, elem_id="upload",
                )  # fmt: skip
                image.preprocess = uploaded_path
                paths = [[str(path)] for path in examples]
                dataset = gr.Dataset(components=[image], samples=paths, label="Examples")
                dataset.click(lambda sample: sample[0], dataset, image, show_progress="hidden")
            with gr.Column(scale=1, min_width=300):
                scores = gr.Label(
                    num_top_classes=TOP, label="Classes", elem_id="scores",
                    visible=explorer.is_classifier(first),
                )  # fmt: skip
                text = gr.Markdown(elem_id="text")
                highest = gr.Slider(
                    0.02, HIGHEST, HIGHEST, step=0.01, elem_id="highest",
                    label="Keep frequencies up to",
                    info="1 is the Nyquist frequency of the model's input: half a cycle per pixel",
                )  # fmt: skip
                lowest = gr.Slider(
                    0.0, 1.0, 0.0, step=0.01, elem_id="lowest",
                    label="Remove frequencies below",
                )  # fmt: skip
                limit(highest, HIGHEST)
                limit(lowest, 0.0)
        with gr.Row():
            seen = gr.Image(label="Input of the model", height=340, elem_id="seen", **picture)
            answer = gr.Image(
                label=_answer_label(explorer, first), height=340, elem_id="answer", **picture
            )

        # 2. A layer of the network
        with gr.Column(visible=bool(layers)) as inside:
            gr.Markdown("## Inside the network")
            explanation = gr.Markdown(_explain(explorer, first, layers[0] if layers else None))
            with gr.Row():
                layer = gr.Dropdown(layers, value=layers[0] if layers else None, label="Layer")
                orientation = gr.Dropdown(
                    [(f"{one} degrees", number) for number, one in enumerate(ORIENTATIONS)],
                    value=0, label="Orientation", elem_id="orientation",
                    visible=bool(layers) and explorer.has_orientations(first, layers[0]),
                )  # fmt: skip
            inner = gr.Image(show_label=False, elem_id="layer", **picture)

        # 3. What happens when something is chosen
        inputs = [model, image, lowest, highest, layer, orientation]
        outputs = [scores, text, seen, answer, inner]
        show = _show(explorer)
        chosen = model.change(
            _choose_model(explorer), model,
            [scores, answer, inside, layer, explanation, orientation], show_progress="hidden",
        )  # fmt: skip
        chosen.success(show, inputs, outputs)
        chosen.failure(lambda: (*NOTHING, gr.update(visible=False)), None, [*outputs, inside])
        layer.input(  # not `change`, which the choice of a model would trigger, too
            _choose_layer(explorer), [model, layer], [explanation, orientation],
            show_progress="hidden",
        )  # fmt: skip
        layer.input(show, inputs, outputs, trigger_mode="always_last")
        for component in (image, orientation, lowest, highest):
            component.change(show, inputs, outputs, trigger_mode="always_last")
    page.queue(max_size=MAX_QUEUE, default_concurrency_limit=1, api_open=False)
    return page


def _answer_label(explorer: Explorer, name: str) -> str:
    if explorer.is_classifier(name):
        return "Class activation (Grad-CAM)"
    return "What the model finds"


def _explain(explorer: Explorer, name: str, layer: str | None) -> str:
    return BAND_TEXT if explorer.has_orientations(name, layer) else FILTER_TEXT


def _choose_model(explorer: Explorer) -> Callable[[str], Any]:
    """Return what the page changes when another model is chosen."""

    def choose(name: str) -> Any:
        try:
            layers = explorer.layers(name)
        except UserError as error:
            raise gr.Error(_sentence(error), print_exception=False) from None
        first = layers[0] if layers else None
        return (
            gr.update(visible=explorer.is_classifier(name)),
            gr.update(label=_answer_label(explorer, name)),
            gr.update(visible=bool(layers)),
            gr.update(choices=layers, value=first),
            *_layer_updates(explorer, name, first),
        )

    return choose


def _choose_layer(explorer: Explorer) -> Callable[..., Any]:
    """Return what the page changes when another layer is chosen."""

    def choose(name: str, layer: str | None) -> Any:
        return _layer_updates(explorer, name, layer)

    return choose


def _layer_updates(explorer: Explorer, name: str, layer: str | None) -> tuple[Any, Any]:
    """Return the explanation of a layer, and whether it has orientations."""
    has_orientations = explorer.has_orientations(name, layer)
    return _explain(explorer, name, layer), gr.update(visible=has_orientations)


def _show(explorer: Explorer) -> Callable[..., Any]:
    """Return what the page shows for an image."""

    def show(
        model: str, image: str | None, lowest: float, highest: float, layer: str | None,
        orientation: int,
    ) -> Any:  # fmt: skip
        if image is None:
            return NOTHING
        try:
            found = explorer.explore(model, image, lowest, highest, layer, orientation)
        except UserError as error:
            gr.Warning(_sentence(error), title="This image cannot be used")
            return NOTHING
        text = f"{found.text}\n\n" if found.text else ""
        text += f"{1000 * found.seconds:.0f} ms for the prediction, preparing the image included"
        return (
            found.scores or None, text, save_picture(found.seen, "input"),
            save_picture(found.answer, "answer"), save_picture(found.layer, "layer"),
        )  # fmt: skip

    return show


def _sentence(error: UserError) -> str:
    text = str(error)
    return text[0].upper() + text[1:]


def serve(page: gr.Blocks, port: int | None, open_browser: bool) -> str:
    """Serve the page on this machine only; return its address.

    Raises:
        UserError: The port is taken.
    """
    theme = gr.themes.Soft(
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    try:
        _, address, _ = page.launch(
            server_name=HOST,
            server_port=port,
            prevent_thread_lock=True,
            inbrowser=open_browser,
            share=False,
            quiet=True,
            show_error=False,
            max_file_size=MAX_UPLOAD,
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            enable_monitoring=False,
            theme=theme,
            app_kwargs={"middleware": [Middleware(SecurityHeaders)]},
        )
    except OSError:
        taken = f"port {port} is taken" if port else "no port from 7860 to 7959 is free"
        raise UserError(f"{taken}: choose another --port.") from None
    return str(address)
