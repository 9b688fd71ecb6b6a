"""HTTP in, HTTP out: `create_app(settings)` is an ASGI application."""

from calibrant.api.app import create_app

__all__ = ["create_app"]
