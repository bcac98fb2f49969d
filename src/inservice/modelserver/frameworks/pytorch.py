"""PyTorch, as AWS's `pytorch-inference` containers serve it.

The default model_fn loads TorchScript and nothing else: `model.pt`, or the one `.pt` or `.pth` file
that there is. State dicts and safetensors are weights without a network, which only a model_fn of
the user's can put them into. The default input_fn makes a tensor of JSON, CSV or NPY, the default
predict_fn calls the model in evaluation mode without gradients, the default output_fn writes what
the toolkit writes.

Errors are the inference toolkit's (`stacks.toolkit`).
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from inservice.contract import is_litter
from inservice.modelserver import encoding
from inservice.modelserver.calls import Call
from inservice.modelserver.devices import set_torch_threads, torch_device
from inservice.modelserver.frameworks.base import Framework, NotAlike, Start
from inservice.modelserver.settings import Settings, number
from inservice.modelserver.stacks.toolkit import UnsupportedFormatError, toolkit_failure
from inservice.transport.messages import Response

DEFAULT_FILE = "model.pt"
SUFFIXES = (".pt", ".pth")


class ModelLoadError(Exception):
    """A file that is not TorchScript."""


def plug(start: Start) -> Framework:
    """The container of an instance."""
    return TorchServe(start)


def knows(model: Any) -> bool:
    """Whether it is a network, or a program of TorchScript, which is one too."""
    import torch  # type: ignore[import-not-found,unused-ignore]

    return isinstance(model, torch.nn.Module)


class TorchServe(Framework):
    """The container: TorchServe with SageMaker's handlers in it."""

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        self._settled: dict[int, Any] = {}
        """Models that are on the device and in evaluation mode, by their ids: to walk through the
        modules of a large one costs as much as a prediction of a small one."""

    def tuned(self, settings: Settings) -> Settings:
        """With SAGEMAKER_TS_…, where it means what a setting of ours means; ours win."""
        return with_torchserve_s(settings)

    def load(self) -> Any:
        """The TorchScript of the artifact, in AWS's words where there is none."""
        import torch

        set_torch_threads(self.start.settings.environment)
        file = self.start.file or the_file(self.start.settings.model_dir)
        device = torch_device()
        try:
            model = torch.jit.load(str(file), map_location=device)
        except (RuntimeError, ValueError, EOFError) as error:
            raise ModelLoadError(
                f"Failed to load {file.name}. Please ensure model is saved using torchscript."
                f"{_what_it_is(file)}"
            ) from error
        return model.to(device)

    def decode(self, call: Call) -> Any:
        """A tensor: of floats from text, of the array's own type from NPY."""
        import torch

        kind = encoding.media_type(call.content_type)
        if kind not in encoding.READ:
            raise UnsupportedFormatError(call.content_type)
        array = encoding.decode(call.body, call.content_type, named=False)
        if kind in encoding.TEXT_TYPES:
            return torch.FloatTensor(array).to(torch_device())
        return torch.from_numpy(array).to(torch_device())

    def predict(self, value: Any, model: Any) -> Any:
        """The model's own call, in evaluation mode and without gradients."""
        import torch

        device = torch_device()
        if self._settled.get(id(model)) is not model:
            set_torch_threads(self.start.settings.environment)
            model.to(device)
            model.eval()
            self._settled[id(model)] = model
        with torch.no_grad():
            return model(on_device(value, device))

    def predict_batch(self, values: Sequence[Any], model: Any) -> Sequence[Any]:
        """One call for the rows of many requests, cut up again; one by one where they differ, or
        where what comes out has not a row for each that went in."""
        import torch

        tensors = [value for value in values if isinstance(value, torch.Tensor) and value.ndim > 1]
        if len(values) == 1 or len(tensors) != len(values):
            raise NotAlike
        first = tensors[0]
        if any(t.shape[1:] != first.shape[1:] or t.dtype != first.dtype for t in tensors):
            raise NotAlike
        prediction = self.predict(torch.cat(tensors), model)
        sizes = [len(tensor) for tensor in tensors]
        if not isinstance(prediction, torch.Tensor) or prediction.shape[:1] != (sum(sizes),):
            raise NotAlike
        return list(torch.split(prediction, sizes))

    def encode(self, prediction: Any, accept: str, call: Call) -> Any:  # noqa: ARG002
        """JSON, CSV or NPY, by the first of `accept` that is one of them."""
        import torch

        if encoding.chosen(accept) is None:
            raise UnsupportedFormatError(accept)
        if isinstance(prediction, torch.Tensor):
            prediction = prediction.detach().cpu().tolist()
        return encoding.encode(prediction, accept)

    def failure(self, error: BaseException) -> Response:
        """As the toolkit answers an exception: see above."""
        return toolkit_failure(error)


def the_file(model_dir: Path) -> Path:
    """The file that the default model_fn loads. Raises ValueError in AWS's words."""
    if (default := model_dir / DEFAULT_FILE).exists():
        return default
    found = sorted(
        path.name
        for path in model_dir.iterdir()
        if path.is_file() and path.suffix in SUFFIXES and not is_litter(path.name)
    )
    if len(found) == 1:
        return model_dir / found[0]
    weights = sorted(path.name for path in model_dir.glob("*.safetensors"))
    hint = (
        f" ({', '.join(weights)} holds weights alone: a model_fn in code/inference.py has to make "
        "the network that they belong to.)"
        if weights and not found
        else ""
    )
    raise ValueError(f"Exactly one .pth or .pt file is required for PyTorch models: {found}{hint}")


def _what_it_is(file: Path) -> str:
    """What a file that is no TorchScript is instead, as far as its form tells."""
    if not zipfile.is_zipfile(file):
        return ""
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
    if any(name.endswith("/data.pkl") for name in names) and not any(
        name.endswith("/constants.pkl") for name in names
    ):
        return (
            " It was written by torch.save: a model_fn in code/inference.py has to make the network"
            " and load this into it."
        )
    return ""


def on_device(value: Any, device: Any) -> Any:
    """A tensor, or the tensors in lists and dicts, where the model is."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {name: on_device(one, device) for name, one in value.items()}
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(on_device(one, device) for one in value)
    return value


def with_torchserve_s(settings: Settings) -> Settings:
    """Settings with the SAGEMAKER_TS_… of a model's Environment. Raises BadSetting.

    There is no variable of TorchServe's whose worker or batch is something else than one of ours:
    a batch is predicted in one call where the default predict_fn can, one by one else, as there.
    """
    said = {name: value for name, value in settings.environment.items() if value.strip()}

    def read(name: str, ours: str, least: int, most: int) -> int | None:
        if name not in said or ours in said:
            return None
        return number(said, name, 1, least, most)

    size = read("SAGEMAKER_TS_BATCH_SIZE", "INSERVICE_MAX_BATCH_SIZE", 1, 10_000)
    delay = read("SAGEMAKER_TS_MAX_BATCH_DELAY", "INSERVICE_MAX_BATCH_DELAY_MS", 0, 10_000)
    workers = read("SAGEMAKER_TS_MIN_WORKERS", "SAGEMAKER_MODEL_SERVER_WORKERS", 1, 256)
    if workers is None:
        workers = read("SAGEMAKER_TS_MAX_WORKERS", "SAGEMAKER_MODEL_SERVER_WORKERS", 1, 256)
    seconds = read("SAGEMAKER_TS_RESPONSE_TIMEOUT", "SAGEMAKER_MODEL_SERVER_TIMEOUT", 1, 3600)
    if size is not None:
        # A TorchServe batch waits for its last one 100 ms unless something else is said.
        settings = replace(settings, batch_size_max=size)
        if delay is None and "INSERVICE_MAX_BATCH_DELAY_MS" not in said:
            delay = 100
    if delay is not None:
        settings = replace(settings, batch_delay_seconds_max=delay / 1000)
    if workers is not None and not settings.inline:
        settings = replace(settings, workers=workers)
    return settings if seconds is None else replace(settings, timeout_seconds=seconds)
