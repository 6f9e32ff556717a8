"""Puts the pages onto the HTTP side, at /dashboard. Once a process: the library keeps pages globally."""

from fastapi import FastAPI
from nicegui import ui
from starlette.requests import Request
from starlette.responses import RedirectResponse

from streamrec.dashboard import article, letters, models, overview, reader, reports
from streamrec.dashboard.login import HOME, PATH
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

    @ui.page("/drift/{report_id}")
    def _report(report_id: str) -> None:
        reports.one(site, report_id)

    @ui.page("/letters")
    async def _letters() -> None:
        await letters.page(site)

    async def home(request: Request) -> RedirectResponse:
        return RedirectResponse(f"{HOME}/")

    app.add_api_route("/", home, include_in_schema=False)
    app.add_api_route(PATH, site.login.route, methods=["GET", "POST"], include_in_schema=False)
    app.add_middleware(site.login.guard)
    ui.run_with(app, mount_path=HOME, title="streamrec", dark=None, tailwind=False, language=None,
                show_welcome_message=False, reconnect_timeout=10.0)
