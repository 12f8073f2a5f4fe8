"""What bench/run asks of Gunicorn and uWSGI: the answers of bench/app.c and of the demo, as a WSGI
application. BENCH_FILE holds the body of every answer that is always the same, BENCH_TYPE is its
Content-Type. Routes are found in a dict, parameters by one split: no framework is in the way."""
import os
from wsgiref.util import FileWrapper

FILE = os.environ["BENCH_FILE"]
with open(FILE, "rb") as f:
    BODY = f.read()
FIELDS = [("Content-Type", os.environ["BENCH_TYPE"])]


def part(id, part):
    return b"%s %s\n" % (id.encode(), part.encode())


ROUTES = {"res%03d" % i: part for i in range(200)}


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/res"):
        _, name, id, _, number = path.split("/")
        body = ROUTES[name](id, number)
    elif path == "/upload":
        body = b"counted %d\n" % len(environ["wsgi.input"].read())
    elif path.startswith("/files/"):
        return give_file(environ, start_response)
    else:
        body = BODY
    start_response("200 OK", FIELDS + [("Content-Length", str(len(body)))])
    return [body]


def give_file(environ, start_response):
    file = open(FILE, "rb")
    size = os.fstat(file.fileno()).st_size
    start_response("200 OK", FIELDS + [("Content-Length", str(size))])
    return environ.get("wsgi.file_wrapper", FileWrapper)(file)
