"""What fault tests share."""

import pytest
from chaos import end_all


@pytest.fixture(autouse=True)
def _no_process_is_left():
    yield
    end_all()
