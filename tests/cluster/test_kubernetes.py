"""The Kubernetes example against the schemas of Kubernetes, and what it promises."""

import warnings
from pathlib import Path

import yaml

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its own use of its own resources
    import kubernetes_validate

ITEMS = yaml.safe_load((Path(__file__).parents[2] / "workflows" / "kubernetes.yaml").read_text())["items"]
TEMPLATES = {
    item["metadata"]["name"]: item["spec"]["template"] for item in ITEMS if item["kind"] in ("Deployment", "Job")
}
PODS = {name: template["spec"] for name, template in TEMPLATES.items()}


def test_schemas():
    """Every object is one that Kubernetes knows, to the last field."""
    version = kubernetes_validate.latest_version()
    for item in ITEMS:
        kubernetes_validate.validate(item, version, strict=True)
    assert [item["kind"] for item in ITEMS] == [
        "ConfigMap", "Service", "NetworkPolicy", "Deployment", "Deployment", "Job",
    ]  # fmt: skip


def test_pods_are_locked():
    """No root, no writable code, no capability, no token, and a limit of memory."""
    assert len(PODS) == 3
    for pod in PODS.values():
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]


def test_commands():
    """All talk by TLS to the scheduler's service; secrets come from the cluster alone."""
    commands = {name: " ".join(pod["containers"][0]["args"]) for name, pod in PODS.items()}
    assert "--protocol tls" in commands["pardiff-scheduler"]
    for name in ("pardiff-worker", "pardiff-submit"):
        assert "tls://pardiff-scheduler:8786" in commands[name]
        assert {"secretRef": {"name": "pardiff-store"}} in PODS[name]["containers"][0]["envFrom"]
    config = next(item for item in ITEMS if item["kind"] == "ConfigMap")["data"]
    assert not [name for name in config if "SECRET" in name or "ACCESS" in name]
