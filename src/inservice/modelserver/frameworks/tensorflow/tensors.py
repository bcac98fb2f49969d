"""JSON and tensors, as TensorFlow Serving turns one into the other.

    {"instances": [row, …]}    one row for each prediction: a value, or an object of named inputs
    {"inputs": columns}        whole tensors: of the one input, or an object of all
    {"predictions": [row, …]} and {"outputs": columns} answer them

A tensor's values lie all at one depth, lists of one depth are of one length, and a number has to be
one that its type can hold. The sentences are TensorFlow Serving's.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np

_INTEGERS: Final = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_FLOATS: Final = ("float", "double", "half", "bfloat16")

NUMPYS: Final[Mapping[str, str]] = {
    **{name: name for name in _INTEGERS},
    "float": "float32",
    "double": "float64",
    "half": "float16",
    "bfloat16": "float32",
    "bool": "bool",
    "string": "O",
}
"""TensorFlow's name of a type to numpy's."""


class Invalid(Exception):
    """What TensorFlow Serving calls INVALID_ARGUMENT."""


# ── in ───────────────────────────────────────────────────────────────────────────────────────────


def document(body: str) -> dict[str, Any]:
    """The object of a request. Raises Invalid."""
    if not body:
        raise Invalid("JSON Parse error: The document is empty")
    try:
        said = json.loads(body)
    except json.JSONDecodeError as error:
        raise Invalid(f"JSON Parse error: {error.msg} at offset: {error.pos}") from error
    except RecursionError:
        raise Invalid("JSON Parse error: it nests too deeply") from None
    if not isinstance(said, dict):
        raise Invalid(f"JSON Value: {_shown(said)} Is not object")
    return said


def signature_name(said: Mapping[str, Any]) -> str | None:
    """Which signature is asked for; None for the default. Raises Invalid."""
    name = said.get("signature_name")
    if name is not None and not isinstance(name, str):
        raise Invalid(
            f"JSON Value: {_shown(said)} not formatted correctly. 'signature_name' key must be a "
            "string value."
        )
    return name or None


def inputs_of(
    said: Mapping[str, Any], types: Mapping[str, str]
) -> tuple[dict[str, np.ndarray[Any, Any]], bool]:
    """The tensors of a request for inputs of these types, and whether it is in rows. Raises
    Invalid."""
    if "instances" in said and "inputs" in said:
        raise Invalid(
            f"JSON Value: {_shown(said)} Not formatted correctly expecting only one of 'inputs' or "
            "'instances' keys to exist "
        )
    if "instances" in said:
        rows = said["instances"]
        if not isinstance(rows, list):
            raise Invalid(f"JSON Value: {_shown(said)} Excepting 'instances' to be an list/array")
        if not rows:
            raise Invalid(f"JSON Value: {_shown(said)} No values in 'instances' array")
        return _of_rows(rows, types), True
    if "inputs" in said:
        return _of_columns(said["inputs"], types), False
    raise Invalid("Missing 'inputs' or 'instances' key")


def _of_rows(rows: list[Any], types: Mapping[str, str]) -> dict[str, np.ndarray[Any, Any]]:
    if not isinstance(rows[0], dict) and len(types) > 1:
        raise Invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    if _is_named(rows[0]):
        return _of_named_rows(rows, types)
    ((name, kind),) = types.items()
    for number, row in enumerate(rows):
        if _is_named(row):
            raise Invalid(f"Expecting value/list but got object at item {number} of input list")
    return {name: _stacked(rows, kind, lambda number: f"{number}")}


def _of_named_rows(rows: list[Any], types: Mapping[str, str]) -> dict[str, np.ndarray[Any, Any]]:
    for number, row in enumerate(rows):
        if not _is_named(row):
            raise Invalid(f"Expecting object but got list at item {number} of input list")
        if unknown := [name for name in row if name not in types]:
            raise Invalid(
                f"Failed to process element: {number} key: {unknown[0]} of 'instances' list. "
                f"Error: INVALID_ARGUMENT: JSON object: does not have named input: {unknown[0]}"
            )
        if row.keys() != types.keys():
            raise Invalid(
                f"Failed to process element: {number} of 'instances' list. JSON object: "
                f"{_shown(row)} keys must be equal to: {','.join(sorted(types))}"
            )
    return {
        name: _stacked(
            [row[name] for row in rows], kind, lambda number, name=name: f"{number} key: {name}"
        )
        for name, kind in types.items()
    }


def _stacked(values: list[Any], kind: str, where: Any) -> np.ndarray[Any, Any]:
    """One tensor of the rows' values, which have to be alike."""
    import numpy as np

    if (quick := _quick(values, kind)) is not None:
        return quick
    arrays: list[np.ndarray[Any, Any]] = []
    for number, value in enumerate(values):
        try:
            arrays.append(_like(arrays[0] if arrays else None, tensor(value, kind)))
        except Invalid as error:
            raise Invalid(
                f"Failed to process element: {where(number)} of 'instances' list. "
                f"Error: INVALID_ARGUMENT: {error}"
            ) from error
    return np.stack(arrays)


def _like(first: np.ndarray[Any, Any] | None, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array of a row, if it is as the first row's is."""
    if first is not None and array.size != first.size:
        raise Invalid(f"Expecting tensor size: {first.size} but got: {array.size}")
    if first is not None and array.shape != first.shape:
        raise Invalid(f"Expecting shape {_shape(first.shape)} but got: {_shape(array.shape)}")
    return array


def _of_columns(columns: Any, types: Mapping[str, str]) -> dict[str, np.ndarray[Any, Any]]:
    if not _is_named(columns):
        if len(types) > 1:
            raise Invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        ((name, kind),) = types.items()
        return {name: tensor(columns, kind)}
    if missing := [name for name in types if name not in columns]:
        raise Invalid(f"Missing named input: {missing[0]} in 'inputs' object.")
    return {name: tensor(columns[name], kind) for name, kind in types.items()}


def tensor(value: Any, kind: str) -> np.ndarray[Any, Any]:
    """A value as a tensor of a type. Raises Invalid."""
    import numpy as np

    if (quick := _quick(value, kind)) is not None:
        return quick
    if kind not in NUMPYS:
        raise Invalid(f"Conversion of JSON Value: {_shown(value)} to type: {kind}")
    shape: list[int] = []
    first = value
    while isinstance(first, list):
        shape.append(len(first))
        if not first:
            break
        first = first[0]
    flat: list[Any] = []
    _fill(value, 0, shape, kind, flat)
    array = np.empty(len(flat), dtype=NUMPYS[kind])
    for place, one in enumerate(flat):
        array[place] = one
    return array.reshape(shape)


def _quick(value: Any, kind: str) -> np.ndarray[Any, Any] | None:
    """Lists of numbers without a look at each; None where each has to be looked at."""
    import numpy as np

    if kind not in _FLOATS or not isinstance(value, list):
        return None
    try:
        array = np.array(value)
    except ValueError:  # lists of several lengths
        return None
    if array.dtype.kind not in "fi":
        return None
    limits, whole = np.finfo(NUMPYS[kind]), array.dtype.kind == "i"
    largest = np.abs(array[np.isfinite(array)]).max(initial=0)
    fits = largest < 2 ** (limits.nmant + 1) if whole else largest <= limits.max
    return array.astype(NUMPYS[kind]) if fits else None


def _fill(value: Any, level: int, shape: Sequence[int], kind: str, flat: list[Any]) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise Invalid(
                f"JSON Value: {_shown(value)} found at incorrect level: {level + 1} in the JSON "
                f"DOM. Expected at level: {len(shape)}"
            )
        flat.append(_scalar(value, kind))
        return
    if level >= len(shape):
        raise Invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise Invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: "
            f"{shape[level]}"
        )
    for one in value:
        _fill(one, level + 1, shape, kind, flat)


def _scalar(value: Any, kind: str) -> Any:
    if kind == "string":
        if isinstance(value, str):
            return value.encode(errors="surrogatepass")
        if isinstance(value, dict):
            return from_base64(value)
    elif kind == "bool":
        if isinstance(value, bool):
            return value
    elif not isinstance(value, bool | dict) and isinstance(value, int | float):
        if kind in _FLOATS:
            return _decimal(value, kind)
        if isinstance(value, int) and _fits(value, kind):
            return value
    raise Invalid(
        f"JSON Value: {_shown(value)} Type: {_type_name(value)} is not of expected type: {kind}"
    )


def _decimal(value: float, kind: str) -> float:
    """A number that its type holds without loss of whole digits, or that is no number at all."""
    import numpy as np

    limits = np.finfo(NUMPYS[kind])
    if isinstance(value, int):
        fits = abs(value) < 2 ** (limits.nmant + 1)
    else:
        fits = not math.isfinite(value) or abs(value) <= float(limits.max)
    if not fits:
        raise Invalid(
            f"Cannot convert JSON value: {_shown(value)} to {kind} without loss of precision."
        )
    return float(value)


def _fits(value: int, kind: str) -> bool:
    import numpy as np

    limits = np.iinfo(NUMPYS[kind])
    return int(limits.min) <= value <= int(limits.max)


def is_base64(value: Any) -> bool:
    """Whether a value is bytes: `{"b64": "…"}`."""
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def from_base64(value: Any) -> bytes:
    """The bytes of `{"b64": "…"}`. Raises Invalid."""
    if not is_base64(value):
        raise Invalid(f"JSON Value: {_shown(value)} not formatted correctly for base64 data")
    try:
        text = value["b64"]
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("Unable to base64 decode") from None


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _shape(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _type_name(value: Any) -> str:
    if isinstance(value, bool):
        return str(value)
    if value is None:
        return "Null"
    names = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}
    return names[type(value)]


_SHOWN_CHARACTERS: Final = 1024
"""An error quotes a value; a whole image in it would help nobody."""


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


# ── out ──────────────────────────────────────────────────────────────────────────────────────────


def answer(outputs: Mapping[str, np.ndarray[Any, Any]], *, rows: bool) -> str:
    """The JSON that answers a request in rows, or in columns. Raises Invalid."""
    if not outputs:
        raise Invalid("Cannot convert empty tensor map to JSON")
    if not rows:
        columns = {name: plain(outputs[name], name) for name in sorted(outputs)}
        return to_json({"outputs": columns if len(columns) > 1 else next(iter(columns.values()))})
    size: int | None = None
    for name in sorted(outputs):
        if outputs[name].ndim == 0:
            raise Invalid(f"Tensor name: {name} has no shape information ")
        here = len(outputs[name])
        if size is not None and here != size:
            raise Invalid(
                f"Tensor name: {name} has inconsistent batch size: {here} expecting: {size}"
            )
        size = here
    lists = {name: plain(outputs[name], name) for name in sorted(outputs)}
    if len(lists) == 1:
        return to_json({"predictions": next(iter(lists.values()))})
    named = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    return to_json({"predictions": named})


def plain(array: np.ndarray[Any, Any], name: str) -> Any:
    """A tensor as JSON has it. Raises Invalid for a type that has no form in it.

    A number of single precision is written with the digits that it needs, 0.2 and not
    0.20000000298. What is named …_bytes is bytes, and every other string is text.
    """
    import numpy as np

    if array.dtype.kind in "OSU":
        in_bytes = name.endswith("_bytes")
        return _strings(array.tolist(), in_bytes=in_bytes)
    if array.dtype.kind in "biu" or array.dtype == np.float64:
        return array.tolist()
    if array.dtype.kind in "fV":
        single = array.astype(np.float32)
        return single.astype("U32").astype(np.float64).tolist()
    raise Invalid(f"Failed to write JSON value for tensor type: {array.dtype}")


def _strings(value: Any, *, in_bytes: bool) -> Any:
    if isinstance(value, list):
        return [_strings(one, in_bytes=in_bytes) for one in value]
    raw = value if isinstance(value, bytes) else str(value).encode()
    if in_bytes:
        return {"b64": base64.b64encode(raw).decode()}
    return raw.decode(errors="replace")


def to_json(value: Any) -> str:
    """JSON as TensorFlow Serving writes it, NaN and Infinity included."""
    return json.dumps(value, ensure_ascii=False)
