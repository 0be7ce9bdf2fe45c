"""OpenAI Chat Completions: OpenCode with a provider of its own, and most others."""
import json
import time

from . import split, text_of

USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


def serves(path):
    return path.endswith("/chat/completions")


def read(body):
    items = []
    for message in body.get("messages", []):
        role, text = message.get("role"), text_of(message.get("content"))
        if role in ("user", "assistant", "tool"):
            items.append((role, text))
    tools = [tool.get("function") or tool for tool in body.get("tools") or []]
    return items, [(tool["name"], tool.get("parameters")) for tool in tools]


def streams(path, body):
    return bool(body.get("stream"))


def aside(body):
    return "a test"


def error(status, message):
    kinds = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_exceeded"}
    return {"error": {"message": message, "type": kinds.get(status, "server_error"), "code": None, "param": None}}


def calls_of(number, calls):
    return [{"index": index, "id": "call_%d_%d" % (number, index), "type": "function",
             "function": {"name": name, "arguments": json.dumps(arguments)}}
            for index, (name, arguments) in enumerate(calls)]


def head(number, body, kind):
    return {"id": "chatcmpl-%d" % number, "object": kind, "created": int(time.time()), "model": body.get("model")}


def stream(number, body, pieces):
    def event(delta, finish=None):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return None, {**head(number, body, "chat.completion.chunk"), "choices": [choice]}

    yield event({"role": "assistant", "content": ""})
    calls = []
    for piece in pieces:
        if isinstance(piece, str):
            yield event({"content": piece})
        elif piece[0] == "call":
            calls.append(piece[1:])
    if calls:
        yield event({"tool_calls": calls_of(number, calls)})
    yield event({}, "tool_calls" if calls else "stop")
    yield None, {**head(number, body, "chat.completion.chunk"), "choices": [], "usage": USAGE}
    yield None, "[DONE]"


def whole(number, body, pieces):
    text, calls = split(pieces)
    message = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = calls_of(number, calls)
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
    return {**head(number, body, "chat.completion"), "choices": [choice], "usage": USAGE}
