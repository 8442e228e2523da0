"""A stand-in for OpenAI's chat API: `python llm.py PORT`.

Steered by the user's last message: `fail:TEXT` is refused, `sleep:SECONDS` takes that long, anything else is upper-cased.
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def text_of(message):
    content = message["content"]
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


class Chat(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = [text_of(message) for message in request["messages"] if message["role"] == "user"][-1].strip()
        if text.startswith("sleep:"):
            time.sleep(float(text[6:]))
        if text.startswith("fail:"):
            self.answer(400, {"error": {"message": text[5:], "type": "invalid_request_error"}})
            return
        message = {"role": "assistant", "content": text.upper()}
        self.answer(200, {
            "id": "chat-1", "object": "chat.completion", "created": int(time.time()), "model": request["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        })

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Chat).serve_forever()
