"""A PyTorch model on a GPU, where there is one."""

from __future__ import annotations

import pytest

from tests.gpu import gpu_check


@pytest.mark.images
@pytest.mark.skipif(not gpu_check.gpus(), reason="there is no NVIDIA GPU here, or no driver")
def test_a_model_has_a_gpu_of_its_own() -> None:
    gpu_check.check()
    assert gpu_check.gpus()
