"""The web pages: reports, calibrators, and a form that turns a file into a verdict."""

from calibrant.api.pages.routes import router

__all__ = ["router"]
