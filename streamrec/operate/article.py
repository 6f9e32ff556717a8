"""What is known of an article."""

from typing import Any

from streamrec.catalogue import Catalogue, LiveArticles


def article(articles: LiveArticles, catalogue: Catalogue, item_id: str) -> dict[str, Any] | None:
    """Its entry and its text, for people; None if it is not live. Raises RetryLater."""
    i = articles.index.get(item_id)
    if i is None or not articles.live[i]:
        return None
    e = articles.entries[i]
    return {"title": e.title, "tags": e.tags, "lang": e.lang, "source": e.source,
            "published_at": e.published_at, "text": catalogue.texts([item_id]).get(item_id, "")}
