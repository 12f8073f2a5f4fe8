"""Checks examples/deploy/kubernetes.yaml: fields that the kinds used there have, and that its parts
fit together. Called by the wall `deploy`; no cluster and no kubectl is needed.
Usage: kubernetes.py FILE CONFIG_OUT     writes the server's configuration to CONFIG_OUT"""
import re
import sys

import yaml

LABELS = {"*": str}
SELECTOR = {"matchLabels": LABELS}
META = {"name": str, "labels": LABELS}
PORT = (str, int)
PROBE = {
    "httpGet": {"path": str, "port": PORT},
    "tcpSocket": {"port": PORT},
    "initialDelaySeconds": int,
    "periodSeconds": int,
    "timeoutSeconds": int,
    "failureThreshold": int,
}
AMOUNTS = {"cpu": str, "memory": str}
CONTAINER = {
    "name": str,
    "image": str,
    "args": [str],
    "ports": [{"name": str, "containerPort": int}],
    "lifecycle": {"preStop": {"sleep": {"seconds": int}, "exec": {"command": [str]}}},
    "startupProbe": PROBE,
    "readinessProbe": PROBE,
    "livenessProbe": PROBE,
    "resources": {"requests": AMOUNTS, "limits": AMOUNTS},
    "securityContext": {
        "allowPrivilegeEscalation": bool,
        "readOnlyRootFilesystem": bool,
        "capabilities": {"drop": [str], "add": [str]},
    },
    "volumeMounts": [{"name": str, "mountPath": str, "readOnly": bool}],
}
POD = {
    "terminationGracePeriodSeconds": int,
    "automountServiceAccountToken": bool,
    "securityContext": {
        "runAsNonRoot": bool,
        "runAsUser": int,
        "runAsGroup": int,
        "fsGroup": int,
        "seccompProfile": {"type": str},
    },
    "topologySpreadConstraints": [
        {"maxSkew": int, "topologyKey": str, "whenUnsatisfiable": str, "labelSelector": SELECTOR}
    ],
    "containers": [CONTAINER],
    "volumes": [
        {
            "name": str,
            "configMap": {"name": str},
            "emptyDir": {"medium": str, "sizeLimit": str},
        }
    ],
}
KINDS = {
    ("v1", "ConfigMap"): {"data": {"*": str}},
    ("v1", "Service"): {
        "spec": {"selector": LABELS, "ports": [{"name": str, "port": int, "targetPort": PORT}]}
    },
    ("policy/v1", "PodDisruptionBudget"): {
        "spec": {"minAvailable": int, "maxUnavailable": int, "selector": SELECTOR}
    },
    ("apps/v1", "Deployment"): {
        "spec": {
            "replicas": int,
            "selector": SELECTOR,
            "strategy": {
                "type": str,
                "rollingUpdate": {"maxUnavailable": int, "maxSurge": int},
            },
            "template": {"metadata": {"labels": LABELS}, "spec": POD},
        }
    },
}

failures = []


def want(condition, text):
    if not condition:
        failures.append(text)


def check(value, schema, place):
    """That a value has the fields of a schema, and no others."""
    if isinstance(schema, dict):
        want(isinstance(value, dict), f"{place}: is no map")
        for key in value if isinstance(value, dict) else ():
            rule = schema.get(key, schema.get("*"))
            want(rule is not None, f"{place}.{key}: no such field")
            if rule is not None:
                check(value[key], rule, f"{place}.{key}")
    elif isinstance(schema, list):
        want(isinstance(value, list) and value, f"{place}: is no list")
        for i, item in enumerate(value if isinstance(value, list) else ()):
            check(item, schema[0], f"{place}[{i}]")
    else:
        is_bool_for_int = isinstance(value, bool) and schema is not bool
        want(isinstance(value, schema) and not is_bool_for_int, f"{place}: {value!r} is of a wrong type")


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


def check_fit(by_kind, config):
    """That labels, ports, volumes and times of the parts fit."""
    deployment = by_kind["Deployment"]["spec"]
    pod = deployment["template"]["spec"]
    container = pod["containers"][0]
    labels = deployment["template"]["metadata"]["labels"]
    ports = {port["name"] for port in container["ports"]}
    volumes = {volume["name"] for volume in pod["volumes"]}
    for what, selector in (
        ("Deployment", deployment["selector"]["matchLabels"]),
        ("Service", by_kind["Service"]["spec"]["selector"]),
        ("PodDisruptionBudget", by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]),
        ("spread", pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]),
    ):
        want(selector.items() <= labels.items(), f"{what} selects other pods: {selector}")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        way = container[probe].get("httpGet") or container[probe]["tcpSocket"]
        want(way["port"] in ports, f"{probe}: port {way['port']} is none of {ports}")
    for port in by_kind["Service"]["spec"]["ports"]:
        want(port["targetPort"] in ports, f"Service: targetPort {port['targetPort']} is none of {ports}")
    for mount in container["volumeMounts"]:
        want(mount["name"] in volumes, f"volumeMounts: {mount['name']} is none of {volumes}")
    maps = [v["configMap"]["name"] for v in pod["volumes"] if "configMap" in v]
    want(maps == [by_kind["ConfigMap"]["metadata"]["name"]], f"configMap: {maps}")
    want(
        by_kind["PodDisruptionBudget"]["spec"]["minAvailable"] < deployment["replicas"],
        "PodDisruptionBudget: no pod may ever go",
    )
    want(pod["securityContext"]["runAsNonRoot"], "runAsNonRoot is off")
    want(container["securityContext"]["readOnlyRootFilesystem"], "readOnlyRootFilesystem is off")
    patience = container["lifecycle"]["preStop"]["sleep"]["seconds"] + seconds(config["graceful_timeout"])
    grace = pod["terminationGracePeriodSeconds"]
    want(grace > patience, f"terminationGracePeriodSeconds {grace} is no more than {patience:g}")
    want(config["bind"] == f":{container['ports'][0]['containerPort']}", f"bind: {config['bind']}")


def main():
    path, config_path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        documents = list(yaml.safe_load_all(file))
    for document in documents:
        kind = (document.get("apiVersion"), document.get("kind"))
        want(kind in KINDS, f"{kind}: not known here")
        schema = {"apiVersion": str, "kind": str, "metadata": META, **KINDS.get(kind, {})}
        check(document, schema, str(kind[1]))
    by_kind = {document["kind"]: document for document in documents}
    text = by_kind["ConfigMap"]["data"]["remuda.yaml"]
    if not failures:
        check_fit(by_kind, yaml.safe_load(text))
    with open(config_path, "w", encoding="utf-8") as file:
        file.write(text)
    for failure in failures:
        print(f"{path}: {failure}")
    sys.exit(1 if failures else 0)


main()
