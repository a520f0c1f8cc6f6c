"""How a command runs in a pod of its own; needs apache-airflow-providers-cncf-kubernetes."""

from __future__ import annotations

from typing import Any

from kubernetes.client import models as k8s

from riskml_airflow.settings import Settings


def pod(settings: Settings, image: str) -> dict[str, Any]:
    """Arguments of `@task.kubernetes`.

    Secrets come from a Secret of the cluster with the variables that riskml reads: Airflow does
    not see them.

    Args:
        settings: of the DAGs.
        image: score or train.
    """
    work = k8s.V1PersistentVolumeClaimVolumeSource(claim_name=settings.claim)
    secret = k8s.V1SecretEnvSource(name=settings.secret)
    return {
        "image": f"{settings.image}-{image}:{settings.tag}",
        "namespace": settings.namespace,
        "env_vars": {"MLFLOW_TRACKING_URI": settings.tracking_uri, "HOME": "/tmp"},
        "env_from": [k8s.V1EnvFromSource(secret_ref=secret)],
        "volumes": [
            k8s.V1Volume(name="work", persistent_volume_claim=work),
            k8s.V1Volume(name="tmp", empty_dir=k8s.V1EmptyDirVolumeSource()),
        ],
        "volume_mounts": [
            k8s.V1VolumeMount(name="work", mount_path=settings.work),
            k8s.V1VolumeMount(name="tmp", mount_path="/tmp"),
        ],
        "security_context": k8s.V1PodSecurityContext(
            run_as_non_root=True,
            run_as_user=10001,
            run_as_group=10001,
            fs_group=10001,
            seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
        ),
        "container_security_context": k8s.V1SecurityContext(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            capabilities=k8s.V1Capabilities(drop=["ALL"]),
        ),
        "automount_service_account_token": False,
        "container_resources": k8s.V1ResourceRequirements(
            requests={"cpu": "1", "memory": "2Gi"}, limits={"memory": "8Gi"}
        ),
        "do_xcom_push": True,
        "on_finish_action": "delete_succeeded_pod",
    }
