"""Anthropic Messages: Claude Code, natively and over its adapter."""
import json
import re

from . import split, text_of

# What Claude Code notes in the role of the user when a person has interrupted.
INTERRUPTED = "[Request interrupted by user"
ERRORS = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 429: "rate_limit_error",
          529: "overloaded_error"}


def serves(path):
    return path.endswith("/messages")


def read(body):
    items = []
    # Between the messages stand notes of the agent in a role of their own.
    for message in (message for message in body.get("messages", []) if message["role"] in ("user", "assistant")):
        content, role = message.get("content"), message["role"]
        # One message may hold results, a note about an interruption, a prompt that failed and the next one: each text is a
        # message by itself. An image belongs to the text before it.
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content or []:
            if block.get("type") == "tool_result":
                items.append(("tool", text_of(block.get("content"))))
            elif block.get("type") == "image":
                image = "(image %s)" % block.get("source", {}).get("media_type")
                before = items.pop()[1] + "\n" if items and items[-1][0] == role else ""
                items.append((role, before + image))
            elif block.get("type") == "text":
                text = re.sub(r"<system-reminder>.*?</system-reminder>", "", block["text"], flags=re.S).strip()
                if text and not (role == "user" and text.startswith(INTERRUPTED)):
                    items.append((role, text))
    # It wonders by itself what a person might type next: nothing that was asked for.
    wonders = items and items[-1][1].startswith("[SUGGESTION MODE")
    tools = [] if wonders else body.get("tools") or []
    return items, [(tool["name"], tool.get("input_schema")) for tool in tools]


def streams(path, body):
    return bool(body.get("stream"))


def aside(body):
    # Titles are asked for as JSON, and plain text is no fault.
    return '{"title": "a test"}'


def error(status, message):
    return {"type": "error", "error": {"type": ERRORS.get(status, "api_error"), "message": message}}


def usage(written):
    return {"input_tokens": 10, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": written,
            "service_tier": "standard"}


def envelope(number, body, content, stop):
    return {"id": "msg_%d" % number, "type": "message", "role": "assistant", "model": body.get("model", "scripted"),
            "content": content, "stop_reason": stop, "stop_sequence": None, "usage": usage(1)}


def whole(number, body, pieces):
    text, calls = split(pieces)
    content = [{"type": "text", "text": text}]
    content += [{"type": "tool_use", "id": "toolu_%d" % number, "name": name, "input": given} for name, given in calls]
    return envelope(number, body, content, "tool_use" if calls else "end_turn")


def stream(number, body, pieces):
    def event(kind, **fields):
        return kind, {"type": kind, **fields}

    def block(start, deltas):
        yield event("content_block_start", index=index, content_block=start)
        for delta in deltas:
            yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)

    yield event("message_start", message=envelope(number, body, [], None))
    index, words, open_text, stop = 0, 0, False, "end_turn"
    for piece in pieces:
        if isinstance(piece, str):
            if not open_text:
                yield event("content_block_start", index=index, content_block={"type": "text", "text": ""})
                open_text = True
            yield event("content_block_delta", index=index, delta={"type": "text_delta", "text": piece})
            words += 1
            continue
        if open_text:
            yield event("content_block_stop", index=index)
            index, open_text = index + 1, False
        kind, *rest = piece
        if kind == "think":
            deltas = [{"type": "thinking_delta", "thinking": word} for word in re.findall(r"\S+\s*", rest[0])]
            deltas.append({"type": "signature_delta", "signature": "c2NyaXB0"})
            yield from block({"type": "thinking", "thinking": "", "signature": ""}, deltas)
        else:
            name, given = rest[0], json.dumps(rest[1])
            parts = (given[at:at + 16] for at in range(0, len(given), 16))
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in parts]
            yield from block({"type": "tool_use", "id": "toolu_%d" % number, "name": name, "input": {}}, deltas)
            stop = "tool_use"
        index += 1
    if open_text:
        yield event("content_block_stop", index=index)
    yield event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage=usage(max(1, words)))
    yield event("message_stop")
