"""Models that are broken in every way that we know of, really run: what is said of each, and that
the hint is the one for that failure."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator

import pytest

from inservice.controller.endpoints import said
from inservice.controller.endpoints.explain import did_not_become_ready, died, waiting
from inservice.controller.endpoints.hints import SHAPES, hint
from inservice.runtimes.base import InstanceState, LaunchSpec, Sight
from tests.contracts.runtime_stages import ProcessStage, files_of, process_stage, until
from tests.modelserver.unix_http import call

HERE = "code/inference.py, line {}"
IN_MODEL_FN = HERE + ", in model_fn"


def model_fn(*lines: str) -> str:
    """A program whose model_fn, from line 2 on, does this."""
    return "def model_fn(model_dir):\n" + "".join(f"    {line}\n" for line in lines)


BROKEN: dict[str, tuple[str, str | None, str]] = {
    # what it is: its program, where it fails, the hint that fits
    "segmentation fault": (
        model_fn("import ctypes", "ctypes.string_at(0)"),
        IN_MODEL_FN.format(3),
        "Native code crashed",
    ),
    "abort": (model_fn("import os", "os.abort()"), IN_MODEL_FN.format(3), "Native code crashed"),
    "SIGILL": (model_fn("import os", "os.kill(os.getpid(), 4)"), None, "another processor"),
    "SIGKILL": (model_fn("import os", "os.kill(os.getpid(), 9)"), None, "sent SIGKILL"),
    "SIGTERM": (model_fn("import os", "os.kill(os.getpid(), 15)"), None, "sent it that signal"),
    "SyntaxError": ("def model_fn(model_dir)\n    return 1\n", HERE.format(1), "Mend the syntax"),
    "IndentationError": (
        "def model_fn(model_dir):\n    a = 1\n      return a\n",
        HERE.format(3),
        "Mend the indentation",
    ),
    "TabError": (
        "def model_fn(model_dir):\n    a = 1\n\treturn a\n",
        HERE.format(3),
        "Mend the indentation",
    ),
    "ModuleNotFoundError": (
        "import a_module_that_nobody_has.part\n",
        HERE.format(1),
        "Name the package a_module_that_nobody_has in code/requirements.txt",
    ),
    "a package of another name": (
        "raise ModuleNotFoundError(\"No module named 'cv2'\")\n",
        HERE.format(1),
        "Name the package opencv-python-headless",
    ),
    "ImportError": ("from json import nothing\n", HERE.format(1), "version of that package"),
    "undefined symbol": (
        "raise ImportError('/x/y.so: undefined symbol: _ZN3c10')\n",
        HERE.format(1),
        "A native library",
    ),
    "a missing library": (
        model_fn("import ctypes", "ctypes.CDLL('libcudart.so.12')"),
        IN_MODEL_FN.format(3),
        "A native library",
    ),
    "sys.exit": (
        model_fn("import sys", "sys.exit('no licence')"),
        IN_MODEL_FN.format(3),
        "calling sys.exit",
    ),
    "sys.exit at import": ("import sys\nsys.exit(0)\n", HERE.format(2), "calling sys.exit"),
    "os._exit": ("import os\nos._exit(0)\n", None, "os._exit, exec or a daemon"),
    "MemoryError": (model_fn("return bytearray(2**55)"), IN_MODEL_FN.format(2), "more memory"),
    "another signature": ("def model_fn(): pass\n", None, "def model_fn(model_dir, context)"),
    "a missing file": (
        model_fn("return open(model_dir + '/weights.bin')"),
        IN_MODEL_FN.format(2),
        "Pack that file into the archive",
    ),
    "/opt/ml/model": (
        model_fn("raise FileNotFoundError('There is no /opt/ml/model here')"),  # as on some hosts
        IN_MODEL_FN.format(2),
        "it is not /opt/ml/model",
    ),
    "permission": (
        model_fn("raise PermissionError(13, 'Permission denied', '/etc/x')"),
        IN_MODEL_FN.format(2),
        "check owner and mode",
    ),
    "a read-only directory": (
        model_fn("raise OSError(30, 'Read-only file system', model_dir)"),
        IN_MODEL_FN.format(2),
        "Write to TMPDIR",
    ),
    "a full disk": (
        model_fn("open('/dev/full', 'w').write('x' * 10**6)"),
        IN_MODEL_FN.format(2),
        "disk of the host is full",
    ),
    "a port in use": (
        model_fn(
            "import socket",
            "first = socket.create_server(('127.0.0.1', 0))",
            "socket.create_server(first.getsockname())",
        ),
        IN_MODEL_FN.format(4),
        "That port is taken",
    ),
    "no descriptors": (
        model_fn(
            "import resource",
            "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))",
            "[open('/dev/null') for _ in range(99)]",
        ),
        None,  # the list comprehension is a frame of its own in some versions of Python
        "no more files or processes",
    ),
    "a class of the training script": (
        model_fn("import pickle", "pickle.loads(b'c__main__\\nNet\\n.')"),
        IN_MODEL_FN.format(3),
        "The class Net was defined in the script that saved the model",
    ),
    "a class that is no more": (
        model_fn("import pickle", "pickle.loads(b'cjson\\nOldDecoder\\n.')"),
        IN_MODEL_FN.format(3),
        "install the version it was saved with",
    ),
    "a newer pickle": (
        model_fn("import pickle", "pickle.loads(b'\\x80\\x09.')"),
        IN_MODEL_FN.format(3),
        "saved by a newer Python",
    ),
    "a Git LFS pointer": (
        model_fn("import pickle", "pickle.loads(b'version https://git-lfs')"),
        IN_MODEL_FN.format(3),
        "Git LFS pointer",
    ),
    "half a pickle": (
        model_fn("import pickle", "pickle.loads(pickle.dumps([1, 2, 3])[:-3])"),
        IN_MODEL_FN.format(3),
        "damaged or cut short",
    ),
    "an empty pickle": (
        model_fn("import pickle", "pickle.loads(b'')"),
        IN_MODEL_FN.format(3),
        "damaged or cut short",
    ),
    "another scikit-learn": (
        model_fn("raise ValueError('node array from the pickle has an incompatible dtype:\\n- x')"),
        IN_MODEL_FN.format(2),
        "install the version it was saved with",
    ),
    "a missing variable": (
        model_fn("import os", "return os.environ['MODEL_NAME']"),
        IN_MODEL_FN.format(3),
        "Set the variable MODEL_NAME in the Environment",
    ),
    "a missing key": (model_fn("return {}['a']"), IN_MODEL_FN.format(2), "Mend the model's code"),
    "no network": (
        model_fn("import urllib.request", "urllib.request.urlopen('http://127.0.0.1:9')"),
        IN_MODEL_FN.format(3),
        "something from the network",
    ),
    "no GPU": (
        model_fn("raise RuntimeError('CUDA error: no CUDA-capable device is detected')"),
        IN_MODEL_FN.format(2),
        "wants a GPU",
    ),
    "an error of its own": (
        "class Broken(Exception):\n    pass\n" + model_fn("raise Broken('first\\n  second')"),
        IN_MODEL_FN.format(4),
        "Mend the model's code",
    ),
    "one error from another": (
        model_fn(
            "try:", "    {}['k']", "except KeyError as e:", "    raise ValueError('no') from e"
        ),
        IN_MODEL_FN.format(5),
        "Mend the model's code",
    ),
    "several at once": (
        model_fn("raise ExceptionGroup('several', [ValueError('a'), KeyError('b')])"),
        IN_MODEL_FN.format(2),
        "Mend the model's code",
    ),
    "without end": (model_fn("return model_fn(model_dir)"), IN_MODEL_FN.format(2), "Mend the"),
    "deep within a library": (
        "import json\n" + model_fn("return json.loads('{')"),
        IN_MODEL_FN.format(3),
        "Mend the model's code",
    ),
}


@pytest.fixture(scope="module")
def stage() -> Iterator[ProcessStage]:
    with process_stage() as stage:
        yield stage


def ended(stage: ProcessStage, spec: LaunchSpec) -> Sight:
    async def test() -> Sight:
        handle = await stage.runtime.launch(spec)
        sight = await until(stage, handle, lambda s: s.state is InstanceState.GONE)
        await stage.runtime.retire(handle, 5)
        return sight

    return asyncio.run(test())


def reason(sight: Sight) -> str:
    return did_not_become_ready(
        sight, variant="v", container="primary", waited_seconds=1.0, timeout_seconds=60.0
    )


@pytest.mark.parametrize("name", BROKEN)
def test_each_failure_has_its_place_and_its_hint(stage: ProcessStage, name: str) -> None:
    program, place, words = BROKEN[name]
    sight = ended(stage, stage.spec(code=program))
    heard = said.read(sight.last_lines)
    assert words in hint(sight, heard), (sight, heard)
    told = reason(sight)
    assert f"Hint: {hint(sight, heard)}" in told
    if place is not None:
        assert heard.place == place, sight.last_lines
        assert f"({place})." in told
    assert len(told) <= 1024
    for noise in ("^^^", "<frozen", "inservice/modelserver/", "inservice/runtimes/", "0x0"):
        assert noise not in told, told


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (None, "must define model_fn"),
        ("model.joblib", "damaged or cut short"),
    ],
)
def test_an_artifact_without_a_program(stage: ProcessStage, file: str | None, words: str) -> None:
    spec = stage.spec(image="sklearn")
    shutil.rmtree(files_of(spec) / "code")
    if file is not None:
        (files_of(spec) / file).write_bytes(b"junk")
    sight = ended(stage, spec)
    assert words in reason(sight), sight


def test_a_process_that_dies_while_it_answers_says_so_with_its_signal(stage: ProcessStage) -> None:
    code = (
        "import ctypes\ndef model_fn(model_dir):\n    return None\n"
        "def transform_fn(model, body, content_type, accept):\n    return ctypes.string_at(0)\n"
    )

    async def test() -> Sight:
        handle = await stage.runtime.launch(stage.spec(code=code))
        await until(stage, handle, lambda s: s.state is InstanceState.READY)
        with pytest.raises((ConnectionError, EOFError, AssertionError, OSError)):
            await asyncio.to_thread(call, handle.address, b"x", content_type="text/plain")
        return await until(stage, handle, lambda s: s.state is InstanceState.GONE)

    told = died(asyncio.run(test()), variant="v", instance_id="f/0")
    assert told.startswith(
        "Instance f/0 of production variant v was lost while it served. Fatal Python error: "
        "Segmentation fault (code/inference.py, line 5, in transform_fn). It was ended by SIGSEGV."
    )


def test_a_model_that_hangs_shows_its_last_line(stage: ProcessStage) -> None:
    code = "import sys, time\nprint('loading weights')\ntime.sleep(600)\n"

    async def test() -> Sight:
        handle = await stage.runtime.launch(stage.spec(code=code))
        sight = await until(stage, handle, lambda s: bool(s.last_lines))
        await stage.runtime.retire(handle, 0)
        return sight

    assert waiting(asyncio.run(test())) == 'waiting: last line "loading weights"'


def test_the_last_shape_fits_everything() -> None:
    assert SHAPES[-1].error == ""
    assert SHAPES[-1].signals == ()
    assert hint(Sight(InstanceState.STARTING), said.Said()) == SHAPES[-1].hint
