"""The page for people, `/docs`: Swagger UI from an installed package, without the internet."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from riskml.core.errors import ConfigError

ASSETS_PACKAGE = "fastapi_offline"
"""Brings Swagger UI; only its files are used, so neither it nor FastAPI is imported."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>riskml</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
<link rel="stylesheet" href="docs/page.css">
</head>
<body>
<main id="page"><noscript>This page needs JavaScript; see openapi.json.</noscript></main>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script src="docs/page.js"></script>
</body>
</html>
"""

_SCRIPT = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
"""

_STYLE = """body { margin: 0; background: #fafafa; }
.swagger-ui .info { margin: 24px 0; }
.swagger-ui .info .title small.version-stamp { background: #3b4151; }
.swagger-ui .scheme-container { box-shadow: none; background: none; padding: 0 0 12px; }
"""

_POLICY = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; frame-ancestors 'none'"
}


def docs_routes() -> list[Route | Mount]:
    """The page and what it loads.

    Raises:
        ConfigError: Swagger UI is not installed.
    """
    found = find_spec(ASSETS_PACKAGE)
    if found is None or found.origin is None:
        raise ConfigError("/docs needs pip install 'riskml[serve]'; or start with --no-docs")
    assets = StaticFiles(directory=Path(found.origin).parent / "static")
    return [
        Route("/docs", _page),
        Route("/docs/page.js", _script),
        Route("/docs/page.css", _style),
        Mount("/docs/assets", assets),
    ]


async def _page(request: Request) -> Response:
    return HTMLResponse(_PAGE, headers=_POLICY)


async def _script(request: Request) -> Response:
    return Response(_SCRIPT, media_type="text/javascript")


async def _style(request: Request) -> Response:
    return Response(_STYLE, media_type="text/css")
