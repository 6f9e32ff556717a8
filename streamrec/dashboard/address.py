"""Addresses of our pages. What stands in them may hold anything, so each part is quoted whole."""

from urllib.parse import quote, urlencode

from streamrec.dashboard.login import HOME


def path(*parts: str, **query: str) -> str:
    """A page below HOME, as the library's own navigation takes it: that puts HOME before it."""
    return "/" + "/".join(quote(p, safe="") for p in parts) + (f"?{urlencode(query)}" if query else "")


def link(*parts: str, **query: str) -> str:
    """The whole address, as a link in a page takes it."""
    return HOME + path(*parts, **query)
