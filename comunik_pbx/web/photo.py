"""Photos: PNG only, judged by content, re-encoded so that nothing but the picture is kept, cropped square."""

import asyncio
import io

from PIL import Image, UnidentifiedImageError

MOST_BYTES = 2 * 1024 * 1024
MOST_PIXELS = 25_000_000
SIDE = 256


class NotAPhoto(Exception):
    """It will not do; `reason` is `size`, `kind` or `broken`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


async def portrait(content: bytes) -> bytes:
    """A square PNG of 256 pixels made of an uploaded PNG. Raises NotAPhoto."""
    return await asyncio.to_thread(_portrait, content)


def _portrait(content: bytes) -> bytes:
    if len(content) > MOST_BYTES:
        raise NotAPhoto("size")
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise NotAPhoto("size")
            side = min(picture.size)
            left, top = (picture.width - side) // 2, (picture.height - side) // 2
            square = picture.convert("RGBA").crop((left, top, left + side, top + side))
    except UnidentifiedImageError:
        raise NotAPhoto("kind") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise NotAPhoto("broken") from None
    made = io.BytesIO()
    square.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(made, "PNG", optimize=True)
    return made.getvalue()
