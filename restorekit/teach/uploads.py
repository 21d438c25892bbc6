"""Choose a bundled picture or hand in your own."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
from torch import Generator, Tensor, rand

from restorekit._check import fail

from .figures import show
from .panel import Panel, button

OWN = "my own picture"


class Upload(Panel):
    """List of pictures, file button and preview; `.value` is the chosen tensor. See `upload`."""

    def __init__(self, names: tuple[str, ...], default: str, *, gray: bool, side: int, max_mb: float, question: str | None) -> None:
        self._gray, self._side, self._max_bytes = gray, side, max_mb * 1e6
        self._own: Tensor | None = None
        self.notice = widgets.Label()
        choice = widgets.Dropdown(options=[*names, OWN], value=default, description="picture")
        self.file = widgets.FileUpload(accept=".png,.jpg,.jpeg,.tif,.tiff,.bmp,.webp", multiple=False, description="Open a file")
        self.file.observe(lambda change: self._received(change["new"]), names="value")
        super().__init__(
            {"picture": choice},
            text="Choice of a picture",
            question=question,
            extra=(widgets.HBox([self.file, button("Reset", self.reset), self.notice]),),
        )

    @property
    def value(self) -> Tensor:
        """The chosen picture (1, C, H, W) float32 in [0, 1], cropped to its middle where it is larger than allowed."""
        return self._value

    def take(self, content: bytes) -> None:
        """Use the bytes of an image file as the picture, as the file button does; a bad file is explained under the preview."""
        from restorekit.images import load_image

        try:
            if len(content) > self._max_bytes:
                fail(f"a file of {len(content) / 1e6:.0f} MB", f"at most {self._max_bytes / 1e6:.0f} MB", "save it smaller, or as JPEG")
            self._own = load_image(content, gray=self._gray)
        except (ValueError, TypeError, OSError) as error:
            self.say(error)
            return
        self.controls["picture"].value = OWN
        self.redraw()

    def render(self) -> tuple[bytes, str]:
        from restorekit.images import bundled

        name = self.controls["picture"].value
        if name == OWN and self._own is None:
            fail("no file yet", "a PNG, JPEG, TIFF, BMP or WebP file", 'press "Open a file"')
        full = self._own if name == OWN and self._own is not None else bundled(name, gray=self._gray)
        self._value = _middle(full, self._side)
        h, w = self._value.shape[-2:]
        cut = f", the middle of {full.shape[-1]} x {full.shape[-2]}" if self._value.shape != full.shape else ""
        self.notice.value = f"{w} x {h} px{cut}"
        kind = "gray" if self._value.shape[1] == 1 else "color"
        shown = show({name: self._value}, alt=f"The chosen picture, {name}: {w} x {h} pixels, {kind}.")
        return shown.png, shown.alt

    def drive(self) -> Any:
        """As for every panel; the reader's own picture is tried with a small one made here."""
        if self._own is None:
            self._own = rand((1, 1 if self._gray else 3, 16, 16), generator=Generator().manual_seed(0))
            yield from super().drive()
            self._own = None
        else:
            yield from super().drive()

    def _received(self, files: tuple[Any, ...]) -> None:
        if files:
            self.take(bytes(files[0]["content"]))


def _middle(x: Tensor, side: int) -> Tensor:
    h, w = x.shape[-2:]
    top, left = max(h - side, 0) // 2, max(w - side, 0) // 2
    return x[..., top : top + side, left : left + side]


def upload(*, default: str = "cat", gray: bool = False, side: int = 256, max_mb: float = 20.0, question: str | None = None) -> Upload:
    """Picture chooser: the bundled pictures and a file of the reader's own; `.value` is the tensor (1, C, H, W) in [0, 1].

    A picture larger than `side` pixels is cropped to its middle (never shrunk: that would change its blur), and the panel
    says so. A file over `max_mb` megabytes, or one that is no image, gets an error under the preview and the old picture
    stays. Without a live front end the default picture is used. Raises ValueError for an unknown default.
    """
    from restorekit.images import bundled_names

    names = tuple(bundled_names())
    if default not in names:
        fail(f"default={default!r}", ", ".join(names), "choose a bundled picture")
    return Upload(names, default, gray=gray, side=side, max_mb=max_mb, question=question)
