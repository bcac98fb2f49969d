"""What clients send and are sent: the toolkit's decoders and encoders, type by type.

A type is matched as it is sent: with a parameter behind it, or in capitals, the toolkit knows none.
Whatever is wrong is a 400 there, so what is raised here needs no status.
"""

from __future__ import annotations

import base64
import csv
import datetime
import io
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from inservice.modelserver import encoding
from inservice.modelserver.stacks.toolkit import UnsupportedFormatError

IMAGES: Final = tuple(
    f"image/{kind}" for kind in ("jpeg", "png", "tiff", "bmp", "gif", "webp", "x-image")
)
AUDIO: Final = tuple(f"audio/{kind}" for kind in ("x-flac", "mpeg", "wave", "ogg", "x-audio"))

HEADINGS: Final = ("question", "context", "inputs")
"""One of these has to be in the first line of a CSV, as the name of a column."""


def decode(body: bytes, content_type: str | None) -> Any:
    """What the pipeline is to be called with. Raises UnsupportedFormatError, and ValueError or what
    the reader of the type raises."""
    reader = _READERS.get(content_type or "")
    if reader is None:
        raise UnsupportedFormatError(content_type)
    return reader(body)


def encode(prediction: Any, accept: str) -> bytes:
    """What a pipeline returned, as `accept` asks. Raises UnsupportedFormatError, and ValueError or
    TypeError for what has no form in it."""
    if accept in IMAGES:
        return _image_bytes(prediction, accept)
    writer = _WRITERS.get(accept)
    if writer is None:
        raise UnsupportedFormatError(accept)
    return writer(prediction)


# ── in ───────────────────────────────────────────────────────────────────────────────────────────


def _of_json(body: bytes) -> Any:
    return json.loads(body.decode())


def _of_csv(body: bytes) -> dict[str, Any]:
    text = body.decode()
    first = text.splitlines()[0].lower() if text else ""
    if not any(heading in first for heading in HEADINGS):
        raise ValueError(
            "You need to provide the correct CSV with Header columns to use it with the inference "
            "toolkit default handler."
        )
    rows = list(csv.DictReader(io.StringIO(text)))
    if not rows:
        raise ValueError("The CSV has a header and no row.")
    if "inputs" in rows[0]:
        return {"inputs": [row["inputs"] for row in rows]}
    return {"inputs": rows}


def _of_npy(body: bytes) -> Any:
    return encoding.decode(body, encoding.NPY, named=False)


def _of_image(body: bytes) -> dict[str, Any]:
    from PIL import Image  # type: ignore[import-not-found,unused-ignore]

    return {"inputs": Image.open(io.BytesIO(body)).convert("RGB")}


def _of_audio(body: bytes) -> dict[str, Any]:
    return {"inputs": body}


_READERS: Mapping[str, Callable[[bytes], Any]] = MappingProxyType(
    {
        encoding.JSON: _of_json,
        encoding.CSV: _of_csv,
        encoding.NPY: _of_npy,
        **dict.fromkeys(IMAGES, _of_image),
        **dict.fromkeys(AUDIO, _of_audio),
    }
)


# ── out ──────────────────────────────────────────────────────────────────────────────────────────


def _to_json(prediction: Any) -> bytes:
    """Compact, in UTF-8, and never NaN or Infinity, which is no JSON: those are an error."""
    text = json.dumps(
        prediction, ensure_ascii=False, allow_nan=False, default=_plain, separators=(",", ":")
    )
    # A lone surrogate, which a tokenizer can make of half a character, has no bytes in UTF-8.
    return text.encode(errors="backslashreplace")


def _plain(value: Any) -> Any:
    """What the standard library has no JSON for: arrays and their scalars, times, pictures."""
    if callable(convert := getattr(value, "tolist", None)) and not isinstance(value, type):
        return convert()
    if isinstance(value, datetime.datetime):
        return str(value)
    if callable(getattr(value, "save", None)) and hasattr(value, "mode"):
        return base64.b64encode(_image_bytes(value, "image/png")).decode()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _to_csv(prediction: Any) -> bytes:
    """A line for each answer, under the names of the first one's members."""
    rows = prediction if isinstance(prediction, list) else [prediction]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise TypeError(f"a {type(prediction).__name__} of this form has no rows for text/csv")
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def _to_npy(prediction: Any) -> bytes:
    return encoding.encode(prediction, encoding.NPY)[0]


def _image_bytes(picture: Any, accept: str) -> bytes:
    kind = "PNG" if accept == "image/x-image" else accept.partition("/")[2].upper()
    out = io.BytesIO()
    picture.save(out, format=kind)
    return out.getvalue()


_WRITERS: Mapping[str, Callable[[Any], bytes]] = MappingProxyType(
    {encoding.JSON: _to_json, encoding.CSV: _to_csv, encoding.NPY: _to_npy}
)
