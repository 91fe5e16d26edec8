import inspect
import pickle

import pytest

from pardiff import errors

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.PardiffError)]


@pytest.mark.parametrize("kind", CLASSES)
def test_errors_survive_pickling(kind):
    """An error that crosses a process boundary is the same error."""
    error = pickle.loads(pickle.dumps(kind("one sentence")))

    assert type(error) is kind
    assert str(error) == "one sentence"
    assert error.exit_status in (1, 2, 4)


@pytest.mark.parametrize("kind", CLASSES)
def test_errors_are_documented(kind):
    """The tree in the module's docstring names each class."""
    assert kind.__name__ in errors.__doc__
