"""Runs commands of the AWS CLI, each in a process of its own forked from this one, which spares the start of Python.

One JSON list of arguments a line in, {code, stdout, stderr} a line out, until the input ends.
"""

import json
import os
import sys
import tempfile

from awscli.clidriver import create_clidriver


def run(arguments):
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            code = create_clidriver().main(arguments)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        err.seek(0)
        return {"code": code, "stdout": out.read().decode(), "stderr": err.read().decode()}


for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), flush=True)
