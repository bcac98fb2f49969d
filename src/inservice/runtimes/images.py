"""Which container images the process runtime can stand in for, and what each one needs imported.

Deployment code written for AWS names an image; nothing here pulls it. AWS's scikit-learn images are
a Python with scikit-learn and SageMaker's handlers, which is what our model server is, so their
URIs select this runtime whatever their account, region and tag. Anything else would be a guess
about what is inside the image, and is refused with a sentence that says what can run.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass

from inservice.runtimes.base import ImageNotRunnable

SERVER = ("inservice.modelserver.main", "msgspec")
"""What every instance needs: imported before the fork, it costs an instance nothing."""

SKLEARN = (
    "numpy",
    "joblib",
    "sklearn.compose",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.naive_bayes",
    "sklearn.neighbors",
    "sklearn.neural_network",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "sklearn.svm",
)
"""The parts of scikit-learn that models unpickle into. All of them together take 0.3 s longer to
import than the package alone and 18 MB, once per host; left out, each instance would pay."""


@dataclass(frozen=True, slots=True)
class Image:
    """One family of images that this runtime stands in for."""

    name: str
    pattern: re.Pattern[str]  # matched against the whole image string
    requires: tuple[str, ...]  # top-level packages that must be installed here
    preimports: tuple[str, ...]  # modules a zygote for this image imports before it forks


_ECR = r"\d{12}\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn|\.eusc)?"
_SKLEARN_REPOSITORIES = r"(sagemaker-scikit-learn|sklearn-inference|scikit-learn-inference)"

IMAGES = (
    Image(
        name="scikit-learn",
        pattern=re.compile(
            rf"{_ECR}/{_SKLEARN_REPOSITORIES}([:@]\S+)?|(inservice/)?sklearn(:latest)?"
        ),
        requires=("numpy", "joblib", "sklearn"),
        preimports=(*SERVER, *SKLEARN),
    ),
    Image(
        name="python",
        pattern=re.compile(r"(inservice/)?python(:latest)?"),
        requires=(),
        preimports=SERVER,
    ),
)
"""The whole table. The first pattern that matches is taken."""

RUNNABLE = (
    "without Docker this host runs AWS's scikit-learn images "
    "(<account>.dkr.ecr.<region>.amazonaws.com/sagemaker-scikit-learn:<tag>) and the plain names "
    "'sklearn' and 'python'"
)


_installed: set[str] = set()


def _is_installed(package: str) -> bool:
    """Whether it can be imported here. One that was found is not looked for again, with each
    launch; one that was not may have been installed since."""
    if package not in _installed and importlib.util.find_spec(package) is not None:
        _installed.add(package)
    return package in _installed


def image_for(uri: str) -> Image:
    """The image that stands in for `uri`.

    Raises ImageNotRunnable, naming what can run here, for an image that is not in the table, and
    naming the missing packages for one that is but whose framework is not installed.
    """
    found = next((image for image in IMAGES if image.pattern.fullmatch(uri)), None)
    if found is None:
        raise ImageNotRunnable(f"The image '{uri}' cannot run here: {RUNNABLE}.")
    missing = [name for name in found.requires if not _is_installed(name)]
    if missing:
        raise ImageNotRunnable(
            f"The image '{uri}' needs {', '.join(missing)}, not installed beside InService: "
            f"pip install 'inservice[sklearn]'."
        )
    return found
