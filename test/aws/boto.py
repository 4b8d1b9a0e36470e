"""Performs calls of App Mesh with boto3: one JSON line in, one out, until the input ends. First argument: the endpoint."""

import json
import sys

import boto3
import botocore.exceptions
from botocore import xform_name
from botocore.config import Config

client = boto3.client("appmesh", endpoint_url=sys.argv[1], config=Config(retries={"total_max_attempts": 1}))

for line in sys.stdin:
    call = json.loads(line)
    try:
        output = getattr(client, xform_name(call["operation"]))(**call["input"])
        output.pop("ResponseMetadata")
        answer = {"output": output}
    except botocore.exceptions.ClientError as error:
        # The class that a program would name in its except clause.
        known = getattr(client.exceptions, error.response["Error"]["Code"], None)
        answer = {"exception": type(error).__name__, "typed": known is type(error), "message": str(error)}
    print(json.dumps(answer, default=lambda value: value.isoformat()), flush=True)
