"""`status` of a CrackSegModel: the operator's only memory, and what people read.

Written by the operator alone, through the status subresource. Bounded: no list grows without a limit, and nothing
in it changes while nothing happens. Timestamps are RFC 3339 in UTC with whole seconds.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from crackseg_operator.api.fields import ATOMIC, Generation, Model, Timestamp, keyed_by
from crackseg_operator.api.spec import ModelSource, Serving

Word = Annotated[str, Field(max_length=64)]
Hash = Annotated[str, Field(max_length=63)]
Version = Annotated[str, Field(max_length=63)]
Digest = Annotated[str, Field(max_length=71)]
Message = Annotated[str, Field(max_length=4096)]


class StatusCondition(Model):
    """One aspect of the resource's state, as in every Kubernetes API."""

    type: str = Field(max_length=316)
    """The aspect: Ready, Reconciling, Stalled, ModelVerified, Available, RolledBack."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Word
    """One word that says why."""
    message: Message = ""
    """One sentence that says what happened and what to do."""
    last_transition_time: Timestamp
    """When status last changed."""
    observed_generation: Generation = 0
    """The generation of the resource that this was judged for."""


class RevisionSource(Model):
    """The part of the spec that a revision was made of, so that it can be built again after the spec has moved on."""

    model: ModelSource
    """spec.model of that time."""
    serving: Serving
    """spec.serving of that time."""


class RevisionStatus(Model):
    """One revision in flight: the one that serves, or the one that is to replace it."""

    revision: Hash
    """Hash that names the revision; the suffix of its Deployment."""
    version: Version
    """The model's version."""
    digest: Digest | None = None
    """The model file's digest as verified in the pods, sha256:HEX."""
    replicas: int = 0
    """Pods wanted for this revision."""
    ready_replicas: int = 0
    """Pods ready."""
    weight_percent: int = 0
    """Share of the traffic, in percent."""
    image: str | None = Field(None, max_length=512)
    """The serving image, as chosen when the revision was first wanted; a new operator's default does not change it."""
    source: RevisionSource | None = None
    """What the revision was made of."""


class RolloutStatus(Model):
    """The rollout under way. Absent at rest."""

    phase: Literal["Starting", "Shifting"]
    """Starting: the candidate has no traffic. Shifting: traffic moves to it."""
    since: Timestamp
    """When the candidate was first wanted."""
    progressed: Timestamp
    """When it last came closer to its goal (one more pod ready, a phase entered)."""
    deadline: Timestamp
    """When it counts as failed unless it comes closer before."""
    most_ready: int = 0
    """The most candidate pods that were ready at once; more is progress."""


class FailedRevision(Model):
    """A revision in quarantine: it is not tried again until the spec names another or a person retries it."""

    revision: Hash
    """Hash that names the revision."""
    version: Version
    """The model's version."""
    reason: Word
    """Why it failed, one word."""
    message: Message = ""
    """Why it failed, one sentence."""
    at: Timestamp
    """When it was taken back."""


class PastRevision(Model):
    """A revision that has served."""

    revision: Hash
    """Hash that names the revision."""
    version: Version
    """The model's version."""
    digest: Digest | None = None
    """The model file's digest, sha256:HEX."""
    promoted: Timestamp
    """When it became the stable revision."""


class Status(Model):
    """What the operator found and decided."""

    observed_generation: Generation = 0
    """The generation of the resource that this status was decided for."""
    conditions: list[StatusCondition] = Field(
        default_factory=list,
        max_length=16,
        json_schema_extra=keyed_by("type"),
    )
    """Ready, Reconciling and Stalled as kstatus defines them; ModelVerified, Available, RolledBack."""
    stable: RevisionStatus | None = None
    """The revision that serves."""
    candidate: RevisionStatus | None = None
    """The revision that is to replace it."""
    rollout: RolloutStatus | None = None
    """The rollout under way."""
    failed_revisions: list[FailedRevision] = Field(
        default_factory=list,
        max_length=10,
        json_schema_extra=keyed_by("revision"),
    )
    """Revisions in quarantine, newest last."""
    history: list[PastRevision] = Field(default_factory=list, max_length=50, json_schema_extra=ATOMIC)
    """Revisions that have served, newest first."""
    url: str | None = Field(None, max_length=2048)
    """Where clients reach the service."""
    replicas: int = 0
    """Pods of all revisions; the scale subresource reads it."""
    ready_replicas: int = 0
    """Ready pods of all revisions."""
    selector: str | None = Field(None, max_length=1024)
    """Label selector of all pods, as text; the autoscaler reads it."""
    retried: str | None = Field(None, max_length=1024)
    """The value of the annotation crackseg.io/retry that was last honoured."""
