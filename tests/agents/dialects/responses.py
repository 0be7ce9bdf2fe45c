"""OpenAI Responses: Codex."""
import json

from . import split, text_of


def serves(path):
    return path.endswith("/responses")


def read(body):
    items = []
    for item in body.get("input", []):
        kind, role = item.get("type", "message"), item.get("role")
        if kind == "message" and role in ("user", "assistant"):
            items.append((role, text_of(item.get("content"))))
        elif kind == "function_call_output":
            items.append(("tool", text_of(item.get("output"))))
    tools = [(tool["name"], tool.get("parameters")) for tool in body.get("tools") or [] if tool.get("type") == "function"]
    return items, tools


def streams(path, body):
    return bool(body.get("stream"))


def aside(body):
    return "noted"


def error(status, message):
    kinds = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_exceeded"}
    return {"error": {"message": message, "type": kinds.get(status, "server_error"), "code": None, "param": None}}


def response(number, status, items):
    usage = {"input_tokens": 1, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 1,
             "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 2}
    return {"id": "resp_%d" % number, "object": "response", "status": status, "output": items, "usage": usage}


def output(number, pieces):
    text, calls = split(pieces)
    message = {"type": "message", "id": "msg_%d" % number, "role": "assistant",
               "content": [{"type": "output_text", "text": text, "annotations": []}]}
    return [message] + [{"type": "function_call", "id": "fc_%d" % number, "call_id": "call_%d" % number,
                         "name": name, "arguments": json.dumps(arguments)} for name, arguments in calls]


def stream(number, body, pieces):
    def event(kind, **fields):
        return kind, {"type": kind, **fields}

    started = {**response(number, "in_progress", []), "usage": None}
    message = {"type": "message", "id": "msg_%d" % number, "role": "assistant", "content": []}
    yield event("response.created", response=started)
    yield event("response.output_item.added", output_index=0, item=message)
    went = []
    for piece in pieces:
        went.append(piece)
        if isinstance(piece, str):
            yield event("response.output_text.delta", item_id=message["id"], output_index=0, content_index=0, delta=piece)
    items = output(number, went)
    for index, item in enumerate(items):
        yield event("response.output_item.done", output_index=index, item=item)
    yield event("response.completed", response=response(number, "completed", items))


def whole(number, body, pieces):
    return response(number, "completed", output(number, pieces))
