"""Has half of all calls go to what is there, and sees to it that every operation is carried out at least once.

What one call changes is another's no more: a DELETE takes what was brought for it, a cancel stops a run begun for it. In a
case that is meant to be refused only what fits is exchanged, so that it is refused for the rest.
"""

import atexit
import hashlib
import itertools
import json
import os
import threading
import urllib.request
from collections import Counter
from pathlib import Path

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.parameters import ParameterLocation

BASE = os.environ["BELT"]
GUESTS = Path(os.environ["GUESTS"])
NEVER = Path(os.environ["NEVER"])
ARCHIVE = Path(os.environ["ARCHIVE"]).read_bytes()
NOOP = (GUESTS / "noop.wasm").read_bytes()
WASM, GZIP = "application/wasm", "application/gzip"

schemathesis.openapi.media_type(WASM, st.sampled_from([NOOP, b"\0asm", b""]))
schemathesis.openapi.media_type(GZIP, st.sampled_from([ARCHIVE, b"no gzip", b""]))


def call(method, path, body=None, kind="application/json"):
    body = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    request = urllib.request.Request(BASE + path, body, {"content-type": kind}, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read() or "null")


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def define(name):
    call("POST", "/resource-definitions/apply", {"name": name, "schema": True})


def keep(name, kind, *steps, **more):
    call("POST", "/pipelines", {"name": name, "resource": kind, "steps": list(steps), **more})


def begin(pipeline, name, wait="60s", **more):
    resource = {"name": name, "resource": "kept", "spec": {}}
    return call("POST", f"/runs?wait={wait}", {"pipeline": pipeline, "resource": resource, **more})["run"]


numbers = itertools.count()


def fresh():
    return f"fresh-{next(numbers)}"


# What the document has as its examples. It is changed by whoever takes those as they stand.
EXAMPLES = {"app", "line", "thing"}
define("app")
keep("line", "app", {"driver": "echo"})
call("POST", "/resources", {"name": "thing", "resource": "app", "pipeline": "line", "spec": {}})

# What nobody else changes, however they have come by its name.
OURS = {"kept", "made", "long"}
define("kept")
keep("kept", "kept", {"driver": "echo"})
keep("made", "kept", {"driver": "files", "with": {"do": [{"write": "/out/made", "text": "x"}]}})
# Those that no call stops leave room for others.
keep("long", "kept", {"driver": "wait"}, timeout="2s")
call("POST", "/resources", {"name": "kept", "resource": "kept", "pipeline": "kept", "spec": {}})
call("PUT", f"/workspaces/{digest(ARCHIVE)}", ARCHIVE, GZIP)
RUN = begin("made", "made", workspace=digest(ARCHIVE))


def gone(path):
    """Brings something for a DELETE of that path; its name."""
    name = fresh()
    if path == "/resource-definitions/{name}":
        define(name)
    elif path == "/pipelines/{name}":
        keep(name, "kept")
    elif path == "/drivers/{name}":
        call("PUT", f"/drivers/{name}", NOOP, WASM)
    else:
        call("POST", "/resources", {"name": name, "resource": "kept", "pipeline": "kept", "spec": {}})
    return name


def real(method, path, body):
    """What stands in a path, where it is something that is there."""
    if path == "/workspaces/{digest}":
        return {"digest": digest(body if method == "PUT" and isinstance(body, bytes) else ARCHIVE)}
    if path.startswith("/runs/"):
        verb = path.rpartition("/")[2]
        run = {"cancel": lambda: begin("long", fresh(), "1ms"), "retry": lambda: begin("kept", fresh())}
        return {"run": run.get(verb, lambda: RUN)(), "path": "made"}
    if method == "DELETE":
        name = gone(path)
    elif path == "/drivers/{name}":
        name = "mine" if method == "PUT" else "echo"
    else:
        name = "app" if method == "PUT" and path == "/resource-definitions/{name}" else "kept"
    return {"kind": "kept", "version": 1, "name": name}


def fit(body, path, within):
    """Exchanges in a body what has to be there, or not to be."""
    if path == "/logs":
        body["runid"] = RUN
    elif path == "/runs":
        body |= {"pipeline": "kept", "resource": "kept"}
        body.pop("workspace", None)
        body.pop("local", None)
    elif path.startswith("/runs/"):
        body.pop("local", None)
        body.pop("from", None)
        if path.endswith("/retry"):
            body["from"] = "echo"
    elif path in ("/pipelines", "/resource-definitions", "/resource-definitions/apply"):
        body["name"] = fresh()
    elif path == "/resources":
        body |= {"name": fresh(), "resource": "kept", "pipeline": "kept"}
    elif path != "/drivers/{name}" and "name" in within:
        body["name"] = within["name"]
        if path == "/pipelines/{name}":
            body |= {"resource": "kept", "steps": [{"driver": "echo"}]}
        elif path.startswith("/resources/"):
            body |= {"resource": "kept", "pipeline": "kept"}


CHANGES = {"POST", "PUT", "DELETE"}
lock = threading.Lock()
calls, done = Counter(), Counter()


@schemathesis.hook
def before_call(context, case, kwargs):
    operation = (case.method, case.operation.path)
    with lock:
        calls[operation] += 1
        is_turn = calls[operation] % 2
    components = case.meta.components if case.meta else {}

    def fits(location):
        return location not in components or components[location].mode.is_positive

    within = case.path_parameters or {}
    named = {str(name) for name in within.values()}
    if isinstance(case.body, dict):
        named.add(str(case.body.get("name")))
    is_theirs = case.method == "DELETE" and named & EXAMPLES or case.method in CHANGES and named & OURS
    if not is_turn and not is_theirs:
        return
    if within and fits(ParameterLocation.PATH):
        found = real(*operation, case.body)
        within = {key: found[key] for key in case.path_parameters}
        case.path_parameters = within
    if isinstance(case.body, dict) and fits(ParameterLocation.BODY):
        fit(case.body, case.operation.path, within)


@schemathesis.hook
def after_call(context, case, response):
    if response.status_code < 300:
        with lock:
            done[case.method, case.operation.path] += 1


@atexit.register
def tell():
    paths = call("GET", "/openapi.json")["paths"]
    operations = [(method.upper(), path) for path in paths for method in paths[path]]
    never = [one for one in operations if calls[one] and not done[one]]
    NEVER.write_text("".join(f"{method} {path} was never carried out\n" for method, path in never))
