"""A Kubernetes API server of the few routes that a Pipes client uses: what it accepts runs as a process here.

A pod is read with the models of Kubernetes' own client, which know every field of its API; fields that they don't
know are refused, as a server that validates strictly does.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from kubernetes.client import ApiClient, V1Pod

_CLIENT = ApiClient()


class Cluster:
    """The pods of one namespace, each a process of this machine with the pod's environment and nothing else.

    Attributes:
        pods: as they were created, by name, those deleted too.
        processes: of the pods that are there.
    """

    def __init__(self, secrets: Mapping[str, Mapping[str, str]]) -> None:
        self.pods: dict[str, V1Pod] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.lost = False
        self._secrets, self._lock = secrets, threading.Lock()

    def create(self, content: dict[str, Any]) -> dict[str, Any]:
        """Check a pod and start its container."""
        pod = _CLIENT.deserialize(SimpleNamespace(data=json.dumps(content)), V1Pod)
        if _CLIENT.sanitize_for_serialization(pod) != _without_nothing(content):
            raise ValueError("fields that a pod doesn't have")
        (container,) = pod.spec.containers
        mounted, volumes = {m.name for m in container.volume_mounts}, {v.name for v in pod.spec.volumes}
        if mounted != volumes:
            raise ValueError(f"mounts {mounted} of volumes {volumes}")
        environment = {said.name: said.value for said in container.env}
        for source in container.env_from or ():
            environment |= self._secrets[source.secret_ref.name]
        with self._lock:
            self.pods[pod.metadata.name] = pod
            program = {"python": sys.executable}.get(container.command[0], container.command[0])
            self.processes[pod.metadata.name] = subprocess.Popen(
                [program, *container.command[1:]], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        return content

    def listed(self, query: Mapping[str, list[str]]) -> list[dict[str, Any]]:
        """Pods that are there, by name or label, with their states."""
        if self.lost:
            return []
        key, _, value = query.get("labelSelector", query.get("fieldSelector", ["="]))[0].partition("=")
        names = [value] if key == "metadata.name" else list(self.processes)
        found = [name for name in names if name in self.processes]
        if "labelSelector" in query:
            found = [name for name in found if self.pods[name].metadata.labels.get(key) == value]
        return [self._state(name) for name in found]

    def delete(self, name: str) -> dict[str, Any]:
        """End a pod."""
        with self._lock:
            process = self.processes.pop(name)
        process.kill()
        process.wait()
        return {"kind": "Status", "status": "Success"}

    def _state(self, name: str) -> dict[str, Any]:
        code = self.processes[name].poll()
        state = {"running": {}} if code is None else {"terminated": {"exitCode": code, "reason": "Error"}}
        container = {"name": self.pods[name].spec.containers[0].name, "image": "i", "imageID": "i", "restartCount": 0}
        content = _CLIENT.sanitize_for_serialization(self.pods[name])
        return content | {"status": {"containerStatuses": [container | {"ready": True, "state": state}]}}


def _without_nothing(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nothing(value) for key, value in content.items() if value is not None}
    return [_without_nothing(value) for value in content] if isinstance(content, list) else content


def _handler(cluster: Cluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                self._answer(201, cluster.create(content))
            except (ValueError, KeyError, TypeError) as error:
                self._answer(422, {"kind": "Status", "message": repr(error)})

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            name = url.path.rpartition("/")[2]
            if url.path.endswith("/log"):
                output = cluster.processes[url.path.split("/")[-2]].stdout.read()
                self._answer(200, output, "text/plain")
            elif name == "pods":
                self._answer(200, {"kind": "PodList", "items": cluster.listed(parse_qs(url.query))})
            else:
                self._answer(404, {"kind": "Status", "message": self.path})

        def do_DELETE(self) -> None:
            name = urlsplit(self.path).path.rpartition("/")[2]
            there = name in cluster.processes and not cluster.lost
            self._answer(200 if there else 404, cluster.delete(name) if there else {"kind": "Status"})

        def _answer(self, status: int, content: Any, kind: str = "application/json") -> None:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            return

    return Handler


@contextmanager
def kubernetes_cluster(folder: Path, secrets: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[Cluster, Path]]:
    """A cluster on a free port, and a kubeconfig for it; its processes end with it."""
    cluster = Cluster(secrets)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(cluster))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kubeconfig = folder / "kubeconfig"
    content = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "fires"}}],
        "users": [{"name": "u", "user": {}}],
        "current-context": "c",
    }
    kubeconfig.write_text(yaml.safe_dump(content))
    try:
        yield cluster, kubeconfig
    finally:
        server.shutdown()
        server.server_close()
        for process in cluster.processes.values():
            process.kill()
            process.wait()


def bare_environment() -> dict[str, str]:
    """What a container has of itself: where to find this repository's packages."""
    return {"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "HOME": os.environ.get("HOME", "/")}
