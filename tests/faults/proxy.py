"""A proxy before an object store, which answers as servers do on bad days."""

import http.client
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def proxy(port, fault):
    """Passes requests on to a port of this machine; yields its own port, and the number of faults so far.

    `fault` gets the number of a request, counted from 0, and returns None, a status to answer with, or, as a float,
    seconds to wait before the request is passed on.
    """
    counts = {"requests": 0, "faults": 0}
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self):
            try:
                super().handle_one_request()
            except OSError:  # who asked has gone
                self.close_connection = True

        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with lock:
                number = counts["requests"]
                counts["requests"] += 1
            what = fault(number)
            if what is not None:
                with lock:
                    counts["faults"] += 1
            if isinstance(what, float):
                time.sleep(what)
            elif what is not None:
                self.reply(what, b"<Error><Code>InternalError</Code></Error>", [])
                return
            upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                upstream.request(self.command, self.path, body, dict(self.headers))
                response = upstream.getresponse()
                self.reply(response.status, response.read(), response.getheaders())
            finally:
                upstream.close()

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer

        def reply(self, status, body, headers):
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in ("transfer-encoding", "connection") and (
                    name.lower() != "content-length" or self.command == "HEAD"
                ):
                    self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1], counts
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
