"""Photos: PNG only, judged by content, re-encoded so that nothing but the picture is kept, cropped square."""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor

from PIL import Image, UnidentifiedImageError

from comunik_pbx.web.passwords import considerate

MOST_BYTES = 2 * 1024 * 1024
MOST_PIXELS = 25_000_000
SIDE = 256

MOST_KEPT = 60 * 1024
"""Bytes of what is kept, so that a page with a photo stays under 100 KB: larger ones get a palette of 256 colours."""

# One at a time: unpacked, 25 million pixels take 200 MB.
_worker = ThreadPoolExecutor(1, "photos", initializer=considerate)


class NotAPhoto(Exception):
    """It will not do; `reason` is `size`, `kind` or `broken`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


async def portrait(content: bytes) -> bytes:
    """A square PNG of 256 pixels made of an uploaded PNG. Raises NotAPhoto."""
    return await asyncio.get_running_loop().run_in_executor(_worker, _portrait, content)


def _portrait(content: bytes) -> bytes:
    if len(content) > MOST_BYTES:
        raise NotAPhoto("size")
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise NotAPhoto("size")
            side = min(picture.size)
            left, top = (picture.width - side) // 2, (picture.height - side) // 2
            square = picture.crop((left, top, left + side, top + side)).convert("RGBA")
    except UnidentifiedImageError:
        raise NotAPhoto("kind") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise NotAPhoto("size") from None
    except (OSError, SyntaxError, ValueError):
        raise NotAPhoto("broken") from None
    small = square.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    small.info.clear()  # a colour profile would be written again, with what it says of the camera
    opaque = small.getchannel("A").getextrema() == (255, 255)
    made = _png(small.convert("RGB") if opaque else small)
    return made if len(made) <= MOST_KEPT else _png(small.quantize(256, Image.Quantize.FASTOCTREE))


def _png(picture: Image.Image) -> bytes:
    made = io.BytesIO()
    picture.save(made, "PNG", optimize=True)
    return made.getvalue()
