#!/usr/bin/env python3
"""A scripted model for real coding agents, on 127.0.0.1 only: just enough of the OpenAI Responses API, and of the
Anthropic Messages API (anthropic.py).

Usage: model.py LOG. Prints its port and serves until standard input ends, so that it never outlives who started it.

It has no memory: what it answers is decided by the request alone. Directives in the last message of the user are
performed one per call of the model, in order; after the last one a closing text quotes the last tool result.

  [[run: COMMAND]]          call the agent's shell tool so that the agent asks a person
  [[call: NAME: {JSON}]]    call a tool by its name (Messages API)
  [[think: TEXT]]           think first (Messages API)
  [[stream: N]]             say N numbered words
  [[until: PATH]]           say numbered words until a file exists
  [[fail: STATUS]]          answer with an HTTP error
  [[fail: STATUS until PATH]]  the same, until a file exists
  [[garbage]]               answer with what is no answer
  [[nothing]]               answer nothing until the agent hangs up

LOG gets two lines of JSON per call. When it comes:
  {"n", "messages": [[role, text], ...], "results": [text, ...]}   results of tools since the last message of the user
and when it is answered, with what was said and whether the agent was there to hear all of it:
  {"n", "said": text, "whole": bool}
"""
import itertools
import json
import pathlib
import re
import select
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anthropic

DIRECTIVE = re.compile(r"\[\[(run|call|think|stream|until|fail|garbage|nothing)(?:: (.*?))?\]\](?!\])", re.S)
# What agents add to the conversation by themselves, in the role of the user.
CONTEXT = re.compile(r"<(environment_context|user_instructions|turn_aborted|permissions instructions)>.*?</\1>", re.S)


class Log:
    """Whole lines, one writer at a time."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8")
        self.lock = threading.Lock()

    def write(self, **entry):
        with self.lock:
            self.file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            self.file.flush()


def text_of(content):
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content or [])


def read(body):
    """The conversation so far and the results of tools since the last message of the user."""
    messages, results = [], []
    for item in body.get("input", []):
        kind, role = item.get("type", "message"), item.get("role")
        if kind == "message" and role in ("user", "assistant"):
            text = CONTEXT.sub("", text_of(item.get("content"))).strip()
            if text:
                messages.append([role, text])
                results = results if role == "assistant" else []
        elif kind == "function_call_output":
            results.append(text_of(item.get("output")))
    return messages, results


def shell_call(tools, command):
    """A call of the shell tool that is offered, as its schema wants it."""
    for tool in tools:
        properties = (tool.get("parameters") or {}).get("properties") or {}
        if tool.get("type") == "function" and "sandbox_permissions" in properties:
            key = "cmd" if "cmd" in properties else "command"
            arguments = {key: command, "sandbox_permissions": "require_escalated", "justification": "the test asks"}
            if "yield_time_ms" in properties:
                arguments["yield_time_ms"] = 30_000  # the most: a command that waits for the test is one call
            return tool["name"], arguments
    raise ValueError("no shell tool is offered: %s" % [tool.get("name") for tool in tools])


def words(prompt, results):
    """Yields the words of the answer; a pair is a thought, or at the end a tool to call."""
    steps = DIRECTIVE.findall(prompt)
    calls = [step for step in steps if step[0] in ("run", "call")]
    if not results:
        yield from (step for step in steps if step[0] == "think")
    if len(results) < len(calls):
        yield from ("I ", "will ", "run ", "it. ")
        yield calls[len(results)]
        return
    for kind, argument in steps:
        if kind == "stream":
            for number in range(int(argument)):
                yield "w%d " % number
        elif kind == "until":
            for number in itertools.count():
                if pathlib.Path(argument).exists():
                    break
                yield "w%d " % number
                time.sleep(0.02)
    closing = "the tool said %s" % results[-1].strip() if results else "you said %s" % DIRECTIVE.sub("", prompt).strip()
    yield from re.findall(r"\S+\s*", closing)


class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.reply(200, {"object": "list", "data": []})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        path = self.path.split("?")[0]
        if path.endswith("/count_tokens"):
            return self.reply(200, {"input_tokens": 1})
        dialects = {"responses": (read, self.answer), "messages": (anthropic.read, self.message)}
        if path.rsplit("/", 1)[-1] not in dialects:
            return self.reply(404, {"error": {"message": "only the Responses and the Messages API are served"}})
        reader, answer = dialects[path.rsplit("/", 1)[-1]]
        messages, results = reader(body)
        number = next(self.server.numbers)
        self.server.log.write(n=number, messages=messages, results=results)
        prompt = next((text for role, text in reversed(messages) if role == "user"), "")
        said, whole = [], False
        try:
            if not self.refuses(DIRECTIVE.findall(prompt)):
                answer(number, body, words(prompt, results), said)
            whole = True
        except OSError:
            self.close_connection = True  # the agent hung up
        finally:
            self.server.log.write(n=number, said="".join(said), whole=whole)

    def refuses(self, steps):
        """Whether the answer is none; it was given then."""
        for kind, argument in steps:
            status, _, path = argument.partition(" until ")
            if kind == "fail" and not (path and pathlib.Path(path).exists()):
                error = {"type": anthropic.ERRORS.get(int(status), "api_error"), "message": "the model fails as it was told"}
                self.reply(int(status), {"type": "error", "error": error})
            elif kind == "garbage":
                self.reply(200, "this is no answer of a model")
            elif kind == "nothing":
                select.select([self.connection], [], [])  # readable when the agent has hung up
                raise OSError
            else:
                continue
            return True
        return False

    def reply(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def begin(self):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def message(self, number, body, pieces, said):
        """The same for the Messages API."""
        if not body.get("stream"):
            return self.reply(200, anthropic.whole(number, body, pieces, said))
        self.begin()
        for kind, fields in anthropic.events(number, body, pieces, said):
            self.event(kind, **fields)
        self.wfile.write(b"0\r\n\r\n")

    def answer(self, number, body, pieces, said):
        """Streams one message and perhaps a tool call. `said` gets each word that went out."""
        self.begin()
        response = {"id": "resp_%d" % number, "object": "response", "status": "in_progress", "output": []}
        message = {"type": "message", "id": "msg_%d" % number, "role": "assistant", "content": []}
        self.event("response.created", response=response)
        self.event("response.output_item.added", output_index=0, item=message)
        items = []
        for piece in pieces:
            if isinstance(piece, tuple):
                if piece[0] != "run":
                    continue
                name, arguments = shell_call(body.get("tools", []), piece[1])
                items.append({"type": "function_call", "id": "fc_%d" % number, "call_id": "call_%d" % number,
                              "name": name, "arguments": json.dumps(arguments)})
                continue
            self.event("response.output_text.delta", item_id=message["id"], output_index=0, content_index=0, delta=piece)
            said.append(piece)
        message["content"] = [{"type": "output_text", "text": "".join(said), "annotations": []}]
        items.insert(0, message)
        for index, item in enumerate(items):
            self.event("response.output_item.done", output_index=index, item=item)
        usage = {"input_tokens": 1, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 1,
                 "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 2}
        self.event("response.completed", response={**response, "status": "completed", "output": items, "usage": usage})
        self.wfile.write(b"0\r\n\r\n")

    def event(self, kind, **fields):
        data = ("event: %s\ndata: %s\n\n" % (kind, json.dumps({"type": kind, **fields}))).encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    server.daemon_threads = True
    server.log, server.numbers = Log(sys.argv[1]), itertools.count(1)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


main()
