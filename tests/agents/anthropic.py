"""The Anthropic Messages API of the scripted model: how a request is read and what an answer consists of.

Pure: no sockets, no memory. model.py serves it and says what the words of an answer are.
"""
import json
import re

# What Claude Code adds to the conversation by itself, in the role of the user.
CONTEXT = re.compile(r"<system-reminder>.*?</system-reminder>", re.S)
# What it notes there when a person has interrupted.
INTERRUPTED = "[Request interrupted by user"
ERRORS = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 429: "rate_limit_error",
          529: "overloaded_error"}


def text_of(content):
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content or [])


def read(body):
    """The conversation so far and the results of tools since the last message of the user."""
    messages, results = [], []
    for message in body.get("messages", []):
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant"):
            continue
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        texts = []
        for block in blocks:
            if block.get("type") == "tool_result":
                results.append(text_of(block.get("content")))
            elif block.get("type") == "text":
                text = CONTEXT.sub("", block["text"]).strip()
                if text and not (role == "user" and text.startswith(INTERRUPTED)):
                    texts.append(text)
            elif block.get("type") == "image":
                texts.append("(image %s)" % block.get("source", {}).get("media_type"))
        if texts:
            messages.append([role, "\n".join(texts)])
            results = [] if role == "user" else results
    return messages, results


def tool_of(step):
    """The name and the input of the tool that a directive calls."""
    kind, argument = step
    if kind == "run":
        return "Bash", {"command": argument, "description": "the test asks"}
    name, _, given = argument.partition(": ")
    return name, json.loads(given)


def usage(written):
    return {"input_tokens": 10, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": written,
            "service_tier": "standard"}


def message(number, body, content, stop):
    return {"id": "msg_%d" % number, "type": "message", "role": "assistant", "model": body.get("model", "scripted"),
            "content": content, "stop_reason": stop, "stop_sequence": None, "usage": usage(1)}


def whole(number, body, pieces, said):
    """The answer to who does not want a stream."""
    content, stop = [], "end_turn"
    for piece in pieces:
        if not isinstance(piece, tuple):
            said.append(piece)
        elif piece[0] != "think":
            name, given = tool_of(piece)
            content.append({"type": "tool_use", "id": "toolu_%d" % number, "name": name, "input": given})
            stop = "tool_use"
    content.insert(0, {"type": "text", "text": "".join(said)})
    return message(number, body, content, stop)


def events(number, body, pieces, said):
    """The events of a stream, as (type, fields). `said` gets each word before its event is asked for again."""
    yield "message_start", {"message": message(number, body, [], None)}
    index, text, stop = 0, False, "end_turn"

    def block(start, deltas):
        yield "content_block_start", {"index": index, "content_block": start}
        for delta in deltas:
            yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}

    for piece in pieces:
        if not isinstance(piece, tuple):
            if not text:
                yield "content_block_start", {"index": index, "content_block": {"type": "text", "text": ""}}
                text = True
            yield "content_block_delta", {"index": index, "delta": {"type": "text_delta", "text": piece}}
            said.append(piece)
            continue
        if text:
            yield "content_block_stop", {"index": index}
            index, text = index + 1, False
        if piece[0] == "think":
            words = re.findall(r"\S+\s*", piece[1])
            deltas = [{"type": "thinking_delta", "thinking": word} for word in words]
            deltas.append({"type": "signature_delta", "signature": "c2NyaXB0"})
            yield from block({"type": "thinking", "thinking": "", "signature": ""}, deltas)
        else:
            name, given = tool_of(piece)
            given = json.dumps(given)
            parts = [given[at:at + 16] for at in range(0, len(given), 16)]
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in parts]
            yield from block({"type": "tool_use", "id": "toolu_%d" % number, "name": name, "input": {}}, deltas)
            stop = "tool_use"
        index += 1
    if text:
        yield "content_block_stop", {"index": index}
    yield "message_delta", {"delta": {"stop_reason": stop, "stop_sequence": None}, "usage": usage(max(1, len(said)))}
    yield "message_stop", {}
