"""The routes of the page: its shell at `/` and at the name of every view, its files below `/page/static`. They need no key."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request, Response

from interconnected_ai.serving.door import AtTheDoor
from interconnected_ai.serving.faults import Refusal
from interconnected_ai.serving.page.files import LANGUAGES, THEMES, VIEWS, Page, language_of

router = APIRouter(include_in_schema=False)


def _page_of(request: Request) -> Page:
    return cast("Page", request.app.state.page)


ThePage = Annotated[Page, Depends(_page_of)]


async def shell(request: Request, door: AtTheDoor, page: ThePage) -> Response:
    """The page, whatever view its address names: the modules read that."""
    language = request.cookies.get("iai_language", "")
    if language not in LANGUAGES:
        language = language_of(request.headers.get("accept-language", ""))
    theme = request.cookies.get("iai_theme", "")
    html = page.shell(language=language, theme=theme if theme in THEMES else THEMES[0], needs_key=door.needs_key)
    return Response(html, media_type="text/html", headers={"vary": "Accept-Language, Cookie"})


for path in ("/", *(f"/{view}" for view in VIEWS)):
    router.add_api_route(path, shell, methods=["GET"])


@router.get("/page/static/{name:path}")
async def static(name: str, request: Request, page: ThePage) -> Response:
    """A file of the page. Browsers keep it, and ask each time whether it is still the same."""
    sent = page.files.get(name)
    if sent is None:
        raise Refusal(404, "the page has no such file", code="not_found")
    headers = {"etag": sent.tag, "cache-control": "no-cache"}
    known = request.headers.get("if-none-match", "")
    if sent.tag in [tag.strip().removeprefix("W/") for tag in known.split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(sent.body, media_type=sent.kind, headers=headers)
