"""Every page, for `api.app`: those of people without a login, those of admins behind it."""

from litestar import Router

from api.admins import in_scope
from api.pages import (
    conditions,
    create,
    credentials,
    dashboard,
    desired,
    desk,
    home,
    instances,
    log,
    money,
    plots,
    pool,
    records,
    runs,
    seat,
    tokens,
    vm,
)

PEOPLE = [*home.ROUTES, *seat.ROUTES]
ADMIN = Router(
    "/",
    guards=[in_scope],
    route_handlers=[
        *conditions.ROUTES,
        *create.ROUTES,
        *credentials.ROUTES,
        *dashboard.ROUTES,
        *desired.ROUTES,
        *desk.ROUTES,
        *instances.ROUTES,
        *log.ROUTES,
        *money.ROUTES,
        *plots.ROUTES,
        *pool.ROUTES,
        *records.ROUTES,
        *runs.ROUTES,
        *tokens.ROUTES,
        *vm.ROUTES,
    ],
)
