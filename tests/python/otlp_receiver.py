"""An OpenTelemetry collector for tests: decodes what it is sent with the standard's own messages, and says it as JSON lines.

Standard output: {"event": "listening", "port": N}, then {"event": "metrics" | "traces", "headers": {...}, "body": {...}} per request.
Standard input: {"do": "answer", "status": N, "times": N, "retryAfter": "N"}: refuses the next requests.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace

KINDS = {
    "/v1/metrics": ("metrics", metrics.ExportMetricsServiceRequest, metrics.ExportMetricsServiceResponse),
    "/v1/traces": ("traces", trace.ExportTraceServiceRequest, trace.ExportTraceServiceResponse),
}
lock = threading.Lock()
refusals = []


def emit(event, **fields):
    with lock:
        sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
        sys.stdout.flush()


def unknown_fields(message):
    """What the sender wrote that the standard does not have."""
    from google.protobuf.unknown_fields import UnknownFieldSet

    found = [field.field_number for field in UnknownFieldSet(message)]
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        parts = [value] if hasattr(value, "ListFields") else value
        for part in parts:
            found += unknown_fields(part)
    return found


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        known = KINDS.get(self.path)
        if known is None or self.headers["Content-Type"] != "application/x-protobuf":
            emit("error", message=f"{self.path} {self.headers['Content-Type']}")
            return self.answer(404, b"")
        event, request, response = known
        with lock:
            refusal = refusals.pop(0) if refusals else None
        if refusal is not None:
            emit("refused", signal=event, status=refusal["status"])
            after = refusal.get("retryAfter")
            return self.answer(refusal["status"], b"", [("Retry-After", after)] if after else [])
        message = request.FromString(body)
        unknown = unknown_fields(message)
        if unknown:
            emit("error", message=f"fields that the standard does not have: {unknown}")
        headers = {name.lower(): value for name, value in self.headers.items()}
        emit(event, headers=headers, bytes=len(body), body=MessageToDict(message))
        self.answer(200, response().SerializeToString(), [("Content-Type", "application/x-protobuf")])


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
emit("listening", port=server.server_address[1])
for line in sys.stdin:
    command = json.loads(line)
    with lock:
        refusals.extend([command] * command["times"])
    emit("told")
