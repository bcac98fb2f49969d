"""The shorthand grammar: what it means, what it refuses and where it points."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.model import DenormalizedStructureBuilder
from hypothesis import given
from hypothesis import strategies as st

from inservice.cli.aws.shorthand import ShorthandError, fit, parse


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("a=b", {"a": "b"}),
        ("a=b,c=d", {"a": "b", "c": "d"}),
        ("a=", {"a": ""}),
        ("a=,b=", {"a": "", "b": ""}),
        ("a=1,2", {"a": ["1", "2"]}),
        ("a=1,2,b=3", {"a": ["1", "2"], "b": "3"}),
        ("a=1,b=2,3", {"a": "1", "b": ["2", "3"]}),
        ("a=x=y", {"a": "x=y"}),
        ("a=[x]", {"a": ["x"]}),
        ("a=[x, y ,z]", {"a": ["x", "y", "z"]}),
        ("a=[]", {"a": []}),
        ("a=[[1,2],[3]]", {"a": [["1", "2"], ["3"]]}),
        ("a={}", {"a": {}}),
        ("a={b=c,d={e=f}}", {"a": {"b": "c", "d": {"e": "f"}}}),
        ("a=[{b=c},{b=d}],e=f", {"a": [{"b": "c"}, {"b": "d"}], "e": "f"}),
        ("a={b=[1,2],c=d}", {"a": {"b": ["1", "2"], "c": "d"}}),
        ("a='b,c'", {"a": "b,c"}),
        ('a="b,c",d=e', {"a": "b,c", "d": "e"}),
        ('a="b c","d"', {"a": ["b c", "d"]}),
        (r"""a='it\'s'""", {"a": "it's"}),
        (r'a="say \"hi\""', {"a": 'say "hi"'}),
        (r"a='back\\slash'", {"a": "back\\slash"}),
        (r"a=b\,c", {"a": "b,c"}),
        (r"a=b\,c,d", {"a": ["b,c", "d"]}),
        (" a = b ", None),
        ("a = b , c = d", {"a": "b", "c": "d"}),
        ("a=[ ],b={ }", {"a": [], "b": {}}),
        ("a={ b = c , d = e }", {"a": {"b": "c", "d": "e"}}),
        ("a=b c d ", {"a": "b c d"}),
        ("a-b_c.d#e/f:g=h", {"a-b_c.d#e/f:g": "h"}),
        ("a=]", {"a": "]"}),
        ("a=s3://bucket/key=1", {"a": "s3://bucket/key=1"}),
        ("a=ünï☃😀", {"a": "ünï☃😀"}),
        ("a={b=1,b=2}", {"a": {"b": "2"}}),
    ],
)
def test_meaning(text: str, meaning: dict[str, Any] | None) -> None:
    if meaning is None:
        with pytest.raises(ShorthandError):
            parse(text)
    else:
        assert parse(text) == meaning


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a", "Expected: '=', received: 'EOF' for input:\na\n ^"),
        ("", "Expected: '=', received: 'EOF' for input:\n\n^"),
        ('"a"=b', "Expected: '=', received: '\"' for input:\n\"a\"=b\n^"),
        ("a=[b", "Expected: ',', received: 'EOF' for input:\na=[b\n    ^"),
        ("a={b=c", "Expected: ',', received: 'EOF' for input:\na={b=c\n      ^"),
        ("a={b}", "Expected: '=', received: '}' for input:\na={b}\n    ^"),
        ("a=b]", "Expected: ',', received: ']' for input:\na=b]\n   ^"),
        ("a='b", "Expected: '<singled quoted>', received: '<none>' for input:\na='b\n  ^"),
        ("a=b,", "Expected: '<second>', received: '<none>' for input:\na=b,\n    ^"),
        ("a=b,\nc==d,\ne", "Expected: ',', received: '=' for input:\na=b,\nc==d,\n  ^\ne"),
        (
            "a=1,a=2",
            (
                'Second instance of key "a" encountered for input:\na=1,a=2\n    ^\n'
                'This is often because there is a preceding "," instead of a space.'
            ),
        ),
    ],
)
def test_what_is_refused_and_where(text: str, says: str) -> None:
    with pytest.raises(ShorthandError) as refused:
        parse(text)
    assert str(refused.value) == says


def test_a_file_for_one_key() -> None:
    asked = []

    def read(word: str) -> str | None:
        asked.append(word)
        return {"file://x": "contents, with = and {"}.get(word)

    assert parse("a@=file://x,b=file://x", read) == {
        "a": "contents, with = and {",
        "b": "file://x",
    }
    assert parse("a={b@=file://x,c=d}", read) == {"a": {"b": "contents, with = and {", "c": "d"}}
    assert parse("a@=plain", read) == {"a": "plain"}
    parse("a@=file://x,file://x", read)
    assert asked == ["file://x", "file://x", "plain", "file://x", "file://x"]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}={_written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return _quoted(value)


_KEYS = st.text("abcXYZ019-_.#/:", min_size=1, max_size=4)
_VALUES = st.recursive(
    # A backslash before a quote is read as an escape of it, so AWS's grammar cannot write both.
    st.text(st.characters(exclude_characters='\\"', exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(_KEYS, _VALUES, min_size=1, max_size=4))
def test_every_structure_can_be_written_and_is_read_back(value: dict[str, Any]) -> None:
    assert parse(",".join(f"{key}={_written(item)}" for key, item in value.items())) == value


@given(st.text("ab=,[]{}'\"\\@ \n", max_size=24))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read: object = parse(text)
    except ShorthandError as refused:
        read = refused
    assert isinstance(read, dict) or "for input:" in str(read)


_SHAPE = (
    DenormalizedStructureBuilder()
    .with_members(
        {
            "Count": {"type": "integer"},
            "Share": {"type": "double"},
            "On": {"type": "boolean"},
            "Names": {"type": "list", "member": {"type": "string"}},
            "Map": {"type": "map", "key": {"type": "string"}, "value": {"type": "long"}},
            "Inner": {"type": "structure", "members": {"Count": {"type": "integer"}}},
        }
    )
    .build_model()
)


def test_leaves_take_the_types_of_the_shape() -> None:
    parsed = parse("Count=3,Share=0.5,On=True,Names=a,Map={k=1},Inner={Count=2},Other=x")
    assert fit(parsed, _SHAPE) == {
        "Count": 3,
        "Share": 0.5,
        "On": True,
        "Names": ["a"],
        "Map": {"k": 1},
        "Inner": {"Count": 2},
        "Other": "x",
    }


def test_what_does_not_fit_is_left_for_the_model_to_name() -> None:
    assert fit({"On": "maybe", "Inner": "x"}, _SHAPE) == {"On": "maybe", "Inner": "x"}
    with pytest.raises(ValueError, match="invalid literal"):
        fit({"Count": "x"}, _SHAPE)
