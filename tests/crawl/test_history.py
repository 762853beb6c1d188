"""The history tells every difference of the watched fields, and nothing else."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tamis import schema
from tamis.crawl.history import WATCHED, differences
from tamis.crawl.run import crawl
from tests.conftest import MakeProject
from tests.crawl.driven import rows
from tests.crawl.rude_server import item_page

_text = st.one_of(st.none(), st.text(max_size=5))
_items = st.fixed_dictionaries(
    {
        **dict.fromkeys(WATCHED, _text),
        "price": st.one_of(st.none(), st.floats(0, 1e9)),
        "attributes": st.dictionaries(st.sampled_from("abcd"), st.text(max_size=3)),
    }
)


def applied(before: dict[str, Any], fields: dict[str, list[Any]], *, back: bool) -> dict[str, Any]:
    """The item with a row of its history played on, or back."""
    result = dict(before)
    for name, (old, new) in fields.items():
        source, target = (new, old) if back else (old, new)
        if name == "attributes":
            kept = {key: value for key, value in before[name].items() if key not in source}
            result[name] = kept | target
        else:
            assert before[name] == source
            result[name] = target
    return result


@given(_items, _items)
def test_a_row_of_the_history_leads_to_the_new_item_and_back(before: dict[str, Any], after: dict[str, Any]) -> None:
    fields = differences(before, after)
    assert applied(before, fields, back=False) == after
    assert applied(after, fields, back=True) == before
    assert set(fields) == {name for name in WATCHED if before[name] != after[name]}


def test_a_folder_that_changed_is_told_as_well(make_project: MakeProject) -> None:
    project = make_project('[source.saved]\nkind = "folder"\naddress = "saved"\n')
    project.path("saved").mkdir()
    for price in ("10", "10", "12"):
        project.path("saved", "page.html").write_text(item_page("Thing", price=price))
        report = crawl(project)
    assert (report.items, report.changed) == (0, 1)
    (row,) = rows(project, schema.item_change)
    assert row.fields == {"price": [10.0, 12.0]}
