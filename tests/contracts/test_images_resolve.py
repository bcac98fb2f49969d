"""Which image a name means: every repository that AWS has, whatever stands around its name; and
anything else that somebody may write."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.images.base import EnvironmentImage, NotRunnable, OciImage, Resolved
from inservice.images.families import Family, FamilyUnreadable, families, read
from inservice.images.reference import LONGEST, parse, shown
from inservice.images.resolve import Catalogue

CATALOGUE = Catalogue()

REGISTRIES = (
    "763104351884.dkr.ecr.us-east-1.amazonaws.com",
    "246618743249.dkr.ecr.us-west-2.amazonaws.com",
    "450853457545.dkr.ecr.cn-north-1.amazonaws.com.cn",
    "442386744353.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
    "832744725421.dkr.ecr.us-iso-east-1.c2s.ic.gov",
    "841569659894.dkr.ecr.us-isob-east-1.sc2s.sgov.gov",
    "763104351884.dkr.ecr.eusc-de-east-1.amazonaws.eu",
    "763104351884.dkr-ecr.us-east-1.on.aws",
    "000000000000.dkr.ecr.us-east-1.localhost.localstack.cloud:4566",
    "public.ecr.aws/deep-learning-containers",
)

ENVIRONMENTS: tuple[tuple[str, str, str], ...] = (
    *(
        ("sagemaker-scikit-learn", tag, "scikit-learn")
        for tag in ("0.20.0-cpu-py3", "0.23-1-cpu-py3", "1.0-1", "1.2-1-cpu-py3", "1.4-2-py312")
    ),
    *(
        ("sagemaker-xgboost", tag, "xgboost")
        for tag in ("0.90-1-cpu-py3", "1.5-1-cpu-py3", "1.7-1", "3.0-5", "3.2-0")
    ),
    *(("xgboost", tag, "xgboost-0.72") for tag in ("1", "latest")),
    *(
        ("pytorch-inference", tag, "pytorch")
        for tag in ("2.6.0-cpu-py312-ubuntu22.04-sagemaker", "2.6.0-cpu-py312", "1.13.1-gpu-py39")
    ),
    ("pytorch-inference-graviton", "2.4.0-cpu-py311-ubuntu22.04-sagemaker", "pytorch"),
    ("sagemaker-pytorch", "1.1.0-cpu-py3", "pytorch"),
    *(("tensorflow-inference", tag, "tensorflow") for tag in ("2.19.0-cpu", "1.15.5-gpu")),
    *(
        (name, tag, "tensorflow")
        for name in ("sagemaker-tensorflow-serving", "sagemaker-tensorflow")
        for tag in ("1.11.0-cpu", "1.15-gpu")
    ),
    *(
        ("huggingface-pytorch-inference", tag, "huggingface")
        for tag in (
            "2.6.0-transformers4.51.3-cpu-py312-ubuntu22.04",
            "1.10.2-transformers4.17.0-gpu-py38-cu113-ubuntu20.04",
            "2.9.0-transformers5.5.3-cpu-py312",
        )
    ),
    *(("autogluon-inference", tag, "autogluon") for tag in ("1.5.0-cpu-py311", "0.3.1-cpu-py37")),
    ("huggingface-llamacpp", "b9522", "llm"),
    ("mlflow-pyfunc", "2.22.0", "mlflow"),
)
"""Repository, tag, and the family that stands in for it."""

ENGINES = (
    ("huggingface-tensorflow-inference", "2.11.1-transformers4.26.0-cpu-py39-ubuntu20.04"),
    ("huggingface-pytorch-tgi-inference", "2.7.0-tgi3.3.6-gpu-py311-cu124-ubuntu22.04"),
    *((name, "2.0.1-tei1.8.2-cpu-py310-ubuntu22.04") for name in ("tei", "tei-cpu")),
    ("huggingface-vllm", "0.21.0"),
    ("huggingface-sglang", "0.5.8"),
    ("vllm", "0.21.0-gpu-py312"),
    ("sglang", "0.5.8-gpu-py312"),
    ("ray-llm", "2.50.0"),
    *(("djl-inference", tag) for tag in ("0.28.0-lmi10.0.0-cu124", "0.29.0-tensorrtllm0.11.0")),
    ("sagemaker-tritonserver", "26.05-py3"),
    ("mxnet-inference", "1.9.0-cpu-py38"),
    ("sagemaker-mxnet-serving", "1.4.1-cpu-py3"),
    *(("sagemaker-sparkml-serving", tag) for tag in ("2.2", "2.4", "3.3")),
    ("stabilityai-pytorch-inference", "2.0.1-sgm0.1.0-gpu-py310-cu118-ubuntu20.04-sagemaker"),
    ("sagemaker-chainer", "5.0.0-cpu-py3"),
    ("sagemaker-rl-tensorflow", "coach0.11-cpu-py3"),
    *(
        (name, "1")
        for name in (
            *("kmeans", "knn", "pca", "linear-learner", "factorization-machines", "lda", "ntm"),
            *("randomcutforest", "ipinsights", "object2vec", "forecasting-deepar", "blazingtext"),
            *("image-classification", "object-detection", "semantic-segmentation", "seq2seq"),
        )
    ),
)
"""Repository and tag of what only an engine runs."""

NOWHERE = (
    ("huggingface-pytorch-inference-neuron", "1.10.2-transformers4.20.1-neuron-py37"),
    ("huggingface-pytorch-inference-neuronx", "2.1.2-transformers4.43.2-neuronx-py310"),
    ("pytorch-inference-neuronx", "2.5.1-neuronx-py310-sdk2.21.0-ubuntu22.04"),
    ("sagemaker-distribution-prod", "3.2.0-cpu"),
    ("sagemaker-base-python", "1.0"),
    ("sagemaker-model-monitor-analyzer", "latest"),
    ("sagemaker-clarify-processing", "1.0"),
    *(
        (f"{name}-training", "2.6.0-gpu-py312")
        for name in ("huggingface-pytorch", "huggingface-tensorflow", "pytorch", "tensorflow")
    ),
    *((f"{name}-training", "1.5.0-cpu-py311") for name in ("autogluon", "mxnet")),
    ("huggingface-pytorch-trcomp-training", "1.11.0-transformers4.21.1-gpu-py38-cu113"),
)
"""Repository and tag of what serves nowhere."""

OF_AWS = tuple((name, tag) for name, tag, _ in ENVIRONMENTS) + ENGINES + NOWHERE


def resolved(uri: str) -> Resolved:
    found = CATALOGUE.resolve(uri)
    assert found.uri == uri
    return found


def environment(uri: str) -> EnvironmentImage:
    found = resolved(uri)
    assert isinstance(found, EnvironmentImage)
    return found


# ── AWS's ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("repository", "tag", "family"), ENVIRONMENTS)
def test_an_environment_stands_in_for_aws_s_images(repository: str, tag: str, family: str) -> None:
    found = environment(f"{REGISTRIES[0]}/{repository}:{tag}")
    assert found.family == family
    assert found.requirements == tuple(sorted(found.requirements))
    assert found.requirements
    assert found.framework == families()[family].framework
    assert found.preimports == families()[family].preimports
    assert found.python == "", "the server's own, of whatever version the tag speaks"


@pytest.mark.parametrize(("repository", "tag"), ENGINES)
def test_only_an_engine_runs_what_is_a_server_of_its_own(repository: str, tag: str) -> None:
    found = resolved(f"{REGISTRIES[0]}/{repository}:{tag}")
    assert isinstance(found, OciImage)
    assert found.why.endswith(".")
    assert found.help.startswith(("Without an engine, ", "Save "))


@pytest.mark.parametrize(("repository", "tag"), NOWHERE)
def test_what_serves_nowhere_says_why_and_what_would(repository: str, tag: str) -> None:
    uri = f"{REGISTRIES[0]}/{repository}:{tag}"
    found = resolved(uri)
    assert isinstance(found, NotRunnable)
    assert found.why.startswith(f"The image '{uri}' cannot run here: it ")
    assert found.help.startswith("Name ")


def test_a_digest_may_be_cut_short() -> None:
    uri = "683313688378.dkr.ecr-fips.us-east-1.amazonaws.com/sagemaker-scikit-learn@sha256:00ff"
    assert environment(uri).family == "scikit-learn"


@pytest.mark.parametrize("registry", REGISTRIES)
@pytest.mark.parametrize("ending", [":{}", "@sha256:" + "0f" * 32, ":{}@sha256:" + "0F" * 32, ""])
def test_the_repository_decides_whatever_account_region_suffix_tag_or_digest(
    registry: str, ending: str
) -> None:
    for repository, tag in OF_AWS:
        usual, other = (
            resolved(f"{place}/{repository}{ending.format(tag)}")
            for place in (REGISTRIES[0], registry)
        )
        assert _without_its_name(usual) == _without_its_name(other)
        assert type(usual) is type(resolved(f"{REGISTRIES[0]}/{repository}:{tag}"))


def _without_its_name(found: Resolved) -> tuple[object, ...]:
    match found:
        case EnvironmentImage():
            return (found.family, found.requirements, found.python, found.framework)
        case _:
            return (type(found), found.help)


@pytest.mark.parametrize(
    ("repository", "tag", "wanted"),
    [
        ("huggingface-pytorch-inference", "2.6.0-transformers4.51.3-cpu-py312", "<5"),
        ("huggingface-pytorch-inference", "2.9.0-transformers5.5.3-cpu-py312", ">=5,<6"),
        ("huggingface-pytorch-inference", "", ">=5,<6"),
    ],
)
def test_a_tag_chooses_transformers(repository: str, tag: str, wanted: str) -> None:
    found = environment(f"{REGISTRIES[0]}/{repository}" + (f":{tag}" if tag else ""))
    assert next(each for each in found.requirements if each.startswith("transformers")).endswith(
        wanted
    )


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        ("sagemaker-xgboost:1.7-1", "<3.1"),
        ("sagemaker-xgboost:0.90-2-cpu-py3", "<3.1"),
        ("xgboost:1", "<3.1"),
        ("sagemaker-xgboost:3.0-5", ">=3,<4"),
        ("sagemaker-xgboost", ">=3,<4"),
    ],
)
def test_models_of_old_xgboost_get_one_that_reads_them(image: str, wanted: str) -> None:
    found = environment(f"{REGISTRIES[0]}/{image}")
    assert next(each for each in found.requirements if each.startswith("xgboost")).endswith(wanted)


# ── people's ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "family"),
    [(name, family) for family, its in families().items() for name in its.names],
)
def test_short_names_are_taken_with_and_without_our_own_before_them(name: str, family: str) -> None:
    for uri in (name, f"inservice/{name}", f"{name}:latest", f"inservice/{name}:latest"):
        assert environment(uri).family == family


@pytest.mark.parametrize(
    ("uri", "python"),
    [("python", ""), ("python:3.12", "3.12"), ("inservice/python:3.13.1-slim", "3.13")],
)
def test_the_tag_of_python_is_a_python(uri: str, python: str) -> None:
    assert environment(uri).python == python


@pytest.mark.parametrize(
    "uri",
    [
        "my-registry.example/my-image:3",
        "nginx",
        "nginx:latest",
        "team/pytorch",
        "localhost/pytorch",
        "localhost:5000/pytorch-inference:2.6.0",
        "docker.io/library/python:3.12",
        "ghcr.io/huggingface/text-generation-inference:3.3.6",
        f"{REGISTRIES[0]}/my-model:1",
        f"{REGISTRIES[0]}/team/pytorch-inference:2.6.0",
        "evil.example/683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1",
        "1234.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1",
        "pytorch-inference",  # AWS's name, and of nobody's registry
        "[::1]:5000/a/b:1",
        "a__b/c---d.e_f:T.a_g-1",
    ],
)
def test_other_images_are_an_engine_s_and_nothing_is_known_of_them(uri: str) -> None:
    assert resolved(uri) == OciImage(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        " ",
        "-v /:/h",
        "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1\n",
        "pytorch\n",
        "pytorch:",
        "pytorch@",
        "pytorch@sha256:",
        "pytorch@sha256:xyz",
        ":latest",
        "/pytorch",
        "pytorch/",
        "a//b",
        "../pytorch",
        "PyTorch",
        "https://hub.example/pytorch",
        "s3://bucket/pytorch",
        "file:///srv/pytorch",
        "pytorch:t a g",
        "pytorch:" + "t" * 129,
        "ｐｙｔｏｒｃｈ",
        "pytorch\N{ZERO WIDTH SPACE}",
        "\ud800",
        "\0",
        "p" * (LONGEST + 1),
    ],
)
def test_what_is_no_reference_runs_nowhere_and_is_told_what_does(uri: str) -> None:
    found = resolved(uri)
    assert isinstance(found, NotRunnable)
    assert found.why.startswith("The image '")
    assert "cannot run here: " in found.why
    for each in ("sagemaker-scikit-learn:<tag>", "'sklearn'", "'python'"):
        assert each in found.help


@pytest.mark.parametrize(
    "uri",
    [
        "a" * 100_000,
        "a-" * 50_000,
        "a" * 100_000 + "!",
        "/".join(["a"] * 50_000),
        "a." * 50_000 + "/b",
        "x:" * 50_000,
        "@" * 100_000,
        "a" * 200 + ":" + "-" * 54,
        "a-a_a.a__a" * 25 + "!",
        "a." * 120 + "/b",
        "1" * 250,
    ],
)
def test_a_hostile_name_costs_nothing_and_floods_no_message(uri: str) -> None:
    before = time.process_time()
    for _ in range(50):
        found = resolved(uri)
    spent = time.process_time() - before
    assert spent < 1.0, "of compute for fifty: a pattern that goes back and forth takes hours"
    assert not isinstance(found, EnvironmentImage)
    if isinstance(found, NotRunnable):
        assert len(found.why) < 400


@given(
    st.one_of(
        st.text(max_size=300),
        st.from_regex(r"[a-z0-9./:@_-]{0,300}", fullmatch=True),
        st.tuples(
            st.sampled_from([*REGISTRIES, "inservice", "docker.io", ""]),
            st.sampled_from([name for name, _ in OF_AWS] + ["sklearn", "python"]),
            st.text(max_size=20),
        ).map(lambda parts: f"{parts[0]}/{parts[1]}{parts[2]}"),
    )
)
def test_any_text_is_one_of_three_things_and_never_an_error(uri: str) -> None:
    found = resolved(uri)
    if isinstance(found, NotRunnable) and parse(uri) is None:
        told = found.why.removeprefix("The image '")
        assert all(each.isprintable() for each in told)
    else:
        assert uri.isascii(), "all of a reference is plain"
    assert shown(uri).isprintable()


# ── the catalogue itself ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", families())
def test_a_family_says_what_it_is_in_words(name: str) -> None:
    family = families()[name]
    assert not family.about.endswith(".")
    for sentence in (family.why, family.help):
        assert not sentence or (sentence.endswith(".") and sentence[0].isupper())


def test_no_name_is_of_two_families() -> None:
    claims = [
        (name, family)
        for family, its in families().items()
        for name in (*its.names, *its.repositories)
        if "*" not in name
    ]
    shared = {name: [one for each, one in claims if each == name] for name in dict(claims)}
    twice = {name: who for name, who in shared.items() if len(who) > 1}
    # As a short name it is the framework's newest, of AWS's repositories the algorithm's oldest.
    assert twice == {"xgboost": ["xgboost-0.72", "xgboost"]}
    exact = {name for name, _ in claims}
    for name in exact:
        assert parse(name) is not None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('about = "x"', "runs"),
        ('about = "x"\nruns = "somewhere"\nrepositories = ["x"]', "somewhere"),
        ('about = "x"\nruns = "environment"\nrepositories = []', "repositories"),
        ('about = "x"\nruns = "nowhere"\nrepositories = ["x"]', "why"),
        (
            'about = "x"\nruns = "environment"\nrepositories = ["x"]\nrequirements = ["a b"]',
            "Expected",
        ),
        (
            (
                'about = "x"\nruns = "environment"\nrepositories = ["x"]\n'
                '[[tags]]\ntags = ["1"]\nrequirements = ["a b"]'
            ),
            "Expected",
        ),
        (
            (
                'about = "x"\nruns = "engine"\nrepositories = ["x"]\nwhy = "A."\nhelp = "B."\n'
                'preimports = ["x"]'
            ),
            "environment",
        ),
        ('about = "x"\nruns = "environment"\nrepositories = ["x"]\nframwork = "x"', "framwork"),
        ("about = ", "Invalid"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_by_its_name(text: str, says: str) -> None:
    with pytest.raises(FamilyUnreadable, match=says) as refused:
        read("odd", text)
    assert str(refused.value).startswith("odd.toml: ")


def test_a_family_is_added_by_its_file_alone() -> None:
    text = 'about = "x"\nruns = "environment"\nrepositories = ["x-*"]\n[variables]\nA = "b"'
    known: Mapping[str, Family] = {"x": read("x", text)}
    found = Catalogue(known=known).resolve(f"{REGISTRIES[2]}/x-inference:1")
    assert isinstance(found, EnvironmentImage)
    assert (found.family, dict(found.variables)) == ("x", {"A": "b"})


# ── users' own ────────────────────────────────────────────────────────────────────────────────────


def test_a_users_own_comes_before_a_family_of_the_same_name() -> None:
    mine = EnvironmentImage("mine", "mine", ("a",))
    catalogue = Catalogue(lambda name: mine if name in ("mine", "pytorch") else None)
    for uri in ("mine", "inservice/mine", "mine:latest", "pytorch"):
        assert catalogue.resolve(uri) == replace(mine, uri=uri)
    assert catalogue.resolve("mine:3") == OciImage("mine:3")
    assert catalogue.resolve("localhost/mine") == OciImage("localhost/mine")
