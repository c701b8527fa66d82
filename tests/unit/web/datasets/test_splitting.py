from collections import Counter, defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from services.web.datasets.splitting import Group, deal, linked

NAMES = st.sampled_from(["a", "b", "c", "d", "e", None])
LINKS = st.lists(st.tuples(NAMES, NAMES), max_size=60)


@given(LINKS)
def test_rows_with_a_link_in_common_are_in_one_group_and_others_only_through_links(
    links: list[tuple[str | None, str | None]],
) -> None:
    roots = linked(links)
    for row, of_row in enumerate(links):
        for other in range(row):
            if any(a is not None and a == b for a, b in zip(of_row, links[other], strict=True)):
                assert roots[row] == roots[other]
    # What shares no name with the rest of its group stands alone.
    members = defaultdict(list)
    for row, root in enumerate(roots):
        members[root].append(row)
    for rows in members.values():
        for row in rows:
            mine = {(kind, name) for kind, name in enumerate(links[row]) if name is not None}
            theirs = {(k, n) for other in rows if other != row for k, n in enumerate(links[other]) if n is not None}
            assert len(rows) == 1 or mine & theirs


def groups_of(sizes: list[int]) -> list[Group]:
    return [
        Group(f"person-{number}", Counter({("happy", "sad", "fear")[number % 3]: size}))
        for number, size in enumerate(sizes)
    ]


SHARES = {"train": 80, "validation": 10, "test": 10}


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(0, 100))
def test_every_group_is_dealt_to_one_split_the_same_whatever_their_order(sizes: list[int], seed: int) -> None:
    groups = groups_of(sizes)
    dealt = deal(groups, SHARES, seed)
    assert dealt == deal(groups[::-1], SHARES, seed)
    assert set(dealt) == {group.key for group in groups}
    assert set(dealt.values()) <= set(SHARES)


def test_shares_are_met_label_by_label_where_people_are_many_and_a_split_of_0_gets_nothing() -> None:
    groups = groups_of([5] * 300)
    for seed in range(5):
        dealt = deal(groups, SHARES, seed)
        for label in ("happy", "sad", "fear"):
            faces = Counter[str]()
            for group in groups:
                faces[dealt[group.key]] += group.labels[label]
            assert abs(faces["train"] - 400) <= 5
            assert abs(faces["test"] - 50) <= 5
    assert deal(groups, SHARES, 1) != deal(groups, SHARES, 2)
    assert set(deal(groups, {"train": 90, "validation": 10, "test": 0}, 0).values()) == {"train", "validation"}
