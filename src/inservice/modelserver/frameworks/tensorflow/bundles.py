"""SavedModels: where they lie in an artifact, what they take, and what they answer.

    /opt/ml/model/<name>/<version>/saved_model.pb    at any depth; the version is a number
    /opt/ml/model/<version>/saved_model.pb           the model is called `model`
    /opt/ml/model/saved_model.pb                     as well, which AWS's container would not find

All versions are loaded. The newest is what is asked without a version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from inservice.contract import is_litter
from inservice.modelserver.frameworks.base import NoModel, contents
from inservice.modelserver.frameworks.tensorflow.tensors import Invalid, from_base64, is_base64

if TYPE_CHECKING:
    import numpy as np

FILE: Final = "saved_model.pb"
DEFAULT_SIGNATURE: Final = "serving_default"
METHODS: Final[Mapping[str, str]] = {
    "classify": "tensorflow/serving/classify",
    "regress": "tensorflow/serving/regress",
}


class NotServed(Exception):
    """TensorFlow Serving's NOT_FOUND."""


def found_in(model_dir: Path) -> dict[str, dict[int, Path]]:
    """The models of an artifact and their versions, by name. Raises NoModel."""
    models: dict[str, dict[int, Path]] = {}
    for file in sorted(model_dir.rglob(FILE)):
        directory = file.parent
        inside = directory.relative_to(model_dir).parts
        if any(map(is_litter, inside)):
            continue
        if not inside:
            models.setdefault("model", {})[1] = directory
        elif directory.name.isascii() and directory.name.isdecimal():
            named = inside[-2] if len(inside) > 1 else "model"
            models.setdefault(named, {})[int(directory.name)] = directory
    if not models:
        raise NoModel(
            "no SavedModel bundles found! A model is <name>/<version>/saved_model.pb, the version "
            f"a number; the artifact holds {contents(model_dir)}"
        )
    return models


@dataclass(frozen=True, slots=True)
class Signature:
    """One way to call a model."""

    types: Mapping[str, str]  # of its inputs, in TensorFlow's words
    method: str  # "tensorflow/serving/predict", …
    function: Any

    def run(self, inputs: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        """Raises what TensorFlow raises."""
        import tensorflow as tf  # type: ignore[import-untyped,import-not-found,unused-ignore]

        given = {
            name: tf.constant(array, dtype=tf.dtypes.as_dtype(_dtype(self.types[name])))
            for name, array in inputs.items()
        }
        return {name: value.numpy() for name, value in self.function(**given).items()}


def _dtype(kind: str) -> str:
    return {"float": "float32", "double": "float64", "half": "float16"}.get(kind, kind)


class Bundle:
    """One version of a model."""

    def __init__(self, directory: Path) -> None:
        import tensorflow as tf

        saved_model_pb2 = import_module("tensorflow.core.protobuf.saved_model_pb2")

        self._loaded = tf.saved_model.load(str(directory), tags=["serve"])
        kept = saved_model_pb2.SavedModel()
        kept.ParseFromString((directory / FILE).read_bytes())
        graph = next(g for g in kept.meta_graphs if "serve" in g.meta_info_def.tags)
        self.signatures = {
            name: Signature(
                types={
                    given: tf.dtypes.as_dtype(info.dtype).name for given, info in its.inputs.items()
                },
                method=its.method_name,
                function=self._loaded.signatures[name],
            )
            for name, its in graph.signature_def.items()
            if name in self._loaded.signatures
        }

    def signature(self, name: str | None) -> Signature:
        """Raises Invalid in TensorFlow Serving's words."""
        asked = name or DEFAULT_SIGNATURE
        if asked not in self.signatures:
            raise Invalid(f'Serving signature name: "{asked}" not found in signature def')
        return self.signatures[asked]


class Bundles:
    """All models of an instance."""

    def __init__(self, models: Mapping[str, Mapping[int, Path]], default: str | None) -> None:
        self._models = {
            name: {version: Bundle(directory) for version, directory in sorted(versions.items())}
            for name, versions in models.items()
        }
        self.default = default or next(iter(self._models))

    def versions(self, name: str) -> Sequence[int]:
        """The versions of a model. Raises NotServed."""
        if name not in self._models:
            raise NotServed(f"Could not find any versions of model {name}")
        return tuple(self._models[name])

    def bundle(self, name: str, version: int | None) -> Bundle:
        """One version of a model, or its newest. Raises NotServed in TensorFlow Serving's words."""
        versions = self._models.get(name, {})
        if version is None:
            if not versions:
                raise NotServed(f"Servable not found for request: Latest({name})")
            return versions[max(versions)]
        if version not in versions:
            raise NotServed(f"Servable not found for request: Specific({name}, {version})")
        return versions[version]


def examples_of(said: Mapping[str, Any], method: str) -> list[bytes]:
    """The examples of a request to classify or to regress, as the model takes them. Raises
    Invalid."""
    import tensorflow as tf

    examples = said.get("examples")
    if "examples" not in said:
        raise Invalid(f"When method is {method}, key 'examples' is expected and was not found")
    if not isinstance(examples, list):
        raise Invalid("Expecting 'examples' value to be an list/array")
    if not examples:
        raise Invalid("'examples' value is an empty array")
    context = said.get("context", {})
    made = []
    for example in examples:
        for one in (example, context):
            if not isinstance(one, dict):
                raise Invalid(f"Example must be JSON object but got JSON {type(one).__name__}")
        features = {name: _feature(name, value) for name, value in {**context, **example}.items()}
        whole = tf.train.Example(features=tf.train.Features(feature=features))
        made.append(whole.SerializeToString())
    return made


def _feature(name: str, value: Any) -> Any:
    import tensorflow as tf

    values = value if isinstance(value, list) else [value]
    if all(isinstance(one, str) or is_base64(one) for one in values):
        raw = [one.encode() if isinstance(one, str) else from_base64(one) for one in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=raw))
    if all(isinstance(one, int) for one in values):  # bool is one
        whole = [int(one) for one in values]
        try:
            return tf.train.Feature(int64_list=tf.train.Int64List(value=whole))
        except ValueError as error:
            raise Invalid(f"Feature: {name} has an element out of range") from error
    if all(isinstance(one, float) for one in values):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    if any(one is None or isinstance(one, list | dict) for one in values):
        raise Invalid(f"Feature: {name} has element with unexpected JSON type")
    raise Invalid(f"Unexpected element type in feature: {name}")
