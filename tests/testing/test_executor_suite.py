"""Our executors pass the suite that is shipped for everybody's."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import pytest

import pardiff
from pardiff.execution.dask_executor import DaskExecutor
from pardiff.execution.executors import MapExecutor, SerialExecutor, ThreadExecutor
from pardiff.testing import sphere
from pardiff.testing.executor_suite import ExecutorSuite


class TestSerial(ExecutorSuite):
    @pytest.fixture
    def executor(self):
        return SerialExecutor()


class TestThreads(ExecutorSuite):
    @pytest.fixture
    def executor(self):
        return ThreadExecutor(2)


class TestMap(ExecutorSuite):
    @pytest.fixture
    def executor(self):
        return MapExecutor(map)


class TestThreadPoolMap(ExecutorSuite):
    @pytest.fixture
    def executor(self):
        with ThreadPoolExecutor(2) as pool:
            yield MapExecutor(pool.map)


@pytest.fixture(scope="module")
def pool():
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        yield pool


class TestProcessPoolMap(ExecutorSuite):
    @pytest.fixture
    def executor(self, pool):
        return MapExecutor(pool.map)


@pytest.mark.cluster
class TestDask(ExecutorSuite):
    @pytest.fixture
    def executor(self, embedded):
        return DaskExecutor(embedded.client)


def test_an_executor_of_the_users_own():
    """`gradcheck` takes any object that has what the protocol asks for."""

    class Backwards(SerialExecutor):
        def map(self, task, blocks):
            return super().map(task, sorted(blocks, reverse=True))

    assert pardiff.gradcheck(sphere(), block_size=1, executor=Backwards()).passed


@pytest.mark.parametrize("fault", ["twice", "lost", "swallowed"])
def test_it_finds_executors_that_are_wrong(fault):
    """A block that is delivered twice or left out, and an error that is swallowed, are found."""

    class Wrong(SerialExecutor):
        def map(self, task, blocks):
            for number, block in enumerate(blocks):
                try:
                    receipt = task(block)
                except pardiff.PardiffError:
                    if fault == "swallowed":
                        continue
                    raise
                if not (fault == "lost" and number == 3):
                    yield receipt
                if fault == "twice":
                    yield receipt

    suite = ExecutorSuite()
    if fault == "swallowed":
        with pytest.raises(pytest.fail.Exception):
            suite.test_an_error_reaches_the_caller(Wrong())
    else:
        with pytest.raises(AssertionError):
            suite.test_every_block_is_delivered_once(Wrong(), list(range(6)))
