"""The two vendors' APIs over HTTP, and what their answers say."""

from sync.imports import without

with without("pygments"):  # httpx has a command line of its own, which loads it, and rich: 7 MB
    import httpx as httpx
