#!/usr/bin/env python3
"""A scripted model for real coding agents, on 127.0.0.1 only: just enough of four vendors' APIs (dialects/).

Usage: model.py LOG. Prints its port and serves until standard input ends, so that it never outlives who started it.

It has no memory: what it answers is decided by the request alone. Directives in the last message of the user are
performed one per call of the model, in order; after the last one a closing text quotes the last tool result.

  [[run: COMMAND]]          call the agent's shell tool, outside of its sandbox where it has one: the agent asks a person
  [[call: NAME: {JSON}]]    call a tool by its name
  [[think: TEXT]]           think first (Messages API)
  [[stream: N]]             say N numbered words, as fast as can be
  [[stream: N after MS every MS]]  the same at the pace of a model: think first, then wait between words (milliseconds)
  [[until: PATH]]           say numbered words until a file exists
  [[fail: STATUS]]          answer with an HTTP error
  [[fail: STATUS until PATH]]  the same, until a file exists
  [[garbage]]               answer with what is no answer
  [[nothing]]               answer nothing until the agent hangs up

A call that offers no tool is the agent's own housekeeping (a title, a summary): it gets an answer and is logged apart.
It is a proxy, too, that lets nobody through and says who wanted to be reached.

LOG gets two lines of JSON per call. When it comes:
  {"n", "messages": [[role, text], ...], "results": [text, ...], "earlier": [text, ...], "pictures": [base64, ...]}
where the results are of tools since the last message of the user, and earlier is what vibes told of a lost conversation;
and when it is answered, with what was said and whether the agent was there to hear all of it:
  {"n", "said": text, "whole": bool, "status": HTTP status, 0 where it was none}
and one for everything else: {"aside": path} and {"reached": host}.
"""
import gzip
import itertools
import json
import pathlib
import re
import select
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.dont_write_bytecode = True
from dialects import chat, gemini, messages, responses  # noqa: E402

DIALECTS = [responses, messages, chat, gemini]
DIRECTIVE = re.compile(r"\[\[(run|call|think|stream|until|fail|garbage|nothing)(?:: (.*?))?\]\](?!\])", re.S)
# What agents add to the conversation by themselves, in the role of the user.
CONTEXT = re.compile(
    r"<(environment_context|user_instructions|turn_aborted|permissions instructions|system-reminder|session_context)>"
    r".*?</\1>", re.S)
# What vibes puts before a prompt when the agent does not know the conversation.
EARLIER = re.compile(r"<(earlier-conversation-\w+)>.*?</\1>", re.S)


class Log:
    """Whole lines, one writer at a time."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8")
        self.lock = threading.Lock()

    def write(self, **entry):
        with self.lock:
            self.file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            self.file.flush()


def conversation(items):
    """From what a dialect reads, ("user" | "assistant" | "tool", text) in order: the messages without what agents and vibes
    add to them, the results of tools since the last message of the user, and what vibes has told of earlier."""
    said, results, earlier = [], [], []
    for role, text in items:
        if role == "tool":
            results.append(text)
            continue
        earlier += [match.group() for match in EARLIER.finditer(text)]
        text = CONTEXT.sub("", EARLIER.sub("", text)).strip()
        if text:
            said.append([role, text])
            results = results if role == "assistant" else []
    return said, results, earlier


def pictures(body):
    """All images in a request, as they came, whatever its dialect calls them."""
    found = []
    if isinstance(body, dict):
        data = body.get("data") if "media_type" in body or "mimeType" in body or "mime_type" in body else None
        url = body.get("image_url")
        url = url.get("url") if isinstance(url, dict) else url
        if isinstance(url, str) and url.startswith("data:"):
            data = url.partition(",")[2]
        if isinstance(data, str):
            found.append(data)
        body = list(body.values())
    if isinstance(body, list):
        for part in body:
            found += pictures(part)
    return found



def shell_call(tools, command):
    """A call of the shell tool that is offered, as its schema wants it."""
    for name, schema in tools:
        properties = (schema or {}).get("properties") or {}
        key = next((key for key in ("cmd", "command") if key in properties), None)
        # Sandboxed shells can be asked to step out; the others are known by name.
        if key is None or not ("sandbox_permissions" in properties or name.lower() in ("bash", "run_shell_command")):
            continue
        arguments = {key: command}
        if "sandbox_permissions" in properties:
            arguments.update(sandbox_permissions="require_escalated", justification="the test asks")
        if "yield_time_ms" in properties:
            arguments["yield_time_ms"] = 30_000  # the most: a command that waits for the test is one call
        if "description" in properties:
            arguments["description"] = "what the test asks for"
        return name, arguments
    raise ValueError("no shell tool is offered: %s" % [name for name, _ in tools])


def named_call(argument):
    name, _, given = argument.partition(": ")
    return name, json.loads(given)


def words(prompt, results, tools):
    """Yields the words of the answer; what is no word is ("think", TEXT) or, at the end, ("call", TOOL, ARGUMENTS)."""
    steps = DIRECTIVE.findall(prompt)
    calls = [step for step in steps if step[0] in ("run", "call")]
    if not results:
        yield from (step for step in steps if step[0] == "think")
    if len(results) < len(calls):
        yield from ("I ", "will ", "run ", "it. ")
        kind, argument = calls[len(results)]
        name, given = shell_call(tools, argument) if kind == "run" else named_call(argument)
        yield "call", name, given
        return
    for kind, argument in steps:
        if kind == "stream":
            count, *pace = argument.split()
            pace = dict(zip(pace[::2], (int(number) / 1000 for number in pace[1::2])))
            time.sleep(pace.get("after", 0))
            for number in range(int(count)):
                yield "w%d " % number
                time.sleep(pace.get("every", 0))
        elif kind == "until":
            for number in itertools.count():
                if pathlib.Path(argument).exists():
                    break
                yield "w%d " % number
                time.sleep(0.02)
    closing = "the tool said %s" % results[-1].strip() if results else "you said %s" % DIRECTIVE.sub("", prompt).strip()
    yield from re.findall(r"\S+\s*", closing)


def heard(pieces, said):
    """The pieces, each noted once the next one is asked for: then it went out."""
    for piece in pieces:
        yield piece
        if isinstance(piece, str):
            said.append(piece)


def failure(prompt):
    """The HTTP status that is told to come, 0 for an answer that is none."""
    for kind, argument in DIRECTIVE.findall(prompt):
        status, _, path = argument.partition(" until ")
        if kind == "fail" and not (path and pathlib.Path(path).exists()):
            return int(status)
        if kind in ("garbage", "nothing"):
            return 0
    return 200


class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_CONNECT(self):
        self.server.log.write(reached=self.path)
        self.reply(403, {"error": {"message": "nobody is let through"}})

    def do_HEAD(self):
        self.reply(200, None)

    def do_GET(self):
        # With a whole address it is meant for a proxy.
        if self.path.startswith("http:"):
            return self.do_CONNECT()
        self.reply(200, {"object": "list", "data": [], "models": []})

    def do_POST(self):
        body, path = self.body(), self.path.split("?")[0]
        dialect = next((dialect for dialect in DIALECTS if dialect.serves(path)), None)
        if dialect is None:
            self.server.log.write(aside=path)
            # Agents that count tokens first are content with any number.
            return self.reply(200, {"input_tokens": 1, "totalTokens": 1})
        items, tools = dialect.read(body)
        said, results, earlier = conversation(items)
        streams = dialect.streams(path, body)
        if not tools:
            self.server.log.write(aside=path)
            return self.answer(dialect, 0, body, streams, iter([dialect.aside(body)]))
        number = next(self.server.numbers)
        self.server.log.write(
            n=number, messages=said, results=results, earlier=earlier, pictures=pictures(body))
        prompt = next((text for role, text in reversed(said) if role == "user"), "")
        words_out, whole, status = [], False, 200
        try:
            status = failure(prompt)
            if status == 200:
                self.answer(dialect, number, body, streams, heard(words(prompt, results, tools), words_out))
            elif status > 0:
                self.reply(status, dialect.error(status, "the model fails as it was told"))
            elif "[[garbage]]" in prompt:
                self.garbage()
            else:
                select.select([self.connection], [], [])  # readable when the agent has hung up
                raise OSError
            whole = True
        except OSError:
            self.close_connection = True  # the agent hung up
        finally:
            self.server.log.write(n=number, said="".join(words_out), whole=whole, status=status)

    def body(self):
        if "chunked" in self.headers.get("transfer-encoding", ""):
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            data = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.headers.get("content-encoding") == "gzip":
            data = gzip.decompress(data)
        return json.loads(data or b"{}")

    def reply(self, status, body):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def garbage(self):
        data = b"\x00\xff{not a protocol]\r\n\r\ndata: [}\n\n"
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def answer(self, dialect, number, body, streams, pieces):
        if not streams:
            return self.reply(200, dialect.whole(number, body, list(pieces)))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for kind, event in dialect.stream(number, body, pieces):
            data = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
            data = ("event: %s\n" % kind if kind else "") + "data: %s\n\n" % data
            data = data.encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    server.daemon_threads = True
    server.log, server.numbers = Log(sys.argv[1]), itertools.count(1)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


main()
