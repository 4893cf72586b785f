"""Models in S3-compatible stores, through obstore (one wheel around Rust's object_store; see docs/decisions).

Understands the variables that the AWS tools use. Without keys and without a workload identity it asks anonymously.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import obstore
from obstore.exceptions import (
    BaseError,
    InvalidPathError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from crackseg_serving.failures import ModelFailure
from crackseg_serving.sources.opened import CHUNK_BYTES, Opened, Transient

_IDENTITIES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)


@contextmanager
def open_object(bucket: str, key: str, env: Mapping[str, str], timeout: float) -> Iterator[Opened]:
    """The object `key` of `bucket`. Raises ModelFailure where the store's answer is final, else Transient."""
    shown = f"s3://{bucket}/{key}"
    endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or ""
    where = f"{shown} at {endpoint or 'AWS'}"
    try:
        answer = obstore.get(_store(bucket, endpoint, env, timeout), key)
        yield Opened(answer.meta["size"], (memoryview(chunk) for chunk in answer.stream(min_chunk_size=CHUNK_BYTES)))
    except (NotFoundError, FileNotFoundError) as error:  # the library raises Python's own for this one
        raise _absence(str(error), where) from None
    except (PermissionDeniedError, UnauthenticatedError):
        raise _denial(where) from None
    except InvalidPathError as error:
        raise ModelFailure("ModelNotFound", f"{shown} is no key that a store can hold: {_first_line(error)}") from None
    except BaseError as error:
        raise Transient(f"{where} could not be read: {_first_line(error)}") from None


def _store(bucket: str, endpoint: str, env: Mapping[str, str], timeout: float) -> S3Store:
    known = any(env.get(name) for name in _IDENTITIES)
    seconds = timedelta(seconds=timeout)
    options: dict[str, object] = {
        "region": env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1",
        "skip_signature": not known,
    }
    if endpoint:
        options["endpoint"] = endpoint.rstrip("/")
    if known and env.get("AWS_ACCESS_KEY_ID"):
        options["access_key_id"] = env["AWS_ACCESS_KEY_ID"]
        options["secret_access_key"] = env.get("AWS_SECRET_ACCESS_KEY", "")
        if token := env.get("AWS_SESSION_TOKEN"):
            options["session_token"] = token
    return S3Store(
        bucket,
        config=options,  # type: ignore[arg-type]  # a TypedDict of literals, filled from variables
        client_options={
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": seconds,
            "read_timeout": seconds,
            "timeout": timedelta(hours=1),  # of the whole object: the download has its own bounds
        },
        # One place counts attempts: the download.
        retry_config={"max_retries": 0, "retry_timeout": seconds},
    )


def _absence(answer: str, where: str) -> ModelFailure:
    """What a 404 means: some stores answer an unknown key of access with it too."""
    found = re.search(r"<Code>(\w+)</Code>", answer)
    code = found.group(1) if found else "NoSuchKey"
    if "User" in code or "AccessKey" in code:
        return _denial(where)
    what = "bucket of that name" if code == "NoSuchBucket" else "object of that key"
    return ModelFailure("ModelNotFound", f"there is no {what}: {where}; check bucket, key and endpoint")


def _denial(where: str) -> ModelFailure:
    return ModelFailure(
        "ModelAccessDenied",
        f"the store refuses to read {where}: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the Secret named by "
        "spec.model.credentialsSecretName, and that they may read this object",
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]
