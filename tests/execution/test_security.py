"""Nothing is sent in plain text to another machine, and nothing listens beyond this one."""

import psutil
import pytest

import pardiff
from pardiff.errors import ClusterError, InputError
from pardiff.execution.cluster import connect, embedded_cluster
from pardiff.execution.security import Tls, check_address, is_loopback


@pytest.mark.parametrize(
    "address", ["tcp://10.0.0.1:8786", "tcp://example.invalid:8786", "ws://192.168.1.1:80", "tcp://0.0.0.0:1"]
)
def test_plain_text_to_another_machine(address):
    """It is refused with the reason, and with what to do."""
    with pytest.raises(ClusterError, match=r"neither encrypted nor authenticated.*--tls-ca.*--insecure"):
        check_address(address)
    check_address(address, insecure=True)
    check_address(address.replace("tcp", "tls").replace("ws:", "wss:"))


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:8786", "tcp://localhost:8786", "tcp://[::1]:8786", "tcp://127.8.9.1:1"]
)
def test_this_machine(address):
    """Loopback needs no encryption."""
    check_address(address)


def test_names():
    """A name that nobody knows is no loopback."""
    assert not is_loopback("")
    assert not is_loopback("no.such.host.invalid")


def test_from_python():
    """gradcheck refuses it too, before it connects."""
    with pytest.raises(ClusterError, match="neither encrypted"):
        pardiff.gradcheck(lambda x: float(x @ x), None, [1.0], executor="tcp://10.0.0.1:8786")


@pytest.mark.parametrize("tls", [Tls(), None])
def test_no_certificate(tls):
    """It is said at once, before anything is opened."""
    with (
        pytest.raises(InputError, match=r"needs a certificate: give --tls-ca, --tls-cert, --tls-key, or name"),
        connect("tls://127.0.0.1:1", tls=tls),
    ):
        pass


def test_certificates_that_are_not_there(tmp_path):
    """One sentence, before anything is opened."""
    with (
        pytest.raises(InputError, match=r"--tls-ca: there is no file"),
        connect("tls://127.0.0.1:1", tls=Tls(str(tmp_path / "ca.pem"))),
    ):
        pass


@pytest.mark.cluster
def test_nothing_listens_beyond_loopback():
    """Scheduler, dashboard, workers and nannies of the embedded cluster are on 127.0.0.1 alone."""
    with embedded_cluster(2) as executor:
        executor.client.wait_for_workers(2)
        me = psutil.Process()
        listening = [
            connection.laddr.ip
            for process in (me, *me.children(recursive=True))
            for connection in process.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        ]

    assert len(listening) >= 4
    assert set(listening) == {"127.0.0.1"}
