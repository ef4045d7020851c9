"""A page is opened by its address, and one that cannot be read is refused."""

import re
import urllib.request

import pytest

from edge_vos.errors import SinkError
from edge_vos.runtime.interactive.page import Page
from edge_vos.runtime.sinks.opening import open_sink


@pytest.mark.parametrize(
    "uri", ["serve://", "serve://127.0.0.1", "serve://127.0.0.1:port", "serve://:8080"]
)
def test_an_address_without_a_host_or_a_port_is_refused(uri: str) -> None:
    with pytest.raises(SinkError, match=r"address '.*' cannot be read.*serve://127\.0\.0\.1:8080"):
        open_sink(uri, 25.0, (48, 64))


def test_a_page_is_served_where_the_address_says() -> None:
    with open_sink("serve://127.0.0.1:0", 25.0, (48, 64)) as page:
        assert isinstance(page, Page)
        assert re.match(r"http://127\.0\.0\.1:\d+/\?token=", page.url)
        with urllib.request.urlopen(page.url, timeout=20) as answer:
            assert answer.status == 200
            assert b"<html" in answer.read().lower()
