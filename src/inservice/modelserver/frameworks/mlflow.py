"""MLflow: a model of any flavour, answering as MLflow's own scoring server does.

What is read and written, and what errors look like, is that server's: its functions do it, here
without its web framework. Its errors hold the traceback of the model's code, which is for the log.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inservice.contract import CODE_DIRECTORY
from inservice.modelserver import encoding, failures
from inservice.modelserver.answers import Answer
from inservice.modelserver.calls import Beside, Call
from inservice.modelserver.failures import Answered
from inservice.modelserver.frameworks.base import Framework, NoModel, Start, contents
from inservice.modelserver.program import Program
from inservice.transport.messages import Response

MLMODEL = "MLmodel"
"""The file that makes a directory a model."""

REQUIREMENTS = "requirements.txt"


def plug(start: Start) -> Framework:
    """The container of an instance."""
    return PyFunc(start)


def knows(model: Any) -> bool:
    """Whether it is what MLflow's `pyfunc` loads."""
    import mlflow.pyfunc  # type: ignore[import-not-found,unused-ignore]

    return isinstance(model, mlflow.pyfunc.PyFuncModel)


class PyFunc(Framework):
    """MLflow's scoring server; with handlers of the user's, what is beneath them."""

    _schema: Any = None

    def use(self, program: Program) -> None:
        """Handlers of the user's are called, where there are any."""
        super().use(program)
        self.whole = not program.handlers

    def load(self) -> Any:
        """A PyFuncModel. Raises NoModel, and what its flavour's loader raises."""
        directory = self.start.file.parent if self.start.file is not None else self._directory()
        os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"
        try:
            import mlflow.pyfunc

            model = mlflow.pyfunc.load_model(str(directory))
        except ModuleNotFoundError as error:
            if (directory / REQUIREMENTS).is_file():
                error.add_note(
                    f"What MLflow says that the model needs, in its {REQUIREMENTS} and conda.yaml, "
                    f"is installed if it lies in {CODE_DIRECTORY}/{REQUIREMENTS} of the artifact."
                )
            raise
        self._schema = model.metadata.get_input_schema()
        return model

    async def invoke(self, call: Call, model: Any) -> Answer:
        """As its scoring server has it. Raises Answered for errors of MLflow's."""
        with _errors_answered() as scoring:
            said = scoring.invocations(call.body, call.content_type, model, self._schema)
        headers = [(b"content-type", said.mimetype.encode("latin-1"))]
        return Answer(said.status, headers, said.response.encode())

    def decode(self, call: Call) -> Any:
        """To handlers of the user's: the frame or the arrays that MLflow makes of the body."""
        kind = encoding.media_type(call.content_type)
        if kind not in (encoding.JSON, encoding.CSV):
            return super().decode(call)
        with _errors_answered() as scoring:
            try:
                if kind == encoding.CSV:
                    return scoring.parse_csv_input(io.StringIO(call.body.decode()), self._schema)
                return scoring.infer_and_parse_data(encoding.from_json(call.body), self._schema)
            except (ValueError, TypeError, RecursionError) as error:
                words = f"The body is not readable as {kind}: {error}"
                raise encoding.Unacceptable(400, words) from error

    def predict(self, value: Any, model: Any) -> Any:
        """The model, on what an input_fn has made of the body."""
        with _errors_answered():
            return model.predict(value)

    def serves(self, method: str, path: str) -> bool:
        """What the scoring server has beside invocations."""
        return method == "GET" and path in ("/version", "/health")

    async def beside(self, request: Beside, model: Any) -> Any:  # noqa: ARG002 - of Framework
        """MLflow's version, or that all is well."""
        from mlflow.version import VERSION  # type: ignore[import-not-found,unused-ignore]

        return (VERSION if request.path == "/version" else "\n"), encoding.JSON

    def _directory(self) -> Path:
        """Where the model is: the artifact, or the one directory in it."""
        model_dir = self.start.settings.model_dir
        found = [file.parent for file in (model_dir / MLMODEL, *model_dir.glob(f"*/{MLMODEL}"))]
        there = [place for place in found if (place / MLMODEL).is_file()]
        if not there:
            raise NoModel(
                f"the artifact has no {MLMODEL}, which MLflow's save_model writes; it holds "
                f"{contents(model_dir)}"
            )
        if len(there) > 1 and there[0] != model_dir:
            names = ", ".join(place.name for place in sorted(there))
            raise NoModel(f"which of {names} is the model? Put one at the top of the artifact")
        return there[0]


@contextmanager
def _errors_answered() -> Iterator[Any]:
    """MLflow's scoring server; its errors become answers."""
    from mlflow.exceptions import (  # type: ignore[import-not-found,unused-ignore]
        MlflowException,
    )
    from mlflow.pyfunc import (  # type: ignore[import-not-found,unused-ignore]
        scoring_server,
    )

    try:
        yield scoring_server
    except MlflowException as error:
        raise Answered(_of_mlflow(error)) from error


def _of_mlflow(error: Any) -> Response:
    """An error as MLflow answers it, less the traceback."""
    said = json.loads(error.serialize_as_json())
    trace = said.pop("stack_trace", None)
    failures.log(f"an invocation failed\n{trace}" if trace else "an invocation failed", error)
    headers = ((b"content-type", encoding.JSON.encode()),)
    return Response(error.get_http_status_code(), headers, json.dumps(said).encode())
