"""What to try, for each shape of a failure: a table, and the first row that fits.

A hint that does not fit is worse than none, since it sends somebody to the wrong place; so each row
says what it goes by, the narrow ones come before the wide ones, and the last ones claim nothing.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from inservice.controller.endpoints.said import Said
from inservice.runtimes.base import InstanceState, Sight

_NATIVE = ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGTRAP", "SIGSYS")
_PYTHON = f"Python {platform.python_version()}"

_DISTRIBUTIONS: Final = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""Modules whose packages are called something else."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One way to fail. Whatever is given must fit."""

    hint: str  # may name groups of the pattern
    error: str = ""  # a pattern within the error
    signals: tuple[str, ...] = ()
    when: Callable[[Sight, Said], bool] = lambda *_: True


def _is_from_environment(_: Sight, said: Said) -> bool:
    return bool(said.frames) and said.frames[0] in ("<frozen os>", "os.py")


def _pinged(outcome: str) -> Callable[[Sight, Said], bool]:
    def fits(sight: Sight, _: Said) -> bool:
        alive = sight.state is not InstanceState.GONE
        return (
            alive and bool(sight.probes) and re.match(outcome, sight.probes[-1].outcome) is not None
        )

    return fits


def _is_gone(sight: Sight, _: Said) -> bool:
    return sight.state is InstanceState.GONE


def _left_quietly(sight: Sight, said: Said) -> bool:
    return sight.exit_code is not None and said.error is None and not said.lines


SHAPES: Final = (
    # memory and signals: what the process could say of itself counts less
    Shape(
        "Give the host or its container more memory, run fewer instances, or load a smaller model.",
        when=lambda sight, _: sight.out_of_memory,
    ),
    Shape(
        "Nothing of InService sent SIGKILL. Look for the out-of-memory killer of the host or its "
        "container (`dmesg`, `memory.events`), or for whoever else ends processes there.",
        signals=("SIGKILL",),
    ),
    Shape(
        "A library was built for another processor than this host's; install a build for this one.",
        signals=("SIGILL",),
    ),
    Shape(
        "Native code crashed at that place. Check that the packages it uses fit each other and "
        f"{_PYTHON}, and run it by hand with the same Environment.",
        signals=_NATIVE,
    ),
    Shape(
        "Something other than InService sent it that signal, or the model did so itself.",
        when=lambda sight, _: sight.signal is not None,
    ),
    # the code
    Shape(
        "Mend the indentation at that line; `python -m tabnanny` finds tabs among spaces.",
        error=r"^(IndentationError|TabError)\b",
    ),
    Shape(
        f"Mend the syntax at that line, as {_PYTHON} has it.",
        error=r"^SyntaxError\b",
    ),
    Shape(
        "The model's code ended the process. Let it raise an exception, or return, instead of "
        "calling sys.exit.",
        error=r"^SystemExit\b",
    ),
    Shape(
        "model_fn takes the model's directory, and the context if it wants it: "
        "def model_fn(model_dir, context).",
        error=r"\bmodel_fn\(\) (takes|missing)|^model_fn (takes|cannot be called)",
    ),
    Shape(
        "code/inference.py must define model_fn(model_dir), or the archive hold one model.joblib; "
        "`inservice model lint` says what it holds.",
        error=r"no model_fn\b|has no code/|none of model\.joblib|does not define",
    ),
    # what it was saved with, and what is installed here
    Shape(
        "The class {0} was defined in the script that saved the model. Put it into a module in "
        "code/, import it from there in both places, and save the model again.",
        error=r"Can't get attribute '(\w+)' on (?:the main program|<module '__main__')",
    ),
    Shape(
        "The code that the model was saved with and what is installed here differ; install the "
        "version it was saved with.",
        error=r"Can't get attribute|incompatible dtype|InconsistentVersion|has no attribute '_?"
        r"(?:monotonic_cst|loss|sklearn_\w+)'|__randomstate_ctor|numpy\._core|STACK_GLOBAL",
    ),
    Shape(
        f"It was saved by a newer Python than {_PYTHON}; save it with pickle protocol 4.",
        error=r"unsupported pickle protocol",
    ),
    Shape(
        "The file is no pickle. A 'v' is a Git LFS pointer instead of the model, a '<' a web page.",
        error=r"invalid load key",
    ),
    Shape(
        "The file of the model is damaged or cut short, or no file of that format; save and pack "
        "it again.",
        error=r"pickle data was truncated|Ran out of input|UnpicklingError|unpack requires a buffer"
        r"|not a zip file|PytorchStreamReader|HeaderTooLarge|InvalidHeaderDeserialization",
    ),
    Shape(
        "Name the package {distribution} in code/requirements.txt, or put the module into code/.",
        error=r"No module named '([\w.]+)'",
    ),
    Shape(
        "A native library is missing or of another version than the package was built for; install "
        "it, or a build of the package that fits.",
        error=r"undefined symbol|cannot open shared object|GLIBC|GLIBCXX|DLL load failed|"
        r"wrong ELF class|numpy\.dtype size changed|_ARRAY_API",
    ),
    Shape(
        "The installed version of that package is another than the code was written for.",
        error=r"^ImportError\b|^AttributeError: (?:partially initialized )?module '",
    ),
    # what it needs around it
    Shape(
        "Set the variable {0} in the Environment of CreateModel.",
        error=r"^KeyError: '(\w+)'",
        when=_is_from_environment,
    ),
    Shape(
        "The model's files are in the directory that model_fn is given, which SM_MODEL_DIR names "
        "as well; here it is not /opt/ml/model, and `inservice status` says why.",
        error=r"There is no /opt/ml/model here",
    ),
    Shape(
        "The disk of the host is full, or a quota is used up; or the instance's own /tmp is, which "
        "is in memory (INSERVICE_MODEL_TMP_BYTES_MAX): write what is large to TMPDIR.",
        error=r"\[Errno (?:28|122)\]|No space left on device",
    ),
    Shape(
        "The host has no more files or processes to give; end some, or raise its limits "
        "(`ulimit -n`, `ulimit -u`, `pids.max`).",
        error=r"\[Errno (?:11|23|24)\]|can't start new thread|Too many open files",
    ),
    Shape(
        "That port is taken: all instances run on this host. Let the model bind port 0, or none.",
        error=r"\[Errno 98\]|[Aa]ddress already in use",
    ),
    Shape(
        "The model's directory is read-only, since instances share it. Write to TMPDIR.",
        error=r"\[Errno 30\]|Read-only file system|(?:\[Errno 13\]|Permission denied).*\bmodel/",
    ),
    Shape(
        "Models run with the rights that the server gives them; check owner and mode of that file.",
        error=r"\[Errno 13\]|\[Errno 1\]|Permission denied",
    ),
    Shape(
        "Pack that file into the archive, relative to the directory that model_fn is given; "
        "`inservice model lint` lists what is in it.",
        error=r"FileNotFoundError|\[Errno 2\]",
    ),
    Shape(
        "This host cannot isolate the model; turn EnableNetworkIsolation off, or run the server "
        "where it may make network namespaces.",
        error=r"EnableNetworkIsolation cannot be kept",
    ),
    Shape(
        "The model wants something from the network and cannot have it. Pack what it downloads "
        "into the archive; with EnableNetworkIsolation there is no network at all.",
        error=r"URLError|gaierror|Name or service not known|Temporary failure in name resolution|"
        r"Max retries exceeded|ConnectionError|ConnectTimeout|Network is unreachable|"
        r"We couldn't connect to|LocalEntryNotFoundError|OfflineModeIsEnabled",
    ),
    Shape(
        "The model wants a GPU that this process cannot use; load it for the CPU, or check the "
        "driver and CUDA_VISIBLE_DEVICES.",
        error=r"CUDA|cuDNN|no NVIDIA driver|NVML",
    ),
    # anything else
    Shape(
        "The process ended by itself and gave no reason; look for os._exit, exec or a daemon in "
        "the model's code.",
        when=_left_quietly,
    ),
    Shape(
        "Mend the model's code at that place; `inservice model run DIR` runs it by hand.",
        when=lambda sight, said: _is_gone(sight, said) and said.place is not None,
    ),
    Shape(
        "Run it by hand: `inservice model run DIR --env NAME=VALUE`, with the same image and "
        "Environment.",
        when=_is_gone,
    ),
    Shape(
        "Let it listen on port 8080, or on the one that SAGEMAKER_BIND_TO_PORT names.",
        when=_pinged("not listening on port"),
    ),
    Shape("Let it listen on 0.0.0.0.", when=_pinged("listening on 127")),
    Shape("It answers /ping with that status itself; its log may say why.", when=_pinged(r"\d")),
    Shape("Something listens there that does not speak HTTP.", when=_pinged("not HTTP|closed")),
    Shape(
        "It listens and does not answer: what it does holds up its process, as native code does "
        "that does not release the GIL.",
        when=_pinged("timed out"),
    ),
    Shape(
        "If the model needs longer to load, raise ContainerStartupHealthCheckTimeoutInSeconds; if "
        "it hangs, its log says where.",
    ),
)
"""Narrow before wide. The last one fits everything."""


def hint(sight: Sight, said: Said) -> str:
    """What to try."""
    for shape in SHAPES:
        if (words := _fitting(shape, sight, said)) is not None:
            return words
    raise AssertionError("the last shape fits everything")


def _fitting(shape: Shape, sight: Sight, said: Said) -> str | None:
    if shape.signals and sight.signal not in shape.signals:
        return None
    if not shape.when(sight, said):
        return None
    if not shape.error:
        return shape.hint
    found = re.search(shape.error, said.error or "".join(said.lines[-1:]))
    if found is None:
        return None
    module = (found.group(1) or "").partition(".")[0] if found.groups() else ""
    return shape.hint.format(*found.groups(), distribution=_DISTRIBUTIONS.get(module, module))
