"""Python's http.client against a running examples/demo.

usage: http_client.py PORT

Prints a line for each check: PASS or FAIL, a tab, what, a tab, the figure.
"""

import http.client
import sys

PORT = int(sys.argv[1])
MIB = 1 << 20


def connect():
    return http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)


def keep_alive():
    """Many requests, one connection: its local port stays the same."""
    connection = connect()
    ports = set()
    for _ in range(100):
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.status == 200 and answer.version == 11, (answer.status, answer.version)
        assert answer.read() == b"hello\n"
        ports.add(connection.sock.getsockname()[1])
    connection.close()
    assert len(ports) == 1, ports
    return "100 requests, 1 connection"


def head():
    """The length of GET without a body, and the connection goes on."""
    connection = connect()
    connection.request("HEAD", "/bytes?n=1000")
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200 and answer.getheader("Content-Length") == "1000", answer.headers
    assert body == b"", body
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"hello\n"
    connection.close()
    return "Content-Length 1000, no body"


def upload_with_length():
    body = bytes(range(256)) * (MIB // 256)
    connection = connect()
    connection.request("POST", "/echo", body, {"Content-Type": "application/octet-stream"})
    answer = connection.getresponse()
    echoed = answer.read()
    connection.close()
    assert answer.status == 200 and echoed == body, (answer.status, len(echoed))
    return f"{len(echoed)} bytes back"


def upload_in_chunks():
    """An iterable without a length: http.client sends it chunked, a chunk an item."""
    pieces = [b"%d;" % i * (i % 700 + 1) for i in range(1000)]
    connection = connect()
    connection.request("POST", "/echo", iter(pieces), encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})
    answer = connection.getresponse()
    echoed = answer.read()
    assert answer.status == 200 and echoed == b"".join(pieces), (answer.status, len(echoed))
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"hello\n"
    connection.close()
    return f"1000 chunks, {len(echoed)} bytes back"


def stream():
    connection = connect()
    connection.request("GET", "/stream?n=20&ms=5")
    answer = connection.getresponse()
    assert answer.getheader("Transfer-Encoding") == "chunked", answer.headers
    lines = answer.read().splitlines()
    connection.close()
    assert lines[0] == b"chunk 1 of 20" and lines[-1] == b"chunk 20 of 20", lines
    return f"{len(lines)} chunks"


def error():
    connection = connect()
    connection.request("GET", "/nowhere")
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 404, answer.status
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"hello\n"
    connection.close()
    return "404, and the connection goes on"


CHECKS = {
    "keep-alive": keep_alive,
    "HEAD": head,
    "POST with a length": upload_with_length,
    "POST of an iterable": upload_in_chunks,
    "a chunked answer": stream,
    "an error": error,
}

for what, check in CHECKS.items():
    try:
        print("PASS", what, check(), sep="\t")
    except Exception as problem:  # whatever it is, it is what the line says
        print("FAIL", what, f"{type(problem).__name__}: {problem}".replace("\n", " "), sep="\t")
