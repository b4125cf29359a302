"""What a new VM is made of: its pool's declaration, frozen at the moment of deciding. Pure."""

from schemas.lab import Pool
from schemas.pool import PoolRow
from schemas.spec import VmSpec, has_gpu

from controller.decide.capacity import Place


def vm_spec(pool: Pool, row: PoolRow, ami: str, place: Place) -> VmSpec:
    return VmSpec(
        ami=ami,
        instance_type=place.instance_type,
        zone=place.zone,
        region=pool.region,
        market=pool.market,
        volume_size=pool.volume.size,
        volume_type=pool.volume.type,
        image=pool.image,
        repository=pool.repository,
        software=pool.software,
        extension=pool.extension,
        startup_script=row.startup_script,
        startup_on_error=pool.startup_script.on_error if pool.startup_script else "continue",
        gpu=has_gpu(place.instance_type),
        abandoned_s=int(pool.health.abandoned.total_seconds()) if pool.health.abandoned else 0,
        generation=row.generation,
    )
