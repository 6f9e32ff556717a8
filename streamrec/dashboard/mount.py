"""Puts the pages onto the HTTP side, at /dashboard. Once a process: the library keeps pages globally."""

from fastapi import FastAPI
from fastapi.exception_handlers import http_exception_handler
from nicegui import Client, ui
from nicegui import app as pages
from nicegui.page import page
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from streamrec.dashboard import article, letters, models, overview, reader, reports, shade
from streamrec.dashboard.frame import NOWHERE, card, frame
from streamrec.dashboard.login import HOME, OUT, PATH
from streamrec.dashboard.site import Site


def mount(app: FastAPI, site: Site) -> None:
    """The pages, the login, and the way from / to them."""
    @ui.page("/")
    def _overview() -> None:
        overview.page(site)

    @ui.page("/reader", response_timeout=20)
    async def _reader(user: str = "") -> None:
        await reader.page(site, user)

    @ui.page("/article", response_timeout=20)
    async def _article(item: str = "") -> None:
        await article.page(site, item)

    @ui.page("/models")
    def _models() -> None:
        models.page(site)

    @ui.page("/drift")
    def _reports() -> None:
        reports.page(site)

    @ui.page("/drift/{report_id:path}")
    def _report(report_id: str) -> None:
        reports.one(site, report_id)

    @ui.page("/letters")
    async def _letters() -> None:
        await letters.page(site)

    @pages.exception_handler(404)
    async def _nowhere(request: Request, error: HTTPException) -> Response:
        if "endpoint" in request.scope and request.scope["endpoint"] is not pages:
            return await http_exception_handler(request, error)  # a file of the library's
        with Client(page(""), request=request) as client, frame(site, NOWHERE), card(NOWHERE):
            ui.label("Nothing is at this address: the bar above leads to all pages.").classes("quiet")
        return client.build_response(request, 404)

    async def home(request: Request) -> RedirectResponse:
        return RedirectResponse(f"{HOME}/")

    app.add_api_route("/", home, include_in_schema=False)
    app.add_api_route(PATH, site.login.route, methods=["GET", "POST"], include_in_schema=False)
    app.add_api_route(OUT, site.login.out, methods=["POST"], include_in_schema=False)
    app.add_middleware(site.login.guard)
    shade.remember()
    ui.run_with(app, mount_path=HOME, title="streamrec", dark=None, tailwind=False, language="en-US",
                show_welcome_message=False, reconnect_timeout=10.0)
