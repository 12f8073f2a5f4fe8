"""The demo's GET /, GET /burn?ms=N and GET /sleep?ms=N as a WSGI application: the same answers, and
heavy by the same measure, CPU time of the thread that works."""
import time


def use_cpu(ms):
    until = time.thread_time_ns() + ms * 1_000_000
    total = 0
    while time.thread_time_ns() < until:
        for i in range(200):
            total += i * i


def application(environ, start_response):
    status = "200 OK"
    if environ["PATH_INFO"] == "/":
        body = b"hello\n"
    elif environ["PATH_INFO"] == "/burn":
        ms = int(environ["QUERY_STRING"].removeprefix("ms="))
        use_cpu(ms)
        body = b"burned %d\n" % ms
    elif environ["PATH_INFO"] == "/sleep":
        ms = int(environ["QUERY_STRING"].removeprefix("ms="))
        time.sleep(ms / 1000)
        body = b"slept %d\n" % ms
    else:
        status = "404 Not Found"
        body = b"not found\n"
    fields = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response(status, fields)
    return [body]
