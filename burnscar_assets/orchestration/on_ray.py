"""A stage's process as a job of a Ray cluster, through its job server; this process joins no cluster."""

import shlex
from typing import TYPE_CHECKING
from uuid import uuid4

from burnscar_assets.errors import SettingsError
from burnscar_assets.orchestration.processes import Job, Messages
from burnscar_assets.orchestration.runs import memory_bytes

if TYPE_CHECKING:
    from dagster_ray.core.pipes import PipesRayJobClient
    from ray.job_submission import JobSubmissionClient

POLL_INTERVAL_S = 1.0
JOB_KEY = "burnscar/job"
SAID_AT_MOST = 2000
"""Characters of what Ray says of a failure; the end says most."""


def run_on_ray(job: Job, messages: Messages) -> str | None:
    """Run a job to its end; None if it went well, else how it ended. It is stopped if this run is.

    Raises:
        SettingsError: Ray isn't installed here, or its job server doesn't answer.
    """
    try:
        from dagster_ray.core.pipes import PipesRayJobClient
    except ImportError as error:
        raise SettingsError("compute.runs_on: ray needs Ray: install burnscar-assets[ray]") from error

    client = PipesRayJobClient(
        address=job.compute.ray_address,
        message_reader=messages,
        poll_interval=POLL_INTERVAL_S,
        forward_termination=False,
    )
    server = _server(client, job)
    _stop_left_behind(server, job)
    submission = f"burnscar-{job.identity}-{uuid4().hex[:8]}"
    try:
        client.run(
            context=job.context,
            submit_job_params={
                "entrypoint": shlex.join(["python", *job.arguments]),
                "entrypoint_num_cpus": job.compute.gpu_cpus,
                "entrypoint_num_gpus": job.gpus,
                "entrypoint_memory": memory_bytes(job.compute),
                "runtime_env": {"env_vars": job.environment},
                "metadata": {JOB_KEY: job.identity},
                "submission_id": submission,
            },
        )
    except (RuntimeError, OSError) as error:
        return f"failed as a job of Ray\n{str(error)[-SAID_AT_MOST:]}"
    finally:
        _stop(server, submission)
    return None


def _server(client: "PipesRayJobClient", job: Job) -> "JobSubmissionClient":
    from ray.exceptions import AuthenticationError

    at = job.compute.ray_address or "RAY_ADDRESS"
    try:
        return client.client
    except AuthenticationError as error:
        raise SettingsError(
            f"the Ray cluster at {at} wants its token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
        ) from error
    except (RuntimeError, OSError, ValueError) as error:
        raise SettingsError(
            f"no Ray job server at {at} ({str(error).partition(chr(10))[0]}): start the cluster, or correct "
            "compute.ray_address"
        ) from error


def _stop_left_behind(server: "JobSubmissionClient", job: Job) -> None:
    """End the jobs of runs that were killed: they would write beside the one to come."""
    for said in server.list_jobs():
        if (said.metadata or {}).get(JOB_KEY) == job.identity and said.submission_id is not None:
            _stop(server, said.submission_id)


def _stop(server: "JobSubmissionClient", submission: str) -> None:
    """End a job if it is there and hasn't ended."""
    try:
        if not server.get_job_status(submission).is_terminal():
            server.stop_job(submission)
    except (RuntimeError, OSError):  # it was never submitted, or the cluster is gone and the job with it
        return
