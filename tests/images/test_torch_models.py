"""PyTorch's and Hugging Face's containers with real models. It runs where they are installed."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inservice.modelserver.frameworks.huggingface.tasks import NoTask
from inservice.modelserver.frameworks.pytorch import ModelLoadError
from inservice.modelserver.settings import BadSetting
from tests.modelserver.asking import Ask, Said, serving

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed here")
pytestmark = [pytest.mark.images, pytest.mark.filterwarnings("ignore")]

CSV, JSON, NPY = "text/csv", "application/json", "application/x-npy"
ROWS = [[0.5, -1.0, 2.0], [3.0, 0.25, -0.125]]


def npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


# ── PyTorch ──────────────────────────────────────────────────────────────────────────────────────


def untrained() -> Any:
    """A network that is another in training: dropout would make its answers chance."""
    nn = torch.nn
    return nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5), nn.Softmax(-1))


@pytest.fixture
def net() -> Any:
    torch.manual_seed(0)
    return untrained().eval()


@pytest.fixture
def script(tmp_path: Path, net: Any) -> Path:
    """An artifact of TorchScript."""
    torch.jit.script(untrained_as(net)).save(str(tmp_path / "net.pth"))
    return tmp_path


def untrained_as(net: Any) -> Any:
    """The same weights in a network that is in training."""
    other = untrained()
    other.load_state_dict(net.state_dict())
    return other


def expected(net: Any, rows: Any = ROWS) -> Any:
    with torch.no_grad():
        return net(torch.tensor(rows)).numpy()


def test_torchscript_answers_as_the_network_does(script: Path, net: Any) -> None:
    ask = serving("pytorch", script)
    for _ in range(3):  # not by chance
        said = ask(json.dumps(ROWS).encode(), JSON)
        assert (said.status, said.content_type) == (200, JSON)
        assert np.allclose(json.loads(said.body), expected(net), atol=1e-6)
    said = ask(npy(np.array(ROWS, dtype=np.float32)), NPY, NPY)
    assert (said.status, said.content_type) == (200, NPY)
    assert np.allclose(np.load(io.BytesIO(said.body)), expected(net), atol=1e-6)
    text = "\n".join(",".join(map(str, row)) for row in ROWS).encode()
    said = ask(text, CSV, CSV)
    assert (said.status, said.content_type) == (200, CSV)
    assert np.allclose(np.loadtxt(io.BytesIO(said.body), delimiter=","), expected(net), atol=1e-6)


def test_the_first_type_of_accept_that_is_known_is_taken(script: Path) -> None:
    said = serving("pytorch", script)(json.dumps(ROWS).encode(), JSON, f"image/png, {CSV}")
    assert said.status == 200
    assert len(said.body.splitlines()) == 2


@pytest.mark.parametrize(
    ("body", "content_type", "accept", "words"),
    [
        (b"[[1,2,3]]", "text/plain", JSON, b"Content type text/plain is not supported by this"),
        (b"[[1,2,3]]", JSON, "image/png", b"Content type image/png is not supported by this"),
        (b"[[1,2,3", JSON, JSON, b"not readable"),
        (b"[[1,2]]", JSON, JSON, b"shapes cannot be multiplied"),
        (b'[["a"]]', JSON, JSON, b""),
        (npy(np.array(ROWS)), NPY, JSON, b"same dtype"),
        (b"", JSON, JSON, b"not readable"),
    ],
)
def test_every_error_is_a_500_with_the_message_and_no_frames(
    script: Path, body: bytes, content_type: str, accept: str, words: bytes
) -> None:
    said = serving("pytorch", script)(body, content_type, accept)
    assert said.status == 500
    assert words in said.body
    assert b"frameworks/pytorch.py" not in said.body


@pytest.mark.parametrize("name", ["model.pth", "model.pt"])
def test_a_state_dict_needs_a_model_fn_and_is_served_with_one(
    tmp_path: Path, net: Any, name: str
) -> None:
    torch.save(net.state_dict(), tmp_path / name)
    with pytest.raises(
        ModelLoadError, match=r"Please ensure model is saved using torchscript\. It "
    ):
        serving("pytorch", tmp_path)

    def model_fn(model_dir: str) -> Any:
        model = untrained()
        model.load_state_dict(torch.load(f"{model_dir}/{name}"))
        return model  # in training: the default predict_fn puts an end to that

    said = serving("pytorch", tmp_path, model_fn=model_fn)(json.dumps(ROWS).encode(), JSON)
    assert np.allclose(json.loads(said.body), expected(net), atol=1e-6)


def test_safetensors_are_served_by_a_model_fn(tmp_path: Path, net: Any) -> None:
    save = pytest.importorskip("safetensors.torch")
    save.save_file(net.state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"Exactly one .*model\.safetensors holds weights alone"):
        serving("pytorch", tmp_path)

    def model_fn(model_dir: str) -> Any:
        model = untrained()
        model.load_state_dict(save.load_file(f"{model_dir}/model.safetensors"))
        return model

    said = serving("pytorch", tmp_path, model_fn=model_fn)(json.dumps(ROWS).encode(), JSON)
    assert np.allclose(json.loads(said.body), expected(net), atol=1e-6)


@pytest.mark.parametrize("content", [b"", b"junk", b"\x80\x02}q\x00."])
def test_a_file_that_is_no_torchscript(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(ModelLoadError, match=r"Failed to load model\.pt\. Please ensure"):
        serving("pytorch", tmp_path)


def test_handlers_of_the_user_s_get_tensors_and_give_what_they_like(script: Path) -> None:
    seen: list[Any] = []

    def predict_fn(data: Any, model: Any, context: Any) -> Any:
        seen.append((type(data), data.dtype, context.get_request_header(0, "Content-Type")))
        return {"sum": data.sum(), "model": type(model).__name__}

    ask = serving("pytorch", script, predict_fn=predict_fn)
    said = ask(b"[[1, 2, 3]]", JSON)
    assert json.loads(said.body) == {"sum": 6.0, "model": "RecursiveScriptModule"}
    assert seen == [(torch.Tensor, torch.float32, JSON)]


def test_inputs_of_several_tensors_and_outputs_of_several(tmp_path: Path) -> None:
    class Two(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: dict[str, Any]) -> Any:
            return x["a"] + x["b"], [x["a"]]

    def input_fn(body: str, content_type: str) -> Any:
        return {name: torch.tensor(value) for name, value in json.loads(body).items()}

    ask = serving("pytorch", tmp_path, model_fn=lambda model_dir: Two(), input_fn=input_fn)
    said = ask(b'{"a": [1.0], "b": [2.0]}', JSON)
    assert json.loads(said.body) == [[3.0], [[1.0]]]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int64", "bool"])
def test_answers_of_every_type(tmp_path: Path, dtype: str) -> None:
    class Cast(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x.to(getattr(torch, dtype))

    ask = serving("pytorch", tmp_path, model_fn=lambda model_dir: Cast())
    said = ask(b"[[1, 0]]", JSON)
    assert json.loads(said.body) == [[1, 0]]
    assert ask(b"[[1, 0]]", JSON, NPY).status == 200


def test_torchserve_s_batches_are_predicted_in_one_call_and_cut_up(script: Path, net: Any) -> None:
    from inservice.modelserver.frameworks.base import NotAlike
    from inservice.modelserver.frameworks.select import by_image
    from inservice.modelserver.settings import settings_from

    plug = by_image(settings_from({"INSERVICE_FRAMEWORK": "pytorch"}, str(script)))
    assert plug is not None
    model = plug.load()
    sizes = []
    one, two = torch.tensor(ROWS), torch.tensor(ROWS[:1])
    for predicted, given in zip(plug.predict_batch([one, two], model), (one, two), strict=True):
        sizes.append(len(predicted))
        assert torch.allclose(predicted, net(given), atol=1e-6)
    assert sizes == [2, 1]
    for unlike in ([one], [one, torch.zeros(1, 4)], [one, one.double()], [one[0], one[0]]):
        with pytest.raises(NotAlike):
            plug.predict_batch(unlike, model)


def test_a_torchscript_that_keeps_a_state_is_asked_like_any_other(tmp_path: Path) -> None:
    """`silero-vad`, which hears whether somebody speaks, as its package ships it."""
    package = pytest.importorskip("importlib.resources").files(
        pytest.importorskip("silero_vad", reason="silero-vad is not installed here").__name__
    )
    found = next(p for p in (package / "data").iterdir() if p.name == "silero_vad.jit")
    (tmp_path / "model.pt").write_bytes(found.read_bytes())

    def predict_fn(data: Any, model: Any) -> Any:
        with torch.no_grad():
            model.reset_states()
            return [model(window, 16000).item() for window in data.split(512)]

    ask = serving("pytorch", tmp_path, predict_fn=predict_fn)
    said = ask(json.dumps([0.0] * 2048).encode(), JSON)
    assert said.status == 200, said.body
    silence = json.loads(said.body)
    assert len(silence) == 4
    assert max(silence) < 0.5


# ── Hugging Face ─────────────────────────────────────────────────────────────────────────────────

WORDS = ["i like this very much", "i hate that film", "the capital of france is paris"]
Save = Callable[[str], Path]


@pytest.fixture(scope="module")
def save(tmp_path_factory: pytest.TempPathFactory) -> Save:
    """A tiny model of an architecture, with a tokenizer, as `save_pretrained` writes them."""
    transformers = pytest.importorskip("transformers", reason="Transformers is not installed here")
    tokenizers = pytest.importorskip("tokenizers")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(unk_token="[UNK]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words.train_from_iterator(WORDS, tokenizers.trainers.WordLevelTrainer(special_tokens=special))
    names = {f"{name.strip('[]').lower()}_token": name for name in special}
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, model_max_length=64, **names
    )
    size = {"vocab_size": words.get_vocab_size(), "num_hidden_layers": 1, "hidden_size": 16}
    made: dict[str, Path] = {}

    def model_of(architecture: str) -> Any:
        torch.manual_seed(1)
        if architecture.startswith("GPT2"):
            ends = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
            shape = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
            config = transformers.GPT2Config(vocab_size=size["vocab_size"], **shape, **ends)
        elif architecture.startswith("ViT"):
            config = transformers.ViTConfig(
                hidden_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=16,
                image_size=32,
                patch_size=16,
            )
        else:
            config = transformers.BertConfig(
                **size, num_attention_heads=2, intermediate_size=16, max_position_embeddings=64
            )
        return getattr(transformers, architecture)(config)

    def save(architecture: str) -> Path:
        if architecture not in made:
            directory = tmp_path_factory.mktemp(architecture)
            model_of(architecture).save_pretrained(directory)
            tokenizer.save_pretrained(directory)
            if architecture.startswith("ViT"):
                transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(
                    directory
                )
            made[architecture] = directory
        return made[architecture]

    return save


def answered(said: Said) -> Any:
    assert (said.status, said.content_type) == (200, JSON), said.body
    return json.loads(said.body)


def page(said: Said) -> str:
    """The message of a 400 of the model server's."""
    assert (said.status, said.content_type) == (400, JSON), said
    error = json.loads(said.body)
    assert (error["code"], error["type"]) == (400, "InternalServerException")
    return str(error["message"])


def test_a_classifier_without_a_line_of_code(save: Save) -> None:
    ask = serving("huggingface", save("BertForSequenceClassification"))
    (one,) = answered(ask(b'{"inputs": "i like paris"}', JSON))
    assert one.keys() == {"label", "score"}
    assert 0 < one["score"] < 1
    both = answered(ask(b'{"inputs": ["a", "b"], "parameters": {"top_k": null}}', JSON))
    assert [len(scores) for scores in both] == [2, 2]
    said = ask(b"inputs\ni like\nthat film\n", CSV, CSV)
    assert (said.status, said.content_type) == (200, CSV)
    assert said.body.splitlines()[0] == b"label,score"
    assert len(said.body.splitlines()) == 3


@pytest.mark.parametrize(
    ("architecture", "inputs", "members"),
    [
        ("BertForTokenClassification", "i like paris", {"entity", "score", "word"}),
        ("BertForMaskedLM", "i [MASK] paris", {"token", "token_str", "sequence"}),
        ("GPT2LMHeadModel", "i like", {"generated_text"}),
    ],
)
def test_pipelines_of_other_tasks(
    save: Save, architecture: str, inputs: str, members: set[str]
) -> None:
    ask = serving("huggingface", save(architecture))
    first = answered(ask(json.dumps({"inputs": inputs}).encode(), JSON))[0]
    assert members <= first.keys()


def test_a_text_goes_on_as_its_parameters_say(save: Save) -> None:
    ask = serving("huggingface", save("GPT2LMHeadModel"))
    asked = {"inputs": "i like", "parameters": {"max_new_tokens": 3, "do_sample": False}}
    (first,), (second,) = (answered(ask(json.dumps(asked).encode(), JSON)) for _ in range(2))
    assert first == second
    assert first["generated_text"].startswith("i like")


def test_features_by_the_variable_alone(save: Save) -> None:
    ask = serving("huggingface", save("BertForMaskedLM"), {"HF_TASK": "feature-extraction"})
    vectors = answered(ask(b'{"inputs": "i like paris"}', JSON))
    assert np.array(vectors).shape == (1, 3, 16)


def test_a_picture_is_looked_at(save: Save) -> None:
    image = pytest.importorskip("PIL.Image")
    out = io.BytesIO()
    image.new("RGBA", (40, 40), "red").save(out, format="PNG")
    ask = serving(
        "huggingface", save("ViTForImageClassification"), {"HF_TASK": "image-classification"}
    )
    (first, *_) = answered(ask(out.getvalue(), "image/png"))
    assert first.keys() == {"label", "score"}
    assert "identify" in page(ask(b"no picture", "image/png"))


@pytest.mark.parametrize(
    ("body", "content_type", "accept", "words"),
    [
        (b"{", JSON, JSON, "Expecting property name"),
        (b'["a"]', JSON, JSON, 'object with "inputs"'),
        (b'{"inputs": "a"}', "text/plain", JSON, "Content type text/plain is not supported"),
        (b'{"inputs": "a"}', None, JSON, "Content type None is not supported"),
        (b'{"inputs": "a"}', JSON, "text/html", "Content type text/html is not supported"),
        (b'{"inputs": "a", "parameters": {"function_to_apply": "zork"}}', JSON, JSON, "ZORK"),
        (b'{"inputs": "a", "parameters": [1]}', JSON, JSON, "mapping"),
        (b'{"inputs": null}', JSON, JSON, ""),
        (b"a,b\n1,2\n", CSV, JSON, "Header columns"),
    ],
)
def test_every_error_is_a_400(
    save: Save, body: bytes, content_type: str | None, accept: str, words: str
) -> None:
    ask = serving("huggingface", save("BertForSequenceClassification"))
    assert words in page(ask(body, content_type, accept))


def test_a_program_of_the_user_s_stands_where_it_is(save: Save) -> None:
    seen: list[Any] = []

    def predict_fn(data: Any, model: Any) -> Any:
        seen.append(type(model).__name__)
        return {"vector": np.array([1.5]), "text": data["inputs"]}

    ask = serving("huggingface", save("BertForSequenceClassification"), predict_fn=predict_fn)
    assert answered(ask(b'{"inputs": "a"}', JSON)) == {"vector": [1.5], "text": "a"}
    assert seen == ["TextClassificationPipeline"]
    assert "JSON compliant" in page(
        serving("huggingface", "/m", model_fn=lambda d: None, predict_fn=lambda d, m: float("nan"))(
            b'{"inputs": 1}', JSON
        )
    )


def test_a_picture_in_an_answer_is_base64_and_one_that_is_asked_for_is_itself() -> None:
    image = pytest.importorskip("PIL.Image")
    picture = image.new("RGB", (2, 2), "red")
    ask = serving(
        "huggingface", "/m", model_fn=lambda d: lambda inputs: picture, predict_fn=lambda d, m: m(d)
    )
    raw = base64.b64decode(answered(ask(b'{"inputs": "red"}', JSON)))
    assert image.open(io.BytesIO(raw)).getpixel((0, 0)) == (255, 0, 0)
    said = ask(b'{"inputs": "red"}', JSON, "image/x-image")
    assert (said.status, said.content_type) == (200, "image/x-image")
    assert image.open(io.BytesIO(said.body)).format == "PNG"
    assert image.open(io.BytesIO(ask(b"{}", JSON, "image/jpeg").body)).format == "JPEG"


def test_a_model_that_tells_no_task(save: Save, tmp_path: Path) -> None:
    with pytest.raises(NoTask, match="HF_TASK"):
        serving("huggingface", tmp_path)
    with pytest.raises(BadSetting, match="The task is 'zork', and Transformers"):
        serving("huggingface", save("BertForMaskedLM"), {"HF_TASK": "zork"})


def test_a_path_of_the_container_s_is_a_model_id(save: Save) -> None:
    ask: Ask = serving("huggingface", save("BertForMaskedLM"), {"HF_MODEL_ID": "/opt/ml/model"})
    assert answered(ask(b'{"inputs": "i [MASK] paris"}', JSON))
