"""What httpx sees of the app of test/wire/http-clients.test.ts, as JSON.

Arguments: http1 or http2 (with prior knowledge), the origin, the large file, the target with odd characters.
"""

import hashlib
import json
import sys

import httpx

kind, origin, file, target = sys.argv[1:]
client = httpx.Client(http1=kind == "http1", http2=kind == "http2", base_url=origin, timeout=30)


def answer(response):
    sha256 = hashlib.sha256(response.content).hexdigest()
    return {"status": response.status_code, "length": response.headers.get("content-length"), "sha256": sha256}


def pieces():
    with open(file, "rb") as body:
        while piece := body.read(100_000):
            yield piece


zipped = client.get("/gzip")
with open(file, "rb") as body:
    whole = body.read()
report = {
    "query": client.get(origin + target).text,
    "head": answer(client.head("/large")),
    "empty": answer(client.get("/empty")),
    "cached": answer(client.get("/cached", headers={"if-none-match": '"v1"'})),
    "large": answer(client.get("/large")),
    "streamed": answer(client.get("/streamed")),
    "gzip": {"encoding": zipped.headers["content-encoding"], "text": zipped.text},
    "upload": client.post("/upload", content=whole).json(),
    "chunked": client.post("/upload", content=pieces()).json(),
}
print(json.dumps(report))
