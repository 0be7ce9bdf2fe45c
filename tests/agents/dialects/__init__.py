"""What vendors' APIs look like on the wire, one module each, with the same functions:

  serves(path)                  whether a request is of this dialect
  read(body)                    the conversation as (role, text) and the tools as (name, schema)
  streams(path, body)           whether the answer is a stream
  stream(number, body, pieces)  the events of an answer, (name or None, JSON); pieces are words, thoughts and calls (model.py)
  whole(number, body, pieces)   the answer in one piece
  aside(body)                   what to say when no tool is offered
  error(status, message)        the body of an error
"""


def text_of(content):
    """The text of a string, or of a list of blocks."""
    if isinstance(content, str):
        return content
    parts = (part if isinstance(part, str) else part.get("text") or "" for part in content or [])
    return "\n".join(part for part in parts if part)


def split(pieces):
    """A list of pieces as the text and the calls, which are (tool, arguments)."""
    return ("".join(piece for piece in pieces if isinstance(piece, str)),
            [piece[1:] for piece in pieces if piece[0] == "call"])
