"""What is no plain YAML of sections, lists and scalars never gets past the reader, and the message says where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evosparse.engine.document import apply, dotted, load_yaml, parse_override, plain, read_text
from evosparse.errors import SpecError

TOP = "name: a\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TOP + "seed: 1\nname: b", "line 3, column 1: expected each key once, got 'name' again; remove one of the two"),
        (TOP + "stop: {a: 1, a: 2}", "line 2, column 14: expected each key once, got 'a' again; remove one"),
        (TOP + "stop: {a: 1", "line 2, column 12: expected valid YAML, got: expected ',' or '}', but got"),
        (TOP + "stop:\n\ta: 1", "line 3, column 1: expected valid YAML, got: found character '\\t' that cannot"),
        (TOP + "a: b: c", "line 2, column 5: expected valid YAML, got: mapping values are not allowed here; check"),
        (TOP + "a: *other", "line 2, column 4: expected valid YAML, got: found undefined alias 'other'; check"),
        (TOP + "a: a\0b", "line 2, column 5: expected valid YAML, got: special characters are not allowed (#x0000);"),
        (TOP + "---\na: 1", "line 2, column 1: expected valid YAML, got: but found another document; check"),
        (TOP + "[1, 2]: 2", "line 2, column 1: expected valid YAML, got: found unhashable key; check"),
        (TOP + "a: !!python/object:os.system {}", "line 2, column 4: expected plain values, got the tag 'tag:yaml."),
        (TOP + "a: !!set {a}", "line 2, column 4: expected plain values, got the tag 'tag:yaml.org,2002:set'; remove"),
        (TOP + "a: !!int x", "line 2, column 4: expected plain values, got the tag 'tag:yaml.org,2002:int'; remove it"),
        (TOP + "a: !own x", "line 2, column 4: expected plain values, got the tag '!own'; remove it"),
        (TOP + "a: [{b: .inf}]", "a[0].b: expected a finite number, got inf; write one, or null for none"),
        (TOP + "a: {b: 1e999}", "a.b: expected a finite number, got inf; write one, or null for none"),
        (TOP + "a: .nan", "a: expected a finite number, got nan; write one, or null for none"),
        (TOP + "1: 2", "expected text as a key, got 1; put it in quotes"),
        (TOP + "a: {null: 2}", "a: expected text as a key, got null; put it in quotes"),
        (TOP + "a: &x {b: *x}", "expected at most 50 levels of nesting, got more; flatten it"),
        (TOP + "a: " + "[" * 20_000, "expected at most 50 levels of nesting, got more; flatten it"),
    ],
)
def test_what_is_no_plain_yaml_gives_one_line_with_its_place(text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_yaml(text, "f.yaml")
    assert str(caught.value).startswith(f"f.yaml: {message}")
    assert "\n" not in str(caught.value)


def test_aliases_that_multiply_are_refused_before_they_fill_the_memory() -> None:
    levels = ["l0: &l0 [a]", *(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 30))]
    with pytest.raises(SpecError, match=r"^f.yaml: expected at most 100,000 values, got more; use fewer aliases"):
        load_yaml("\n".join(levels), "f.yaml")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-3", 1e-3),
        ("1.5E2", 150.0),
        (".5", 0.5),
        ("-2.", -2.0),
        ("-3", -3),
        ("0", 0),
        ("true", True),
        ("~", None),
        ("", None),
        ("'3'", "3"),
        # YAML 1.1 has other ideas about these.
        ("no", "no"),
        ("010", "010"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("2024-01-01", "2024-01-01"),
        ("=", "="),
        ("{<<: {a: 1}}", {"<<": {"a": 1}}),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_scalars_are_those_of_yaml_1_2(written: str, value: object) -> None:
    read = load_yaml(written, "f.yaml")
    assert (type(read), read) == (type(value), value)


def test_an_alias_stands_for_a_copy_of_its_value() -> None:
    read = load_yaml("[&a {rate: 0.3}, *a]", "f.yaml")
    assert read == [{"rate": 0.3}, {"rate": 0.3}] and read[0] is not read[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"#" * 300_000, "expected at most 262,144 bytes, got more; is it a campaign file?"),
        (b"PK\x03\x04\xff\xfe", "expected UTF-8 text, got byte 0xff at position 4; save the file as UTF-8, or name"),
        ("name: a".encode("utf-16"), "expected UTF-8 text, got byte 0x"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        read_text(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_path_that_is_no_readable_file_is_refused(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 300)
    for path, message in (
        (tmp_path / "absent.yaml", "expected a campaign file, got a path where nothing is; check the path"),
        (tmp_path, "expected a campaign file, got a directory; name the YAML file in it"),
        (Path("/dev/null"), "expected a campaign file, got a device or a pipe; save the campaign first"),
        (long, "expected a readable file, got: File name too long; check the path and its permissions"),
    ):
        with pytest.raises(SpecError) as caught:
            read_text(path)
        assert str(caught.value) == f"{path}: {message}"


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: a")
    assert read_text(path) == "name: a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.b", "--set a.b: expected KEY=VALUE, got 'a.b'; write for instance --set stop.generations=20"),
        ("=3", "--set =3: expected KEY=VALUE, got '=3'; write for instance"),
        ("stop..target=3", "--set stop..target=3: expected KEY=VALUE, got 'stop..target=3'; write for instance"),
        ("a.b=[1", "--set a.b=[1: line 1, column 3: expected valid YAML, got: expected ',' or ']'"),
        ("a.b=[.nan]", "--set a.b=[.nan]: a.b[0]: expected a finite number, got nan; write one"),
        ("a=!!binary x", "--set a=!!binary x: line 1, column 1: expected plain values, got the tag"),
        ("name.first=x", "--set name.first=x: name: expected a section, got 'necklace'; set name as a whole"),
        ("sizes.first=x", "--set sizes.first=x: sizes: expected a section, got [1, 2]; set sizes as a whole"),
        ("deep.down.a.b=1", "--set deep.down.a.b=1: deep.down: expected a section, got 3; set deep.down as a whole"),
    ],
)
def test_an_override_that_cannot_be_applied_is_named(text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        apply([parse_override(text)], {"name": "necklace", "sizes": [1, 2], "deep": {"down": 3}})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("texts", "result"),
    [
        (["a=2"], {"a": 2, "b": None}),
        (["a=[1, 2]", "c.d.e=1e-3"], {"a": [1, 2], "b": None, "c": {"d": {"e": 1e-3}}}),
        (["b.c=x=y"], {"a": 1, "b": {"c": "x=y"}}),
        (["a="], {"a": None, "b": None}),
        (["a={x: 1}", "a.x=2", "a.y=3"], {"a": {"x": 2, "y": 3}, "b": None}),
        ([" a . x =5", "a={y: 3}"], SpecError),
    ],
)
def test_overrides_are_written_in_order_and_make_missing_sections(texts: list[str], result: Any) -> None:
    document = {"a": 1, "b": None}
    overrides = [parse_override(text) for text in texts]
    if result is SpecError:
        with pytest.raises(SpecError, match="a: expected a section, got 1"):
            apply(overrides, document)
        return
    apply(overrides, document)
    assert document == result
    assert [override.value for override in overrides] == [parse_override(text).value for text in texts]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(json_values)
def test_json_values_are_plain_as_they_are(value: object) -> None:
    assert plain(value, "f.yaml") == value


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object(), Path("a"), 1j, float("-inf"), {"a": {3: 4}}, {(): 1}])
def test_nothing_else_is_plain(value: object) -> None:
    with pytest.raises(SpecError, match=r"^f\.yaml: a(\[0\])?(\.a)?: expected"):
        plain({"a": [value]}, "f.yaml")


def test_keys_are_written_as_the_user_knows_them() -> None:
    assert dotted(("network", "hidden", 1)) == "network.hidden[1]"
    assert dotted(("a", 0, "b", 1, 2)) == "a[0].b[1][2]"
