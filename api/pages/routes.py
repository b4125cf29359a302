"""Every page, for `api.app`: those of people without a login, those of admins behind it."""

from litestar import Router

from api.admins import admin_only
from api.pages import dashboard, desired, desk, home, instances, pool, records, runs, seat, vm

PEOPLE = [*home.ROUTES, *seat.ROUTES]
ADMIN = Router(
    "/",
    guards=[admin_only],
    route_handlers=[
        *dashboard.ROUTES,
        *desired.ROUTES,
        *desk.ROUTES,
        *instances.ROUTES,
        *pool.ROUTES,
        *records.ROUTES,
        *runs.ROUTES,
        *vm.ROUTES,
    ],
)
