"""Splitting, checking and encoding JSON-RPC bytes (DB.01, MG.23)."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vslib import jsonrpc
from vslib.errors import InternalError, PeerError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | TEXT | st.sampled_from(['"', "\\", '\\"{}[]']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)
OBJECTS = st.lists(st.dictionaries(TEXT, JSON, max_size=4), max_size=5)


def split(data, sizes, **limits):
    """Feed ``data`` in chunks of the sizes given, then the rest."""
    splitter, found = jsonrpc.Splitter(**limits), []
    for size in sizes:
        found += splitter.feed(data[:size])
        data = data[size:]
    return found + splitter.feed(data), splitter


@settings(deadline=None)
@given(OBJECTS, st.booleans(), st.sampled_from(["", " ", "\r\n\t"]), st.lists(st.integers(0, 30), max_size=30))
def test_messages_are_found_in_chunks_of_any_size(objects, ascii_only, blank, sizes):
    data = blank.join(["", *(json.dumps(each, ensure_ascii=ascii_only) for each in objects), ""]).encode()
    found, splitter = split(data, sizes)
    assert [json.loads(each) for each in found] == objects
    assert splitter.pending_bytes == 0


def test_single_bytes_make_messages_too():
    data = rb'{"a\\\"}":["}\\",{"x":"\u007b"}]}' + b' {"b":1}'
    found, _ = split(data, [1] * len(data))
    assert found == [data[:-8], b'{"b":1}']


@given(st.binary(max_size=200), st.lists(st.integers(0, 9), max_size=20))
def test_garbage_gives_messages_or_a_peer_error_and_nothing_else(data, sizes):
    try:
        found, _ = split(data, sizes, max_depth=5, max_bytes=100)
        for text in found:
            jsonrpc.decode(text)
    except PeerError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1", "starts with '{', not with 'G'"),
        (b'{} "x"', "not with '\"'"),
        (b"\x00", r"not with '\\x00'"),
        (b"\xff", r"not with '\\xff'"),
        (b"[1]", r"not with '\['"),
        (b"{" + b"[" * 1000, "nested deeper than 1000 levels"),
    ],
)
def test_what_cannot_become_a_message_is_refused_at_once(data, reason):
    with pytest.raises(PeerError, match=reason):
        jsonrpc.Splitter().feed(data)


def test_an_endless_message_is_refused_at_its_limit():
    splitter = jsonrpc.Splitter(max_bytes=1000)
    splitter.feed(b'{"a":"' + b"x" * 900)
    with pytest.raises(PeerError, match="longer than 1000 bytes"):
        splitter.feed(b"x" * 100)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b'{"method":"echo","params":[],"id":0}', jsonrpc.REQUEST),
        (b'{"method":"echo","params":[],"id":"x"}', jsonrpc.REQUEST),
        (b'{"method":"echo","params":[1],"id":null}', jsonrpc.NOTIFY),
        (b'{"method":"echo","params":[1]}', jsonrpc.NOTIFY),
        (b'{"result":[],"error":null,"id":0}', jsonrpc.REPLY),
        (b'{"result":null,"error":null,"id":0}', jsonrpc.REPLY),
        (b'{"result":null,"error":"x","id":0}', jsonrpc.ERROR),
        (b'{"error":{"error":"x"},"id":0}', jsonrpc.ERROR),
    ],
)
def test_each_kind_of_message_is_known_and_round_trips(text, kind):
    message = jsonrpc.decode(text)
    assert message.kind == kind
    assert jsonrpc.decode(jsonrpc.encode(message)) == message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[]", "message is not a JSON object"),
        (b"{}", 'neither "method" nor "result" nor "error"'),
        (b'{"id":1}', "neither"),
        (b'{"method":1,"params":[]}', "method is not JSON string"),
        (b'{"method":"x","id":1}', 'request must have "params"'),
        (b'{"method":"x","params":{},"id":1}', '"params" must be JSON array'),
        (b'{"method":"x","params":[],"result":1}', 'notification must not have "result"'),
        (b'{"method":"x","params":[],"foo":1}', 'unexpected member "foo"'),
        (b'{"result":1,"error":null}', 'reply must have "id"'),
        (b'{"result":1,"error":2,"id":1}', 'error must not have "result"'),
        (b'{"method":"x"]}', "syntax error"),
        (b'{"method":"\xff"}', "syntax error"),
        (b'{"a":' + b"[" * 900 + b"1e999" + b"]" * 900 + b"}", "syntax error"),
    ],
)
def test_bad_messages_are_refused_with_the_reason(text, reason):
    with pytest.raises(PeerError, match=reason):
        jsonrpc.decode(text)


def test_integers_of_64_bits_and_utf8_survive():
    params = [2**63 - 1, -(2**63), "é\U0001f600\x00"]
    message = jsonrpc.Message(kind="notification", method="m", params=params)
    assert jsonrpc.decode(jsonrpc.encode(message)) == message


def test_what_has_no_json_form_is_our_bug():
    with pytest.raises(InternalError, match="cannot encode JSON-RPC notification"):
        jsonrpc.encode(jsonrpc.Message(kind="notification", method="m", params=[object()]))
    with pytest.raises(InternalError):
        jsonrpc.encode(jsonrpc.Message(kind="notification", method="m", params=["\ud800"]))
