"""The page: a shell in HTML, and modules that ask the server's own API; nothing of it comes from elsewhere."""

from interconnected_ai.serving.page.files import VIEWS, Page
from interconnected_ai.serving.page.shell import router

__all__ = ["VIEWS", "Page", "router"]
