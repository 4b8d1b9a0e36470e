"""gRPC by grpcio, the server or the client of test/wire/grpc-python.test.ts. Messages are bytes, so that nothing is generated.

Arguments: `server` and its port, or `client` and its target; the client prints what it saw, as JSON.
"""

import concurrent.futures
import json
import sys
import time

import grpc

LARGE = bytes(i % 251 for i in range(3 * 1024 * 1024))
SERVICE = "weft.test.Echo"


def metadata_of(context):
    return {key: value for key, value in context.invocation_metadata()}


def unary(request, context):
    context.set_trailing_metadata((("x-trailer", "unary"), ("x-seen-bin", metadata_of(context).get("x-sent-bin", b"-"))))
    return request


def server_stream(request, context):
    for i in range(int(request)):
        yield b"%d" % i


def client_stream(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def both(requests, context):
    for request in requests:
        yield request.upper()


def failing(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "nö, 100% \n no")


def sleeping(request, context):
    time.sleep(10)
    return request


def serve(port):
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "Both": grpc.stream_stream_rpc_method_handler(both),
        "Failing": grpc.unary_unary_rpc_method_handler(failing),
        "Sleeping": grpc.unary_unary_rpc_method_handler(sleeping),
    }
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


def failure(call):
    try:
        call()
    except grpc.RpcError as error:
        return [error.code().name, error.details()]
    return None


def one_by_one(channel):
    """Each word is sent when the answer to the one before has come."""
    answers = []

    def words():
        for i, word in enumerate([b"one", b"two", b"three"]):
            while len(answers) < i:
                time.sleep(0.001)
            yield word

    for answer in channel.stream_stream(f"/{SERVICE}/Both")(words(), timeout=20):
        answers.append(answer.decode())
    return answers


def ask(target):
    channel = grpc.insecure_channel(target)
    call = lambda name: channel.unary_unary(f"/{SERVICE}/{name}")
    answer, info = call("Unary").with_call(LARGE, metadata=(("x-sent-bin", b"\x00\xff"),), timeout=20)
    trailers = {key: value for key, value in info.trailing_metadata()}
    zipped = call("Unary")(LARGE, compression=grpc.Compression.Gzip, timeout=20)
    parallel = [call("Unary").future(b"%d" % i, timeout=20) for i in range(200)]
    stream = channel.unary_stream(f"/{SERVICE}/ServerStream")(b"5000", timeout=20)
    cancelled = channel.unary_unary(f"/{SERVICE}/Sleeping").future(b"")
    cancelled.cancel()
    report = {
        "unary": answer == LARGE,
        "trailers": [trailers["x-trailer"], trailers["x-seen-bin"].hex()],
        "gzip": zipped == LARGE,
        "parallel": [one.result() for one in parallel] == [b"%d" % i for i in range(200)],
        "serverStream": [int(one) for one in stream] == list(range(5000)),
        "clientStream": int(channel.stream_unary(f"/{SERVICE}/ClientStream")((b"x" * 10_000 for _ in range(500)), timeout=20)),
        "both": one_by_one(channel),
        "failing": failure(lambda: call("Failing")(b"", timeout=20)),
        "deadline": failure(lambda: call("Sleeping")(b"", timeout=0.3))[0],
        "unimplemented": failure(lambda: call("Missing")(b"", timeout=20))[0],
        "cancelled": cancelled.code().name,
        "after": call("Unary")(b"still here", timeout=20).decode(),
    }
    print(json.dumps(report))


if sys.argv[1] == "server":
    serve(sys.argv[2])
else:
    ask(sys.argv[2])
