"""Hugging Face, as AWS's `huggingface-pytorch-inference` containers serve it: a pipeline.

    tasks      which pipeline a model is for
    coding     bodies, in and out
    hub        models that are not in the artifact

The default model_fn makes `transformers.pipeline(task, model=directory)`, the default predict_fn
calls it with `inputs` and, as keywords, `parameters`. Every error is a 400 of the model server's
that the toolkit runs in, a JSON object with code, type and message; only what runs out of memory is
a 507.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any, Final

from inservice.modelserver import encoding, failures
from inservice.modelserver.calls import Call
from inservice.modelserver.devices import set_torch_threads, torch_device
from inservice.modelserver.frameworks.base import Framework, Start
from inservice.modelserver.frameworks.huggingface import coding, hub
from inservice.modelserver.frameworks.huggingface.tasks import (
    BY_FEATURES,
    NOT_OF_CSV,
    TEXT_TO_IMAGE,
    task_of,
)
from inservice.modelserver.settings import BadSetting
from inservice.transport.messages import Response

_TRUE: Final = ("y", "yes", "t", "true", "on", "1")
_FALSE: Final = ("n", "no", "f", "false", "off", "0", "")

_log = logging.getLogger("inservice.modelserver")


def plug(start: Start) -> Framework:
    """The container of an instance."""
    return Pipelines(start)


def knows(model: Any) -> bool:
    """Whether it is a pipeline."""
    pipelines = sys.modules.get("transformers.pipelines")
    return pipelines is not None and isinstance(model, pipelines.Pipeline)


class Pipelines(Framework):
    """The container: multi-model-server with Hugging Face's handlers in it."""

    shared = False
    """A pipeline keeps what it counts and caches on itself; the toolkit has one in each worker."""

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        self._environment = start.settings.environment
        self._task = self._environment.get("HF_TASK", "").strip()
        self._trusts = _flag(self._environment.get("HF_TRUST_REMOTE_CODE", ""))

    def load(self) -> Any:
        """A pipeline of the artifact's files, or of those that HF_MODEL_ID names. Raises NoTask,
        HubUnreachable, and what Transformers raises."""
        hub.read_again(self._environment)
        directory = self._directory()
        # No call, but a package: text-to-image needs `diffusers` alone.
        self._task = task_of(directory, self._environment, _known_tasks())
        # The toolkit says so to what user code reads, and to its own later questions.
        os.environ["HF_TASK"] = self._task
        set_torch_threads(self._environment)
        _log.info("the task is %s", self._task)
        if self._task == TEXT_TO_IMAGE:
            return _diffusion(directory)
        from transformers import (  # type: ignore[import-not-found,unused-ignore]
            logging as transformers_logging,
        )
        from transformers import pipeline

        _check_task(self._task)
        transformers_logging.disable_progress_bar()  # the last lines of a log tell why it failed
        prepared = "feature_extractor" if self._task in BY_FEATURES else "tokenizer"
        return pipeline(
            task=self._task,
            model=str(directory),
            device=torch_device(),
            trust_remote_code=self._trusts,
            **{prepared: str(directory)},
        )

    def _directory(self) -> Path:
        source = hub.named(self._environment, self.start.settings.model_dir)
        if isinstance(source, str):
            return hub.fetch(source, self._environment)
        return source or self.start.settings.model_dir

    def default_accept(self, said: str | None) -> str:  # noqa: ARG002 - of Framework
        """JSON: this toolkit does not ask SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT."""
        return encoding.JSON

    def decode(self, call: Call) -> Any:
        """By the exact type, as the toolkit does; without one there is nothing to go by."""
        content_type = call.content_type if b"content-type" in call.fields else None
        if content_type == encoding.CSV and self._task in NOT_OF_CSV:
            raise ValueError(
                f"content type {content_type} not support with {self._task}, use different "
                "content_type"
            )
        return coding.decode(call.body, content_type)

    def predict(self, value: Any, model: Any) -> Any:
        """The pipeline's call: `inputs` (or, without them, all of the object), and `parameters`."""
        if not isinstance(value, dict):
            raise TypeError(
                f'the body has to be an object with "inputs", not {type(value).__name__}'
            )
        inputs = value.pop("inputs", value)
        parameters = value.pop("parameters", None)
        return model(inputs) if parameters is None else model(inputs, **parameters)

    def encode(self, prediction: Any, accept: str, call: Call) -> Any:  # noqa: ARG002
        """By the exact type that was asked for, which is then the answer's."""
        return coding.encode(prediction, accept), accept

    def failure(self, error: BaseException) -> Response:
        """The error page of multi-model-server, which the toolkit makes of whatever is raised."""
        failures.failure(error)  # which tells the log
        if isinstance(error, MemoryError):
            return error_page(507, "Out of resources")
        return error_page(400, failures.text_of(error))


def error_page(code: int, message: str) -> Response:
    """An error of multi-model-server's. Its type is the server's own class for all that a worker
    reports, whatever the status."""
    page = {"code": code, "type": "InternalServerException", "message": message}
    body = json.dumps(page, indent=2).encode() + b"\n"
    return Response(code, ((b"content-type", b"application/json"),), body)


def _flag(said: str) -> bool:
    """As the toolkit reads it. Raises BadSetting."""
    if (word := said.strip().lower()) in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise BadSetting(f"HF_TRUST_REMOTE_CODE is '{said}', neither true nor false")


def _known_tasks() -> list[str]:
    from transformers.pipelines import (  # type: ignore[import-not-found,unused-ignore]
        SUPPORTED_TASKS,
    )

    return list(SUPPORTED_TASKS)


def _check_task(task: str) -> None:
    """Raises BadSetting for a task that the Transformers of this image has no pipeline for."""
    import transformers
    from transformers.pipelines import (  # type: ignore[import-not-found,unused-ignore]
        PIPELINE_REGISTRY,
    )

    try:
        PIPELINE_REGISTRY.check_task(task)
    except KeyError as error:
        older = (
            " Transformers 5 has no pipelines for question answering, summarization, translation "
            "and text to text any more: use an image with Transformers 4 (its tag says "
            "transformers4…), or a predict_fn in code/inference.py."
            if int(transformers.__version__.partition(".")[0]) >= 5
            else ""
        )
        raise BadSetting(
            f"The task is '{task}', and Transformers {transformers.__version__} has pipelines for "
            f"{', '.join(sorted(_known_tasks()))}.{older}"
        ) from error


def _diffusion(directory: Path) -> Any:
    """A call that makes one picture of a prompt, by `diffusers`."""
    from diffusers import DiffusionPipeline  # type: ignore[import-not-found,unused-ignore]

    device = torch_device()
    pipeline = DiffusionPipeline.from_pretrained(str(directory)).to(device)

    def picture(prompt: Any, **keywords: Any) -> Any:
        keywords.pop("num_images_per_prompt", None)
        return pipeline(prompt, num_images_per_prompt=1, **keywords).images[0]

    return picture
