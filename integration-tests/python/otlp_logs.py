"""Logs through the OpenTelemetry SDK and its exporters: otlp_logs.py HTTP_URL GRPC_ADDRESS TENANT

Sends one record of each kind by HTTP (gzip) and by gRPC (gzip), and fails unless all were taken.
"""

import sys
import time

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
import grpc


class Watched:
    """An exporter that remembers whether all it sent was taken."""

    def __init__(self, exporter):
        self.exporter = exporter
        self.results = []

    def export(self, batch):
        result = self.exporter.export(batch)
        self.results.append(result.name)
        return result

    def __getattr__(self, name):
        return getattr(self.exporter, name)


def send(exporter, by):
    watched = Watched(exporter)
    resource = Resource({"service.name": f"shop-{by}", "k8s.pod.name": "pod-1", "host.name": "h1"})
    provider = LoggerProvider(resource=resource)
    provider.add_log_record_processor(BatchLogRecordProcessor(watched))
    logger = provider.get_logger("checkout", "1.2")

    def emit(body, **fields):
        logger.emit(LogRecord(timestamp=time.time_ns(), body=body, **fields))

    emit("order placed", severity_number=SeverityNumber.WARN, severity_text="WARN", attributes={"http.method": "GET", "code": 200})
    emit({"event": "paid", "items": ["a", 1]}, attributes={"cart": {"size": 2}})
    emit("shipped", event_name="order.shipped")
    provider.shutdown()
    if watched.results != ["SUCCESS"]:
        sys.exit(f"{by}: {watched.results}")


def main():
    http_url, grpc_address, tenant = sys.argv[1:]
    headers = {"x-scope-orgid": tenant}
    send(HttpExporter(endpoint=f"{http_url}/otlp/v1/logs", headers=headers, compression=Compression.Gzip), "http")
    send(GrpcExporter(endpoint=grpc_address, insecure=True, headers=headers, compression=grpc.Compression.Gzip), "grpc")


main()
