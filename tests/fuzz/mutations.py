"""Damage to good messages and pictures, of the kinds that senders and attackers make."""

import json
from typing import Any

from hypothesis import strategies as st

from tests.conftest import ROOT

GOLDEN = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "tests" / "golden").glob("*.json"))}

_NASTY: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**31,
    2**53 + 1,
    10**400,
    1e308,
    5e-324,
    -0.0,
    0.1,
    "",
    "\0",
    "\ud800",
    "\u202e\x1b[2J",
    "x" * 600,
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59.999999-23:59",
    "2026-02-30T00:00:00Z",
    "1970-01-01T00:00:00Z",
    "urn:uuid:018f3a5e-6d10-7c3d-9e00-0000000000aa",
    [],
    {},
    [[[]]],
)
values = st.sampled_from(_NASTY) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def _places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(data, dict):
        items: Any = data.items()
    elif isinstance(data, list):
        items = enumerate(data)
    else:
        return found
    for key, value in items:
        found += _places(value, (*path, key))
    return found


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A golden message with some values replaced, fields taken away, added or repeated, and bytes changed."""
    data = json.loads(json.dumps(draw(st.sampled_from(list(GOLDEN.values())))))
    for _ in range(draw(st.integers(0, 3))):
        places = _places(data)
        if not places:
            break
        *way, last = draw(st.sampled_from(places))
        holder = data
        for step in way:
            holder = holder[step]
        match draw(st.integers(0, 2)):
            case 0:
                holder[last] = draw(values)
            case 1:
                del holder[last]
            case _ if isinstance(holder, dict):
                holder[draw(st.text(max_size=50))] = draw(values)
    wire = json.dumps(data, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")
    return draw(damaged(wire))


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """`data`, as a rule as it is; else cut off, or with a piece replaced or repeated."""
    if draw(st.integers(0, 3)) or not data:
        return data
    at = draw(st.integers(0, len(data) - 1))
    length = draw(st.integers(0, min(64, len(data) - at)))
    match draw(st.integers(0, 2)):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + draw(st.binary(max_size=16)) + data[at + length :]
        case _:
            return data[: at + length] + data[at:]


def pictures(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """Damaged pictures."""
    return st.sampled_from(seeds).flatmap(lambda seed: damaged(seed).flatmap(damaged))
