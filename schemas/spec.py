"""What a client VM is made of, and the hash that tells whether two VMs are made of the same.

`VmSpec` is frozen in the VM's row when it is decided; `spec_hash` is compared by `controller.decide` at every tick.
"""

import hashlib
import json
import re

from schemas.frozen import Frozen
from schemas.lab_pool import Pool

HASH_VERSION = 1
"""Rises when `spec_hash` covers other fields: hashes of two versions say nothing about each other."""
TEMPLATE_VERSION = 1
"""Rises when `terraform/` or the user data script changes what a new VM is: existing ones are then outdated."""

# Families with NVIDIA GPUs; g5g has them beside an ARM processor.
# https://docs.aws.amazon.com/ec2/latest/instancetypes/ac.html
GPU_FAMILY = re.compile(r"(p|g|gr)\d")


def has_gpu(instance_type: str) -> bool:
    """Whether a type such as `g4dn.xlarge` brings a GPU that health checks may ask for."""
    return GPU_FAMILY.match(instance_type) is not None


class VmSpec(Frozen):
    """All that Terraform and the user data script need to make one VM; volume size in GiB."""

    ami: str
    instance_type: str
    zone: str = ""  # empty: any of the region
    region: str
    market: str = "on-demand"
    volume_size: int
    volume_type: str
    image: str
    repository: str = ""
    software: str = ""
    extension: str = ""
    startup_script: str = ""  # the text itself
    startup_on_error: str = "continue"
    gpu: bool
    abandoned_s: int = 0  # an unused VM shuts down when the allocator was silent for that long; 0: never
    generation: int
    template_version: int = TEMPLATE_VERSION


def spec_hash(pool: Pool, ami: str, startup_script: str) -> str:
    """`v1:` and 16 hex digits over what makes a VM outdated when it changes.

    `ami` is what the pool's source resolved to, `startup_script` the text of its script. Zone, chosen type, ingress,
    size, token, URL, tags and ids are left out on purpose: they change without a VM having to be replaced. So does the
    extension, which only the allocator uses.
    """
    made_of = {
        "ami": ami,
        "image": pool.image,
        "volume": [pool.volume.size, pool.volume.type],
        "repository": pool.repository,
        "software": pool.software,
        "startup_script": startup_script,
        "startup_on_error": pool.startup_script.on_error if pool.startup_script else "",
        "market": pool.market,
        "template_version": TEMPLATE_VERSION,
    }
    canonical = json.dumps(made_of, sort_keys=True, separators=(",", ":"))
    return f"v{HASH_VERSION}:{hashlib.sha256(canonical.encode()).hexdigest()[:16]}"
