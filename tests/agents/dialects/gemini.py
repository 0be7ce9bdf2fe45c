"""Google Gemini, generateContent: Gemini CLI."""
import json

from . import split


def serves(path):
    return path.endswith((":generateContent", ":streamGenerateContent"))


def read(body):
    items = []
    for content in body.get("contents", []):
        role = "assistant" if content.get("role") == "model" else "user"
        for part in content.get("parts", []):
            if "functionResponse" in part:
                answer = part["functionResponse"].get("response") or {}
                items.append(("tool", str(answer.get("output") or answer.get("error") or json.dumps(answer))))
            elif "text" in part and not part.get("thought"):
                items.append((role, part["text"]))
    tools = [function for tool in body.get("tools") or [] for function in tool.get("functionDeclarations") or []]
    return items, [(tool["name"], tool.get("parametersJsonSchema") or tool.get("parameters")) for tool in tools]


def streams(path, body):
    return path.endswith(":streamGenerateContent")


def example(schema):
    """A value that fits a JSON schema: the router and the like want one."""
    kind = str(schema.get("type", "object")).lower()
    if "enum" in schema:
        return schema["enum"][-1]
    if kind == "object":
        return {name: example(inner) for name, inner in (schema.get("properties") or {}).items()}
    return {"array": [], "boolean": False, "number": 1, "integer": 1}.get(kind, "a test")


def aside(body):
    config = body.get("generationConfig") or {}
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    return json.dumps(example(schema)) if schema else "a test"


def error(status, message):
    names = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED"}
    return {"error": {"code": status, "message": message, "status": names.get(status, "INTERNAL")}}


def response(number, parts, finish=None):
    candidate = {"content": {"role": "model", "parts": parts}, "index": 0}
    usage = {}
    if finish:
        candidate["finishReason"] = finish
        usage = {"usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}}
    return {"candidates": [candidate], "modelVersion": "scripted", "responseId": "r%d" % number, **usage}


def parts_of(piece):
    if isinstance(piece, str):
        return {"text": piece}
    kind, *rest = piece
    if kind == "think":
        return {"text": rest[0], "thought": True}
    return {"functionCall": {"name": rest[0], "args": rest[1]}}


def stream(number, body, pieces):
    for piece in pieces:
        yield None, response(number, [parts_of(piece)])
    yield None, response(number, [{"text": ""}], "STOP")


def whole(number, body, pieces):
    text, calls = split(pieces)
    return response(number, [parts_of(piece) for piece in [text, *(("call", *call) for call in calls)]], "STOP")
