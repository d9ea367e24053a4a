"""The scanner that finds the line of each key in a TOML text."""

from __future__ import annotations

import tomli

from chainwatch.config.toml_lines import key_lines, line_of


def test_every_kind_of_key_has_its_line() -> None:
    text = '''\
# a comment with [brackets] and "quotes
top = 1
[table]
"quoted.key" = 'a # b'
dotted.inner = true
list = [ 1,
  # between
  "two, ] }",
  { three = 3, four.five = [ [4], [5,
    6] ] },
]
[[items]]
name = """
[not a table]
quote \\""" and ""
"""
[items.sub]
x = 1979-05-27 07:32:00
[[items]]
name = \'\'\'
it''s \\\'\'\'
[[items.parts]]
y = 1
[[items.parts]]
y = 2
'''
    tomli.loads(text)
    lines = key_lines(text)
    assert lines == {
        ("top",): 2,
        ("table",): 3,
        ("table", "quoted.key"): 4,
        ("table", "dotted"): 5,
        ("table", "dotted", "inner"): 5,
        ("table", "list"): 6,
        ("table", "list", 0): 6,
        ("table", "list", 1): 8,
        ("table", "list", 2): 9,
        ("table", "list", 2, "three"): 9,
        ("table", "list", 2, "four"): 9,
        ("table", "list", 2, "four", "five"): 9,
        ("table", "list", 2, "four", "five", 0): 9,
        ("table", "list", 2, "four", "five", 0, 0): 9,
        ("table", "list", 2, "four", "five", 1): 9,
        ("table", "list", 2, "four", "five", 1, 0): 9,
        ("table", "list", 2, "four", "five", 1, 1): 10,
        ("items",): 12,
        ("items", 0): 12,
        ("items", 0, "name"): 13,
        ("items", 0, "sub"): 17,
        ("items", 0, "sub", "x"): 18,
        ("items", 1): 19,
        ("items", 1, "name"): 20,
        ("items", 1, "parts"): 22,
        ("items", 1, "parts", 0): 22,
        ("items", 1, "parts", 0, "y"): 23,
        ("items", 1, "parts", 1): 24,
        ("items", 1, "parts", 1, "y"): 25,
    }


def test_a_key_that_is_not_there_has_the_line_of_the_table_around_it() -> None:
    lines = key_lines("\n[a.b]\nc = 1\n")
    assert line_of(lines, ("a", "b", "missing", 0)) == 2
    assert line_of(lines, ("other",)) == 1
