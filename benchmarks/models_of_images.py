"""A model for each family of images, as an archive: small, so that what is measured is all else.

Each is a program with a `model_fn` that makes its model with the framework of the image, and
answers with what it predicts for one line of numbers.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

_ANSWER = """
def transform_fn(model, body, content_type, accept):
    return str(predict(model, [float(each) for each in body.split(",")])), "text/csv"
"""

_PROGRAMS = {
    "torch": """
import torch

def model_fn(model_dir):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)).eval()

def predict(model, line):
    with torch.no_grad():
        return model(torch.tensor([line])).item()
""",
    "transformers": """
import torch
from transformers import BertConfig, BertModel

def model_fn(model_dir):
    torch.manual_seed(0)
    sizes = dict(hidden_size=32, num_attention_heads=2, intermediate_size=64, vocab_size=128)
    return BertModel(BertConfig(num_hidden_layers=2, **sizes)).eval()

def predict(model, line):
    with torch.no_grad():
        return model(torch.tensor([line]).long().clamp(0, 127)).last_hidden_state.sum().item()
""",
    "tensorflow": """
import tensorflow as tf

def model_fn(model_dir):
    return tf.random.stateless_normal((4, 1), seed=(0, 0))

def predict(model, line):
    return float(tf.matmul(tf.constant([line]), model)[0, 0])
""",
    "xgboost": """
import numpy, xgboost

def model_fn(model_dir):
    x = numpy.arange(40.0).reshape(10, 4)
    return xgboost.train({"nthread": 1}, xgboost.DMatrix(x, label=x[:, 0]), 5)

def predict(model, line):
    return float(model.predict(xgboost.DMatrix(numpy.array([line])))[0])
""",
    "lightgbm": """
import lightgbm, numpy

def model_fn(model_dir):
    x = numpy.arange(400.0).reshape(100, 4)
    data = lightgbm.Dataset(x, label=x[:, 0])
    return lightgbm.train({"num_threads": 1, "verbose": -1}, data, 5)

def predict(model, line):
    return float(model.predict([line])[0])
""",
    "": """
def model_fn(model_dir):
    return sum

def predict(model, line):
    return model(line)
""",
}
"""By the module that stands for the family, the narrowest first."""


def pack(preimports: tuple[str, ...], archive: Path) -> None:
    """The archive of a model for an image that has these modules imported."""
    names = {name.partition(".")[0] for name in preimports}
    order = ("transformers", "torch", "tensorflow", "xgboost", "lightgbm")
    program = _PROGRAMS[next((each for each in order if each in names), "")] + _ANSWER
    with tarfile.open(archive, "w:gz") as packed:
        entry = tarfile.TarInfo("code/inference.py")
        entry.size = len(program.encode())
        packed.addfile(entry, io.BytesIO(program.encode()))
