"""ONNX Runtime: a graph with named inputs and outputs.

AWS has no container of it, so this is what its models ask for, in the forms that clients of other
containers know:

    one array, JSON, CSV or NPY              the model's one input
    {"instances": [row, …]}                  likewise; a row of several inputs is an object
    {"inputs": {"name": array, …}}           by name; {"inputs": array} for the one input
    {"name": array, …}                       by name

Each array becomes what its input is of. A single row is taken for a batch of one where the input
has one dimension more. One output answers as an array, several as an object by name: under
`predictions` a row each for `instances`, under `outputs` whole for `inputs`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from inservice.contract import MODEL_FILES
from inservice.modelserver import encoding
from inservice.modelserver.calls import Call
from inservice.modelserver.encoding import Unacceptable
from inservice.modelserver.frameworks.base import Framework, NotAlike, Start, the_model

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_FILES = {"onnx": MODEL_FILES["onnx"]}

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}

_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
"""What runs a graph, the first that is there: a GPU if the runtime was built for one."""

ARRAY, INSTANCES, INPUTS = "array", "instances", "inputs"


class Asked(NamedTuple):
    """The inputs of a request by their names, and which form they came in."""

    inputs: Mapping[str, Any]
    form: str


def plug(start: Start) -> Framework:
    """The container of an instance."""
    return Graph(start)


def knows(model: Any) -> bool:
    """Whether it is a session."""
    import onnxruntime  # type: ignore[import-not-found,unused-ignore]

    return isinstance(model, onnxruntime.InferenceSession)


class Graph(Framework):
    """The default handlers of a session."""

    def load(self) -> Any:
        """A session. Raises NoModel, and what ONNX Runtime raises."""
        file = self.start.file or the_model(self.start.settings.model_dir, _FILES)[1]
        return _session(file)

    def decode(self, call: Call) -> Any:
        """What a request says, before it is known what the model has inputs for. To a predict_fn of
        the user's, what the default input_fn gives it."""
        if not self.named or encoding.media_type(call.content_type) != encoding.JSON:
            return super().decode(call)
        try:
            return encoding.from_json(call.body)
        except (ValueError, RecursionError) as error:
            raise Unacceptable(400, f"The body is not readable as JSON: {error}") from error

    def predict(self, value: Any, model: Any) -> Any:
        """One run. What does not fit the inputs is the caller's: 400."""
        asked = inputs_of(value, model)
        return _answer(_run(model, asked.inputs), asked.form, model)

    def predict_batch(self, values: Sequence[Any], model: Any) -> Sequence[Any]:
        """One run over many requests, where all inputs and outputs have rows of one kind."""
        import numpy as np

        if len(values) == 1 or not _has_rows(model):
            raise NotAlike
        asked = [inputs_of(value, model) for value in values]
        names = list(asked[0].inputs)
        kinds = {tuple((n, a.inputs[n].shape[1:], a.inputs[n].dtype) for n in names) for a in asked}
        lengths = [len(a.inputs[names[0]]) for a in asked]
        if len(kinds) > 1 or any(
            len(a.inputs[name]) != length
            for a, length in zip(asked, lengths, strict=True)
            for name in names
        ):
            raise NotAlike
        whole = {name: np.concatenate([a.inputs[name] for a in asked]) for name in names}
        outputs = _run(model, whole)
        if any(len(output) != sum(lengths) for output in outputs):
            raise NotAlike
        answers, place = [], 0
        for one, length in zip(asked, lengths, strict=True):
            part = [output[place : place + length] for output in outputs]
            answers.append(_answer(part, one.form, model))
            place += length
        return answers

    def encode(self, prediction: Any, accept: str, call: Call) -> Any:  # noqa: ARG002
        """An array in any type; what has several outputs in JSON only."""
        if isinstance(prediction, dict) and encoding.chosen(accept) not in (None, encoding.JSON):
            names = ", ".join(prediction)
            raise Unacceptable(406, f"Accept {accept} is for one output, and there are {names}")
        return encoding.encode(prediction, accept)


def inputs_of(value: Any, model: Any) -> Asked:
    """The arrays for a model's inputs. Raises Unacceptable, 400."""
    wanted = {given.name: given for given in model.get_inputs()}
    form = ARRAY
    if isinstance(value, dict):
        for form in (INSTANCES, INPUTS):
            if set(value) == {form} and form not in wanted:
                value = value[form]
                break
        else:
            form = ARRAY
    if form == INSTANCES and isinstance(value, list) and value and isinstance(value[0], dict):
        value = _by_name(value)
    if not isinstance(value, dict):
        if len(wanted) != 1:
            raise Unacceptable(
                400, f"The model has the inputs {', '.join(wanted)}: name each in a JSON object"
            )
        value = {next(iter(wanted)): value}
    if unknown := [str(name) for name in value if name not in wanted]:
        raise Unacceptable(
            400, f"The model has no input {', '.join(unknown)}; it has {', '.join(wanted)}"
        )
    if missing := [name for name in wanted if name not in value]:
        raise Unacceptable(400, f"The input {', '.join(missing)} is missing")
    return Asked({name: _array(value[name], wanted[name]) for name in wanted}, form)


def _by_name(rows: Sequence[Any]) -> dict[str, list[Any]]:
    """Objects, of one input each row, as a list for each input."""
    if not all(isinstance(row, dict) and row.keys() == rows[0].keys() for row in rows):
        raise Unacceptable(400, "The instances differ in what they name")
    return {name: [row[name] for row in rows] for name in rows[0]}


def _array(value: Any, wanted: Any) -> Array:
    """As the input is: of its type, and with a dimension for the batch where that is missing."""
    import numpy as np

    dtype = _DTYPES.get(wanted.type)
    if dtype is None:
        raise Unacceptable(400, f"The input {wanted.name} is a {wanted.type}, which no body holds")
    if hasattr(value, "toarray"):
        value = value.toarray()
    try:
        array = np.asarray(value)
        if array.dtype.kind == "O" and dtype != "object":
            array = np.asarray(value, dtype=dtype)
        array = array.astype(dtype, copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise Unacceptable(400, f"The input {wanted.name} is no {wanted.type}: {error}") from error
    missing = len(wanted.shape) - array.ndim
    if missing == 1:
        column = array.ndim == 1 and wanted.shape[-1] == 1
        array = array[:, np.newaxis] if column else array[np.newaxis]
    return np.asarray(array, order="C")


def _session(file: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Threads that spin for work would take the cores from the other instances of this host.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if (threads := os.environ.get("OMP_NUM_THREADS", "")).isdecimal():
        options.intra_op_num_threads = int(threads)
    there = onnxruntime.get_available_providers()
    providers = [name for name in _PROVIDERS if name in there]
    return onnxruntime.InferenceSession(str(file), options, providers=providers)


def _run(model: Any, inputs: Mapping[str, Array]) -> list[Any]:
    from onnxruntime.capi import (  # type: ignore[import-not-found,unused-ignore]
        onnxruntime_pybind11_state as state,
    )

    theirs = (state.InvalidArgument, state.RuntimeException, state.Fail, ValueError)
    try:
        return list(model.run(None, dict(inputs)))
    except theirs as error:
        raise Unacceptable(400, f"The model cannot be run on this: {error}") from error


def _answer(outputs: Sequence[Any], form: str, model: Any) -> Any:
    if len(outputs) == 1 and form == ARRAY:
        return outputs[0]
    names = [output.name for output in model.get_outputs()]
    if form == INSTANCES:
        rows = outputs[0] if len(outputs) == 1 else _as_rows(names, outputs)
        return {"predictions": rows}
    whole = dict(zip(names, outputs, strict=True))
    if form == INPUTS:
        return {"outputs": outputs[0] if len(outputs) == 1 else whole}
    return whole


def _as_rows(names: Sequence[str], outputs: Sequence[Any]) -> list[dict[str, Any]]:
    if len({len(output) for output in outputs}) != 1:
        raise Unacceptable(400, "The outputs differ in their rows: ask by inputs, not by instances")
    return [dict(zip(names, row, strict=True)) for row in zip(*outputs, strict=True)]


def _has_rows(model: Any) -> bool:
    """Whether its inputs and outputs can have any number of rows."""
    values = (*model.get_inputs(), *model.get_outputs())
    return all(value.shape and not isinstance(value.shape[0], int) for value in values)
